package ensemble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

// A server is one server of an ensemble: its files, and its process while it runs.
type server struct {
	sid     int
	address string // of clients
	dir     string
	launch  Launcher

	mu     sync.Mutex
	cmd    *exec.Cmd     // nil when it does not run
	exited chan struct{} // closed when cmd has ended
	err    error         // how it ended
	paused bool
	told   bool // it was told to end
}

func (s *server) config() string  { return filepath.Join(s.dir, "zoo.cfg") }
func (s *server) logFile() string { return filepath.Join(s.dir, "server.log") }

// start starts the process, which appends to its log.
func (s *server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return fmt.Errorf("server %d runs already", s.sid)
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.launch(s.config())
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = endsWithTest()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("server %d: %w", s.sid, err)
	}
	s.cmd, s.exited, s.paused, s.told = cmd, make(chan struct{}), false, false
	exited := s.exited
	go func() {
		err := cmd.Wait()
		s.mu.Lock()
		s.cmd, s.err = nil, err
		s.mu.Unlock()
		close(exited)
	}()
	return nil
}

// signal sends sig to the process, if it runs, and gives what is closed when it
// has ended.
func (s *server) signal(sig syscall.Signal) (exited <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		done := make(chan struct{})
		close(done)
		return done, nil
	}
	switch sig {
	case syscall.SIGSTOP, syscall.SIGCONT:
		s.paused = sig == syscall.SIGSTOP
	default:
		s.told = true
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, fmt.Errorf("server %d: %w", s.sid, err)
	}
	return s.exited, nil
}

func (s *server) kill() error {
	exited, err := s.signal(syscall.SIGKILL)
	if err != nil {
		return err
	}
	<-exited
	return nil
}

// stopPatience is how long a server may take to end when it is told to.
const stopPatience = 20 * time.Second

func (s *server) stop() error {
	if _, err := s.signal(syscall.SIGCONT); err != nil {
		return err
	}
	exited, err := s.signal(syscall.SIGTERM)
	if err != nil {
		return err
	}
	select {
	case <-exited:
		return nil
	case <-time.After(stopPatience):
		return errors.Join(fmt.Errorf("server %d has not ended %v after SIGTERM", s.sid, stopPatience), s.kill())
	}
}

func (s *server) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// responsive tells whether the process runs and is not paused.
func (s *server) responsive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd != nil && !s.paused
}

// died is how the process ended when nobody told it to, else nil.
func (s *server) died() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil || s.told {
		return nil
	}
	return fmt.Errorf("server %d ended by itself: %v", s.sid, s.err)
}

// status asks the server for what it is.
func (s *server) status() fourletter.Status {
	if !s.responsive() {
		return fourletter.Status{Address: s.address, State: fourletter.Unreachable}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return fourletter.Client{}.Status(ctx, s.address)
}

// logTail is the end of the log, at most n lines, without those that clients and
// stack traces make by the hundred.
func (s *server) logTail(n int) string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	lines := slices.DeleteFunc(bytes.Split(bytes.TrimSpace(b), []byte("\n")), func(line []byte) bool {
		return bytes.HasPrefix(line, []byte("\tat ")) || bytes.Contains(line, []byte(`msg="connection closed"`))
	})
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
