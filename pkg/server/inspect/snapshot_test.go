package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage"
)

func TestDumpOfJavaSnapshots(t *testing.T) {
	for _, release := range releases() {
		t.Run(release, func(t *testing.T) {
			files := find(t, storage.KindSnapshot, filepath.Join("../storage/testdata", release))
			var b strings.Builder
			for _, path := range files.Snapshots {
				fmt.Fprintln(&b, filepath.Base(path))
				sessions, err := DumpSnapshot(t.Context(), path, DumpOptions{Data: true}, func(z *Znode) error {
					_, err := fmt.Fprintln(&b, z, z.ACL)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(&b, sessions)
			}
			golden(t, release+"-snapshots", b.String())
		})
	}
}

func TestVerifySnapshots(t *testing.T) {
	for _, release := range releases() {
		dir := copied(t, release)
		files := find(t, storage.KindSnapshot, dir).Snapshots
		r, err := VerifySnapshots(t.Context(), files)
		if err != nil || len(r.Files) != len(files) {
			t.Fatal(r, err)
		}
		wantFindings(t, r.Findings)
		flip(t, files[1], 100)
		if r, err = VerifySnapshots(t.Context(), files); err != nil || len(r.Files) != len(files)-1 || r.Worst() != Damage {
			t.Errorf("%s with a bit flipped: %+v, %v", release, r, err)
		}
	}
}

func TestDiff(t *testing.T) {
	dir := filepath.Join("../storage/testdata/apache-3.9/version-2")
	d, err := Diff(t.Context(), filepath.Join(dir, "snapshot.4"), filepath.Join(dir, "snapshot.a"), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range d.Changes {
		got = append(got, fmt.Sprint(c.Change, " ", c.Path, " ", strings.Join(c.Fields, ",")))
	}
	want := "changed /sample cversion,pzxid|changed /sample/a data,version,mzxid,mtime|added /sample/acl |added /sample/e |added /sample/m1 |added /sample/seq0000000002 "
	if strings.Join(got, "|") != want || d.Added != 4 || d.Removed != 0 || d.Changed != 2 {
		t.Errorf("%q: %+v", got, d)
	}
	back, err := Diff(t.Context(), filepath.Join(dir, "snapshot.a"), filepath.Join(dir, "snapshot.4"), Filter{Paths: []string{"/sample/a*"}})
	if err != nil || back.Removed != 1 || back.Changed != 1 {
		t.Errorf("%+v, %v", back, err)
	}
	same, err := Diff(t.Context(), filepath.Join(dir, "snapshot.a"), filepath.Join(dir, "snapshot.a"), Filter{})
	if err != nil || len(same.Changes)+len(same.SessionsAdded)+len(same.SessionsRemoved) != 0 {
		t.Errorf("%+v, %v", same, err)
	}
}

func TestStatSnapshot(t *testing.T) {
	s, err := StatSnapshot(t.Context(), "../storage/testdata/apache-3.9/version-2/snapshot.a", 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if s.Znodes != 11 || s.Ephemerals != 1 || s.Sessions != 1 || len(s.Biggest) != 2 || s.Biggest[0].Path != "/sample/a" || s.Widest[0].Path != "/sample" || s.Subtrees[0].Znodes != 7 {
		t.Errorf("%+v", s)
	}
}

// TestCreate makes a snapshot at every zxid and reads back what a server that
// stopped there would have had.
func TestCreate(t *testing.T) {
	for _, release := range releases() {
		files := find(t, storage.KindOther, filepath.Join("../storage/testdata", release))
		for zxid := Zxid(1); zxid <= 16; zxid++ {
			c := []storage.Compression{storage.Plain, storage.Gzip, storage.Snappy}[zxid%3]
			dir := t.TempDir()
			made, err := Create(t.Context(), CreateOptions{Files: files, Zxid: &zxid, Dir: dir, Compression: c})
			if err != nil {
				t.Fatal(err)
			}
			if made.Mismatches != 0 {
				t.Errorf("%s at %v: %d digests differ", release, zxid, made.Mismatches)
			}
			if r, err := VerifySnapshots(t.Context(), []string{made.File}); err != nil || len(r.Findings) > 0 || r.Files[0].Zxid != zxid || r.Files[0].Znodes != made.Znodes {
				t.Errorf("%s at %v: %+v, %v", release, zxid, r, err)
			}
			if _, err := Create(t.Context(), CreateOptions{Files: files, Zxid: &zxid, Dir: dir, Compression: c}); err == nil {
				t.Error("a file that was there was written over")
			}
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := copied(t, "apache-3.9")
	beyond := Zxid(17)
	if _, err := Create(t.Context(), CreateOptions{Files: find(t, storage.KindOther, dir), Zxid: &beyond, Dir: t.TempDir()}); err == nil {
		t.Error("a state that never was")
	}
	remove(t, filepath.Join(dir, "version-2", "log.6"))
	remove(t, filepath.Join(dir, "version-2", "snapshot.a"))
	out := t.TempDir()
	if _, err := Create(t.Context(), CreateOptions{Files: find(t, storage.KindOther, dir), Dir: out}); err == nil || !strings.Contains(err.Error(), "goes on with 0xc after 0x5") {
		t.Errorf("over a gap: %v", err)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
