package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// desk is a user at this machine, who needs no root and no SSH.
type desk struct {
	bin, home string
	dir       string // where commands run
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	return &desk{bin: binary(t), home: t.TempDir(), dir: t.TempDir()}
}

// exits runs zkctl, which must end with a status.
func (d *desk) exits(t *testing.T, code int, args ...string) result {
	t.Helper()
	return d.input(t, code, "", args...)
}

// input runs zkctl with text on its standard input.
func (d *desk) input(t *testing.T, code int, text string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return d.run(ctx, t, code, text, args...)
}

func (d *desk) run(ctx context.Context, t *testing.T, code int, text string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(ctx, d.bin, args...)
	cmd.Env = []string{"HOME=" + d.home, "PATH=" + os.Getenv("PATH"), "SHELL=/bin/sh"}
	cmd.Dir = d.dir
	cmd.Stdin = strings.NewReader(text)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(began)}
	if r.code != code {
		t.Fatalf("zkctl %s: exit status %d, want %d\n%s", strings.Join(args, " "), r.code, code, r.all())
	}
	return r
}

// freePorts asks the kernel for ports that nobody has.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close() // all are held until all are known
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// demoInventory is inventory/local.yaml with ports that are free.
func demoInventory(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../inventory/local.yaml")
	must(t, err)
	ports := freePorts(t, 9)
	changed := regexp.MustCompile(`(client|quorum|election): \d+`).ReplaceAllStringFunc(string(text), func(key string) string {
		port := ports[0]
		ports = ports[1:]
		return fmt.Sprintf("%s: %d", key[:strings.Index(key, ":")], port)
	})
	if len(ports) != 0 {
		t.Fatalf("inventory/local.yaml has %d ports, want 9", 9-len(ports))
	}
	path := filepath.Join(t.TempDir(), "local.yaml")
	must(t, os.WriteFile(path, []byte(changed), 0o600))
	return path
}

// TestLocalDemo is the first command of the README.
func TestLocalDemo(t *testing.T) {
	d := newDesk(t)
	inv := demoInventory(t)
	t.Cleanup(func() { // whatever failed, no process stays
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		d.run(ctx, t, 0, "", "uninstall", "-i", inv, "--delete-data", "--yes")
	})
	r := d.exits(t, 0, "install", "-i", inv, "--yes")
	t.Logf("the demo took %v", r.took.Round(time.Millisecond))
	table := r.stdout[strings.LastIndex(r.stdout, "HOST"):]
	if strings.Count(table, "serving") != 3 || strings.Count(table, "leader") != 1 {
		t.Errorf("it does not end with the status of three servers:\n%s", table)
	}
	before := listing(t, d.home)
	r = d.exits(t, 0, "install", "-i", inv, "--yes")
	says(t, r.stdout, "nothing to do")
	t.Logf("the second run took %v", r.took.Round(time.Millisecond))
	if after := listing(t, d.home); after != before {
		t.Errorf("the second run changed files; before:\n%s\nafter:\n%s", before, after)
	}
	d.exits(t, 0, "status", "-i", inv)
	d.exits(t, 0, "leader", "-i", inv)

	d.exits(t, 0, "restart", "-i", inv, "--yes")
	d.exits(t, 0, "stop", "-i", inv, "--yes")
	d.exits(t, 4, "status", "-i", inv)
	d.exits(t, 0, "start", "-i", inv)

	d.exits(t, 0, "uninstall", "-i", inv, "--yes")
	d.exits(t, 4, "status", "-i", inv)
	left := listing(t, d.home)
	says(t, left, "zk1/zkdata/myid", "zk3/zkdata/version-2/currentEpoch")
	saysNot(t, left, "zoo.cfg", "bin/zkctl")

	d.exits(t, 0, "install", "-i", inv, "--yes")
	r = d.exits(t, 1, "uninstall", "-i", inv, "--delete-data")
	says(t, r.stderr, "nothing was changed", "--yes")
	d.exits(t, 0, "uninstall", "-i", inv, "--delete-data", "--yes")
	if left := listing(t, d.home); left != "" {
		t.Errorf("left: %s", left)
	}
}

// listing tells the files below a home with their times, but for the logs of runs
// and of servers, and what a running server writes.
func listing(t *testing.T, home string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(home, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil || strings.HasSuffix(path, ".log") {
			return err
		}
		_, err = fmt.Fprintf(&b, "%s %v %v\n", strings.TrimPrefix(path, home), info.Mode(), info.ModTime())
		return err
	}))
	return b.String()
}

// TestInventoryFaults has every fault of an inventory told, all at once, at its
// place, before any host is touched.
func TestInventoryFaults(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"unknown keys", "nmae: x\npaths: {dataLogDri: /x}\nhosts: [{name: a, address: 10.0.0.1}]\n",
			[]string{"hosts.yaml:1:1: ", `did you mean name?`, "hosts.yaml:2:9: ", "did you mean dataLogDir?", "^", "2 faults"}},
		{"duplicate ids", "hosts:\n  - {address: 10.0.0.1, id: 1}\n  - {address: 10.0.0.2, id: 1}\n",
			[]string{"hosts.yaml:3:29: ", "both have id 1"}},
		{"duplicate addresses", "hosts:\n  - {name: a, address: 10.0.0.1}\n  - {name: b, address: 10.0.0.1}\n",
			[]string{"hosts.yaml:3:5: ", "on one machine", "2181"}},
		{"duplicate ports", "hosts: [{address: 10.0.0.1, ports: {client: 2888}}]\n",
			[]string{"hosts.yaml:1:", "2888"}},
		{"ids", "hosts:\n  - {address: 10.0.0.1, id: 0}\n  - {address: 10.0.0.2, id: 256}\n  - {address: 10.0.0.3, id: -1}\n",
			[]string{"hosts.yaml:2:29: ", "hosts.yaml:3:29: ", "hosts.yaml:4:29: ", "1 to 255"}},
		{"network for an address", "hosts: [{address: 10.0.0.1/24}]\n", []string{"hosts.yaml:1:", "10.0.0.1/24"}},
		{"address", "hosts: [{address: 10.0.0.300}]\n", []string{"hosts.yaml:1:", "not an IPv4 address"}},
		{"ports", "ports: {quorum: 0, election: 65536}\nhosts: [{address: 10.0.0.1}]\n", []string{"hosts.yaml:1:17: ", "hosts.yaml:1:30: ", "1 to 65535"}},
		{"paths", "paths: {dataDir: zkdata}\nhosts: [{address: 10.0.0.1}]\n", []string{"hosts.yaml:1:", "absolute"}},
		{"keys of zkctl", "config: {dataDir: /x}\nhosts: [{address: 10.0.0.1}]\n", []string{"hosts.yaml:1:", "dataDir"}},
		{"purge", "purge: {keep: 2}\nhosts: [{address: 10.0.0.1}]\n", []string{"hosts.yaml:1:15: ", "3"}},
		{"environment", "hosts: [{address: \"${NO_SUCH_VARIABLE}\"}]\n", []string{"hosts.yaml:1:", "NO_SUCH_VARIABLE is not set"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(d.dir, "hosts.yaml")
			must(t, os.WriteFile(path, []byte(c.text), 0o600))
			for _, args := range [][]string{{"inventory", "check"}, {"plan"}, {"install", "--yes"}, {"status"}, {"uninstall", "--yes"}} {
				r := d.exits(t, 1, append(args, "-i", "hosts.yaml")...)
				says(t, r.stderr, c.want...)
				if r.stdout != "" {
					t.Errorf("%v: on standard output:\n%s", args, r.stdout)
				}
			}
		})
	}
}

// TestInventoryWays reads inventories from everywhere they may come from.
func TestInventoryWays(t *testing.T) {
	d := newDesk(t)
	hosts := func(n int) string {
		text := "hosts:\n"
		for i := 1; i <= n; i++ {
			text += fmt.Sprintf("  - {name: zk%d, address: 10.0.0.%d}\n", i, i)
		}
		return text
	}
	for n, warns := range map[int]bool{1: false, 2: true, 3: false, 4: true, 5: false, 6: true} {
		r := d.input(t, 0, hosts(n), "inventory", "check", "-i", "-")
		says(t, r.stdout, fmt.Sprintf("zk%d", n))
		if got := strings.Contains(r.stderr, fmt.Sprintf("survive the failure of %d", (n-1)/2)); got != warns {
			t.Errorf("%d participants: warned %v\n%s", n, got, r.stderr)
		}
	}
	over := filepath.Join(d.dir, "over.yaml")
	must(t, os.WriteFile(over, []byte("ports: {client: 12181}\n"), 0o600))
	says(t, d.input(t, 0, hosts(3), "inventory", "check", "-i", "-", "-i", over).stdout, "12181")

	first := filepath.Join(d.dir, "first.yaml")
	must(t, os.WriteFile(first, []byte(d.exits(t, 0, "init").stdout), 0o600))
	d.exits(t, 0, "inventory", "check", "-i", first)
	says(t, d.exits(t, 0, "inventory", "schema").stdout, `"$schema"`, "dataLogDir")
	says(t, d.exits(t, 1, "install", "-i", "nowhere.yaml").stderr, "nowhere.yaml")
	d.exits(t, 2, "install")
	d.exits(t, 2, "install", "-i", first, "--no-such-flag")
	d.exits(t, 1, "plan", "-i", first, "--only", "nobody")
}
