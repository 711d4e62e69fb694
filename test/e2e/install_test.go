package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/testbed"
)

// installFromNothing is the main job: bare hosts become an ensemble.
func installFromNothing(t *testing.T, w *world) {
	w.bare(t)
	inv := w.inventory(t, inventorySpec{})
	r := w.ok(t, "install", "-i", inv, "--yes")
	says(t, r.stdout, "h1", "h2", "h3", "leader", "follower", "serving", "write /etc/zkctl/zoo.cfg")
	table := r.stdout[strings.LastIndex(r.stdout, "HOST"):]
	if strings.Count(table, "serving") != 3 || strings.Count(table, "leader") != 1 || strings.Count(table, "follower") != 2 {
		t.Errorf("it does not end with the status of a leader and two followers:\n%s", table)
	}
	t.Logf("installing on three bare hosts took %v", r.took.Round(time.Millisecond))
	w.healthy(t, inv)
	for i, h := range w.hosts() {
		cfg := execIn(t, h, "cat /etc/zkctl/zoo.cfg")
		says(t, cfg, "tickTime=500", "initLimit=10", "syncLimit=10", "dataDir="+dataDir, "dataLogDir=/var/lib/zkctl/zkdatalog")
		for j, o := range w.hosts() {
			says(t, cfg, fmt.Sprintf("server.%d=%s:2888:3888", j+1, o.Addr))
		}
		if got := execIn(t, h, "cat "+dataDir+"/myid"); got != fmt.Sprint(i+1) {
			t.Errorf("%s: myid is %q", h.Name, got)
		}
		if got := execIn(t, h, `stat -c %U /proc/$(cat $1)`, pidFile); got != "zookeeper" {
			t.Errorf("%s: the server runs as %q", h.Name, got)
		}
		w.openFiles(t, h)
		w.keptAtBoot(t, h)
	}
	w.runLog(t, "install")
	w.figures(t, inv)
}

// installWithBinary installs on hosts that have this very zkctl already: it is
// not sent again.
func installWithBinary(t *testing.T, w *world) {
	w.bare(t)
	exe, err := os.ReadFile(binary(t))
	must(t, err)
	w.each(t, func(h *testbed.Host) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := h.ExecInput(ctx, bytes.NewReader(exe), "/bin/sh", "-c", "cat >/usr/local/bin/zkctl && chmod 755 /usr/local/bin/zkctl")
		return err
	})
	r := w.ok(t, "install", "-i", w.inventory(t, inventorySpec{}), "--yes")
	saysNot(t, r.all(), "install /usr/local/bin/zkctl (", "replace /usr/local/bin/zkctl (", "upload zkctl")
	if !strings.Contains(r.stdout, "leader") {
		t.Errorf("it does not end with the status table:\n%s", r.stdout)
	}
	t.Logf("installing on three hosts that have the binary took %v, election included", r.took.Round(time.Millisecond))
}

// openFiles asks that the server may open as many files as the inventory says, or
// as many as root may here (Go's runtime stays one below the hard limit).
func (w *world) openFiles(t *testing.T, h *testbed.Host) {
	t.Helper()
	const script = `hard=$(ulimit -H -n); [ "$hard" = unlimited ] || [ "$hard" -gt 65536 ] && hard=65536
awk -v want=$((hard - 1)) '/open files/ && $4 != "unlimited" && $4 < want {print $4 " of " want}' /proc/$(cat $1)/limits`
	if few := execIn(t, h, script, pidFile); few != "" {
		t.Errorf("%s: the server may open too few files: %s", h.Name, few)
	}
}

// keptAtBoot asks that the host starts its server at boot.
func (w *world) keptAtBoot(t *testing.T, h *testbed.Host) {
	t.Helper()
	if w.flavour == testbed.Systemd {
		if got := execIn(t, h, `systemctl show -p ActiveState -p UnitFileState -p Type --value "$1" | sort | tr '\n' ' '`, "zkctl-"+h.Name); got != "active enabled notify" {
			t.Errorf("%s: the unit is %q", h.Name, got)
		}
		return
	}
	execIn(t, h, `test -x /etc/init.d/zkctl-$1 && ls /etc/rc2.d/S??zkctl-$1`, h.Name)
}

// runLog asks that the last run of a command left a log that tells hosts and no
// secret.
func (w *world) runLog(t *testing.T, verb string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.home, ".zkctl/log/*-"+verb+".log"))
	must(t, err)
	if len(files) == 0 {
		t.Fatal("the run left no log")
	}
	path := files[len(files)-1]
	text, err := os.ReadFile(path)
	must(t, err)
	says(t, string(text), "host=h1", "host=h2", "host=h3")
	saysNot(t, string(text), testbed.RootPassword, testbed.SudoPassword, testbed.SudoPasswordPassword)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the run's log: %v, %v", info, err)
	}
	return string(text)
}

// figures prints what the issue wants told.
func (w *world) figures(t *testing.T, inv string) {
	t.Helper()
	for _, h := range w.hosts() {
		t.Logf("%s: idle server: %s", h.Name, execIn(t, h, `grep VmRSS /proc/$(cat $1)/status`, pidFile))
		t.Logf("%s: %s", h.Name, execIn(t, h, `grep -hioE '(leading|following|election|took).*' /var/log/zkctl/zookeeper.log | tail -n 3`))
	}
	r := w.ok(t, "install", "-i", inv)
	t.Logf("installing again with nothing to do took %v", r.took.Round(time.Millisecond))
}

// fingerprint tells every file of a host that zkctl might touch, with its times.
func fingerprint(t *testing.T, h *testbed.Host) string {
	t.Helper()
	return execIn(t, h, `find /etc /usr/local /var/lib/zkctl /var/spool/cron /opt /root -printf '%p %y %m %u:%g %s %T@ %C@ %i\n' | sort`)
}

func (w *world) fingerprints(t *testing.T) string {
	t.Helper()
	var all []string
	for _, h := range w.hosts() {
		all = append(all, h.Name, fingerprint(t, h))
	}
	return strings.Join(append(all, w.pids(t)), "\n")
}

// sameHosts asks that nothing on the hosts changed.
func sameHosts(t *testing.T, what, before, after string) {
	t.Helper()
	if before == after {
		return
	}
	had := make(map[string]bool)
	for _, line := range strings.Split(before, "\n") {
		had[line] = true
	}
	for _, line := range strings.Split(after, "\n") {
		if !had[line] {
			t.Errorf("%s: new or changed: %s", what, line)
		}
	}
	if len(after) < len(before) {
		t.Errorf("%s: something went", what)
	}
}

// installAgain asks that what is installed is not touched.
func installAgain(t *testing.T, w *world) {
	inv := w.installed(t)
	before := w.fingerprints(t)
	for _, args := range [][]string{
		{"install", "-i", inv, "--yes"}, {"install", "-i", inv}, {"plan", "-i", inv}, {"install", "-i", inv, "--dry-run"},
	} {
		r := w.ok(t, args...)
		says(t, r.stdout, "nothing to do")
		sameHosts(t, strings.Join(args, " "), before, w.fingerprints(t))
	}
	r := w.ok(t, "install", "-i", inv, "-o", "json")
	var answer struct {
		Changed bool
		Plan    struct{ Hosts []struct{ Changes []any } }
	}
	if err := json.Unmarshal([]byte(r.stdout), &answer); err != nil || answer.Changed || len(answer.Plan.Hosts) != 3 {
		t.Errorf("-o json: %v, %+v", err, answer)
	}
	changed := w.inventory(t, inventorySpec{config: []string{"snapCount: 5000"}})
	for _, args := range [][]string{{"plan", "-i", changed}, {"install", "-i", changed, "--yes", "--dry-run"}} {
		r := w.ok(t, args...)
		says(t, r.stdout, "+snapCount=5000", "zoo.cfg", "restart")
		saysNot(t, r.stdout, "nothing to do")
		sameHosts(t, strings.Join(args, " "), before, w.fingerprints(t))
	}
	r = w.exits(t, 1, "install", "-i", changed) // nobody can be asked
	says(t, r.stderr, "nothing was changed", "--yes")
	sameHosts(t, "install without --yes", before, w.fingerprints(t))
}

// uninstall removes everything but the data, then the data.
func uninstall(t *testing.T, w *world) {
	w.bare(t)
	before := make(map[string]string)
	const list = `find /etc /usr/local /var/lib /var/log /opt /root /run -xdev \( -path /run/systemd -o -path /run/user -o -path /var/lib/systemd/coredump \) -prune -o -print | sort`
	for _, h := range w.hosts() {
		before[h.Name] = execIn(t, h, list)
	}
	inv := w.installed(t)
	wr := w.startWriter(t)
	wr.check(t, inv)
	wr.conn.Close()
	ids := w.ids(t)

	r := w.exits(t, 1, "uninstall", "-i", inv)
	says(t, r.stderr, "nothing was changed")
	w.healthy(t, inv)
	w.ok(t, "uninstall", "-i", inv, "--yes")
	for _, h := range w.hosts() {
		if pid := serverPID(t, h); pid != "" {
			t.Errorf("%s: the server runs on as process %s", h.Name, pid)
		}
		execIn(t, h, `test -f /var/lib/zkctl/zkdata/myid && ls /var/lib/zkctl/zkdatalog/version-2/log.*`)
		if left := execIn(t, h, `ls -d /etc/zkctl /usr/local/bin/zkctl /etc/profile.d/zkctl.sh /etc/systemd/system/*/zkctl* /etc/systemd/system/zkctl* /etc/init.d/zkctl* /etc/rc*.d/*zkctl* /etc/cron.d/zkctl* 2>/dev/null; :`); left != "" {
			t.Errorf("%s: left: %s", h.Name, left)
		}
	}
	says(t, w.ok(t, "uninstall", "-i", inv, "--yes").stdout, "nothing to do")

	w.ok(t, "install", "-i", inv, "--yes")
	if again := w.ids(t); again != ids {
		t.Errorf("ids %s before and %s after", ids, again)
	}
	for _, h := range w.hosts() {
		conn, _ := w.connect(t, []*testbed.Host{h})
		if have := children(t, conn, wr.root); len(have) < len(wr.acked) {
			t.Errorf("%s: %d of %d znodes are there again", h.Name, len(have), len(wr.acked))
		}
		conn.Close()
	}

	w.ok(t, "uninstall", "-i", inv, "--delete-data", "--yes")
	for _, h := range w.hosts() {
		for _, path := range strings.Split(execIn(t, h, list), "\n") {
			if !strings.Contains(before[h.Name]+"\n", path+"\n") && strings.Contains(path, "zk") {
				t.Errorf("%s: left: %s", h.Name, path)
			}
		}
	}
}

func (w *world) ids(t *testing.T) string {
	t.Helper()
	var ids []string
	for _, h := range w.hosts() {
		ids = append(ids, execIn(t, h, "cat "+dataDir+"/myid"))
	}
	return strings.Join(ids, " ")
}
