package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal with zkctl on it and somebody who types.
type terminal struct {
	w      *world
	cmd    *exec.Cmd
	master *os.File
	ended  chan struct{} // closed when nothing more is printed

	mu   sync.Mutex
	text bytes.Buffer
	read int // how much of text expect has passed
}

// openTerminal makes the two ends of a pseudo terminal (pty(7)).
func openTerminal() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	conn, err := master.SyscallConn() // Fd would make reads block for good
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	var number int
	var ioctl error
	err = conn.Control(func(fd uintptr) {
		if ioctl = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioctl == nil {
			number, ioctl = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err = errors.Join(err, ioctl); err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}

// terminal starts zkctl on a terminal.
func (w *world) terminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	master, slave, err := openTerminal()
	must(t, err)
	defer slave.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	s := &terminal{w: w, cmd: w.command(ctx, args...), master: master, ended: make(chan struct{})}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, s.cmd.Start())
	go func() {
		defer close(s.ended)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil { // EIO: nobody holds the other end
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
		_ = master.Close()
	})
	return s
}

func (s *terminal) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// expect waits until zkctl prints word, after what was expected before.
func (s *terminal) expect(t *testing.T, word string) {
	t.Helper()
	eventually(t, fmt.Sprintf("zkctl to print %q", word), func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		at := bytes.Index(s.text.Bytes()[s.read:], []byte(word))
		if at < 0 {
			return fmt.Errorf("it printed\n%s", s.text.String())
		}
		s.read += at + len(word)
		return nil
	})
}

// send types a line.
func (s *terminal) send(t *testing.T, line string) {
	t.Helper()
	_, err := s.master.WriteString(line + "\n")
	must(t, err)
}

// end waits for zkctl to end and returns all it printed. What was typed at a
// question for a password must not show.
func (s *terminal) end(t *testing.T, code int, secrets ...string) string {
	t.Helper()
	err := s.cmd.Wait()
	<-s.ended
	text := s.String()
	s.w.log.Printf("on a terminal: %v: %v\n%s", s.cmd.Args, err, text)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("exit status %d, want %d\n%s", got, code, text)
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the password shows:\n%s", text)
		}
	}
	return text
}
