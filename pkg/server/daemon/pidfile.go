// Package daemon starts a server in the background, finds it again and stops
// it, as zkServer.sh does with its pid file.
//
// A running server holds a lock (flock) on its pid file for as long as it
// lives. So a pid file that a crash left behind, or whose number another
// process has by now, is never taken for a running server.
package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// PIDFileName is the file in dataDir that zkServer.sh uses too.
const PIDFileName = "zookeeper_server.pid"

// ErrRunning means that a server runs already. See [RunningError].
var ErrRunning = errors.New("already running")

// RunningError is an [ErrRunning] with the process.
type RunningError struct {
	PID  int
	Path string // of the pid file
}

func (e *RunningError) Error() string {
	return fmt.Sprintf("already running as process %d (%s)", e.PID, e.Path)
}

// Unwrap makes the error an [ErrRunning].
func (e *RunningError) Unwrap() error { return ErrRunning }

// A PIDFile is held by a running server.
type PIDFile struct{ f *os.File }

// Hold makes the pid file of this process and holds it until Release or the
// process's end. It fails with a [RunningError] when another process does.
func Hold(path string) (*PIDFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("pid file: %w", err)
		}
		err = claim(f, path)
		if err == nil {
			return &PIDFile{f}, nil
		}
		_ = f.Close()
		if !errors.Is(err, errReplaced) {
			return nil, err
		}
	}
}

// errReplaced means that the pid file was removed, by the server that held
// it, between opening and locking it.
var errReplaced = errors.New("replaced meanwhile")

func claim(f *os.File, path string) error {
	if err := lock(f); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			pid, _ := readPID(path) // 0 when it is not written yet
			return &RunningError{PID: pid, Path: path}
		}
		return fmt.Errorf("pid file %s: %w", path, err)
	}
	mine, err := f.Stat()
	if err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(mine, there) {
		return errReplaced
	}
	if err := writePID(f); err != nil {
		return fmt.Errorf("pid file %s: %w", path, err)
	}
	return nil
}

// lock takes the lock without waiting. Between processes of one open file it
// is shared, so it is never passed to a child (os.OpenFile sets close-on-exec).
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return err
}

// Release removes the pid file: the server has ended in order.
func (p *PIDFile) Release() error {
	return errors.Join(os.Remove(p.f.Name()), p.f.Close())
}

// Running returns the pid of the server that holds the pid file at path, 0
// when none does.
func Running(path string) (int, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("pid file: %w", err)
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		return 0, nil // a crash left it; closing the file gives the lock back
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, fmt.Errorf("pid file %s: %w", path, err)
	}
	return readPID(path)
}

func readPID(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("pid file %s: %q is no process number", path, b)
	}
	return pid, nil
}
