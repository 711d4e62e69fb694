package inspect

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// releases of Apache that wrote ../storage/testdata.
func releases() []string {
	return []string{"apache-3.4", "apache-3.8", "apache-3.8gz", "apache-3.9", "apache-3.9snappy"}
}

// copied is a data directory with the files of a release, to be changed.
func copied(t *testing.T, release string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../storage/testdata", release))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func find(t *testing.T, kind storage.Kind, args ...string) Files {
	t.Helper()
	files, err := Find(kind, args...)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s (go test -update rewrites it):\n%s", path, got)
	}
}

func TestDumpOfJavaLogs(t *testing.T) {
	for _, release := range releases() {
		t.Run(release, func(t *testing.T) {
			files := find(t, storage.KindLog, filepath.Join("../storage/testdata", release))
			var b strings.Builder
			findings, err := Dump(t.Context(), files.Logs, DumpOptions{Data: true}, func(e *Entry) error {
				fmt.Fprintf(&b, "%s+%d %v\n", filepath.Base(e.File), e.Offset, e)
				return nil
			})
			if err != nil || len(findings) > 0 {
				t.Fatal(findings, err)
			}
			golden(t, release+"-log", b.String())
		})
	}
}

func TestFilter(t *testing.T) {
	session := Zxid(7)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := Entry{Zxid: 0x100000002, Time: at, Session: 7, Op: Op{Type: "multi", Parts: []Op{{Type: "create", Path: "/a/b/c"}, {Type: "check", Path: "/x"}}}}
	for _, c := range []struct {
		name string
		f    Filter
		want bool
	}{
		{"all", Filter{}, true},
		{"from", Filter{From: 0x100000002}, true},
		{"from later", Filter{From: 0x100000003}, false},
		{"to", Filter{To: 0x100000002}, true},
		{"to earlier", Filter{To: 0x100000001}, false},
		{"after", Filter{After: at}, true},
		{"after later", Filter{After: at.Add(1)}, false},
		{"before", Filter{Before: at}, false},
		{"session", Filter{Session: &session}, true},
		{"no session", Filter{Session: new(Zxid)}, false},
		{"type", Filter{Types: []string{"delete", "MULTI"}}, true},
		{"type of a part", Filter{Types: []string{"check"}}, true},
		{"no type", Filter{Types: []string{"delete"}}, false},
		{"path", Filter{Paths: []string{"/a/b/c"}}, true},
		{"above", Filter{Paths: []string{"/a"}}, true},
		{"root", Filter{Paths: []string{"/"}}, true},
		{"slash at the end", Filter{Paths: []string{"/a/"}}, true},
		{"half a name", Filter{Paths: []string{"/a/b/"}}, true},
		{"other name", Filter{Paths: []string{"/a/bb"}}, false},
		{"below", Filter{Paths: []string{"/a/b/c/d"}}, false},
		{"pattern", Filter{Paths: []string{"/*/b"}}, true},
		{"pattern of one name", Filter{Paths: []string{"/*/c"}}, false},
	} {
		if got := c.f.Match(&e); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if (&Filter{Paths: []string{"/a["}}).Check() == nil {
		t.Error("a malformed pattern is accepted")
	}
}

func TestPrefix(t *testing.T) {
	for _, c := range []struct {
		path  string
		depth int
		want  string
	}{{"/a/b/c", 0, "/a/b/c"}, {"/a/b/c", 1, "/a"}, {"/a/b/c", 2, "/a/b"}, {"/a/b/c", 3, "/a/b/c"}, {"/a", 5, "/a"}, {"/", 2, "/"}} {
		if got := Prefix(c.path, c.depth); got != c.want {
			t.Errorf("%s to %d: %s", c.path, c.depth, got)
		}
	}
}

// wantFindings compares grades and a part of what was found.
func wantFindings(t *testing.T, got []Finding, want ...string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		grade, what, _ := strings.Cut(want[i], " ")
		ok = string(got[i].Grade) == grade && strings.Contains(got[i].What, what)
	}
	if !ok {
		t.Errorf("found %+v, want %q", got, want)
	}
}

func TestVerifyJavaLogs(t *testing.T) {
	for _, release := range releases() {
		r, err := VerifyLogs(t.Context(), find(t, storage.KindLog, filepath.Join("../storage/testdata", release)), VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wantFindings(t, r.Findings)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	log := func(dir, name string) string { return filepath.Join(dir, "version-2", name) }
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   []string
		worst  Grade
	}{
		{"a bit in an old file", func(t *testing.T, dir string) { flip(t, log(dir, "log.1"), 60) },
			[]string{"damage a record's checksum does not match; newer log files follow"}, Damage},
		{"a bit before valid records of the newest", func(t *testing.T, dir string) { flip(t, log(dir, "log.c"), 60) },
			[]string{"damage a record's checksum does not match; this is no torn end, since a valid record"}, Damage},
		{"the last record torn", func(t *testing.T, dir string) { truncate(t, log(dir, "log.c"), 410) },
			[]string{"torn the file ends inside a record"}, Torn},
		{"a file is missing", func(t *testing.T, dir string) { remove(t, log(dir, "log.6")); remove(t, log(dir, "snapshot.a")) },
			[]string{"damage transactions are missing between 0x5 and 0xc"}, Damage},
		{"a file is missing, which a snapshot bridges", func(t *testing.T, dir string) {
			snapshotAt(t, dir, 0xb)
			remove(t, log(dir, "log.1"))
			remove(t, log(dir, "log.6"))
		}, nil, ""},
		{"a gap that a snapshot bridges", func(t *testing.T, dir string) {
			snapshotAt(t, dir, 0xb)
			remove(t, log(dir, "log.6"))
		}, []string{"note zxids go on with 0xc after 0x5; a snapshot holds"}, Note},
		{"a file was copied to another name", func(t *testing.T, dir string) { rename(t, log(dir, "log.1"), log(dir, "log.2")) },
			[]string{"note the file is named after 0x2"}, Note},
		{"not a log", func(t *testing.T, dir string) { flip(t, log(dir, "log.c"), 0) },
			[]string{"damage the file's header"}, Damage},
		{"an empty file", func(t *testing.T, dir string) { truncate(t, log(dir, "log.c"), 0) },
			[]string{"note the file is empty"}, Note},
		{"a snapshot that is not of that zxid", func(t *testing.T, dir string) {
			remove(t, log(dir, "log.6"))
			remove(t, log(dir, "log.1"))
			rename(t, log(dir, "snapshot.a"), log(dir, "snapshot.b"))
		}, []string{"damage after 0xd the tree replayed on"}, Damage},
		{"going back", func(t *testing.T, dir string) { rename(t, log(dir, "log.6"), log(dir, "log.d")) },
			[]string{"damage transactions are missing", "note the file is named", "damage zxids go back from 0x10 to 0x6"}, Damage},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copied(t, "apache-3.9")
			c.damage(t, dir)
			files, err := Find(storage.KindLog, dir)
			if err != nil {
				t.Fatal(err)
			}
			r, err := VerifyLogs(t.Context(), files, VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			wantFindings(t, r.Findings, c.want...)
			if r.Worst() != c.worst {
				t.Errorf("worst is %q, want %q", r.Worst(), c.worst)
			}
			for _, f := range r.Findings {
				if f.Grade != Note && f.Do == "" {
					t.Errorf("no advice for %v", f)
				}
			}
		})
	}
}

// snapshotAt makes a snapshot of a directory's state at a zxid in it.
func snapshotAt(t *testing.T, dir string, zxid Zxid) {
	t.Helper()
	if _, err := Create(t.Context(), CreateOptions{Files: find(t, storage.KindOther, dir), Zxid: &zxid, Dir: filepath.Join(dir, "version-2")}); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		b[at] ^= 4
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestStats(t *testing.T) {
	s, err := Stats(t.Context(), find(t, storage.KindLog, "../storage/testdata/apache-3.9").Logs, Filter{}, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if s.Txns != 16 || s.First != 1 || s.Last != 16 || s.Failed != 1 || s.Rate < 111 || s.Peak != 16 {
		t.Errorf("%+v", s)
	}
	if len(s.Paths) != 1 || s.Paths[0].Name != "/sample" || s.Paths[0].Txns != 13 {
		t.Errorf("paths %+v", s.Paths)
	}
	if len(s.Clients) != 2 || s.Clients[0].Txns != 13 || s.Types[0].Name != "create" {
		t.Errorf("sessions %+v, types %+v", s.Clients, s.Types)
	}
}

// lastOf is where a server comes to with a directory.
func lastOf(t *testing.T, dir string) int64 {
	t.Helper()
	s, err := storage.Open(storage.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Recover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r.LastZxid
}

func TestCut(t *testing.T) {
	for zxid := Zxid(1); zxid <= 16; zxid++ {
		dir := copied(t, "apache-3.9")
		r, err := Cut(t.Context(), CutOptions{Zxid: zxid, Dirs: []string{dir}, Now: time.Now()})
		if err != nil {
			t.Fatal(zxid, err)
		}
		if got := lastOf(t, dir); got != int64(zxid) || r.Lost != 16-int64(zxid) {
			t.Errorf("cut behind %v: the server comes to 0x%x, %d lost", zxid, got, r.Lost)
		}
	}
}

func TestCutIsUndone(t *testing.T) {
	dir := copied(t, "apache-3.8gz")
	r, err := Cut(t.Context(), CutOptions{Zxid: 9, Dirs: []string{dir}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range r.Aside {
		rename(t, path, filepath.Join(dir, "version-2", filepath.Base(path)))
	}
	if got := lastOf(t, dir); got != 16 {
		t.Errorf("0x%x after undoing the cut", got)
	}
}

func TestCutOfDamagedEnd(t *testing.T) {
	dir := copied(t, "apache-3.9")
	path := filepath.Join(dir, "version-2", "log.c")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := 16 + 13 + int64(binary.BigEndian.Uint32(b[16+8:])) // 0xd
	flip(t, path, second+20)
	if _, err := Cut(t.Context(), CutOptions{Zxid: 0xd, Dirs: []string{dir}, Now: time.Now()}); err == nil || !strings.Contains(err.Error(), "lead to 0xc only") {
		t.Errorf("cut behind the damage: %v", err)
	}
	if _, err := Cut(t.Context(), CutOptions{Zxid: 0xc, Dirs: []string{dir}, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if got := lastOf(t, dir); got != 0xc {
		t.Errorf("0x%x", got)
	}
}

func TestCutRefuses(t *testing.T) {
	dir := copied(t, "apache-3.9")
	lock, err := disk.OS{}.Lock(filepath.Join(dir, storage.LockName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Cut(t.Context(), CutOptions{Zxid: 3, Dirs: []string{dir}, Now: time.Now()}); !errors.Is(err, ErrInUse) {
		t.Errorf("while a server runs: %v", err)
	}
	lock.Close()
	if _, err := Cut(t.Context(), CutOptions{Zxid: 0x20, Dirs: []string{dir}, Now: time.Now()}); err == nil {
		t.Error("cut behind a zxid that was never reached")
	}
	if _, err := Cut(t.Context(), CutOptions{Zxid: 3, Dirs: []string{filepath.Join(dir, "..")}, Now: time.Now()}); err == nil {
		t.Error("cut what is no data directory")
	}
	r, err := Cut(t.Context(), CutOptions{Zxid: 3, Dirs: []string{dir}, DryRun: true, Now: time.Now()})
	if err != nil || r.Lost != 13 || lastOf(t, dir) != 16 {
		t.Errorf("dry run: %+v, %v", r, err)
	}
}
