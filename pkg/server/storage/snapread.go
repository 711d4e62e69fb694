package storage

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

const (
	snapshotMagic      = 0x5A4B534E // "ZKSN"
	snapshotHeaderSize = 16
	gzSuffix           = ".gz"
	snappySuffix       = ".snappy"

	sealSize   = 13 // Adler-32 (8), ustring "/" (5)
	digestSize = 20 // zxid, version, digest
	lastSize   = 8  // zxid
	// trailerMax is the longest end of a file behind its first seal.
	trailerMax = digestSize + sealSize + lastSize + sealSize
)

// sealEnd ends every seal, and so every whole snapshot.
var sealEnd = [5]byte{0, 0, 0, 1, '/'} //nolint:gochecknoglobals // a constant

// SnapshotInfo describes a snapshot file.
type SnapshotInfo struct {
	Path string
	Zxid int64 // in its name
	Size int64 // of the file, in bytes
	// HasDigest tells whether the file says which digest the tree had after
	// DigestZxid. Digest counts only for DigestVersion 2.
	HasDigest     bool
	DigestZxid    int64
	DigestVersion int32
	Digest        uint64
	// HasLast tells whether the file holds its last zxid, as 3.9 writes it.
	HasLast  bool
	LastZxid int64
	Took     time.Duration // to write or to read it
}

// Snapshotter is a tree at one zxid that can be written; package tree's
// Snapshot is one.
type Snapshotter interface {
	Zxid() int64
	WriteTo(w io.Writer) (int64, error)
}

// ValidSnapshot is the quick test by which Apache chooses snapshots: it looks
// at the file's length and its last bytes, for compressed files at the first
// (SnapStream.java). An error is that of the disk.
func ValidSnapshot(path string) (bool, error) { return validSnapshot(disk.OS{}, path) }

func validSnapshot(fsys disk.FS, path string) (bool, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return false, fmt.Errorf("check snapshot: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return false, fmt.Errorf("check snapshot: %w", err)
	}
	want, at := sealEnd[:], size-int64(len(sealEnd))
	switch filepath.Ext(path) {
	case gzSuffix:
		want, at = []byte{0x1f, 0x8b}, 0
	case snappySuffix:
		want, at = snappyMagic[:], 0
	default:
		if size < snapshotHeaderSize+sealSize {
			return false, nil
		}
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, at); err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, fmt.Errorf("check snapshot %s: %w", path, err)
	}
	return bytes.Equal(got, want), nil
}

// VerifySnapshot reads a whole snapshot file and checks its checksum, without
// building the tree. The error wraps [ErrCorrupt] when the file is no whole
// snapshot.
func VerifySnapshot(path string) error { return verifySnapshot(disk.OS{}, path) }

// VerifySnapshotOn does so on another file system.
func VerifySnapshotOn(fsys disk.FS, path string) error { return verifySnapshot(fsys, path) }

func verifySnapshot(fsys disk.FS, path string) error {
	return eachByte(fsys, path, func(r *bufio.Reader) error { return checkSeal(r, path) })
}

// eachByte opens a snapshot and hands over its contents, unpacked.
func eachByte(fsys disk.FS, path string, read func(*bufio.Reader) error) error {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	r, err := unpack(bufio.NewReaderSize(io.NewSectionReader(f, 0, size), bufferFor(size)), path)
	if err != nil {
		return err
	}
	return read(r)
}

func unpack(r *bufio.Reader, path string) (*bufio.Reader, error) {
	switch {
	case strings.HasSuffix(path, gzSuffix):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, notSnapshot(path, err)
		}
		return bufio.NewReaderSize(z, readBuffer), nil
	case strings.HasSuffix(path, snappySuffix):
		return bufio.NewReaderSize(newSnappyReader(r), readBuffer), nil
	}
	return r, nil
}

// notSnapshot calls what was wrong inside a file damage, but not a failure of
// the disk under it.
func notSnapshot(path string, err error) error {
	return fmt.Errorf("snapshot %s: %w: %w", path, ErrCorrupt, err)
}

// checkSeal reads to the end and compares the last seal, which covers
// everything before it.
func checkSeal(r *bufio.Reader, path string) error {
	sum := adler32.New()
	for {
		b, err := r.Peek(r.Size())
		if err == nil {
			b = b[:len(b)-sealSize] // the end of it may be the seal
		} else if !errors.Is(err, io.EOF) {
			return notSnapshot(path, err)
		}
		if err != nil {
			n := max(len(b)-sealSize, 0)
			_, _ = sum.Write(b[:n]) // never fails
			return sealed(b[n:], uint64(sum.Sum32()), path)
		}
		_, _ = sum.Write(b)
		_, _ = r.Discard(len(b)) // they are in the buffer
	}
}

func sealed(b []byte, sum uint64, path string) error {
	switch {
	case len(b) < sealSize || !bytes.Equal(b[8:], sealEnd[:]):
		return notSnapshot(path, errors.New("it does not end with a seal: it was not written to its end"))
	case binary.BigEndian.Uint64(b) != sum:
		return notSnapshot(path, fmt.Errorf("its checksum is 0x%x, that of its contents 0x%x", binary.BigEndian.Uint64(b), sum))
	}
	return nil
}

// ReadSnapshotFile checks a snapshot file of the operating system as
// [VerifySnapshot] does and builds its tree, which stands for the zxid in the
// file's name.
func ReadSnapshotFile(path string, o tree.Options) (*tree.Tree, SnapshotInfo, error) {
	return readSnapshot(disk.OS{}, path, o)
}

func readSnapshot(fsys disk.FS, path string, o tree.Options) (*tree.Tree, SnapshotInfo, error) {
	start := time.Now()
	kind, zxid := ParseName(filepath.Base(path))
	if kind != KindSnapshot {
		return nil, SnapshotInfo{}, notSnapshot(path, errors.New("its name is not that of a snapshot"))
	}
	st, err := fsys.Stat(path)
	if err != nil {
		return nil, SnapshotInfo{}, fmt.Errorf("read snapshot: %w", err)
	}
	if err := verifySnapshot(fsys, path); err != nil {
		return nil, SnapshotInfo{}, err
	}
	info := SnapshotInfo{Path: path, Zxid: zxid, Size: st.Size}
	var t *tree.Tree
	err = eachByte(fsys, path, func(r *bufio.Reader) error {
		var err error
		t, err = parseSnapshot(r, o, &info)
		if err != nil {
			return notSnapshot(path, err)
		}
		return nil
	})
	if err != nil {
		return nil, SnapshotInfo{}, err
	}
	t.SetLastZxid(zxid)
	info.Took = time.Since(start)
	return t, info, nil
}

// parseSnapshot reads what verifySnapshot found to be whole.
func parseSnapshot(r *bufio.Reader, o tree.Options, info *SnapshotInfo) (*tree.Tree, error) {
	var h [snapshotHeaderSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if m := binary.BigEndian.Uint32(h[:]); m != snapshotMagic {
		return nil, fmt.Errorf("it starts with 0x%x, not with ZKSN", m)
	}
	t, err := tree.Read(r, o)
	if err != nil {
		return nil, err
	}
	end, err := io.ReadAll(io.LimitReader(r, sealSize+trailerMax+1))
	if err != nil {
		return nil, fmt.Errorf("end: %w", err)
	}
	return t, info.parseEnd(end)
}

// parseEnd reads the parts behind the first seal, which their lengths tell
// apart.
func (in *SnapshotInfo) parseEnd(b []byte) error {
	if len(b) < sealSize {
		return errors.New("no seal after the znodes")
	}
	b = b[sealSize:]
	if len(b) >= digestSize+sealSize {
		in.HasDigest = true
		in.DigestZxid = int64(binary.BigEndian.Uint64(b))
		in.DigestVersion = int32(binary.BigEndian.Uint32(b[8:]))
		in.Digest = binary.BigEndian.Uint64(b[12:])
		b = b[digestSize+sealSize:]
	}
	if len(b) == lastSize+sealSize {
		in.HasLast, in.LastZxid = true, int64(binary.BigEndian.Uint64(b))
		b = nil
	}
	if len(b) != 0 {
		return fmt.Errorf("%d bytes behind the znodes that no known release writes", len(b))
	}
	return nil
}
