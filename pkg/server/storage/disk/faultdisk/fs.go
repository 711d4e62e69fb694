package faultdisk

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"syscall"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

var _ disk.FS = (*Disk)(nil)

// lookup finds a node; the caller holds the lock.
func (d *Disk) lookup(name string) (*node, error) {
	n := d.root
	for _, part := range strings.Split(strings.Trim(path.Clean(name), "/"), "/") {
		if part == "" || part == "." {
			continue
		}
		if !n.dir {
			return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
		}
		next := n.names[part]
		if next == nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		n = next
	}
	return n, nil
}

// OpenFile opens or makes a file; of the flags it knows O_CREATE, O_EXCL and
// O_TRUNC.
func (d *Disk) OpenFile(name string, flag int, _ fs.FileMode) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.reading(name); err != nil {
		return nil, err
	}
	n, err := d.lookup(name)
	switch {
	case err == nil && n.dir:
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	case err == nil && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case err == nil:
		if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
			if err := d.truncate(n, name, 0); err != nil {
				return nil, err
			}
		}
		return &file{d, n, name}, nil
	case flag&os.O_CREATE == 0:
		return nil, err
	}
	return d.create(name)
}

func (d *Disk) create(name string) (disk.File, error) {
	parent, err := d.lookup(path.Dir(name))
	if err != nil {
		return nil, err
	}
	apply, err := d.begin("create", name)
	n := newFile()
	if apply {
		parent.change(change{name: path.Base(name), n: n})
	}
	if err != nil {
		return nil, err
	}
	return &file{d, n, name}, nil
}

// Rename renames a file.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent, err := d.lookup(path.Dir(from))
	if err != nil {
		return err
	}
	target, err := d.lookup(path.Dir(to))
	if err != nil {
		return err
	}
	n := parent.names[path.Base(from)]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	apply, err := d.begin("rename", from)
	if !apply || isMatch(err) {
		return err
	}
	if old := target.names[path.Base(to)]; old != nil && old != n {
		d.unlink(old)
	}
	if parent == target {
		parent.change(change{name: path.Base(to), gone: path.Base(from), n: n})
		return err
	}
	m := &move{parent, target}
	target.change(change{name: path.Base(to), n: n, move: m})
	parent.change(change{gone: path.Base(from), move: m})
	return err
}

// Link gives a file a second name.
func (d *Disk) Link(name, second string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup(name)
	if err != nil {
		return err
	}
	parent, err := d.lookup(path.Dir(second))
	if err != nil {
		return err
	}
	if n.dir || parent.names[path.Base(second)] != nil {
		return &fs.PathError{Op: "link", Path: second, Err: fs.ErrExist}
	}
	apply, err := d.begin("link", second)
	if apply && !isMatch(err) {
		parent.change(change{name: path.Base(second), n: n})
		n.links++
	}
	return err
}

// isMatch tells an error that was asked for with Fail: its operation has no
// effect, while one that the disk stopped in may have.
func isMatch(err error) bool {
	return err != nil && !isStop(err)
}

func isStop(err error) bool {
	pe, ok := err.(*fs.PathError) //nolint:errorlint // made by begin, never wrapped
	return ok && pe.Err == ErrStopped
}

// Remove removes a file.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent, err := d.lookup(path.Dir(name))
	if err != nil {
		return err
	}
	n := parent.names[path.Base(name)]
	if n == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	apply, err := d.begin("remove", name)
	if apply && !isMatch(err) {
		parent.change(change{gone: path.Base(name)})
		d.unlink(n)
	}
	return err
}

// ReadDir lists a directory.
func (d *Disk) ReadDir(name string) ([]disk.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.reading(name); err != nil {
		return nil, err
	}
	n, err := d.lookup(name)
	if err != nil {
		return nil, err
	}
	var infos []disk.Info
	for name, c := range n.names {
		infos = append(infos, c.info(name))
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name < infos[j].Name })
	return infos, nil
}

// Stat describes a file.
func (d *Disk) Stat(name string) (disk.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.reading(name); err != nil {
		return disk.Info{}, err
	}
	n, err := d.lookup(name)
	if err != nil {
		return disk.Info{}, err
	}
	return n.info(path.Base(name)), nil
}

// MkdirAll makes directories, durable at once.
func (d *Disk) MkdirAll(name string, _ fs.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.lookup(name); err == nil {
		return nil
	}
	if _, err := d.begin("mkdir", name); err != nil {
		return err
	}
	n := d.root
	for _, part := range strings.Split(strings.Trim(path.Clean(name), "/"), "/") {
		next := n.names[part]
		if next == nil {
			next = newDir()
			n.names[part], n.synced[part] = next, next
		}
		n = next
	}
	return nil
}

// SyncDir makes the names in a directory durable.
func (d *Disk) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup(name)
	if err != nil {
		return err
	}
	if _, err := d.begin("syncdir", name); err != nil {
		return err
	}
	n.syncDir()
	return nil
}

// Lock takes a lock that ends with Close or Crash.
func (d *Disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locks[name] {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: fmt.Errorf("%w by pid %d", disk.ErrLocked, os.Getpid())}
	}
	d.locks[name] = true
	return unlock(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.locks, name)
	}), nil
}

type unlock func()

func (u unlock) Close() error { u(); return nil }

// file is an open node.
type file struct {
	d    *Disk
	n    *node
	name string
}

func (f *file) Close() error { return nil }

func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.n.data)), f.d.reading(f.name)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.reading(f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes as far as the room lasts. A write that is made to fail
// leaves half of it.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	apply, err := f.d.begin("write", f.name)
	if !apply {
		return 0, err
	}
	if err != nil && !isStop(err) {
		p = p[:partly(off, len(p), len(p)/2)]
	}
	if s := f.d.short; s != nil && err == nil {
		if len(p) > s.left {
			p, err = p[:partly(off, len(p), s.left)], &fs.PathError{Op: "write", Path: f.name, Err: s.err}
			s.left = len(p)
		}
		s.left -= len(p)
	}
	n := 0
	for n < len(p) {
		sector := (int(off) + n) / Sector
		if !f.n.written[sector] {
			if err := f.d.claim(f.name, 1); err != nil {
				return n, err
			}
			f.n.written[sector] = true
		}
		to := min((sector+1)*Sector-int(off), len(p))
		end := int(off) + to
		if end > len(f.n.data) {
			f.n.data = resize(f.n.data, end)
		}
		copy(f.n.data[int(off)+n:end], p[n:to])
		f.n.dirty[sector] = true
		n = to
	}
	return n, err
}

// partly is how much a write of n bytes leaves of which only so many can be written.
// A word of 8 aligned bytes lies in one page, in one sector: it is written or it is not.
func partly(off int64, n, written int) int {
	if n == 8 && off%8 == 0 && written < n {
		return 0
	}
	return written
}

func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	_, err := f.d.begin("sync", f.name)
	switch {
	case err == nil:
		f.n.sync()
	case !isStop(err):
		clear(f.n.dirty) // pages are clean now and will not be written again
	}
	return err
}

func (f *file) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.truncate(f.n, f.name, int(size))
}

func (d *Disk) truncate(n *node, name string, size int) error {
	apply, err := d.begin("truncate", name)
	if !apply || isMatch(err) {
		return err
	}
	n.data = resize(n.data, size)
	n.lowest = min(n.lowest, size)
	for s := range n.written {
		if s*Sector >= size {
			delete(n.written, s)
			delete(n.dirty, s)
			d.used--
		}
	}
	return err
}

func (f *file) Allocate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	apply, err := f.d.begin("allocate", f.name)
	if apply && !isMatch(err) && int(size) > len(f.n.data) {
		f.n.data = resize(f.n.data, int(size))
	}
	return err
}
