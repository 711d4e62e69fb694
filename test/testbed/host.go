package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Host is one machine of a [Testbed]. Its methods may be called from several
// goroutines, but what one does to the power of a host while another does the
// same is undefined in order.
type Host struct {
	Name string     // h1, h2, … ; also its host name
	Addr netip.Addr // reachable from the controller and the other hosts

	tb        *Testbed
	index     int
	dir       string
	key       keyPair // sshd's host key
	machineID string
	personal  bool // its disk has been written to; of keepRunning alone

	mu    sync.Mutex
	power *powerOn // nil before the first boot
}

// A powerOn is the time from a boot to power-off, over any number of reboots.
type powerOn struct {
	off  chan struct{} // closed when the host is off
	stop context.Context
	halt context.CancelFunc // no reboot from here on

	mu    sync.Mutex
	boots int
	err   error
}

// ErrOff says that a host is off where it must be on.
var ErrOff = errors.New("the host is off")

func (h *Host) image() string       { return filepath.Join(h.dir, "disk.img") }
func (h *Host) consolePath() string { return filepath.Join(h.dir, "console.log") }
func (h *Host) cgroup() cgroup      { return cgroup(filepath.Join(h.tb.record.Cgroup, h.Name)) }

// Boot powers the host on, on the disk it was left with, and waits until it has
// started everything and sshd answers. A host that is on is only waited for.
func (h *Host) Boot(ctx context.Context) error {
	h.mu.Lock()
	p := h.power
	if p == nil || p.isOff() {
		p = &powerOn{off: make(chan struct{})}
		p.stop, p.halt = context.WithCancel(context.Background())
		h.power = p
		go h.keepRunning(p)
	}
	h.mu.Unlock()
	return h.waitReady(ctx, p)
}

// On tells whether the host has power: it boots, runs or shuts down.
func (h *Host) On() bool {
	p := h.current()
	return p != nil && !p.isOff()
}

func (h *Host) current() *powerOn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.power
}

func (p *powerOn) isOff() bool {
	select {
	case <-p.off:
		return true
	default:
		return false
	}
}

func (p *powerOn) booted(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boots++
	p.err = err
}

func (p *powerOn) state() (boots int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.boots, p.err
}

// keepRunning boots the host, and again after each reboot, until it is off.
func (h *Host) keepRunning(p *powerOn) {
	defer close(p.off)
	defer p.halt()
	for p.stop.Err() == nil {
		again, err := h.cycle(p)
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			h.tb.log.Error("host ended", "host", h.Name, "err", err)
		}
		if !again || err != nil {
			return
		}
	}
}

// cycle is one boot, to the end of process 1. What it makes it removes; the
// disk stays.
func (h *Host) cycle(p *powerOn) (again bool, err error) {
	ctx := context.Background() // cleaning up must not be cut short
	console, err := os.OpenFile(h.consolePath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return false, err
	}
	defer console.Close()
	ns, err := newNetns()
	if err != nil {
		return false, err
	}
	group := h.cgroup()
	defer func() {
		err = errors.Join(err, group.kill(ctx), h.tb.net.unplugForGood(ctx, h.index), ns.close(),
			group.remove(ctx), waitLoopsGone(ctx, h.image()))
	}()
	if err := errors.Join(group.make(), h.tb.net.plug(ctx, h.index, ns)); err != nil {
		return false, err
	}
	p.booted(nil)
	h.tb.log.Debug("host boots", "host", h.Name)
	return h.runInit(p.stop, ns, group, console)
}

// waitReady waits until process 1 has started everything and, where no fault
// keeps the controller away, sshd answers. No process enters the host for that.
func (h *Host) waitReady(ctx context.Context, p *powerOn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, h.tb.opts.BootTimeout,
		fmt.Errorf("not ready after %v", h.tb.opts.BootTimeout))
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		if p.isOff() {
			_, err := p.state()
			return false, errors.Join(ErrOff, err)
		}
		pid := h.cgroup().leader()
		if pid == 0 {
			return false, nil
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/booted", pid)); err != nil {
			return false, nil // not yet
		}
		return h.tb.net.isolated(h.index) || h.sshAnswers(ctx), nil
	})
	if err != nil {
		return fmt.Errorf("boot %s: %w; its console says: %s", h.Name, err, lastLines(h.Logs(), 8))
	}
	return nil
}

// sshAnswers tells whether sshd greets the controller.
func (h *Host) sshAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := h.tb.ctl.Dial(ctx, "tcp", net.JoinHostPort(h.Addr.String(), "22"))
	if err != nil {
		return false
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetReadDeadline(deadline) // a connection without deadlines would fail the read below
	greeting := make([]byte, 4)
	_, err = io.ReadFull(conn, greeting)
	return err == nil && string(greeting) == "SSH-"
}

// Kill cuts the host's power: its link goes down, then every process of it ends
// at once. Data that the host's kernel has taken but not written survives, as
// the kernel is the machine's. A host that is off stays off.
func (h *Host) Kill(ctx context.Context) error {
	p := h.current()
	if p == nil {
		return nil
	}
	p.halt()
	if err := h.tb.net.powerOff(ctx, h.index); err != nil {
		return fmt.Errorf("kill %s: %w", h.Name, err)
	}
	err := poll(ctx, func() (bool, error) { // a boot just begun may not have its first process yet
		if p.isOff() {
			return true, nil
		}
		err := h.cgroup().set("cgroup.kill", "1")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			err = nil
		}
		return false, err
	})
	if err != nil {
		return fmt.Errorf("kill %s: %w", h.Name, err)
	}
	return nil
}

// Reboot asks the host to reboot, in order, and waits until it is back.
func (h *Host) Reboot(ctx context.Context) error {
	p := h.current()
	if p == nil || p.isOff() {
		return fmt.Errorf("reboot %s: %w", h.Name, ErrOff)
	}
	before, _ := p.state()
	argv := []string{"reboot"}
	if h.tb.opts.Flavour == Systemd {
		argv = []string{"systemctl", "--no-block", "reboot"}
	}
	_, asked := h.Exec(ctx, argv...) // may be ended by the reboot it starts
	ctx, cancel := context.WithTimeout(ctx, h.tb.opts.BootTimeout)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		now, _ := p.state()
		if p.isOff() {
			return false, ErrOff
		}
		return now > before, nil
	})
	if err != nil {
		return fmt.Errorf("reboot %s: %w", h.Name, errors.Join(err, asked))
	}
	return h.waitReady(ctx, p)
}

// Pause freezes every process of the host. Its kernel goes on acknowledging
// what arrives; [Host.Unplug] as well for a host that seems dead.
func (h *Host) Pause(ctx context.Context) error { return h.freeze(ctx, true) }

// Resume lets a paused host go on.
func (h *Host) Resume(ctx context.Context) error { return h.freeze(ctx, false) }

func (h *Host) freeze(ctx context.Context, frozen bool) error {
	if !h.On() {
		return fmt.Errorf("pause or resume %s: %w", h.Name, ErrOff)
	}
	if err := h.cgroup().freeze(ctx, frozen); err != nil {
		return fmt.Errorf("pause or resume %s: %w", h.Name, err)
	}
	return nil
}

// Unplug pulls the host's network cable; it stays out over reboots, until
// [Host.Plug] or [Testbed.Heal].
func (h *Host) Unplug(ctx context.Context) error { return h.tb.net.cable(ctx, h.index, false) }

// Plug puts the network cable back.
func (h *Host) Plug(ctx context.Context) error { return h.tb.net.cable(ctx, h.index, true) }

// Exec runs a command in the host as root, without the network, and returns
// what it wrote to standard output. It does not wait for daemons the command
// leaves behind. The error of a command that fails is an
// [exec.ExitError] inside and tells what it wrote to standard error.
func (h *Host) Exec(ctx context.Context, argv ...string) (string, error) {
	return h.ExecInput(ctx, nil, argv...)
}

// ExecInput is [Host.Exec] with a standard input; nil is empty input.
func (h *Host) ExecInput(ctx context.Context, in io.Reader, argv ...string) (string, error) {
	fail := func(err error) error { return fmt.Errorf("%s: %s: %w", h.Name, strings.Join(argv, " "), err) }
	if len(argv) == 0 {
		return "", fail(errors.New("no command"))
	}
	pid := h.cgroup().leader()
	if pid == 0 {
		return "", fail(ErrOff)
	}
	group := h.cgroup() + "/exec"
	if err := group.make(); err != nil {
		return "", fail(err)
	}
	folder, err := os.Open(string(group))
	if err != nil {
		return "", fail(err)
	}
	defer folder.Close()
	var out, errOut bytes.Buffer
	err = onThread(func() error {
		if err := enterProcess(pid); err != nil {
			return err
		}
		program, err := lookPath(argv[0]) // in the host: this thread's root is there
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, program, argv[1:]...)
		cmd.Dir, cmd.Env = "/", []string{"PATH=" + systemPath, "HOME=/root", "USER=root", "LOGNAME=root", "TERM=linux"}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errOut
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd()), Setsid: true}
		cmd.WaitDelay = time.Second // a daemon the command left may hold its output open
		err = cmd.Run()
		if errors.Is(err, exec.ErrWaitDelay) {
			return nil
		}
		return err
	})
	if err != nil {
		if text := lastLines(errOut.String(), 5); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return out.String(), fail(err)
	}
	return out.String(), nil
}

// fillFile is what FillDisk makes.
const fillFile = ".testbed-fill"

// FillDisk uses up every free byte of the file system that holds dir, a folder
// of the host.
func (h *Host) FillDisk(ctx context.Context, dir string) error {
	const script = `cd "$1" || exit 1
fallocate -l "$(df -B1 --output=avail . | tail -n 1)" "$2" 2>/dev/null
dd if=/dev/zero bs=4k >>"$2" 2>/dev/null
free=$(df -B1 --output=avail . | tail -n 1); [ "$free" -lt 65536 ] || { echo "$free bytes are still free" >&2; exit 1; }`
	_, err := h.Exec(ctx, "/bin/sh", "-c", script, "fill", dir, fillFile)
	return err
}

// FreeDisk frees what [Host.FillDisk] used up.
func (h *Host) FreeDisk(ctx context.Context, dir string) error {
	_, err := h.Exec(ctx, "rm", "-f", filepath.Join(dir, fillFile))
	return err
}

// Logs returns what the host wrote to its console, over all boots.
func (h *Host) Logs() string {
	b, err := os.ReadFile(h.consolePath())
	if err != nil {
		return "(no console: " + strconv.Quote(err.Error()) + ")"
	}
	return string(b)
}
