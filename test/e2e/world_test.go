package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/testbed"
)

// Where zkctl puts things on a host.
const (
	hostBinary = "/usr/local/bin/zkctl"
	confDir    = "/etc/zkctl"
	dataDir    = "/var/lib/zkctl/zkdata"
	logDir     = "/var/log/zkctl"
	pidFile    = dataDir + "/zookeeper_server.pid"
)

// patience is how long anything may take that should happen soon.
const patience = 90 * time.Second

// world is a testbed with zkctl on its controller, as one scene sees it.
type world struct {
	tb      *testbed.Testbed
	flavour testbed.Flavour
	bin     string // zkctl on the controller
	home    string // of who runs it
	dir     string // for inventories
	log     *transcript
}

// boot makes the hosts of a test and removes them when it ends.
func boot(t *testing.T, flavour testbed.Flavour) *world {
	t.Helper()
	if err := testbed.Check(); err != nil {
		t.Skip(err)
	}
	bin := binary(t)
	began := time.Now()
	tb, err := testbed.New(t.Context(), testbed.Options{Hosts: 3, Flavour: flavour, Dir: t.TempDir(), DiskSize: 4 << 30})
	must(t, err)
	t.Cleanup(func() { must(t, tb.Close()) })
	t.Logf("three %s hosts booted in %v", flavour, time.Since(began).Round(time.Millisecond))
	return &world{tb: tb, flavour: flavour, bin: bin, home: tb.Home()}
}

// scene is the world for one scene: its faults of the network end with it, and
// what happened is told when it fails.
func (w *world) scene(t *testing.T) *world {
	s := *w
	s.dir, s.log = t.TempDir(), &transcript{began: time.Now()}
	t.Cleanup(func() {
		if t.Failed() || *chatty {
			t.Log(s.log.String())
			t.Log(s.hostLogs())
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		must(t, s.tb.Heal(ctx))
		for _, h := range s.tb.Hosts() {
			must(t, h.Boot(ctx))
			must(t, h.FreeDisk(ctx, "/var/lib"))
		}
	})
	return &s
}

func (w *world) hosts() []*testbed.Host { return w.tb.Hosts() }

// hostLogs is the end of what the hosts and their servers logged.
func (w *world) hostLogs() string {
	const script = `ps -eo pid,ppid,user,etime,rss,args | grep '[z]kctl'; ls -l /etc/zkctl /var/lib/zkctl /var/lib/zkctl/*
for f in /var/log/zkctl/* /var/lib/zkctl/zkdata/zkctl.log; do [ -e $f ] && { echo "== $f"; tail -n 40 "$f"; }; done
command -v journalctl >/dev/null && journalctl -u 'zkctl*' -n 30 --no-pager -o short-iso-precise; :`
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var b strings.Builder
	for _, h := range w.hosts() {
		out, err := h.Exec(ctx, "sh", "-c", script)
		fmt.Fprintf(&b, "==== %s (%v)\n%s\n", h.Name, err, out)
	}
	return b.String()
}

// transcript is what a scene did, told when it fails. It may be used by several
// goroutines.
type transcript struct {
	began time.Time
	mu    sync.Mutex
	b     strings.Builder
}

// Printf adds a paragraph; it makes a transcript the logger of a client.
func (l *transcript) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.b, "%7.3f "+strings.TrimRight(format, "\n")+"\n", append([]any{time.Since(l.began).Seconds()}, args...)...)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// result is what a command printed and how it ended.
type result struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

func (r result) all() string { return r.stdout + r.stderr }

// command prepares zkctl on the controller.
func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := w.tb.Controller().Command(ctx, append([]string{w.bin}, args...)...)
	cmd.Env = []string{"HOME=" + w.home, "PATH=" + os.Getenv("PATH"), "TERM=xterm", "LANG=C.UTF-8"}
	cmd.Dir = w.dir
	return cmd
}

// zkctl runs zkctl on the controller to its end.
func (w *world) zkctl(t *testing.T, args ...string) result {
	t.Helper()
	return w.run(t, w.command(t.Context(), args...), strings.Join(args, " "))
}

// run runs a prepared command to its end, which must come within three minutes.
func (w *world) run(t *testing.T, cmd *exec.Cmd, what string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	must(t, cmd.Start())
	overdue := time.AfterFunc(3*time.Minute, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !overdue.Stop() {
		t.Errorf("zkctl %s did not end", what)
	}
	r := result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(began)}
	w.log.Printf("zkctl %s: exit status %d after %v\n%s\n%s", what, r.code, r.took, r.stdout, r.stderr)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return r
}

// ok runs zkctl, which must end well.
func (w *world) ok(t *testing.T, args ...string) result {
	t.Helper()
	return w.exits(t, 0, args...)
}

// exits runs zkctl, which must end with a status.
func (w *world) exits(t *testing.T, code int, args ...string) result {
	t.Helper()
	r := w.zkctl(t, args...)
	if r.code != code {
		t.Fatalf("zkctl %s: exit status %d, want %d\n%s\n%s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	return r
}

// says asks that a text has all words.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("it does not say %q:\n%s", word, text)
		}
	}
}

func saysNot(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if strings.Contains(text, word) {
			t.Errorf("it says %q:\n%s", word, text)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until look finds nothing wrong.
func eventually(t *testing.T, what string, look func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		case <-tick.C:
		}
	}
}

// execIn runs a shell script in a host.
func execIn(t *testing.T, h *testbed.Host, script string, args ...string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), append([]string{"sh", "-c", script, "sh"}, args...)...)
	if err != nil {
		t.Fatalf("%s: %v", h.Name, err)
	}
	return strings.TrimSpace(out)
}

// serverPID is the process of a host's server, "" when none runs.
func serverPID(t *testing.T, h *testbed.Host) string {
	t.Helper()
	return execIn(t, h, `p=$(cat "$1" 2>/dev/null) && [ -d "/proc/$p" ] && echo "$p"; :`, pidFile)
}

func (w *world) pids(t *testing.T) string {
	t.Helper()
	var pids []string
	for _, h := range w.hosts() {
		pids = append(pids, serverPID(t, h))
	}
	return strings.Join(pids, " ")
}

// inventory writes an inventory of the hosts and returns its path.
func (w *world) inventory(t *testing.T, spec inventorySpec) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hosts.yaml")
	must(t, os.WriteFile(path, []byte(spec.text(w.hosts())), 0o600))
	return path
}

// inventorySpec is an inventory of the hosts, but for what differs.
type inventorySpec struct {
	ssh    string   // keys of ssh, in a line; "user: root" when empty
	config []string // further keys of config
	extra  string   // YAML at the top
}

func (s inventorySpec) text(hosts []*testbed.Host) string {
	if s.ssh == "" {
		s.ssh = "user: root"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "name: e2e\nssh: {%s}\nconfig:\n", s.ssh)
	// Short ticks: a server that is cut off is given up after 5 s.
	for _, line := range append([]string{"tickTime: 500", "initLimit: 10", "syncLimit: 10"}, s.config...) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	fmt.Fprintf(&b, "%s\nhosts:\n", s.extra)
	for _, h := range hosts {
		fmt.Fprintf(&b, "  - {name: %s, address: %s}\n", h.Name, h.Addr)
	}
	return b.String()
}

// bare clears the hosts of everything zkctl brings, without zkctl.
func (w *world) bare(t *testing.T) {
	t.Helper()
	const script = `
if command -v systemctl >/dev/null; then
  systemctl disable --now $(cd /etc/systemd/system && ls -d zkctl-*.service zkctl-*.timer 2>/dev/null) 2>/dev/null
fi
while p=$(for d in /proc/[0-9]*; do case $(readlink $d/exe) in /usr/local/bin/zkctl*) echo ${d#/proc/} ;; esac; done); [ -n "$p" ]; do kill -9 $p 2>/dev/null; done
rm -rf /etc/zkctl /var/lib/zkctl /var/log/zkctl /etc/profile.d/zkctl.sh /usr/local/bin/zkctl* \
  /etc/systemd/system/zkctl-* /etc/cron.d/zkctl-* /etc/init.d/zkctl-* /etc/rc?.d/*zkctl-*
command -v systemctl >/dev/null && systemctl daemon-reload; :`
	w.each(t, func(h *testbed.Host) error {
		_, err := h.Exec(t.Context(), "sh", "-c", script)
		return err
	})
}

// each does the same on all hosts at once.
func (w *world) each(t *testing.T, do func(*testbed.Host) error) {
	t.Helper()
	errs := make([]error, len(w.hosts()))
	var wg sync.WaitGroup
	for i, h := range w.hosts() {
		wg.Go(func() { errs[i] = do(h) })
	}
	wg.Wait()
	must(t, errors.Join(errs...))
}

// installed brings the hosts to a healthy ensemble and returns its inventory.
func (w *world) installed(t *testing.T) string {
	t.Helper()
	inv := w.inventory(t, inventorySpec{})
	w.ok(t, "install", "-i", inv, "--yes")
	w.healthy(t, inv)
	return inv
}
