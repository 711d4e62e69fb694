package purge

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Kind tells a snapshot from a transaction log.
type Kind int

// The two kinds of files a purge knows.
const (
	Snapshot Kind = iota
	Log
)

// String names the kind.
func (k Kind) String() string { return [...]string{"snapshot", "log"}[k] }

// File is a snapshot or a log of a server.
type File struct {
	Path string
	Kind Kind
	// Zxid is the number in the name: the last transaction in the tree when the
	// snapshot began, or the first transaction of the log.
	Zxid uint64
	// Size is the length in bytes. Logs are allocated ahead, so it can be far more
	// than Disk.
	Size int64
	// Disk is how many bytes the file takes on disk, which is what removing it frees.
	Disk int64

	info fs.FileInfo
}

// Name is the last part of the path.
func (f File) Name() string { return filepath.Base(f.Path) }

// versionDir is the directory below dataDir and dataLogDir that holds the files.
const versionDir = "version-2"

// ParseName reads the name of a snapshot or log as servers write it, strictly: no
// leading zeros, no upper case, no other ending. Source: persistence/Util.java.
func ParseName(name string) (kind Kind, zxid uint64, ok bool) {
	prefix, digits, _ := strings.Cut(name, ".")
	switch prefix {
	case "log":
		kind = Log
	case "snapshot":
		kind = Snapshot
		if ext := filepath.Ext(digits); ext == ".gz" || ext == ".snappy" {
			digits = strings.TrimSuffix(digits, ext)
		}
	default:
		return 0, 0, false
	}
	zxid, err := strconv.ParseUint(digits, 16, 64)
	return kind, zxid, err == nil && strconv.FormatUint(zxid, 16) == digits
}

// scan lists the files in a directory, oldest first, and the paths of what it does
// not know or may not touch.
func scan(dir string) (files []File, others []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		kind, zxid, ok := ParseName(e.Name())
		if !ok || !e.Type().IsRegular() {
			others = append(others, path)
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // another purge was quicker
		}
		if err != nil {
			return nil, nil, err
		}
		files = append(files, File{Path: path, Kind: kind, Zxid: zxid, Size: info.Size(), Disk: onDisk(info), info: info})
	}
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Zxid, b.Zxid) })
	return files, others, nil
}

// split takes the files of one kind and the paths of the rest.
func split(files []File, kind Kind) (same []File, rest []string) {
	for _, f := range files {
		if f.Kind == kind {
			same = append(same, f)
		} else {
			rest = append(rest, f.Path)
		}
	}
	return same, rest
}

// onDisk is the room a file takes, which of a sparse file is less than its length.
func onDisk(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// quickTest tells why a snapshot cannot be whole; nil when it may be.
func quickTest(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return LooksWhole(filepath.Base(path), f, info.Size())
}

// LooksWhole tells why a snapshot of that name and content, of size bytes, cannot be
// whole; nil when it may be. It is the test Apache makes before it loads or purges
// (SnapStream.java, isValidSnapshot), and the magic number as well.
func LooksWhole(name string, content io.ReaderAt, size int64) error {
	switch filepath.Ext(name) {
	case ".gz":
		return startsWith(content, "\x1f\x8b")
	case ".snappy":
		return startsWith(content, "\x82SNAPPY\x00")
	}
	if err := startsWith(content, "ZKSN"); err != nil {
		return err
	}
	return endsWith(content, size, "\x00\x00\x00\x01/")
}

func startsWith(f io.ReaderAt, magic string) error {
	head := make([]byte, len(magic))
	if _, err := f.ReadAt(head, 0); err != nil || string(head) != magic {
		return fmt.Errorf("it does not start as a snapshot does")
	}
	return nil
}

func endsWith(f io.ReaderAt, size int64, seal string) error {
	tail := make([]byte, len(seal))
	if size < 10 {
		return fmt.Errorf("%d bytes are too few", size)
	}
	if _, err := f.ReadAt(tail, size-int64(len(seal))); err != nil || string(tail) != seal {
		return fmt.Errorf("it does not end with a seal: it is being written, or was cut off")
	}
	return nil
}
