package install

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// buildDir holds the program under test; TestMain makes and removes it.
var buildDir string

// zkctl is the real program, built once, or the one that ZKCTL_TEST_BINARY names.
var zkctl = sync.OnceValues(func() (string, error) {
	if exe := os.Getenv("ZKCTL_TEST_BINARY"); exe != "" {
		return exe, nil
	}
	exe := filepath.Join(buildDir, "zkctl")
	cmd := exec.Command("go", "build", "-o", exe, "github.com/zkctl/zkctl/cmd/zkctl")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return exe, nil
})

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "install-test-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// realBinary is the real program, opened once.
var realBinary = sync.OnceValues(func() (*Binary, error) {
	exe, err := zkctl()
	if err != nil {
		return nil, err
	}
	return OpenBinary(exe)
})

// smallBinary stands for the program where nothing runs it.
func smallBinary(t *testing.T, text string) *Binary {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "zkctl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return &Binary{Path: f.Name(), OS: "linux", Arch: "amd64", Size: int64(len(text)), SHA256: digest([]byte(text)), file: f}
}

// freePorts finds ports of 127.0.0.1 that nobody holds.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer lis.Close()
		ports = append(ports, lis.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// localInventory is n servers on this machine below dir.
func localInventory(t *testing.T, dir string, n int, ports []int, config string) *inventory.Inventory {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "name: test\nconnection: local\npaths: {baseDir: %q, binary: %q}\nconfig:\n  clientPortAddress: 127.0.0.1\n  preAllocSize: 64\n%shosts:\n",
		filepath.Join(dir, "{name}"), filepath.Join(dir, "bin", "zkctl"), config)
	for i := range n {
		fmt.Fprintf(&b, "  - {name: zk%d, address: 127.0.0.1, ports: {client: %d, quorum: %d, election: %d}}\n", i+1, ports[3*i], ports[3*i+1], ports[3*i+2])
	}
	return parse(t, b.String())
}

func parse(t *testing.T, text string) *inventory.Inventory {
	t.Helper()
	inv, err := inventory.Parse(inventory.Options{}, inventory.Source{Name: "test.yaml", Dir: t.TempDir(), Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// session opens a session on this machine.
func session(t *testing.T, inv *inventory.Inventory, change func(*Options)) *Session {
	t.Helper()
	opts := Options{Inventory: inv, Connect: Connector{}.Connect, Owner: Owner{User: "test", Host: "here", PID: os.Getpid()}}
	if change != nil {
		change(&opts)
	}
	if opts.Binary == nil {
		b, err := realBinary()
		if err != nil {
			t.Fatal(err)
		}
		opts.Binary = b
	}
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustPlan(t *testing.T, s *Session) Plan {
	t.Helper()
	plan, err := s.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func mustApply(t *testing.T, s *Session, plan Plan) {
	t.Helper()
	if _, err := s.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
}

// install brings the inventory about, and returns what it took.
func install(t *testing.T, inv *inventory.Inventory, change func(*Options)) Plan {
	t.Helper()
	s := session(t, inv, change)
	plan := mustPlan(t, s)
	mustApply(t, s, plan)
	if _, err := s.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	return plan
}

// uninstall removes everything at the end of a test, so that no server outlives it.
func uninstallAtEnd(t *testing.T, inv *inventory.Inventory) {
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		s, err := Open(ctx, Options{Inventory: inv, Connect: Connector{}.Connect, Owner: Owner{User: "cleanup", Host: "here", PID: os.Getpid()}})
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		plan, err := s.PlanUninstall(ctx, true)
		if err == nil {
			_, err = s.Apply(ctx, plan)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// lines lists what a plan does.
func lines(p Plan) []string {
	var out []string
	for _, h := range p.Hosts {
		for _, c := range h.Changes {
			out = append(out, c.What)
		}
		for _, s := range h.Starts {
			out = append(out, s.What())
		}
	}
	return out
}

// events remembers what a run told.
type events struct {
	mu   sync.Mutex
	list []Event
	hook func(Event) // called with each; may be nil
}

func (e *events) Report(ev Event) {
	e.mu.Lock()
	e.list = append(e.list, ev)
	e.mu.Unlock()
	if e.hook != nil {
		e.hook(ev)
	}
}

// gonePID is a number that no process has.
const gonePID = 1 << 30

// errCut is what a host that was cut off says.
var errCut = errors.New("cut off by the test")

// cutHost is a host whose nth change fails, and all after it.
type cutHost struct {
	transport.Host
	mu   *sync.Mutex
	left *int
}

func (h cutHost) change() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if *h.left--; *h.left < 0 {
		return errCut
	}
	return nil
}

func (h cutHost) WriteFile(ctx context.Context, path string, data []byte, meta transport.FileMeta) error {
	if err := h.change(); err != nil {
		return err
	}
	return h.Host.WriteFile(ctx, path, data, meta)
}

func (h cutHost) Upload(ctx context.Context, path string, src transport.Source, meta transport.FileMeta, progress func(int64)) error {
	if err := h.change(); err != nil {
		return err
	}
	return h.Host.Upload(ctx, path, src, meta, progress)
}

func (h cutHost) MkdirAll(ctx context.Context, path string, meta transport.FileMeta) error {
	if err := h.change(); err != nil {
		return err
	}
	return h.Host.MkdirAll(ctx, path, meta)
}

func (h cutHost) SetMeta(ctx context.Context, path string, meta transport.FileMeta) error {
	if err := h.change(); err != nil {
		return err
	}
	return h.Host.SetMeta(ctx, path, meta)
}

func (h cutHost) Remove(ctx context.Context, path string) error {
	if err := h.change(); err != nil {
		return err
	}
	return h.Host.Remove(ctx, path)
}

func (h cutHost) RemoveAll(ctx context.Context, path string) error {
	if err := h.change(); err != nil {
		return err
	}
	return h.Host.RemoveAll(ctx, path)
}

func (h cutHost) Run(ctx context.Context, cmd transport.Command) (transport.Result, error) {
	if changesHost(cmd.Argv) {
		if err := h.change(); err != nil {
			return transport.Result{}, err
		}
	}
	return h.Host.Run(ctx, cmd)
}

// changesHost tells the commands that only look from the others.
func changesHost(argv []string) bool {
	if argv[0] == "systemctl" {
		return argv[1] != "is-enabled" && argv[1] != "show"
	}
	if len(argv) > 2 && argv[0] == "/bin/sh" {
		switch argv[2] {
		case stateScript, accountScript, linkedScript, usersScript, listening, probe, folders:
			return false
		}
		return !strings.Contains(argv[2], "start-foreground")
	}
	if len(argv) > 1 && argv[1] == "4lw" {
		return false
	}
	return argv[0] != "crontab" || argv[1] != "-l"
}

// cutAfter makes a session's host fail after n changes.
func cutAfter(n int, inner Connect) (Connect, *int) {
	mu, left := new(sync.Mutex), new(int)
	*left = n
	return func(ctx context.Context, s inventory.Server, name string) (transport.Host, error) {
		h, err := inner(ctx, s, name)
		return cutHost{h, mu, left}, err
	}, left
}
