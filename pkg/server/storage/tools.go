package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// LockName is the file in a data directory that a running server of this
// package keeps locked.
const LockName = lockName

// IntentName is the file in a version-2 directory that stands there while a
// truncation or an install is under way.
const IntentName = intentName

// Follows tells whether next may come directly after last in a history: the
// next counter of the same epoch, or the first of a later one.
func Follows(last, next int64) bool { return follows(last, next) }

// Torn looks at damage that Next found, in the newest log file of a
// directory. It returns why it cannot be a torn tail, or "" when it is one,
// which [Store.Recover] cuts.
func (l *LogReader) Torn(d *DamageError) (why string, err error) { return tornOrLost(l, d) }

// CopyLog writes the records of log file src up to and with zxid to a new file
// dst, and makes them durable. It returns the length of dst; 0 and no file when
// src has no such record. Damage behind zxid is not looked at; what stands
// before it is an error that wraps [ErrCorrupt].
func CopyLog(fsys disk.FS, src, dst string, zxid int64) (size int64, err error) {
	l, err := openLog(fsys, src)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	end := int64(0)
	for l.last < zxid {
		at, err := l.skip()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		if at <= zxid {
			end = l.off
		}
	}
	if end == 0 {
		return 0, nil
	}
	f, err := fsys.OpenFile(dst, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, fmt.Errorf("copy log: %w", err)
	}
	err = errors.Join(l.copyTo(f, end), f.Close())
	if err != nil {
		return 0, fmt.Errorf("copy log %s to %s: %w", src, dst, err)
	}
	return end, nil
}

// copyTo writes the file's first end bytes, with a mark that fits them.
func (l *LogReader) copyTo(f disk.File, end int64) error {
	if _, err := io.Copy(io.NewOffsetWriter(f, 0), io.NewSectionReader(l.file, 0, end)); err != nil {
		return err
	}
	if l.mark.valid() {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], mark{from: end}.encode())
		if _, err := f.WriteAt(b[:], markAt); err != nil {
			return err
		}
	}
	return f.Sync()
}

// WriteSnapshotFile writes a snapshot to a file that no Store owns, as
// [Store.WriteSnapshot] does: aside first, so that the path holds all of it or what
// was there before. The name should be that of SnapshotFileName.
func WriteSnapshotFile(path string, snap Snapshotter, digest *uint64, c Compression) (size int64, err error) {
	fsys := disk.OS{}
	aside := filepath.Join(filepath.Dir(path), partialPrefix+filepath.Base(path))
	size, err = writeSnapshotFile(fsys, aside, snap, digest, c, func() bool { return true })
	if err == nil {
		err = fsys.Rename(aside, path)
	}
	if err != nil {
		_ = fsys.Remove(aside) // the error that counts is the first
		return 0, fmt.Errorf("write snapshot %s: %w", path, err)
	}
	return size, fsys.SyncDir(filepath.Dir(path))
}

// SnapshotFileName is the name of a snapshot with that compression.
func SnapshotFileName(zxid int64, c Compression) string { return SnapshotName(zxid) + c.suffix() }
