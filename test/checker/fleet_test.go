package checker

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
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/test/ensemble"
	"github.com/zkctl/zkctl/test/testbed"
)

// A fleet is a cluster of installed servers, each on a host of its own. A server's
// sid is the number of its host. Beside Dial and Status it is used by the test's
// goroutine alone.
type fleet struct {
	t   *testing.T
	tb  *testbed.Testbed
	bin string // zkctl on the controller
	inv string // inventory of the hosts

	systemd bool // restarts servers

	frozen, stopped, full map[int]bool // what was done to which host
}

const (
	fleetPort = ":2181"
	pidFile   = "/var/lib/zkctl/zkdata/zookeeper_server.pid"
	// fleetPatience is how long a host or a run of zkctl may take, on a machine with
	// much else to do.
	fleetPatience = 3 * time.Minute
)

// newFleet boots hosts and has zkctl install an ensemble on them.
func newFleet(t *testing.T, hosts int, flavour testbed.Flavour) *fleet {
	t.Helper()
	bin := ensemble.Binary(t)
	tb, err := testbed.New(t.Context(), testbed.Options{Hosts: hosts, Flavour: flavour, Dir: t.TempDir(), DiskSize: 4 << 30, BootTimeout: fleetPatience})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, tb: tb, bin: bin, systemd: flavour == testbed.Systemd, inv: filepath.Join(t.TempDir(), "hosts.yaml"),
		frozen: make(map[int]bool), stopped: make(map[int]bool), full: make(map[int]bool)}
	t.Cleanup(f.close)
	var b strings.Builder
	// A server that is cut off is given up after 2 s, and a log file grows in such
	// small steps that a full disk is noticed at once.
	b.WriteString("name: nemesis\nssh: {user: root}\nconfig:\n  tickTime: 200\n  initLimit: 50\n  syncLimit: 10\n" +
		"  snapCount: 5000\n  preAllocSize: 64\nhosts:\n")
	for _, h := range tb.Hosts() {
		fmt.Fprintf(&b, "  - {name: %s, address: %s}\n", h.Name, h.Addr)
	}
	f.must(os.WriteFile(f.inv, []byte(b.String()), 0o600))
	f.must(f.zkctl("install", "--yes"))
	f.WaitAll()
	return f
}

// close removes the hosts; of a test that failed it tells what their servers said.
func (f *fleet) close() {
	if f.t.Failed() {
		const script = `cat "$1" 2>/dev/null; ps -eo pid,stat,etime,args | grep '[z]kctl server'; tail -n 60 /var/log/zkctl/*
command -v journalctl >/dev/null && journalctl -u 'zkctl*' -n 60 --no-pager -o short-iso-precise; :`
		for sid := 1; sid <= f.Len(); sid++ {
			if f.usable(sid) {
				out, err := f.exec(sid, script, pidFile)
				f.t.Logf("server %d (%v):\n%s", sid, err, out)
			}
		}
	}
	if err := f.tb.Close(); err != nil {
		f.t.Error(err)
	}
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) Len() int { return len(f.tb.Hosts()) }

func (f *fleet) Addrs() []string {
	var all []string
	for _, h := range f.tb.Hosts() {
		all = append(all, h.Addr.String()+fleetPort)
	}
	return all
}

func (f *fleet) Dial(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, time.Second))
	defer cancel()
	return f.tb.Controller().Dial(ctx, network, address)
}

// Status asks from the controller: the asking does all on its own thread.
func (f *fleet) Status(sid int) (st fourletter.Status) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = f.tb.Controller().Do(func() error {
		st = fourletter.Client{}.Status(ctx, f.host(sid).Addr.String()+fleetPort)
		return st.Err
	})
	return st
}

func (f *fleet) serves(sid int) bool { return f.Status(sid).State == fourletter.Serving }

// WaitLeader knows of no leaders that do not count: nothing is asked while hosts
// are cut off.
func (f *fleet) WaitLeader(...int) (leader int) {
	f.t.Helper()
	ensemble.Eventually(f.t, "a leader", func() bool {
		for sid := 1; sid <= f.Len(); sid++ {
			if st := f.Status(sid); st.State == fourletter.Serving && st.Role == fourletter.ModeLeader {
				leader = sid
				return true
			}
		}
		return false
	})
	return leader
}

func (f *fleet) WaitAll() {
	f.t.Helper()
	for sid := 1; sid <= f.Len(); sid++ {
		ensemble.Eventually(f.t, fmt.Sprintf("server %d to serve", sid), func() bool { return f.serves(sid) })
	}
	f.WaitLeader()
}

func (f *fleet) WaitLevel() {
	f.t.Helper()
	ensemble.Eventually(f.t, "all servers to have the same last zxid", func() bool { return level(f) })
}

func (f *fleet) host(sid int) *testbed.Host { return f.tb.Host(sid - 1) }

// usable tells whether commands can run in a host now.
func (f *fleet) usable(sid int) bool { return f.host(sid).On() && !f.frozen[sid] }

// exec runs a script in a host.
func (f *fleet) exec(sid int, script string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fleetPatience)
	defer cancel()
	out, err := f.host(sid).Exec(ctx, append([]string{"/bin/sh", "-c", script, "sh"}, args...)...)
	return strings.TrimSpace(out), err
}

// signal sends a signal to a host's server, if it runs.
func (f *fleet) signal(sid int, name string) {
	f.t.Helper()
	_, err := f.exec(sid, `kill -s "$1" "$(cat "$2")" 2>/dev/null; :`, name, pidFile)
	f.must(err)
}

// runs tells whether a host's server has a process.
func (f *fleet) runs(sid int) bool {
	f.t.Helper()
	out, err := f.exec(sid, `p=$(cat "$1" 2>/dev/null) && [ -d "/proc/$p" ] && echo yes; :`, pidFile)
	f.must(err)
	return out == "yes"
}

// zkctl runs zkctl on the controller, for the whole inventory.
func (f *fleet) zkctl(verb string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), fleetPatience)
	defer cancel()
	cmd := f.tb.Controller().Command(ctx, append([]string{f.bin, verb, "-i", f.inv}, args...)...)
	cmd.Env = []string{"HOME=" + f.tb.Home(), "PATH=" + os.Getenv("PATH"), "TERM=xterm", "LANG=C.UTF-8"}
	cmd.Dir = filepath.Dir(f.inv)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) || ctx.Err() != nil {
		return fmt.Errorf("zkctl %s: %w\n%s", verb, err, out)
	}
	return err
}

// each does the same for all servers at once.
func (f *fleet) each(do func(sid int) error) {
	f.t.Helper()
	errs := make([]error, f.Len())
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = do(i + 1) })
	}
	wg.Wait()
	f.must(errors.Join(errs...))
}

// mend ends every fault: hosts run, their network and disks are well again, and
// servers that are down are started by `zkctl start`. It returns when all serve.
func (f *fleet) mend() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), fleetPatience)
	defer cancel()
	f.must(f.tb.Heal(ctx))
	for sid := range f.frozen {
		if f.host(sid).On() {
			f.must(f.host(sid).Resume(ctx))
		}
	}
	clear(f.frozen)
	f.each(func(sid int) error { return f.host(sid).Boot(ctx) })
	for sid := range f.stopped {
		f.signal(sid, "CONT")
	}
	clear(f.stopped)
	for sid := range f.full {
		f.must(f.host(sid).FreeDisk(ctx, "/var/lib"))
	}
	clear(f.full)
	f.revive()
}

// revive starts what is down until all serve, but where systemd has to do it. A
// server that met a full disk may be on its way down while another is started: hence
// the turns.
func (f *fleet) revive() {
	f.t.Helper()
	ensemble.Eventually(f.t, "all servers to be back", func() bool {
		serving := 0
		for sid := 1; sid <= f.Len(); sid++ {
			switch {
			case f.serves(sid):
				serving++
			case f.systemd:
			case !f.runs(sid):
				if err := f.zkctl("start"); err != nil {
					f.t.Log(err)
				}
				return false
			}
		}
		return serving == f.Len()
	})
}

// gaveUp is a script that prints, of the logs in a directory, the lines of servers
// that gave up in a way they should not. No logs at all are wrong too.
const gaveUp = `messages() {
  cat "$1"/*
  [ "$2" != systemd ] || journalctl -u 'zkctl*' --no-pager -o cat
}
messages "$@" 2>/dev/null | grep -q . || echo "no server logged anything"
messages "$@" 2>/dev/null | grep -niE 'panic|fatal' | head -n 20; :`

// checkLogs looks for servers that gave up in a way they should not.
func (f *fleet) checkLogs() {
	f.t.Helper()
	for sid := 1; sid <= f.Len(); sid++ {
		out, err := f.exec(sid, gaveUp, "/var/log/zkctl", *flags.init)
		f.must(err)
		if out != "" {
			f.t.Errorf("server %d logged:\n%s", sid, out)
		}
	}
}
