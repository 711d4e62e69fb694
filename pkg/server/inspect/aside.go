package inspect

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// ErrInUse is wrapped when a server runs on the directory.
var ErrInUse = errors.New("a server uses the directory")

// apachePID is the file in which zkServer.sh keeps the number of its process.
const apachePID = "zookeeper_server.pid"

// hold locks data directories (the parents of version-2) against servers, ours
// by the lock they keep, Apache's by their pid file.
func hold(fsys disk.FS, dirs []string) (release func(), err error) {
	var locks []io.Closer
	release = func() {
		for _, l := range locks {
			l.Close()
		}
	}
	for _, dir := range dirs {
		if pid := apacheRuns(fsys, dir); pid != 0 {
			release()
			return nil, fmt.Errorf("%w: %s belongs to process %d (%s); stop it first", ErrInUse, dir, pid, apachePID)
		}
		l, err := fsys.Lock(filepath.Join(dir, storage.LockName))
		if err != nil {
			release()
			if errors.Is(err, disk.ErrLocked) {
				return nil, fmt.Errorf("%w: %s: %w; stop it first", ErrInUse, dir, err)
			}
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		locks = append(locks, l)
	}
	return release, nil
}

// apacheRuns is the process that an Apache server's pid file names, 0 when it
// runs no more or is something else by now.
func apacheRuns(fsys disk.FS, dir string) int {
	text, err := disk.ReadFile(fsys, filepath.Join(dir, apachePID), 1<<10)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return 0
	}
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err == nil && !strings.Contains(string(line), "zookeeper") {
		return 0
	}
	return pid
}

// homes are the data directories whose version-2 the files are in, each once.
func homes(fsys disk.FS, dirs ...string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, d := range dirs {
		v, err := versionDir(fsys, d)
		if err != nil {
			return nil, err
		}
		if filepath.Base(v) != storage.VersionDir {
			return nil, fmt.Errorf("%s is no data directory: it has no %s", d, storage.VersionDir)
		}
		if v, err = filepath.Abs(v); err != nil {
			return nil, err
		}
		if home := filepath.Dir(v); !seen[home] {
			seen[home] = true
			out = append(out, home)
		}
	}
	return out, nil
}

// aside moves files out of version-2 into a directory of its own beside it,
// where they keep their names: moving them back undoes it.
type aside struct {
	fs    disk.FS
	name  string // of the directories
	Moved []string
}

func newAside(fsys disk.FS, why string, now time.Time) *aside {
	return &aside{fs: fsys, name: why + "-" + now.UTC().Format("20060102T150405.000Z")}
}

// dir is where a file of version-2 goes.
func (a *aside) dir(path string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(path)), a.name)
}

// prepare makes the directory for a file.
func (a *aside) prepare(path string) (to string, err error) {
	dir := a.dir(path)
	if err := a.fs.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

// move renames one file.
func (a *aside) move(path string) error {
	to, err := a.prepare(path)
	if err != nil {
		return err
	}
	if err := a.fs.Rename(path, to); err != nil {
		return err
	}
	return a.moved(path, to)
}

// moved makes a move durable: first where the file came to.
func (a *aside) moved(path, to string) error {
	a.Moved = append(a.Moved, to)
	return errors.Join(a.fs.SyncDir(filepath.Dir(to)), a.fs.SyncDir(filepath.Dir(path)))
}
