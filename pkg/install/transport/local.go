package transport

import (
	"context"
	"errors"
	"os/exec"
	"sync"
	"syscall"
)

// Local is this machine under the given name. Commands run with this process's environment; ask
// answers sudo when [Host.Root] needs a password, and may be nil. Close does nothing.
func Local(name string, ask Prompter) Host {
	e := &engine{host: name, starter: localStarter{}}
	return &machine{name: name, engine: e, store: nativeStore{}, ask: ask, close: func() error { return nil }}
}

// localStarter begins command lines on this machine, each in a session of its own, so that
// a Ctrl-C on the terminal is for us to act on and sudo finds no terminal to ask on.
type localStarter struct{}

func (localStarter) start(_ context.Context, line string, _ bool) (*process, error) {
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	stderr, err3 := cmd.StderrPipe()
	if err := errors.Join(err1, err2, err3, cmd.Start()); err != nil {
		return nil, err
	}
	exit, gone := make(chan exitStatus, 1), make(chan struct{})
	go func() {
		// Not cmd.Wait: it would close the outputs before they are read to the end.
		state, err := cmd.Process.Wait()
		close(gone)
		status := exitStatus{err: err}
		if err == nil {
			status.code = state.ExitCode()
			if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
				status.signal = signalName(ws.Signal())
			}
		}
		exit <- status
	}()
	var once sync.Once
	hangup := func() {
		once.Do(func() {
			select {
			case <-gone:
			default:
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails for what sudo runs: the engine has stopped that
			}
			stdin.Close()
			stdout.Close()
			stderr.Close()
		})
	}
	return &process{stdin: stdin, stdout: stdout, stderr: stderr, exit: exit, hangup: hangup}, nil
}

// signalName is the name SSH uses (RFC 4254, section 6.10), without SIG.
func signalName(s syscall.Signal) string {
	for name, sig := range map[string]syscall.Signal{
		"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP,
		"ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
		"QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM,
	} {
		if s == sig {
			return name
		}
	}
	return s.String()
}
