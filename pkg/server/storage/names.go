package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// VersionDir is the directory below dataDir and dataLogDir that holds the
// files of format version 2, the only one there is.
const VersionDir = "version-2"

const (
	snapshotPrefix = "snapshot."
	logPrefix      = "log."
	partialPrefix  = "partial." // of a snapshot that is being written
	lockName       = "zkctl.lock"
	intentName     = "zkctl.intent"
)

// Kind is what a file in a version-2 directory is, by its name.
type Kind int

// The kinds of files. Others are not this package's.
const (
	KindOther Kind = iota
	KindSnapshot
	KindLog
)

// SnapshotName is the name of the snapshot of the tree as it was after zxid.
func SnapshotName(zxid int64) string { return snapshotPrefix + hex(zxid) }

// LogName is the name of the log file whose first transaction is zxid.
func LogName(zxid int64) string { return logPrefix + hex(zxid) }

func hex(zxid int64) string { return strconv.FormatUint(uint64(zxid), 16) }

// ParseName tells what a file is by its name, without a directory, and which
// zxid the name holds. Snapshots may be compressed and end in ".gz" or
// ".snappy"; whatever else does not look exactly like a name that ZooKeeper
// gives is KindOther.
func ParseName(name string) (Kind, int64) {
	if rest, ok := strings.CutPrefix(name, logPrefix); ok {
		if zxid, ok := parseHex(rest); ok {
			return KindLog, zxid
		}
	}
	if rest, ok := strings.CutPrefix(name, snapshotPrefix); ok {
		rest = strings.TrimSuffix(strings.TrimSuffix(rest, gzSuffix), snappySuffix)
		if zxid, ok := parseHex(rest); ok {
			return KindSnapshot, zxid
		}
	}
	return KindOther, 0
}

func parseHex(s string) (int64, bool) {
	if s == "" || strings.ToLower(s) != s || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	v, err := strconv.ParseUint(s, 16, 64)
	return int64(v), err == nil
}

// NamedFile is a snapshot or a log file in a directory.
type NamedFile struct {
	Name string // without the directory
	Zxid int64  // that the name holds
	Size int64  // bytes
}

// List returns the snapshots and the log files of one directory, each from
// the lowest zxid to the highest. Other files are left out.
func List(fsys disk.FS, dir string) (snapshots, logs []NamedFile, err error) {
	infos, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, in := range infos {
		if in.Dir {
			continue
		}
		kind, zxid := ParseName(in.Name)
		switch f := (NamedFile{in.Name, zxid, in.Size}); kind {
		case KindSnapshot:
			snapshots = append(snapshots, f)
		case KindLog:
			logs = append(logs, f)
		}
	}
	slices.SortStableFunc(snapshots, byZxid)
	slices.SortStableFunc(logs, byZxid)
	return snapshots, logs, nil
}

func byZxid(a, b NamedFile) int {
	switch {
	case a.Zxid < b.Zxid:
		return -1
	case a.Zxid > b.Zxid:
		return 1
	}
	return strings.Compare(a.Name, b.Name)
}

// epochOf is the epoch of a zxid: its high 32 bits.
func epochOf(zxid int64) int64 { return zxid >> 32 }

// follows tells whether next may come directly after last in a history: the
// next counter of the same epoch, or the first of a later one.
func follows(last, next int64) bool {
	return next == last+1 || epochOf(next) > epochOf(last) && next&0xffffffff == 1
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
