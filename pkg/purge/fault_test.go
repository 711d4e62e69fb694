package purge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// lived is a job on the directories of a server that took six snapshots of 12
// transactions, a log file for each two.
func lived(t *testing.T) Job {
	t.Helper()
	j := Job{DataDir: t.TempDir(), LogDir: t.TempDir(), Keep: 3}
	s, err := storage.Open(storage.Options{DataDir: j.DataDir, LogDir: j.LogDir, PreAllocKB: 1})
	must(t, err)
	r, err := s.Recover(context.Background())
	must(t, err)
	for z := int64(1); z <= 12; z++ {
		x := &txn.Txn{
			Header: txn.Header{ClientID: 7, Cxid: int32(z), Zxid: z, Time: 1_600_000_000_000 + z, Type: proto.OpCreate},
			Body:   &txn.Create{Path: fmt.Sprintf("/n%x", z), ACL: proto.WorldAnyone(), ParentCVersion: int32(z)},
		}
		must(t, s.Append([]storage.Record{{Zxid: z, Data: x.Append(nil)}}))
		must(t, s.Sync())
		r.Tree.Apply(x)
		r.Tree.SetLastZxid(z)
		if z%2 == 0 {
			digest := r.Tree.Digest()
			_, err := s.WriteSnapshot(r.Tree.Snapshot(), &digest)
			must(t, err)
			must(t, s.Roll())
		}
	}
	must(t, s.Close())
	return j
}

// files holds contents by path.
type files map[string]string

func (j Job) contents(t *testing.T) files {
	t.Helper()
	all := files{}
	for _, dir := range []string{j.DataDir, j.LogDir} {
		must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				b, readErr := os.ReadFile(path)
				all[path], err = string(b), readErr
			}
			return err
		}))
	}
	return all
}

// recovers starts a server on files, of which the newest broken snapshots are
// damaged, and checks that it has everything.
func (all files) recovers(j Job, broken int) error {
	d := faultdisk.New()
	for path, text := range all {
		if err := errors.Join(d.MkdirAll(filepath.Dir(path), 0o755), put(d, path, text)); err != nil {
			return err
		}
	}
	for z := 12; broken > 0; z, broken = z-2, broken-1 {
		if path := j.file(fmt.Sprintf("snapshot.%x", z)); all[path] == "" || !d.Flip(path, 40, 3) {
			return fmt.Errorf("%s is not there", path)
		}
	}
	s, err := storage.Open(storage.Options{DataDir: j.DataDir, LogDir: j.LogDir, FS: d, PreAllocKB: 1})
	if err != nil {
		return err
	}
	r, err := s.Recover(context.Background())
	if err != nil {
		return err
	}
	if n, _ := r.Tree.Get("/"); r.LastZxid != 12 || n.NumChildren() != 13 {
		return fmt.Errorf("it has 0x%x and %d children of the root", r.LastZxid, n.NumChildren())
	}
	return s.Close()
}

func put(d *faultdisk.Disk, path, text string) error {
	f, err := d.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), 0)
	return errors.Join(err, f.Sync(), f.Close(), d.SyncDir(filepath.Dir(path)))
}

// sound checks that a server recovers from every kept snapshot, and that no
// snapshot is there whose logs are gone.
func (all files) sound(j Job) error {
	for broken := range j.Keep {
		if err := all.recovers(j, broken); err != nil {
			return fmt.Errorf("with %d broken snapshots: %w", broken, err)
		}
	}
	for z := 2; z <= 12; z += 2 {
		if all[j.file(fmt.Sprintf("snapshot.%x", z))] == "" {
			continue
		}
		for first := z + 1; first < 12; first += 2 {
			if name := j.file(fmt.Sprintf("log.%x", first)); all[name] == "" {
				return fmt.Errorf("snapshot.%x is there, and %s is not", z, name)
			}
		}
	}
	return nil
}

// TestEveryStepOfPurgeFails lets each removal and each sync of a purge fail, and lets
// the process or the machine end after it; a removal that was not synced is undone or
// not. Then it purges again, and the power goes once more.
func TestEveryStepOfPurgeFails(t *testing.T) {
	type fault struct{ done, stays bool }
	for _, f := range []fault{{false, false}, {true, false}, {false, true}} {
		for nth, hit := 0, true; hit; nth++ {
			if nth > 50 {
				t.Fatal("there is no end")
			}
			j := lived(t)
			sure := j.contents(t)
			steps, at, mended := 0, "", false
			around := func(op, name string, act func() error) error {
				n := steps
				steps++
				fails := !mended && (n == nth || f.stays && n > nth)
				if n == nth && !mended {
					at = op + " " + filepath.Base(name)
				}
				if !fails || f.done {
					must(t, act())
				}
				if fails {
					return &fs.PathError{Op: op, Path: name, Err: syscall.EIO}
				}
				if op == "syncdir" {
					maps.DeleteFunc(sure, func(path, _ string) bool {
						_, err := os.Lstat(path)
						return filepath.Dir(path) == name && errors.Is(err, fs.ErrNotExist)
					})
				}
				return nil
			}
			check := func(when string) {
				now := j.contents(t)
				some := maps.Clone(now)
				for path, text := range sure { // half of what is not sure to be gone is back
					if len(path)%2 == 0 || strings.HasSuffix(path, "2") {
						some[path] = text
					}
				}
				for state, all := range map[string]files{"as it is": now, "nothing unsynced gone": sure, "some of it gone": some} {
					if err := all.sound(j); err != nil {
						t.Errorf("step %d (%s) failed, done %t, stays %t; %s, %s: %v", nth, at, f.done, f.stays, when, state, err)
					}
				}
			}
			failing := j
			failing.around = around
			_, _, err := failing.Run(t.Context())
			hit = at != ""
			if hit != (err != nil) || err != nil && !errors.Is(err, syscall.EIO) {
				t.Fatalf("step %d (%s): %v", nth, at, err)
			}
			check("once")
			mended = true
			_, _, err = failing.Run(t.Context())
			must(t, err)
			check("twice")
			if got := left(t, j); strings.Contains(got, "snapshot.6") || !strings.Contains(got, "snapshot.8") {
				t.Errorf("step %d (%s): at last there are %s", nth, at, got)
			}
		}
	}
}
