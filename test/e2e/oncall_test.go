package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/testbed"
)

// statusWords asks what whoever is on call asks.
func statusWords(t *testing.T, w *world) {
	inv := w.installed(t)
	leader := w.leader(t, inv)
	r := w.ok(t, "status", "-i", inv)
	for _, h := range w.hosts() {
		says(t, r.stdout, h.Name, h.Addr.String())
	}
	says(t, r.stdout, "leader", "follower")
	var servers []string
	for _, h := range w.hosts() {
		servers = append(servers, h.Addr.String()+":2181")
	}
	w.ok(t, "status", "--servers", strings.Join(servers, ","))

	says(t, w.ok(t, "leader", "-i", inv).stdout, leader.Name, leader.Addr.String()+":2181")
	says(t, w.ok(t, "leader", "--servers", strings.Join(servers, ",")).stdout, leader.Addr.String()+":2181")

	r = w.ok(t, "4lw", "-i", inv, "srvr")
	says(t, r.stdout, "Zookeeper version:", "Mode: leader", "Mode: follower")
	if r = w.ok(t, "4lw", "--servers", servers[0], "ruok"); strings.TrimSpace(r.stdout) != "imok" {
		t.Errorf("ruok: %q", r.stdout)
	}
	says(t, w.ok(t, "4lw", "-i", inv, "mntr").stdout, "zk_server_state\tleader", "zk_synced_followers\t2")
	w.degrees(t, inv, servers)
}

// degrees takes servers away, and looks at what status and leader say of it.
func (w *world) degrees(t *testing.T, inv string, servers []string) {
	t.Helper()
	follower := w.others(w.leader(t, inv))[0]
	must(t, follower.Unplug(t.Context()))
	r := w.exits(t, 3, "status", "-i", inv, "--timeout", "1s")
	says(t, r.stdout, follower.Name, "unreachable")
	w.exits(t, 3, "leader", "-i", inv, "--timeout", "1s")
	must(t, w.others(follower)[1].Unplug(t.Context()))
	eventually(t, "a minority to say so", func() error {
		if r := w.zkctl(t, "status", "-i", inv, "--timeout", "1s"); r.code != 4 {
			return fmt.Errorf("exit status %d:\n%s", r.code, r.all())
		}
		return nil
	})
	w.exits(t, 4, "leader", "-i", inv, "--timeout", "1s")
	w.exits(t, 1, "4lw", "--timeout", "1s", "-i", inv, "ruok")
	must(t, w.tb.Heal(t.Context()))
	w.healthy(t, inv)
	w.exits(t, 2, "status", "--no-such-flag")
	w.exits(t, 2, "statsu")
}

// purgeAndSchedule makes files that are old, and has them purged by hand, by the
// schedule itself and from the controller.
func purgeAndSchedule(t *testing.T, w *world) {
	w.bare(t)
	// Two hundred transactions and a snapshot is due.
	inv := w.inventory(t, inventorySpec{config: []string{"snapCount: 100"}, extra: `purge: {keep: 3, schedule: "03:30"}`})
	w.ok(t, "install", "-i", inv, "--yes")
	w.healthy(t, inv)
	conn, _ := w.connect(t, w.hosts())
	write := func(path string) {
		_, err := conn.Create(path, nil, 0, zk.WorldACL(zk.PermAll))
		must(t, err)
	}
	for n := 0; snapshots(t, w.hosts()[0]) <= 5; n++ {
		write(fmt.Sprintf("/p%06d", n))
	}
	conn.Close()

	h := w.hosts()[0]
	before := fingerprint(t, h)
	r := w.ok(t, "purge", "-i", inv, "--dry-run")
	says(t, r.all(), "h1", "h2", "h3", "would purge", "KiB")
	says(t, execIn(t, h, hostBinary+" purge --config /etc/zkctl/zoo.cfg --dry-run"), "/version-2/snapshot.", "bytes")
	sameHosts(t, "purge --dry-run", before, fingerprint(t, h))
	w.runSchedule(t, h)
	eventually(t, "the scheduled purge", func() error {
		if n := snapshots(t, h); n != 3 {
			return fmt.Errorf("%d snapshots", n)
		}
		return nil
	})
	w.ok(t, "purge", "-i", inv, "--keep", "3")
	for _, h := range w.hosts() {
		if n := snapshots(t, h); n != 3 {
			t.Errorf("%s: %d snapshots after the purge", h.Name, n)
		}
	}
	w.exits(t, 2, "purge", "-i", inv, "--keep", "2")
	w.survivesPurge(t, inv)
}

func snapshots(t *testing.T, h *testbed.Host) int {
	t.Helper()
	n, err := strconv.Atoi(execIn(t, h, `ls /var/lib/zkctl/zkdata/version-2/snapshot.* 2>/dev/null | wc -l`))
	must(t, err)
	return n
}

// runSchedule runs what the schedule of a host runs, as it runs it.
func (w *world) runSchedule(t *testing.T, h *testbed.Host) {
	t.Helper()
	if w.flavour == testbed.Systemd {
		says(t, execIn(t, h, "systemctl list-timers --no-pager"), "zkctl-"+h.Name+"-purge.timer", "03:3")
		execIn(t, h, "systemctl start zkctl-"+h.Name+"-purge.service")
		return
	}
	// One line of cron: minute, hour, day, month, weekday, user, command.
	line := execIn(t, h, `grep ^30 /etc/cron.d/zkctl-$1-purge`, h.Name)
	f := strings.SplitN(line, " ", 7)
	if len(f) != 7 || f[1] != "3" {
		t.Fatalf("cron's line is %q", line)
	}
	execIn(t, h, `cd / && exec runuser -u "$1" -- /bin/sh -c "$2"`, f[5], f[6])
	// And cron runs, and takes the file.
	execIn(t, h, `f=/etc/cron.d/zkctl-$1-purge; stat -c '%U %a' $f | grep -q '^root 644$' && pgrep -x cron`, h.Name)
}

// survivesPurge restarts a server on what the purge left.
func (w *world) survivesPurge(t *testing.T, inv string) {
	t.Helper()
	h := w.others(w.leader(t, inv))[0]
	w.ok(t, "restart", "-i", inv, "--only", h.Name, "--yes")
	w.healthy(t, inv)
	conn, _ := w.connect(t, []*testbed.Host{h})
	if ok, _, err := conn.Exists("/p000000"); err != nil || !ok {
		t.Errorf("the first znode: %v, %v", ok, err)
	}
}

// loginProfile logs in to a host and uses zkctl there.
func loginProfile(t *testing.T, w *world) {
	w.installed(t)
	h := w.hosts()[1]
	for _, words := range []string{"zkctl version", "zkctl server status", "zkctl status --servers 127.0.0.1", "echo $ZOOCFG"} {
		cmd := w.tb.SSH(t.Context(), testbed.SudoUser, h, "bash", "-lc", "'"+words+"'")
		out, err := cmd.CombinedOutput()
		w.log.Printf("%s at a login: %v\n%s", words, err, out)
		var exit *exec.ExitError
		if err != nil && !(strings.Contains(words, "zkctl status") && errors.As(err, &exit) && exit.ExitCode() == 3) {
			t.Errorf("%s at a login: %v\n%s", words, err, out)
		}
	}
}

// logFiles asks for the server's log, and for no second one.
func logFiles(t *testing.T, w *world) {
	w.installed(t)
	for _, h := range w.hosts() {
		says(t, execIn(t, h, `cat /var/log/zkctl/zookeeper.log`), "level=INFO")
		if got := execIn(t, h, `stat -c %U /var/log/zkctl/zookeeper.log`); got != "zookeeper" {
			t.Errorf("%s: the log belongs to %q", h.Name, got)
		}
		if _, err := h.Exec(t.Context(), "test", "-e", dataDir+"/zkctl.log"); err == nil {
			t.Errorf("%s: a second log lies among the data", h.Name)
		}
	}
}
