package faultdisk

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// Effect is how much of what an operation does takes place although it fails.
type Effect int

// The effects. A sync that fails with EffectNone forgets what was to be written, as
// Linux does; with EffectHalf a later sync may still write it. Writes and
// allocations have halves; the other operations fail with EffectHalf as with
// EffectNone.
const (
	EffectNone Effect = iota
	EffectHalf
	EffectAll
)

// Fault is how operations fail.
type Fault struct {
	Err    error
	Effect Effect
	Stays  bool // all later operations of the kind fail too, without effect
}

// Nth is a Disk of which one operation fails. Unlike [Disk.FailAt] it counts all of
// them, those that only read included ("open", "read", "size", "readdir", "stat",
// "close", "lock"), so that a test can walk through everything that a program asks of
// its files. It is safe for concurrent use.
type Nth struct {
	d *Disk

	mu    sync.Mutex
	at    int
	fault Fault
	count int
	hit   string // kind of the operation that failed
	name  string // of its file
}

var _ disk.FS = (*Nth)(nil)

// FailNth makes operation n, counted from 0, fail.
func (d *Disk) FailNth(n int, f Fault) *Nth { return &Nth{d: d, at: n, fault: f} }

// Hit tells which kind of operation failed, on which file; false when none did.
func (w *Nth) Hit() (op, name string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hit, w.name, w.hit != ""
}

// forgetWrites makes the pages of a file clean without writing them.
func (d *Disk) forgetWrites(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, err := d.lookup(name); err == nil && !n.dir {
		clear(n.dirty)
	}
}

// begin counts an operation. When err is not nil it is what the operation must
// return, after as much as effect says.
func (w *Nth) begin(op, name string) (effect Effect, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.count
	w.count++
	fail := &fs.PathError{Op: op, Path: name, Err: w.fault.Err}
	switch {
	case n == w.at:
		w.hit, w.name = op, name
		return w.fault.Effect, fail
	case w.fault.Stays && w.hit == op:
		return EffectNone, fail
	}
	return EffectAll, nil
}

// do does an operation that has no halves.
func (w *Nth) do(op, name string, it func() error) error {
	effect, failure := w.begin(op, name)
	if failure != nil && effect != EffectAll {
		return failure
	}
	if err := it(); err != nil {
		return err
	}
	return failure
}

// OpenFile counts as "create" where it makes a file, and otherwise as "open".
func (w *Nth) OpenFile(name string, flag int, perm fs.FileMode) (f disk.File, err error) {
	op := "open"
	if flag&os.O_CREATE != 0 {
		if _, err := w.d.Stat(name); err != nil {
			op = "create"
		}
	}
	err = w.do(op, name, func() error {
		f, err = w.d.OpenFile(name, flag, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &nthFile{w: w, f: f, name: name}, nil
}

// Rename renames a file.
func (w *Nth) Rename(from, to string) error {
	return w.do("rename", to, func() error { return w.d.Rename(from, to) })
}

// Link gives a file a second name.
func (w *Nth) Link(from, to string) error {
	return w.do("link", to, func() error { return w.d.Link(from, to) })
}

// Remove removes a file.
func (w *Nth) Remove(name string) error {
	return w.do("remove", name, func() error { return w.d.Remove(name) })
}

// ReadDir lists a directory.
func (w *Nth) ReadDir(name string) (infos []disk.Info, err error) {
	err = w.do("readdir", name, func() error {
		infos, err = w.d.ReadDir(name)
		return err
	})
	return infos, err
}

// Stat describes a file.
func (w *Nth) Stat(name string) (info disk.Info, err error) {
	err = w.do("stat", name, func() error {
		info, err = w.d.Stat(name)
		return err
	})
	return info, err
}

// MkdirAll makes directories.
func (w *Nth) MkdirAll(name string, perm fs.FileMode) error {
	return w.do("mkdir", name, func() error { return w.d.MkdirAll(name, perm) })
}

// SyncDir makes the names in a directory durable.
func (w *Nth) SyncDir(name string) error {
	return w.do("syncdir", name, func() error { return w.d.SyncDir(name) })
}

// Lock takes a lock.
func (w *Nth) Lock(name string) (l io.Closer, err error) {
	err = w.do("lock", name, func() error {
		l, err = w.d.Lock(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

type nthFile struct {
	w    *Nth
	f    disk.File
	name string
}

func (f *nthFile) Size() (size int64, err error) {
	err = f.w.do("size", f.name, func() error {
		size, err = f.f.Size()
		return err
	})
	return size, err
}

func (f *nthFile) ReadAt(p []byte, off int64) (int, error) {
	if _, err := f.w.begin("read", f.name); err != nil {
		return 0, err
	}
	return f.f.ReadAt(p, off)
}

func (f *nthFile) WriteAt(p []byte, off int64) (int, error) {
	effect, failure := f.w.begin("write", f.name)
	switch {
	case failure != nil && effect == EffectNone:
		return 0, failure
	case failure != nil && effect == EffectHalf:
		p = p[:len(p)/2]
	}
	n, err := f.f.WriteAt(p, off)
	if err != nil {
		return n, err
	}
	return n, failure
}

func (f *nthFile) Sync() error {
	effect, failure := f.w.begin("sync", f.name)
	switch {
	case failure != nil && effect == EffectNone:
		f.w.d.forgetWrites(f.name)
		return failure
	case failure != nil && effect == EffectHalf:
		return failure
	}
	if err := f.f.Sync(); err != nil {
		return err
	}
	return failure
}

func (f *nthFile) Truncate(size int64) error {
	return f.w.do("truncate", f.name, func() error { return f.f.Truncate(size) })
}

func (f *nthFile) Allocate(size int64) error {
	effect, failure := f.w.begin("allocate", f.name)
	if failure != nil && effect == EffectNone {
		return failure
	}
	if failure != nil && effect == EffectHalf {
		have, err := f.f.Size()
		if err != nil {
			return err
		}
		size = (have + size) / 2
	}
	if err := f.f.Allocate(size); err != nil {
		return err
	}
	return failure
}

// Close closes the file in any case.
func (f *nthFile) Close() error {
	_, failure := f.w.begin("close", f.name)
	if err := f.f.Close(); err != nil {
		return err
	}
	return failure
}

// String tells what failed, for a test's messages.
func (w *Nth) String() string {
	op, name, ok := w.Hit()
	if !ok {
		return fmt.Sprintf("no fault in %d operations", w.count)
	}
	return fmt.Sprintf("fault in %s of %s", op, path.Base(name))
}
