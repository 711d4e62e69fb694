package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the daemon.
func TestMain(m *testing.M) {
	if mode := os.Getenv("DAEMON_TEST"); mode != "" {
		os.Exit(child(mode))
	}
	os.Exit(m.Run())
}

func child(mode string) int {
	Inherited(os.Getenv)
	switch mode {
	case "silent":
		fmt.Println("on its standard output")
		return 3
	case "fails":
		Started(os.Getenv, errors.New("port 2181: in use\nby nobody"))
		return 1
	}
	p, err := Hold(os.Getenv("DAEMON_PID"))
	if err != nil {
		Started(os.Getenv, err)
		return 1
	}
	end := make(chan os.Signal, 1)
	if mode == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
		signal.Notify(end, syscall.SIGUSR1)
	} else {
		signal.Notify(end, syscall.SIGTERM)
	}
	Started(os.Getenv, nil)
	<-end
	if p.Release() != nil {
		return 1
	}
	return 0
}

func spawn(t *testing.T, mode, pidfile string) (int, error) {
	t.Helper()
	t.Setenv("DAEMON_TEST", mode)
	t.Setenv("DAEMON_PID", pidfile)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return Spawn(ctx, []string{exe}, out)
}

func TestStartAndStop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", PIDFileName)
	if pid, err := Running(path); pid != 0 || err != nil {
		t.Fatalf("before the start: pid %d, %v", pid, err)
	}
	pid, err := spawn(t, "serves", path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Running(path); got != pid || err != nil {
		t.Errorf("Running = %d, %v, want %d", got, err, pid)
	}
	var running *RunningError
	if _, err := Hold(path); !errors.As(err, &running) || running.PID != pid {
		t.Errorf("Hold beside a running server: %v", err)
	}
	if _, err := spawn(t, "serves", path); !errors.Is(err, ErrNotStarted) || !strings.Contains(err.Error(), strconv.Itoa(pid)) {
		t.Errorf("second start: %v", err)
	}
	got, killed, err := Stop(t.Context(), path, 10*time.Second)
	if got != pid || killed || err != nil {
		t.Errorf("Stop = %d, %v, %v", got, killed, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file is still there: %v", err)
	}
	if got, _, err := Stop(t.Context(), path, time.Second); got != 0 || err != nil {
		t.Errorf("Stop of nothing = %d, %v", got, err)
	}
}

func TestStopKillsTheStubborn(t *testing.T) {
	path := filepath.Join(t.TempDir(), PIDFileName)
	pid, err := spawn(t, "stubborn", path)
	if err != nil {
		t.Fatal(err)
	}
	got, killed, err := Stop(t.Context(), path, 50*time.Millisecond)
	if got != pid || !killed || err != nil {
		t.Errorf("Stop = %d, %v, %v", got, killed, err)
	}
}

// A pid file that a crash left must not be taken for a running server, even
// when its number is that of a living process.
func TestStalePIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), PIDFileName)
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getppid())), 0o644); err != nil {
		t.Fatal(err)
	}
	if pid, err := Running(path); pid != 0 || err != nil {
		t.Errorf("Running = %d, %v, want none", pid, err)
	}
	p, err := Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := readPID(path); pid != os.Getpid() || err != nil {
		t.Errorf("pid file holds %d, %v", pid, err)
	}
	if err := p.Release(); err != nil {
		t.Error(err)
	}
}

func TestStartFails(t *testing.T) {
	for mode, want := range map[string]string{"fails": "port 2181: in use; by nobody", "silent": "exit status 3"} {
		_, err := spawn(t, mode, "")
		if !errors.Is(err, ErrNotStarted) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", mode, err, want)
		}
	}
}
