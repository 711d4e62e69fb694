// Package disk is the file system as package storage needs it: few
// operations, each of which a test can make fail, and each with its rule of
// durability said:
//
//   - bytes written are durable after [File.Sync];
//   - a name made, renamed or removed is durable after [FS.SyncDir] of the
//     directory that holds it;
//   - before that, a crash may keep any part of them.
//
// [OS] is the real one; package faultdisk is one that a test can crash.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrLocked is wrapped by the error of [FS.Lock] when another process, or
// another opener in this one, holds the lock.
var ErrLocked = errors.New("locked")

// Info describes one file or directory.
type Info struct {
	Name    string // without its directory
	Size    int64  // bytes
	Dir     bool
	ModTime time.Time
}

// File is an open file. Its methods may be used from several goroutines.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the file's length in bytes.
	Size() (int64, error)
	// Sync makes the contents and the length durable. After an error nothing
	// is known about what is on the disk, and a second Sync proves nothing.
	Sync() error
	// Truncate sets the length.
	Truncate(size int64) error
	// Allocate extends the file to size with zeros, reserving the space where
	// the file system can. It never shortens the file.
	Allocate(size int64) error
}

// FS is a file system. Errors satisfy errors.Is with the values of io/fs,
// such as fs.ErrNotExist. It is safe for concurrent use.
type FS interface {
	// OpenFile is as os.OpenFile; perm is for a file that it makes.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename puts a file in the place of another, which may exist, maybe in
	// another directory; it is durable when either directory is synced.
	Rename(from, to string) error
	// Link gives a file a second name, which must not exist.
	Link(name, second string) error
	// Remove removes a file.
	Remove(name string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]Info, error)
	// Stat describes a file or directory.
	Stat(name string) (Info, error)
	// MkdirAll makes a directory with its parents and makes the new names
	// durable.
	MkdirAll(name string, perm fs.FileMode) error
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on the named file, which it makes and
	// never removes, without waiting. The lock ends with Close or with the
	// process. An error that wraps ErrLocked names the holder's pid.
	Lock(name string) (io.Closer, error)
}

// ReadFile reads a small file whole; one longer than limit bytes is an error.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("file is too long")}
	}
	return b, nil
}

// WriteAtomic replaces a file with content, so that after a crash the old or
// the new contents are there, and when it returns without error the new. It
// writes name+".tmp" first, as AtomicFileOutputStream.java does.
func WriteAtomic(fsys FS, name string, content []byte, perm fs.FileMode) error {
	tmp := name + ".tmp"
	if err := writeSynced(fsys, tmp, content, perm); err != nil {
		_ = fsys.Remove(tmp) // the error that counts is the first
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeSynced(fsys FS, name string, content []byte, perm fs.FileMode) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
