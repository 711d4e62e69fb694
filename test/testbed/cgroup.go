package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pollEvery is the pause between two looks at something the kernel does not
// announce.
const pollEvery = 20 * time.Millisecond

// A cgroup is a folder of the version 2 hierarchy; it holds every process of a
// host, so that all of them end or freeze at once.
type cgroup string

// cgroupRoot finds where the version 2 hierarchy is mounted, alone or beside
// version 1.
func cgroupRoot() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("no cgroup2 file system is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup")
}

func (c cgroup) make() error {
	if err := os.MkdirAll(string(c), 0o755); err != nil {
		return fmt.Errorf("make a cgroup: %w", err)
	}
	return nil
}

func (c cgroup) set(file, value string) error {
	return os.WriteFile(filepath.Join(string(c), file), []byte(value), 0o644)
}

// event reads one 0/1 value of cgroup.events; false when the cgroup is gone.
func (c cgroup) event(name string) bool {
	b, err := os.ReadFile(filepath.Join(string(c), "cgroup.events"))
	return err == nil && bytes.Contains(b, []byte(name+" 1\n"))
}

// freeze stops every process of the cgroup, or lets them go on.
func (c cgroup) freeze(ctx context.Context, frozen bool) error {
	value := "0"
	if frozen {
		value = "1"
	}
	if err := c.set("cgroup.freeze", value); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) { return c.event("frozen") == frozen, nil })
}

// kill ends every process of the cgroup and waits until they are gone.
func (c cgroup) kill(ctx context.Context) error {
	err := poll(ctx, func() (bool, error) {
		if !c.event("populated") {
			return true, nil
		}
		if err := c.set("cgroup.kill", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("end the processes %v of %s: %w", c.processes(), c, err)
	}
	return nil
}

// remove removes an empty cgroup with all below it.
func (c cgroup) remove(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		var dirs []string
		err := filepath.WalkDir(string(c), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil // what vanishes while we look is what we want
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = os.Remove(dirs[i]) // busy for a moment after the last process ends: the next round tries again
		}
		_, gone := os.Stat(string(c))
		return errors.Is(gone, fs.ErrNotExist), err
	})
}

// processes lists the process ids in the cgroup and below it.
func (c cgroup) processes() []int {
	var pids []int
	_ = filepath.WalkDir(string(c), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil
		}
		b, _ := os.ReadFile(path)
		for _, field := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// poll asks done again and again until it says so, fails, or ctx ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// leader finds the process of the cgroup that is process 1 of a pid namespace
// right below ours; 0 when there is none.
func (c cgroup) leader() int {
	depth := len(namespacePIDs(os.Getpid()))
	for _, pid := range c.processes() {
		if ids := namespacePIDs(pid); len(ids) == depth+1 && ids[depth] == "1" {
			return pid
		}
	}
	return 0
}

// namespacePIDs returns a process's ids, from our pid namespace to its own.
func namespacePIDs(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(ids)
		}
	}
	return nil
}
