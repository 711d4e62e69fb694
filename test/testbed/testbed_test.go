package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// boot makes a testbed that is closed, and checked to leave nothing, when the
// test ends.
func boot(t *testing.T, opts Options) *Testbed {
	t.Helper()
	if err := Check(); err != nil {
		t.Skip(err)
	}
	opts.Dir = t.TempDir()
	before := held(t)
	tb, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tb.Close(); err != nil {
			t.Error(err)
		}
		checkGone(t, tb.record, before)
	})
	return tb
}

// held lists what this process holds that a testbed might leave: children and
// namespaces.
func held(t *testing.T) []string {
	t.Helper()
	var list []string
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range children {
		b, _ := os.ReadFile(path) // the thread may be gone
		for _, pid := range strings.Fields(string(b)) {
			list = append(list, "child "+pid)
		}
	}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && (strings.HasPrefix(target, "net:") || strings.Contains(target, "testbed") || strings.Contains(target, "/tun")) {
			list = append(list, "open "+target)
		}
	}
	return list
}

// checkGone fails when anything of a testbed is left.
func checkGone(t *testing.T, r *record, before []string) {
	t.Helper()
	for _, path := range []string{r.Dir, r.Cgroup, recordPath(r.ID)} {
		if b, err := os.ReadFile(path); errors.Is(err, os.ErrNotExist) || strings.HasSuffix(path, ".json") && !strings.Contains(string(b), r.Dir) {
			continue // gone, or another testbed's by now
		}
		t.Errorf("%s is left", path)
	}
	if loops, err := loopsBelow(r.Dir); err != nil || len(loops) > 0 {
		t.Errorf("loop devices are left: %v, %v", loops, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), r.Dir) {
		t.Errorf("mounts are left (%v):\n%s", err, mounts)
	}
	if names, _ := os.ReadDir("/run/netns"); strings.Contains(fmt.Sprint(names), r.ID+"-") {
		t.Errorf("network namespaces are left: %v", names)
	}
	if after := held(t); len(after) > len(before) {
		t.Errorf("the process held %v before and %v now", before, after)
	}
}

// output runs a command and returns what it wrote.
func output(cmd *exec.Cmd) (string, error) {
	b, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(b)), err
}

func mustExec(t *testing.T, h *Host, argv ...string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPlain(t *testing.T) {
	tb := boot(t, Options{Hosts: 3, Flavour: Plain})
	t.Run("ssh", func(t *testing.T) { testSSH(t, tb) })
	t.Run("no systemd", func(t *testing.T) {
		if out, err := tb.Host(0).Exec(t.Context(), "systemctl"); err == nil {
			t.Errorf("systemctl is there: %s", out)
		}
	})
	t.Run("exec", func(t *testing.T) { testExec(t, tb.Host(0)) })
	t.Run("listen", func(t *testing.T) { testListen(t, tb) })
	t.Run("neighbours", func(t *testing.T) { testNeighbours(t, tb) })
	t.Run("cut", func(t *testing.T) { testCut(t, tb) })
	t.Run("bastion", func(t *testing.T) { testBastion(t, tb) })
	t.Run("cut one way", func(t *testing.T) { testCutOneWay(t, tb) })
	t.Run("cut outlives a reboot", func(t *testing.T) { testCutOutlivesReboot(t, tb) })
	t.Run("unplug", func(t *testing.T) { testUnplug(t, tb) })
	t.Run("shape", func(t *testing.T) { testShape(t, tb) })
	t.Run("pause", func(t *testing.T) { testPause(t, tb) })
	t.Run("kill", func(t *testing.T) { testKill(t, tb.Host(0)) })
	t.Run("power off inside", func(t *testing.T) { testPowerOff(t, tb.Host(1)) })
	t.Run("disk", func(t *testing.T) { testDisk(t, tb) })
	t.Run("hooks", func(t *testing.T) { testBootHooks(t, tb.Host(0)) })
	t.Run("two at once", func(t *testing.T) { testTwoAtOnce(t, tb) })
}

func TestSystemd(t *testing.T) {
	tb := boot(t, Options{Hosts: 2, Flavour: Systemd})
	t.Run("ssh", func(t *testing.T) { testSSH(t, tb) })
	t.Run("running", func(t *testing.T) {
		for _, h := range tb.Hosts() {
			_, _ = h.Exec(t.Context(), "systemctl", "is-system-running", "--wait") // says running or degraded
			if failed := mustExec(t, h, "systemctl", "--failed", "--quiet", "--no-legend"); failed != "" {
				t.Errorf("%s: failed units: %s", h.Name, failed)
			}
		}
	})
	t.Run("unit", func(t *testing.T) { testUnit(t, tb.Host(0)) })
	t.Run("cut", func(t *testing.T) { testCut(t, tb) })
	t.Run("kill", func(t *testing.T) { testKill(t, tb.Host(0)) })
	t.Run("power off inside", func(t *testing.T) { testPowerOff(t, tb.Host(1)) })
	t.Run("disk", func(t *testing.T) { testDisk(t, tb) })
}

// testSSH logs in with the real ssh and with Go's, by key and by password.
func testSSH(t *testing.T, tb *Testbed) {
	h := tb.Host(0)
	for _, c := range []struct{ name, user, command, want string }{
		{"root", RootUser, "id -un; hostname", "root\nh1"},
		{"user", SudoUser, "id -un", SudoUser},
		{"sudo", SudoUser, "sudo -n id -un", "root"},
		{"sudo with password", SudoPasswordUser, "echo " + SudoPasswordPassword + " | sudo -S -p '' id -un", "root"},
		{"sftp", RootUser, "test -x /usr/lib/openssh/sftp-server && echo yes", "yes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out, err := output(tb.SSH(t.Context(), c.user, h, c.command)); err != nil || out != c.want {
				t.Errorf("got %q, %v; want %q", out, err, c.want)
			}
		})
	}
	t.Run("sudo needs the password", func(t *testing.T) {
		if out, err := output(tb.SSH(t.Context(), SudoPasswordUser, h, "sudo -n true")); err == nil {
			t.Errorf("it did not: %s", out)
		}
	})
	for user, password := range map[string]string{
		RootUser: RootPassword, SudoUser: SudoPassword, SudoPasswordUser: SudoPasswordPassword,
	} {
		t.Run("password of "+user, func(t *testing.T) {
			must(t, passwordLogin(t.Context(), tb, user, password))
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		if err := passwordLogin(t.Context(), tb, SudoUser, "wrong"); err == nil {
			t.Error("it is taken")
		}
	})
}

// passwordLogin logs in to h1, by name, through a connection of this process.
func passwordLogin(ctx context.Context, tb *Testbed, user, password string) error {
	known, err := knownhosts.New(tb.KnownHosts())
	if err != nil {
		return err
	}
	conn, err := tb.Controller().Dial(ctx, "tcp", "h1:22")
	if err != nil {
		return err
	}
	defer conn.Close()
	c, chans, reqs, err := ssh.NewClientConn(conn, "h1:22", &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: known,
	})
	if err != nil {
		return err
	}
	return ssh.NewClient(c, chans, reqs).Close()
}

func testExec(t *testing.T, h *Host) {
	out, err := h.ExecInput(t.Context(), strings.NewReader("word"), "sh", "-c", "cat; echo $HOME; sleep 1000 &")
	if err != nil || out != "word/root\n" {
		t.Errorf("a command that leaves a daemon: %q, %v", out, err)
	}
	var exit *exec.ExitError
	_, err = h.Exec(t.Context(), "sh", "-c", "echo why >&2; exit 7")
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.HasSuffix(err.Error(), "exit status 7: why") {
		t.Errorf("a command that fails: %v", err)
	}
	if _, err := h.Exec(t.Context(), "no-such-program"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program that is not there: %v", err)
	}
	if _, err := h.Exec(t.Context()); err == nil {
		t.Error("no command at all is no error")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Exec(ctx, "sleep", "1000"); err == nil {
		t.Error("a command outlives its context")
	}
}

func testListen(t *testing.T, tb *Testbed) {
	l, err := tb.Controller().Listen(t.Context(), "tcp", tb.Controller().Addr.String()+":0")
	must(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	mustExec(t, tb.Host(0), "bash", "-c", "echo hello >/dev/tcp/ctl/"+port)
	conn, err := l.Accept()
	must(t, err)
	defer conn.Close()
	if b, err := io.ReadAll(conn); err != nil || string(b) != "hello\n" {
		t.Errorf("got %q, %v", b, err)
	}
	if from, _, _ := net.SplitHostPort(conn.RemoteAddr().String()); from != tb.Host(0).Addr.String() {
		t.Errorf("it comes from %s, not from %s", from, tb.Host(0).Addr)
	}
}

func testNeighbours(t *testing.T, tb *Testbed) {
	for _, from := range tb.Hosts() {
		for _, to := range tb.Hosts() {
			mustExec(t, from, "ping", "-c1", "-W2", to.Name)
		}
		mustExec(t, from, "ping", "-c1", "-W2", ControllerName)
		if out, err := from.Exec(t.Context(), "ip", "route", "get", "192.0.2.1"); err == nil {
			t.Errorf("%s has a way out: %s", from.Name, out)
		}
	}
}

// ping tells whether one frame goes from a host to an address and back.
func ping(ctx context.Context, from *Host, to string) bool {
	_, err := from.Exec(ctx, "ping", "-c1", "-W1", to)
	return err == nil
}

func testCut(t *testing.T, tb *Testbed) {
	h1, h2 := tb.Host(0), tb.Host(1)
	must(t, tb.Cut(t.Context(), "h1", "h2"))
	if ping(t.Context(), h1, "h2") || ping(t.Context(), h2, "h1") {
		t.Error("the cut lets frames through")
	}
	if !ping(t.Context(), h1, ControllerName) || !ping(t.Context(), h2, ControllerName) {
		t.Error("the cut reaches further than it should")
	}
	must(t, tb.HealBetween(t.Context(), "h2", "h1"))
	if !ping(t.Context(), h1, "h2") {
		t.Error("healing does not")
	}
}

// testBastion reaches a host that only another host can reach.
func testBastion(t *testing.T, tb *Testbed) {
	must(t, tb.Cut(t.Context(), ControllerName, "h2"))
	cmd := tb.Controller().Command(t.Context(), "ssh", "-F", tb.SSHConfig(), "-J", "h1", "h2", "hostname")
	if out, err := output(cmd); err != nil || out != "h2" {
		t.Errorf("through h1: %q, %v", out, err)
	}
	must(t, tb.Heal(t.Context()))
}

func testCutOneWay(t *testing.T, tb *Testbed) {
	var inbox net.PacketConn
	must(t, tb.Controller().Do(func() (err error) {
		inbox, err = net.ListenPacket("udp", tb.Controller().Addr.String()+":0")
		return err
	}))
	defer inbox.Close()
	_, port, _ := net.SplitHostPort(inbox.LocalAddr().String())
	receive := func(from *Host, wait time.Duration) error {
		mustExec(t, from, "bash", "-c", "echo hello >/dev/udp/ctl/"+port)
		must(t, inbox.SetReadDeadline(time.Now().Add(wait)))
		_, _, err := inbox.ReadFrom(make([]byte, 100))
		return err
	}
	must(t, tb.CutOneWay(t.Context(), ControllerName, "h1"))
	if ping(t.Context(), tb.Host(0), ControllerName) {
		t.Error("the answers get through")
	}
	if err := receive(tb.Host(0), 5*time.Second); err != nil {
		t.Errorf("the other direction is cut as well: %v", err)
	}
	must(t, tb.Heal(t.Context()))
	must(t, tb.CutOneWay(t.Context(), "h1", ControllerName))
	if err := receive(tb.Host(0), 300*time.Millisecond); err == nil {
		t.Error("the cut direction lets frames through")
	}
	must(t, tb.Heal(t.Context()))
	if err := receive(tb.Host(0), 5*time.Second); err != nil {
		t.Errorf("healing does not: %v", err)
	}
}

func testCutOutlivesReboot(t *testing.T, tb *Testbed) {
	must(t, tb.Cut(t.Context(), "h2", "h3"))
	must(t, tb.Host(1).Reboot(t.Context()))
	if ping(t.Context(), tb.Host(1), "h3") || ping(t.Context(), tb.Host(2), "h2") {
		t.Error("the reboot healed the cut")
	}
	must(t, tb.Heal(t.Context()))
	if !ping(t.Context(), tb.Host(1), "h3") {
		t.Error("healing does not")
	}
}

func testUnplug(t *testing.T, tb *Testbed) {
	h := tb.Host(2)
	must(t, h.Unplug(t.Context()))
	if ping(t.Context(), tb.Host(0), h.Name) {
		t.Error("it still answers")
	}
	must(t, h.Plug(t.Context()))
	if !ping(t.Context(), tb.Host(0), h.Name) {
		t.Error("it does not answer again")
	}
}

func testShape(t *testing.T, tb *Testbed) {
	const delay = 50 * time.Millisecond
	must(t, tb.Shape(t.Context(), "h1", ControllerName, Shape{Delay: delay, Jitter: delay / 10}))
	start := time.Now()
	conn, err := tb.Controller().Dial(t.Context(), "tcp", "h1:22") // one round trip
	must(t, err)
	defer conn.Close()
	if took := time.Since(start); took < 2*delay*9/10 {
		t.Errorf("a connection took %v, less than the delay of %v both ways", took, delay)
	}
	if out, err := output(tb.SSH(t.Context(), RootUser, tb.Host(0), "head -c 300000 /dev/zero | wc -c")); err != nil || out != "300000" {
		t.Errorf("ssh over the slow link: %q, %v", out, err)
	}
	must(t, tb.Shape(t.Context(), "h1", ControllerName, Shape{Loss: 1}))
	if ping(t.Context(), tb.Host(0), ControllerName) {
		t.Error("a link that loses everything carries a ping")
	}
	must(t, tb.Heal(t.Context()))
	if !ping(t.Context(), tb.Host(0), ControllerName) {
		t.Error("healing does not")
	}
}

func testPause(t *testing.T, tb *Testbed) {
	h := tb.Host(2)
	must(t, h.Pause(t.Context()))
	conn, err := tb.Controller().Dial(t.Context(), "tcp", "h3:22")
	must(t, err) // the kernel is awake
	defer conn.Close()
	must(t, conn.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	if n, err := conn.Read(make([]byte, 4)); err == nil {
		t.Errorf("a paused host wrote %d bytes", n)
	}
	must(t, h.Resume(t.Context()))
	must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Errorf("after resume: %v", err)
	}
	must(t, h.Pause(t.Context()))
	must(t, h.Kill(t.Context()))
	must(t, h.Boot(t.Context()))
}

func testKill(t *testing.T, h *Host) {
	bootID := mustExec(t, h, "cat", "/proc/sys/kernel/random/boot_id")
	mustExec(t, h, "sh", "-c", "echo kept >/var/lib/kept && rm /etc/issue && touch /run/lost")
	must(t, h.Kill(t.Context()))
	if h.On() {
		t.Error("it is on")
	}
	if _, err := h.Exec(t.Context(), "true"); !errors.Is(err, ErrOff) {
		t.Errorf("a command in a dead host: %v", err)
	}
	must(t, h.Kill(t.Context()))
	must(t, h.Boot(t.Context()))
	if got := mustExec(t, h, "cat", "/var/lib/kept"); got != "kept" {
		t.Errorf("the disk holds %q", got)
	}
	if _, err := h.Exec(t.Context(), "ls", "/etc/issue"); err == nil {
		t.Error("a removed file is back")
	}
	if _, err := h.Exec(t.Context(), "ls", "/run/lost"); err == nil {
		t.Error("/run outlived the power")
	}
	if bootID == mustExec(t, h, "cat", "/proc/sys/kernel/random/boot_id") {
		t.Error("the boot id is the old one")
	}
	must(t, h.Reboot(t.Context()))
	if got := mustExec(t, h, "cat", "/var/lib/kept"); got != "kept" {
		t.Errorf("after a reboot the disk holds %q", got)
	}
}

func testPowerOff(t *testing.T, h *Host) {
	_, _ = h.Exec(t.Context(), "poweroff") // may end with the host
	must(t, poll(t.Context(), func() (bool, error) { return !h.On(), nil }))
	must(t, h.Boot(t.Context()))
}

func testDisk(t *testing.T, tb *Testbed) {
	full, other := tb.Host(0), tb.Host(1)
	write := []string{"dd", "if=/dev/zero", "of=/var/lib/written", "bs=64k", "count=16"}
	must(t, full.FillDisk(t.Context(), "/var/tmp"))
	if _, err := full.Exec(t.Context(), write...); err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Errorf("writing to a full disk: %v", err)
	}
	mustExec(t, other, write...)
	must(t, os.WriteFile(filepath.Join(t.TempDir(), "written"), make([]byte, 1<<20), 0o644)) // the machine is not full
	must(t, full.FreeDisk(t.Context(), "/var/tmp"))
	mustExec(t, full, write...)
}

// testBootHooks asks for every way by which an installer gets its daemon
// started at boot where systemd is not.
func testBootHooks(t *testing.T, h *Host) {
	mustExec(t, h, "sh", "-c", `printf '#!/bin/sh\ntouch /run/by-rc.local\n' >/etc/rc.local && chmod 755 /etc/rc.local &&
printf '#!/bin/sh\n### BEGIN INIT INFO\n# Provides: probe\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\ntouch "/run/by-init-$1"\n' >/etc/init.d/probe &&
chmod 755 /etc/init.d/probe && update-rc.d probe defaults && echo '@reboot touch /run/by-crontab' | crontab - &&
echo '@reboot root touch /run/by-cron.d' >/etc/cron.d/probe`)
	must(t, h.Reboot(t.Context()))
	for _, by := range []string{"rc.local", "init-start", "crontab", "cron.d"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := poll(ctx, func() (bool, error) {
			_, err := h.Exec(ctx, "ls", "/run/by-"+by)
			return err == nil, nil
		})
		cancel()
		if err != nil {
			t.Errorf("%s: not started: %v", by, err)
		}
	}
}

// testUnit installs a unit as an installer would.
func testUnit(t *testing.T, h *Host) {
	mustExec(t, h, "sh", "-c", `printf '[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sh -c "systemd-notify --ready; exec sleep 1000"\nProtectSystem=strict\nPrivateTmp=yes\nNoNewPrivileges=yes\nLimitNOFILE=4096\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/probe.service`)
	mustExec(t, h, "systemctl", "enable", "--now", "probe.service")
	must(t, h.Reboot(t.Context()))
	if state := mustExec(t, h, "systemctl", "is-active", "probe.service"); state != "active" {
		t.Errorf("after a reboot the unit is %s", state)
	}
}

// testTwoAtOnce boots a second testbed with the same addresses.
func testTwoAtOnce(t *testing.T, first *Testbed) {
	second := boot(t, Options{Hosts: 1})
	mustExec(t, second.Host(0), "touch", "/second")
	if _, err := first.Host(0).Exec(t.Context(), "ls", "/second"); err == nil {
		t.Error("both testbeds have the same h1")
	}
	must(t, second.Close())
	if out, err := output(first.SSH(t.Context(), RootUser, first.Host(0), "hostname")); err != nil || out != "h1" {
		t.Errorf("the first testbed does not outlive the second: %q, %v", out, err)
	}
}
