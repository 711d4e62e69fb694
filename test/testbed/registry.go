package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// registryDir holds one record for each testbed; a record is locked by the
// process that owns the testbed and ends with it.
const registryDir = "/run/zkctl-testbed"

// markerFile stands in a testbed's folder and holds the testbed's id, so that a
// record never makes us remove a folder we did not make.
const markerFile = ".zkctl-testbed"

// A record says what is left to remove when its owner is gone.
type record struct {
	ID     string `json:"id"`
	PID    int    `json:"pid"` // for the reader; the lock decides
	Dir    string `json:"dir"`
	Cgroup string `json:"cgroup"`

	file *os.File
}

// register takes the lowest free id, first removing what dead owners left. Dir
// and Cgroup are made from the id by layout.
func register(ctx context.Context, layout func(id string) (dir, cgroup string)) (*record, error) {
	lock, err := lockRegistry()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := removeStale(ctx); err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("t%d", i)
		file, err := lockFile(recordPath(id), os.O_RDWR|os.O_CREATE|os.O_EXCL, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r := &record{ID: id, PID: os.Getpid(), file: file}
		r.Dir, r.Cgroup = layout(id)
		if err := json.NewEncoder(file).Encode(r); err != nil {
			return nil, errors.Join(err, r.forget())
		}
		return r, nil
	}
}

// unregister forgets the record, as everything it names is gone, and removes
// the registry with its last record.
func (r *record) unregister() error {
	lock, err := lockRegistry()
	if err != nil {
		return err
	}
	defer lock.Close()
	err = r.forget()
	_ = os.Remove(registryDir) // fails while records are left
	return err
}

// forget removes the record's file; the registry is locked.
func (r *record) forget() error {
	return errors.Join(os.Remove(recordPath(r.ID)), r.file.Close())
}

func recordPath(id string) string { return filepath.Join(registryDir, id+".json") }

// lockRegistry keeps other processes from adding and removing records until the
// returned file is closed.
func lockRegistry() (*os.File, error) {
	for {
		if err := os.MkdirAll(registryDir, 0o755); err != nil {
			return nil, err
		}
		dir, err := lockFile(registryDir, os.O_RDONLY, unix.LOCK_EX)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed by the last owner meanwhile
		}
		if err != nil {
			return nil, err
		}
		locked, err := dir.Stat()
		if err != nil {
			return nil, errors.Join(err, dir.Close())
		}
		if current, err := os.Stat(registryDir); err == nil && os.SameFile(locked, current) {
			return dir, nil
		}
		_ = dir.Close() // what we locked was removed while we waited
	}
}

// lockFile opens a file or folder and locks it for as long as it is open.
func lockFile(path string, flags, how int) (*os.File, error) {
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// removeStale, in a locked registry, removes testbeds whose owner ended without [Testbed.Close].
func removeStale(ctx context.Context) error {
	paths, err := filepath.Glob(recordPath("t*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		file, err := lockFile(path, os.O_RDWR, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // alive, or just removed
		}
		if err != nil {
			return err
		}
		r := record{ID: strings.TrimSuffix(filepath.Base(path), ".json"), file: file}
		if err := json.NewDecoder(file).Decode(&r); err == nil {
			if err := r.sweep(ctx); err != nil {
				return errors.Join(fmt.Errorf("remove what testbed %s of process %d left: %w", r.ID, r.PID, err), file.Close())
			}
		} // a record cut short was written before anything was made
		if err := r.forget(); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes everything a record names. What is gone already is no error.
func (r *record) sweep(ctx context.Context) error {
	group := cgroup(r.Cgroup)
	if filepath.Base(r.Cgroup) != cgroupName(r.ID) {
		return fmt.Errorf("%s is not the cgroup of testbed %s", r.Cgroup, r.ID)
	}
	if err := group.kill(ctx); err != nil {
		return err
	}
	if err := group.remove(ctx); err != nil {
		return err
	}
	marker, err := os.ReadFile(filepath.Join(r.Dir, markerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the folder is gone, or is somebody else's
	}
	if err != nil {
		return err
	}
	if string(marker) != r.ID {
		return fmt.Errorf("%s is the folder of testbed %q, not of %s", r.Dir, marker, r.ID)
	}
	if err := waitLoopsGone(ctx, r.Dir); err != nil {
		return err
	}
	return os.RemoveAll(r.Dir)
}

func cgroupName(id string) string { return "zkctl-testbed-" + id }

// waitLoopsGone waits until no loop device has its file at or below path: the
// kernel detaches them a moment after the last mount has gone.
func waitLoopsGone(ctx context.Context, path string) error {
	err := poll(ctx, func() (bool, error) {
		used, err := loopsBelow(path)
		return len(used) == 0, err
	})
	if err != nil {
		return fmt.Errorf("wait until the loop devices of %s are free: %w", path, err)
	}
	return nil
}

// loopsBelow lists the loop devices whose file is at or below path.
func loopsBelow(path string) ([]string, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var used []string
	for _, file := range files {
		b, _ := os.ReadFile(file) // gone: detached meanwhile
		backing := strings.TrimSuffix(strings.TrimSpace(string(b)), " (deleted)")
		if backing == path || strings.HasPrefix(backing, path+"/") {
			used = append(used, file)
		}
	}
	return used, nil
}
