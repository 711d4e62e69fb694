package purge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrLocked: another purge works on the same dataDir.
var ErrLocked = errors.New("another purge is at work")

const (
	lockName  = "purge.lock"
	lockRetry = 50 * time.Millisecond
)

// lock takes dataDir/purge.lock with flock, which the kernel gives back whatever
// becomes of this process. The file stays: were it removed, two purges could hold
// locks on two files of the same name.
func (j Job) lock(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(j.DataDir, lockName)
	f, err := openLock(path)
	if err != nil {
		return nil, fmt.Errorf("purge: open lock: %w; run it as the user that owns %s", err, j.DataDir)
	}
	if err := j.flock(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	// The words are for people; a reader without the right to write leaves them.
	if err := f.Truncate(0); err == nil {
		host, _ := os.Hostname()
		fmt.Fprintf(f, "process %d on %s since %s\n", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	}
	return func() { f.Close() }, nil
}

// openLock falls back to reading only: flock needs no more, and the file may
// belong to another user.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if errors.Is(err, os.ErrPermission) {
		return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	}
	return f, err
}

func (j Job) flock(ctx context.Context, f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("purge: lock %s: %w", f.Name(), err)
		}
		busy := fmt.Errorf("purge %s: %w: %s", j.DataDir, ErrLocked, holder(f.Name()))
		if j.NoWait {
			return busy
		}
		select {
		case <-ctx.Done():
			return errors.Join(busy, context.Cause(ctx))
		case <-time.After(lockRetry):
		}
	}
}

// holder reads who wrote the lock last.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if who := strings.TrimSpace(string(text)); err == nil && who != "" {
		return who
	}
	return "an unknown process"
}
