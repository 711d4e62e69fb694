package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// onThread runs f on an operating-system thread of its own and waits for it.
// The thread ends with f, so f may enter namespaces, change its root and its
// working directory: nothing else of this process notices. Goroutines that f
// starts do not share its thread.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread stands for the process in /proc and never ends:
			// hold it, so that f gets another one.
			defer runtime.UnlockOSThread()
			done <- onThread(f)
			return
		}
		done <- f() // never unlocked: the runtime ends the thread
	}()
	return <-done
}

// privateMounts gives the calling thread a mount namespace of its own. Mounts
// made there stay there; what the machine unmounts vanishes there as well.
func privateMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("detach from the machine's mounts: %w", err)
	}
	return nil
}

// A netns is a network namespace that lives as long as this handle or a process
// in it.
type netns struct{ file *os.File }

func newNetns() (*netns, error) {
	n := &netns{}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		n.file = f
		return err
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// path names the namespace for other processes, as long as this one holds it.
func (n *netns) path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd())
}

func (n *netns) enter() error {
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	return nil
}

// do runs f on a thread inside the namespace.
func (n *netns) do(f func() error) error {
	return onThread(func() error {
		if err := n.enter(); err != nil {
			return err
		}
		return f()
	})
}

// batch feeds lines to a tool that takes them with -batch (ip, tc), inside the
// namespace.
func (n *netns) batch(ctx context.Context, tool string, lines ...string) error {
	return n.do(func() error {
		cmd := command(ctx, tool, "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		return run(cmd)
	})
}

// describe returns what ip tells about a device of the namespace.
func (n *netns) describe(ctx context.Context, device string) (string, error) {
	var text []byte
	err := n.do(func() (err error) {
		text, err = command(ctx, "ip", "-details", "link", "show", device).Output()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("look at the device %s: %w", device, err)
	}
	return string(text), nil
}

func (n *netns) close() error { return n.file.Close() }

// run runs a command and puts what it wrote into the error.
func run(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, lastLines(out.String(), 3))
	}
	return nil
}

// lastLines returns the last n lines of text, joined with " | ".
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, " | ")
}

// pidfdNamespaces are the namespaces of a host that a command enters.
const pidfdNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP

// enterProcess moves the calling thread into the namespaces and the root of a
// process; children of the thread are born in its pid namespace.
func enterProcess(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the root of process %d: %w", pid, err)
	}
	defer unix.Close(root)
	if err := errors.Join(
		unix.Unshare(unix.CLONE_FS),
		unix.Setns(fd, pidfdNamespaces),
		unix.Fchdir(root),
		unix.Chroot("."),
	); err != nil {
		return fmt.Errorf("enter process %d: %w", pid, err)
	}
	return nil
}
