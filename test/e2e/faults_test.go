package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/testbed"
)

// killLeader kills the leader's process under a writing client.
func killLeader(t *testing.T, w *world) {
	inv := w.installed(t)
	wr := w.startWriter(t)
	old := w.leader(t, inv)
	pid := serverPID(t, old)
	execIn(t, old, "kill -9 $1", pid)
	if w.flavour == testbed.Systemd {
		began := time.Now()
		w.newLeader(t, inv, old)
		wr.progress(t)
		w.comesBack(t, old, pid)
		t.Logf("systemd had the killed server back after %v", time.Since(began).Round(time.Millisecond))
	} else {
		began := time.Now()
		w.newLeader(t, inv, old)
		t.Logf("another server led after %v, as status saw it", time.Since(began).Round(time.Millisecond))
		wr.progress(t)
		says(t, w.exits(t, 3, "status", "-i", inv).stdout, old.Name, "unreachable")
		w.ok(t, "start", "-i", inv)
		w.comesBack(t, old, pid)
	}
	wr.check(t, inv)
}

// comesBack waits for another process of a host's server than pid.
func (w *world) comesBack(t *testing.T, h *testbed.Host, pid string) {
	t.Helper()
	eventually(t, h.Name+"'s server back", func() error {
		if now := serverPID(t, h); now == "" || now == pid {
			return fmt.Errorf("process %q, and %q before", now, pid)
		}
		return nil
	})
}

// isolate cuts a host off from the other hosts, not from the controller.
func (w *world) isolate(t *testing.T, h *testbed.Host) {
	t.Helper()
	for _, o := range w.others(h) {
		must(t, w.tb.Cut(t.Context(), h.Name, o.Name))
	}
}

// cutFollower cuts a follower off under a writing client, and heals.
func cutFollower(t *testing.T, w *world) {
	inv := w.installed(t)
	wr := w.startWriter(t)
	h := w.others(w.leader(t, inv))[0]
	w.isolate(t, h)
	eventually(t, h.Name+" to stop serving", func() error {
		r := w.status(t, inv)
		for _, s := range r.Servers {
			if s.Name == h.Name && s.State != "serving" && r.Verdict == "degraded" {
				return nil
			}
		}
		return fmt.Errorf("%+v", r)
	})
	wr.progress(t)
	must(t, w.tb.Heal(t.Context()))
	w.healthy(t, inv)
	wr.check(t, inv)
}

// cutLeader cuts the leader off, both ways, then its way out and its way in.
func cutLeader(t *testing.T, w *world) {
	inv := w.installed(t)
	wr := w.startWriter(t)
	old := w.leader(t, inv)
	w.isolate(t, old)
	w.newLeader(t, inv, old)
	wr.progress(t)
	must(t, w.tb.Heal(t.Context()))
	w.healthy(t, inv)
	wr.progress(t)

	for _, out := range []bool{true, false} {
		old = w.leader(t, inv)
		for _, o := range w.others(old) {
			from, to := old.Name, o.Name
			if !out {
				from, to = to, from
			}
			must(t, w.tb.CutOneWay(t.Context(), from, to))
		}
		began := time.Now()
		w.newLeader(t, inv, old)
		wr.progress(t)
		t.Logf("one way (out: %v): another leader and writes go on after %v", out, time.Since(began).Round(time.Millisecond))
		must(t, w.tb.Heal(t.Context()))
		w.healthy(t, inv)
		wr.progress(t)
	}
	wr.check(t, inv)
}

// powerCut cuts the power of the leader's host, then of all hosts, and boots them.
func powerCut(t *testing.T, w *world) {
	inv := w.installed(t)
	wr := w.startWriter(t)
	h := w.leader(t, inv)
	must(t, h.Kill(t.Context()))
	w.newLeader(t, inv, h)
	wr.progress(t)
	w.exits(t, 3, "status", "-i", inv, "--timeout", "1s")
	must(t, h.Boot(t.Context()))
	w.healthy(t, inv)
	wr.progress(t)
	wr.check(t, inv)
	wr.conn.Close()

	w.each(t, func(h *testbed.Host) error { return h.Kill(t.Context()) })
	w.exits(t, 4, "status", "-i", inv, "--timeout", "1s")
	w.each(t, func(h *testbed.Host) error { return h.Boot(t.Context()) })
	w.healthy(t, inv)
	wr.check(t, inv) // what was acknowledged is still there
	says(t, w.ok(t, "install", "-i", inv, "--yes").stdout, "nothing to do")
}

// rebootLeader reboots the leader's host, in order.
func rebootLeader(t *testing.T, w *world) {
	inv := w.installed(t)
	wr := w.startWriter(t)
	old := w.leader(t, inv)
	must(t, old.Reboot(t.Context()))
	w.healthy(t, inv)
	wr.progress(t)
	wr.check(t, inv)
	// It runs as install started it: same account, same log, same limit.
	if w.flavour == testbed.Plain {
		says(t, execIn(t, old, `tr '\0' ' ' </proc/$(cat $1)/cmdline`, pidFile), "--log-file /var/log/zkctl/zookeeper.log")
	}
	if got := execIn(t, old, `stat -c %U /proc/$(cat $1)`, pidFile); got != "zookeeper" {
		t.Errorf("after the reboot the server runs as %q", got)
	}
	w.openFiles(t, old)
	says(t, w.ok(t, "install", "-i", inv, "--yes").stdout, "nothing to do")
}

// hungServer stops a server's process: systemd's watchdog replaces it.
func hungServer(t *testing.T, w *world) {
	inv := w.installed(t)
	h := w.others(w.leader(t, inv))[0]
	t.Logf("WatchdogSec and TimeoutStopSec are %s", execIn(t, h, `systemctl show -p WatchdogUSec -p TimeoutStopUSec --value zkctl-$1 | tr '\n' ' '`, h.Name))
	// The same with less patience.
	execIn(t, h, `mkdir /etc/systemd/system/zkctl-$1.service.d && cd /etc/systemd/system/zkctl-$1.service.d &&
printf '[Service]\nWatchdogSec=2s\nTimeoutStopSec=2s\nRestartSec=1s\n' >quick.conf && systemctl daemon-reload && systemctl restart zkctl-$1`, h.Name)
	w.healthy(t, inv)
	pid := serverPID(t, h)
	execIn(t, h, "kill -STOP $1", pid)
	began := time.Now()
	w.comesBack(t, h, pid)
	t.Logf("the watchdog had a hung server back after %v", time.Since(began).Round(time.Millisecond))
	w.healthy(t, inv)
	execIn(t, h, `rm -r /etc/systemd/system/zkctl-$1.service.d && systemctl daemon-reload`, h.Name)
	w.ok(t, "install", "-i", inv, "--yes")
}

// downs watches how many servers are down at once until it is told to stop.
func (w *world) downs(t *testing.T) (stop func() []string) {
	t.Helper()
	seen := make(chan []string, 1)
	end := make(chan struct{})
	go func() {
		var all []string
		for {
			select {
			case <-end:
				seen <- all
				return
			default:
			}
			var down []string
			for _, h := range w.hosts() {
				if !w.listens(t, h) {
					down = append(down, h.Name)
				}
			}
			if text := strings.Join(down, " "); text != "" && (len(all) == 0 || all[len(all)-1] != text) {
				all = append(all, text)
			}
		}
	}()
	return func() []string { close(end); return <-seen }
}

// listens tells whether a server takes clients' connections.
func (w *world) listens(t *testing.T, h *testbed.Host) bool {
	conn, err := w.tb.Controller().Dial(t.Context(), "tcp", h.Addr.String()+":2181")
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
