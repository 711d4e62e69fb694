package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// readyFD is the descriptor on which a child tells its parent how its start
// went, and ReadyEnv is set in the environment of such a child.
const (
	readyFD  = 3
	ReadyEnv = "ZKCTL_DAEMON"
	readyMsg = "ready"
)

// ErrNotStarted means that the server ended, or said why it cannot start.
var ErrNotStarted = errors.New("the server did not start")

// Spawn starts argv (program and arguments) in the background, detached from
// the terminal, with out as its standard output and error, and waits until it
// calls [Started] or ends. It returns the server's pid. When ctx ends first
// the server is left alone, for it may be loading a large database.
func Spawn(ctx context.Context, argv []string, out *os.File) (int, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), ReadyEnv+"=1")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{w}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return 0, fmt.Errorf("start %s: %w", argv[0], err)
	}
	_ = w.Close()
	pid := cmd.Process.Pid
	type verdict struct {
		line string
		err  error
	}
	told := make(chan verdict, 1)
	go func() {
		line, err := bufio.NewReader(r).ReadString('\n')
		told <- verdict{strings.TrimSpace(line), err}
	}()
	select {
	case v := <-told:
		return pid, judge(cmd, v.line, v.err)
	case <-ctx.Done():
		return pid, fmt.Errorf("process %d has not finished its start: %w", pid, ctx.Err())
	}
}

func judge(cmd *exec.Cmd, line string, err error) error {
	if line == readyMsg {
		return cmd.Process.Release()
	}
	werr := cmd.Wait()
	if line != "" {
		return fmt.Errorf("%w: %s", ErrNotStarted, line)
	}
	if werr == nil && err != nil && !errors.Is(err, io.EOF) {
		werr = err
	}
	return fmt.Errorf("%w: it ended without a word (%v)", ErrNotStarted, werr)
}

// Started tells the parent, if [Spawn] started this process, that the server
// is up (nil) or why it is not. getenv reads the environment. It may be called
// once.
func Started(getenv func(string) string, problem error) {
	if getenv(ReadyEnv) == "" {
		return
	}
	f := os.NewFile(readyFD, "parent")
	if f == nil {
		return
	}
	msg := readyMsg
	if problem != nil {
		msg = strings.ReplaceAll(problem.Error(), "\n", "; ")
	}
	_, _ = io.WriteString(f, msg+"\n") // the parent may be gone: nobody to tell
	_ = f.Close()
}

// Inherited keeps the descriptor to the parent from being passed on to this
// process's own children. It is called first thing by a process that may have
// been spawned.
func Inherited(getenv func(string) string) {
	if getenv(ReadyEnv) != "" {
		syscall.CloseOnExec(readyFD)
	}
}

// Stop asks the server that holds the pid file to end, and waits for it. When
// it has not ended within patience it is killed: its data survive that, what
// clients had under way does not. It returns the pid, 0 when none ran, and
// whether it had to be killed.
func Stop(ctx context.Context, path string, patience time.Duration) (pid int, killed bool, err error) {
	pid, err = Running(path)
	if pid == 0 || err != nil {
		return 0, false, err
	}
	if err := sendSignal(pid, syscall.SIGTERM); err != nil {
		return pid, false, err
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if waitGone(wait, path, pid) {
		return pid, false, nil
	}
	if ctx.Err() != nil {
		return pid, false, ctx.Err()
	}
	if err := sendSignal(pid, syscall.SIGKILL); err != nil {
		return pid, true, err
	}
	if !waitGone(ctx, path, pid) {
		return pid, true, ctx.Err()
	}
	return pid, true, nil
}

func sendSignal(pid int, sig syscall.Signal) error {
	err := syscall.Kill(pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	return nil
}

// waitGone returns true when pid no longer holds the pid file.
func waitGone(ctx context.Context, path string, pid int) bool {
	const look = 20 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if now, err := Running(path); err == nil && now != pid {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
