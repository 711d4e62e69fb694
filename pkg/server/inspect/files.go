package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// ErrNoFiles is wrapped when a directory holds nothing of what was asked for.
var ErrNoFiles = errors.New("nothing to look at")

// Zxid is a zxid or a session, written in hexadecimal with 0x.
type Zxid int64

// String writes the number as Apache's tools do.
func (z Zxid) String() string { return "0x" + strconv.FormatUint(uint64(z), 16) }

// MarshalText writes the number as String does.
func (z Zxid) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// ParseZxid reads a zxid or a session in hexadecimal with 0x, as it is printed,
// or in decimal.
func ParseZxid(text string) (Zxid, error) {
	if v, err := strconv.ParseUint(text, 0, 64); err == nil {
		return Zxid(v), nil
	}
	return 0, fmt.Errorf("%q is no number like 0x100000002", text)
}

// Files are what an argument list stands for, each kind from the lowest zxid in
// its name to the highest.
type Files struct {
	Snapshots []string
	Logs      []string
	// Dir tells that a directory was among the arguments, so that the files
	// are meant to be one history.
	Dir bool
}

// Find resolves arguments: a file is of the kind given, whatever its name; a
// directory (dataDir, dataLogDir, or their version-2) stands for all that is in
// it.
func Find(kind storage.Kind, args ...string) (Files, error) { return findOn(disk.OS{}, kind, args...) }

func findOn(fsys disk.FS, kind storage.Kind, args ...string) (Files, error) {
	var out Files
	var snaps, logs []found
	for _, arg := range args {
		st, err := fsys.Stat(arg)
		if err != nil {
			return Files{}, err
		}
		if !st.Dir {
			if kind == storage.KindSnapshot {
				snaps = append(snaps, nameOf(arg))
			} else {
				logs = append(logs, nameOf(arg))
			}
			continue
		}
		out.Dir = true
		s, l, err := inDir(fsys, arg)
		if err != nil {
			return Files{}, err
		}
		snaps, logs = append(snaps, s...), append(logs, l...)
	}
	out.Snapshots, out.Logs = paths(snaps), paths(logs)
	if out.Dir && kind == storage.KindLog && len(logs) == 0 {
		return Files{}, fmt.Errorf("%w: no transaction log (log.*) in %s", ErrNoFiles, strings.Join(args, " or "))
	}
	if out.Dir && kind == storage.KindSnapshot && len(snaps) == 0 {
		return Files{}, fmt.Errorf("%w: no snapshot (snapshot.*) in %s", ErrNoFiles, strings.Join(args, " or "))
	}
	return out, nil
}

// found is a file with the zxid in its name.
type found struct {
	path string
	zxid int64
}

func nameOf(path string) found {
	_, zxid := storage.ParseName(filepath.Base(path))
	return found{path, zxid}
}

func inDir(fsys disk.FS, arg string) (snaps, logs []found, err error) {
	dir, err := versionDir(fsys, arg)
	if err != nil {
		return nil, nil, err
	}
	s, l, err := storage.List(fsys, dir)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range s {
		snaps = append(snaps, found{filepath.Join(dir, f.Name), f.Zxid})
	}
	for _, f := range l {
		logs = append(logs, found{filepath.Join(dir, f.Name), f.Zxid})
	}
	return snaps, logs, nil
}

// VersionDir is the directory with the files of a data directory: its version-2,
// or itself when it is one.
func VersionDir(dir string) (string, error) { return versionDir(disk.OS{}, dir) }

func versionDir(fsys disk.FS, dir string) (string, error) {
	below := filepath.Join(dir, storage.VersionDir)
	st, err := fsys.Stat(below)
	switch {
	case err == nil && st.Dir:
		return below, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	return dir, nil
}

func paths(list []found) []string {
	slices.SortStableFunc(list, func(a, b found) int {
		switch {
		case a.zxid < b.zxid:
			return -1
		case a.zxid > b.zxid:
			return 1
		}
		return 0
	})
	var out []string
	for _, f := range list {
		if !slices.Contains(out, f.path) {
			out = append(out, f.path)
		}
	}
	return out
}
