package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/testbed"
)

// rollingChange changes a key of zoo.cfg under a writing client: one server after
// another is restarted, the leader last.
func rollingChange(t *testing.T, w *world) {
	inv := w.installed(t)
	leader := w.leader(t, inv)
	changed := w.inventory(t, inventorySpec{config: []string{"snapCount: 20000"}})

	// With --only one server changes, and the others are not touched.
	first := w.others(leader)[0]
	before := w.pids(t)
	w.ok(t, "install", "-i", changed, "--yes", "--only", first.Name)
	for i, now := range strings.Fields(w.pids(t)) {
		if was := strings.Fields(before)[i]; (was != now) != (w.hosts()[i] == first) {
			t.Errorf("--only %s: %s ran as process %s and now %s", first.Name, w.hosts()[i].Name, was, now)
		}
	}
	w.healthy(t, changed)

	wr := w.startWriter(t)
	session := wr.conn.SessionID()
	stop := w.downs(t)
	r := w.ok(t, "install", "-i", changed, "--yes")
	wr.progress(t)
	down := stop()
	for _, d := range down {
		if strings.Contains(d, " ") {
			t.Errorf("down at once: %s", d)
		}
	}
	want := w.others(leader)[1].Name + "," + leader.Name
	if got := strings.Join(down, ","); got != want {
		t.Errorf("servers went down in the order %s, want %s", got, want)
	}
	if now := wr.conn.SessionID(); now != session {
		t.Errorf("the client had session %#x and has %#x", session, now)
	}
	wr.check(t, changed)
	t.Logf("a rolling change of two servers took %v", r.took.Round(time.Millisecond))
	for _, h := range w.hosts() {
		says(t, execIn(t, h, "cat /etc/zkctl/zoo.cfg"), "snapCount=20000")
	}
	says(t, w.ok(t, "install", "-i", changed).stdout, "nothing to do")
}

// upgradeBinary installs another build of zkctl, and keeps the one before.
func upgradeBinary(t *testing.T, w *world) {
	inv := w.installed(t)
	next := filepath.Join(w.dir, "zkctl-next")
	build := exec.Command("go", "build", "-ldflags", "-s -w -X main.version=v9.9.9", "-o", next, "github.com/zkctl/zkctl/cmd/zkctl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wr := w.startWriter(t)
	w.ok(t, "install", "-i", inv, "--yes", "--binary", next)
	wr.check(t, inv)
	for _, s := range w.healthy(t, inv).Servers {
		if s.Version == nil || !strings.Contains(*s.Version, "v9.9.9") {
			t.Errorf("%s runs version %v", s.Name, s.Version)
		}
	}
	for _, h := range w.hosts() {
		says(t, execIn(t, h, hostBinary+" version"), "v9.9.9")
		saysNot(t, execIn(t, h, hostBinary+".previous version"), "v9.9.9")
	}
	w.ok(t, "install", "-i", inv, "--yes") // back
	w.healthy(t, inv)
}

// interrupted presses Ctrl-C in the middle of an installation.
func interrupted(t *testing.T, w *world) {
	w.bare(t)
	inv := w.inventory(t, inventorySpec{})
	// A slow link to h3 keeps its upload going while the others are done.
	must(t, w.tb.Shape(t.Context(), testbed.ControllerName, "h3", testbed.Shape{Delay: 30 * time.Millisecond}))
	cmd := w.command(t.Context(), "install", "-i", inv, "--yes")
	go w.when(t, func() bool { return w.has(t, "h3", "ls /usr/local/bin/*zkctl*") }, func() { _ = cmd.Process.Signal(syscall.SIGINT) })
	r := w.run(t, cmd, "install, interrupted")
	if r.code != 1 {
		t.Errorf("exit status %d", r.code)
	}
	says(t, r.all(), "h1", "h2", "h3", "not done", "interrupt", "run the command again")
	must(t, w.tb.Heal(t.Context()))
	r = w.ok(t, "install", "-i", inv, "--yes")
	w.healthy(t, inv)
	says(t, w.ok(t, "install", "-i", inv).stdout, "nothing to do")
	w.tidy(t)
}

// tidy asks that no half-written file is left on a host.
func (w *world) tidy(t *testing.T) {
	t.Helper()
	for _, h := range w.hosts() {
		if left := execIn(t, h, `find /usr/local /etc /var/lib/zkctl -name '*.tmp*' -o -name '.zkctl.lock' -o -name '*.zkctl-*'`); left != "" {
			t.Errorf("%s: left: %s", h.Name, left)
		}
	}
}

// has tells whether a shell command ends well on a host.
func (w *world) has(t *testing.T, host, script string) bool {
	h := w.hosts()[host[1]-'1']
	_, err := h.Exec(t.Context(), "sh", "-c", script)
	return err == nil
}

// when waits for a condition, then acts.
func (w *world) when(t *testing.T, condition func() bool, act func()) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-t.Context().Done():
			return
		case <-tick.C:
		}
	}
	act()
}

// diskFull fills one host's disk: it is named before anything changes, and when it
// happens in the middle; a second run finishes.
func diskFull(t *testing.T, w *world) {
	w.bare(t)
	inv := w.inventory(t, inventorySpec{})
	h := w.hosts()[1]
	must(t, h.FillDisk(t.Context(), "/var/lib"))
	r := w.exits(t, 1, "install", "-i", inv, "--yes")
	says(t, r.all(), "h2", "free", "nothing was changed")
	if w.has(t, "h1", "test -e "+hostBinary) {
		t.Error("h1 was changed although h2's disk is full")
	}
	must(t, h.FreeDisk(t.Context(), "/var/lib"))

	must(t, w.tb.Shape(t.Context(), testbed.ControllerName, "h2", testbed.Shape{Delay: 30 * time.Millisecond}))
	cmd := w.command(t.Context(), "install", "-i", inv, "--yes", "--timeout", "10s")
	filled := make(chan error, 1)
	go w.when(t, func() bool {
		return w.has(t, "h2", "ls /usr/local/bin/*zkctl* /usr/local/bin/.*zkctl* 2>/dev/null | grep .")
	},
		func() { filled <- h.FillDisk(t.Context(), "/var/lib") })
	r = w.run(t, cmd, "install while the disk of h2 fills up")
	must(t, <-filled)
	if r.code != 1 {
		t.Errorf("exit status %d", r.code)
	}
	says(t, r.all(), "h2", "no space left on device", "not done")
	must(t, h.FreeDisk(t.Context(), "/var/lib"))
	must(t, w.tb.Heal(t.Context()))
	w.ok(t, "install", "-i", inv, "--yes")
	w.healthy(t, inv)
	w.tidy(t)
}

// powerCutMidway cuts a host's power in the middle of an installation: the others
// are finished and it is named; a second run finishes.
func powerCutMidway(t *testing.T, w *world) {
	w.bare(t)
	inv := w.inventory(t, inventorySpec{})
	h := w.hosts()[2]
	must(t, w.tb.Shape(t.Context(), testbed.ControllerName, "h3", testbed.Shape{Delay: 30 * time.Millisecond}))
	cmd := w.command(t.Context(), "install", "-i", inv, "--yes", "--timeout", "20s")
	killed := make(chan error, 1)
	go w.when(t, func() bool {
		return w.has(t, "h3", "ls /usr/local/bin/*zkctl* /usr/local/bin/.*zkctl* 2>/dev/null | grep .")
	},
		func() { killed <- h.Kill(t.Context()) })
	began := time.Now()
	r := w.run(t, cmd, "install while h3 loses power")
	must(t, <-killed)
	if r.code != 1 {
		t.Errorf("exit status %d", r.code)
	}
	says(t, r.all(), "h3", "not done")
	t.Logf("the loss of a host ended the run after %v", time.Since(began).Round(time.Millisecond))
	for _, h := range w.hosts()[:2] {
		if !w.has(t, h.Name, "test -x "+hostBinary+" && test -f /etc/zkctl/zoo.cfg") {
			t.Errorf("%s was not finished", h.Name)
		}
	}
	must(t, w.tb.Heal(t.Context()))
	must(t, h.Boot(t.Context()))
	w.ok(t, "install", "-i", inv, "--yes")
	w.healthy(t, inv)
	w.tidy(t)
}

// hostAway has one host that does not answer: the others are reported all the same.
func hostAway(t *testing.T, w *world) {
	w.bare(t)
	must(t, w.hosts()[1].Unplug(t.Context()))
	inv := w.inventory(t, inventorySpec{ssh: "user: root, connectTimeout: 3s"})
	r := w.exits(t, 1, "install", "-i", inv, "--yes")
	says(t, r.all(), "h1: connected", "h3: connected", "h2: connect: FAILED")
	says(t, r.all(), "try: ")
	if w.has(t, "h1", "test -e /etc/zkctl") {
		t.Error("h1 was changed")
	}
	// Whoever wants the two at hand says so.
	r = w.zkctl(t, "plan", "-i", inv, "--only", "h1")
	says(t, r.all(), "h2")
	must(t, w.tb.Heal(t.Context()))
}

// portTaken has another program on a port.
func portTaken(t *testing.T, w *world) {
	w.bare(t)
	h := w.hosts()[0]
	execIn(t, h, `python3 -c 'import socket,time
s=socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0",2181)); s.listen()
open("/run/taken","w").close(); time.sleep(1000)' >/run/taker.log 2>&1 & echo $! >/run/taker`)
	defer execIn(t, h, `kill $(cat /run/taker); rm -f /run/taken`)
	eventually(t, "a listener on port 2181", func() error {
		_, err := h.Exec(t.Context(), "sh", "-c", "test -e /run/taken || { cat /run/taker.log >&2; false; }")
		return err
	})
	inv := w.inventory(t, inventorySpec{})
	r := w.exits(t, 1, "install", "-i", inv, "--yes")
	says(t, r.all(), "h1", "2181", "in use by process "+execIn(t, h, "cat /run/taker"), "python3", "nothing was changed")
}

// foreignData has files in the data directory that zkctl did not put there.
func foreignData(t *testing.T, w *world) {
	w.bare(t)
	h := w.hosts()[2]
	execIn(t, h, `mkdir -p /var/lib/zkctl/zkdata /etc/zkctl && echo precious >/var/lib/zkctl/zkdata/thesis.txt && echo 'dataDir=/x' >/etc/zkctl/zoo.cfg`)
	inv := w.inventory(t, inventorySpec{})
	r := w.exits(t, 1, "install", "-i", inv, "--yes")
	says(t, r.all(), "h3", "/var/lib/zkctl/zkdata is not empty: thesis.txt", "/etc/zkctl/zoo.cfg is there, and zkctl did not write it", "nothing was changed")
	if got := execIn(t, h, `cat /var/lib/zkctl/zkdata/thesis.txt /etc/zkctl/zoo.cfg`); got != "precious\ndataDir=/x" {
		t.Errorf("the files are now %q", got)
	}
	w.bare(t)
	// An id that contradicts the inventory is never overwritten in silence.
	w.installed(t)
	swapped := w.inventory(t, inventorySpec{})
	text, err := os.ReadFile(swapped)
	must(t, err)
	must(t, os.WriteFile(swapped, []byte(strings.ReplaceAll(string(text), "{name: h3,", "{id: 7, name: h3,")), 0o600))
	r = w.zkctl(t, "install", "-i", swapped, "--yes")
	if r.code == 0 {
		t.Errorf("another id is taken without a word:\n%s", r.all())
	}
	says(t, r.all(), "h3", fmt.Sprint(7))
}
