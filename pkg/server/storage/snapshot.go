package storage

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// writeBack is after how many bytes of a snapshot a sync starts them on their
// way, so that no sync of the log has to wait for all of them.
const writeBack = 32 << 20

// WriteSnapshot writes a snapshot under its zxid. It is whole and durable when
// WriteSnapshot returns, and not there after an error or a crash before. A
// valid one of that name is left alone.
//
// With a digest, that of the tree at the same zxid, the file gets the digest
// and the last zxid behind its first seal, as 3.9 writes them: every release
// from 3.4 to 3.9 reads that as it is configured by default. Without (nil) it
// ends after the first seal, which also a 3.9 with digest.enabled=false reads.
//
// The tree must be of the present history; see Truncate. A snapshot that
// could not be written leaves the Store usable, and the log says all. Only when a
// sync failed, of the file or its directory, the Store has failed for good.
func (s *Store) WriteSnapshot(snap Snapshotter, digest *uint64) (SnapshotInfo, error) {
	if err := s.usable(); err != nil {
		return SnapshotInfo{}, err
	}
	generation := s.generation.Load()
	s.snapshots.Lock()
	defer s.snapshots.Unlock()
	if path, size, _ := s.wholeSnapshot(snap.Zxid()); path != "" { // one that is not whole is replaced
		info := SnapshotInfo{Path: path, Zxid: snap.Zxid(), Size: size}
		s.noteSnapshot(info)
		return info, s.syncSnapshots(path)
	}
	return s.putSnapshot(snap, digest, generation)
}

// wholeSnapshot finds a valid snapshot of that zxid, compressed or not; the path
// is "" when there is none. The error is why those that are there are of no use.
func (s *Store) wholeSnapshot(zxid int64) (path string, size int64, err error) {
	var bad []error
	for _, c := range []Compression{Plain, Gzip, Snappy} {
		path := filepath.Join(s.snapDir, SnapshotName(zxid)+c.suffix())
		st, err := s.fs.Stat(path)
		if notExist(err) {
			continue
		}
		if err == nil {
			err = verifySnapshot(s.fs, path)
		}
		if err == nil {
			return path, st.Size, nil
		}
		bad = append(bad, err)
	}
	return "", 0, errors.Join(bad...)
}

// putSnapshot writes a snapshot aside and puts it in its place, unless the
// history it belongs to is cut meanwhile. The caller holds s.snapshots.
func (s *Store) putSnapshot(snap Snapshotter, digest *uint64, generation uint64) (SnapshotInfo, error) {
	start := time.Now()
	name := SnapshotName(snap.Zxid()) + s.o.Compression.suffix()
	path, aside := filepath.Join(s.snapDir, name), filepath.Join(s.snapDir, partialPrefix+name)
	current := func() bool { return s.generation.Load() == generation }
	size, err := s.writeAside(aside, snap, digest, current)
	if err == nil && !current() {
		err = ErrSuperseded
	}
	if err == nil {
		err = s.fs.Rename(aside, path)
	}
	if err != nil {
		_ = s.fs.Remove(aside) // the error that counts is the first; Open removes it otherwise
		err = fmt.Errorf("write snapshot %s: %w", path, err)
		if errors.As(err, new(syncError)) {
			err = s.fail(err)
		}
		return SnapshotInfo{}, err
	}
	if err := s.syncSnapshots(path); err != nil {
		return SnapshotInfo{}, err
	}
	info := SnapshotInfo{Path: path, Zxid: snap.Zxid(), Size: size, Took: time.Since(start)}
	if digest != nil {
		info.HasDigest, info.DigestVersion, info.Digest, info.DigestZxid = true, txn.DigestVersion, *digest, snap.Zxid()
		info.HasLast, info.LastZxid = true, snap.Zxid()
	}
	s.noteSnapshot(info)
	return info, nil
}

// syncError is a sync that failed: what the disk holds is not known any more.
type syncError struct{ error }

func (e syncError) Unwrap() error { return e.error }

// syncSnapshots makes the name of a snapshot durable.
func (s *Store) syncSnapshots(path string) error {
	if err := s.fs.SyncDir(s.snapDir); err != nil {
		return s.fail(fmt.Errorf("write snapshot %s: %w", path, err))
	}
	return nil
}

func (s *Store) noteSnapshot(info SnapshotInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info.Zxid >= s.stats.LastSnapshot.Zxid {
		s.stats.LastSnapshot = info
	}
}

func (s *Store) writeAside(aside string, snap Snapshotter, digest *uint64, current func() bool) (int64, error) {
	return writeSnapshotFile(s.fs, aside, snap, digest, s.o.Compression, current)
}

// writeSnapshotFile writes a snapshot that is durable when it returns, and tells
// how long the file is.
func writeSnapshotFile(fsys disk.FS, path string, snap Snapshotter, digest *uint64, c Compression, current func() bool) (int64, error) {
	f, err := fsys.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, err
	}
	out := &fileWriter{f: f, current: current}
	packed := c.writer(out)
	err = writeSnapshot(&sumWriter{w: packed, sum: adler32.New()}, snap, digest)
	if err == nil {
		err = packed.Close()
	}
	if err == nil {
		err = out.sync()
	}
	return out.off, errors.Join(err, f.Close())
}

// fileWriter writes to a file from its start.
type fileWriter struct {
	f        disk.File
	current  func() bool // whether it is still worth writing
	off      int64
	unsynced int64
}

func (w *fileWriter) Write(p []byte) (int, error) {
	if !w.current() {
		return 0, ErrSuperseded
	}
	n, err := w.f.WriteAt(p, w.off)
	w.off += int64(n)
	w.unsynced += int64(n)
	if err == nil && w.unsynced >= writeBack {
		w.unsynced = 0
		err = w.sync()
	}
	return n, err
}

func (w *fileWriter) sync() error {
	if err := w.f.Sync(); err != nil {
		return syncError{err}
	}
	return nil
}

// sumWriter sums up what it hands on: the checksum is over what is not compressed.
type sumWriter struct {
	w   io.Writer
	sum hash.Hash32
}

func (w *sumWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	_, _ = w.sum.Write(p[:n]) // never fails
	return n, err
}

func writeSnapshot(w *sumWriter, snap Snapshotter, digest *uint64) error {
	h := binary.BigEndian.AppendUint32(nil, snapshotMagic)
	h = binary.BigEndian.AppendUint32(h, formatVersion)
	if _, err := w.Write(binary.BigEndian.AppendUint64(h, 1<<64-1)); err != nil { // dbid -1
		return err
	}
	b := bufio.NewWriterSize(w, readBuffer)
	if _, err := snap.WriteTo(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := w.seal(nil); err != nil || digest == nil {
		return err
	}
	last := binary.BigEndian.AppendUint64(nil, uint64(snap.Zxid()))
	d := binary.BigEndian.AppendUint32(last[:8:8], txn.DigestVersion)
	if err := w.seal(binary.BigEndian.AppendUint64(d, *digest)); err != nil {
		return err
	}
	return w.seal(last)
}

// seal writes a part and behind it the checksum of everything before.
func (w *sumWriter) seal(part []byte) error {
	if _, err := w.Write(part); err != nil {
		return err
	}
	s := binary.BigEndian.AppendUint64(nil, uint64(w.sum.Sum32()))
	_, err := w.Write(append(s, sealEnd[:]...))
	return err
}
