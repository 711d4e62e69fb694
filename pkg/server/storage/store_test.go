package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// rec makes the record of a transaction that creates /n<zxid>.
func rec(zxid int64) Record { return recSize(zxid, 10) }

func recSize(zxid int64, size int) Record {
	x := txn.Txn{
		Header: txn.Header{ClientID: 7, Cxid: int32(zxid), Zxid: zxid, Time: 1_600_000_000_000 + zxid, Type: proto.OpCreate},
		Body: &txn.Create{
			Path: fmt.Sprintf("/n%x", zxid), Data: slices.Repeat([]byte{byte(zxid)}, size),
			ACL: proto.WorldAnyone(), ParentCVersion: int32(zxid),
		},
	}
	return Record{Zxid: zxid, Data: x.Append(nil)}
}

// recs makes records for zxids from first to last.
func recs(first, last int64) []Record {
	var list []Record
	for z := first; z <= last; z++ {
		list = append(list, rec(z))
	}
	return list
}

func testOptions(fsys disk.FS) Options {
	return Options{DataDir: "/data", LogDir: "/logs", FS: fsys, ForceSync: true, PreAllocKB: 8, WindowCount: 1000}
}

func mustOpen(t testing.TB, o Options) (*Store, *Recovered) {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Recover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

func mustAppend(t testing.TB, s *Store, records ...Record) {
	t.Helper()
	if err := s.Append(records); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
}

// paths lists the test's znodes of a tree by the zxids in their names.
func zxidsOf(tr *tree.Tree) []int64 {
	var list []int64
	tr.Snapshot().Walk(func(path string, _ *tree.Node) bool {
		var z int64
		if n, _ := fmt.Sscanf(path, "/n%x", &z); n == 1 {
			list = append(list, z)
		}
		return true
	})
	slices.Sort(list)
	return list
}

func wantZxids(t testing.TB, r *Recovered, want ...int64) {
	t.Helper()
	if got := zxidsOf(r.Tree); !slices.Equal(got, want) {
		t.Fatalf("tree holds %x, want %x", got, want)
	}
}

func snapshotOf(t testing.TB, s *Store, tr *tree.Tree) SnapshotInfo {
	t.Helper()
	d := tr.Digest()
	info, err := s.WriteSnapshot(tr.Snapshot(), &d)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func apply(t testing.TB, tr *tree.Tree, records ...Record) {
	t.Helper()
	for _, r := range records {
		x, err := txn.Decode(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		tr.Apply(x)
	}
}

func TestAppendAndRecover(t *testing.T) {
	d := faultdisk.New()
	s, r := mustOpen(t, testOptions(d))
	if !r.Fresh || r.LastZxid != 0 {
		t.Fatalf("empty directory recovered as %+v", r)
	}
	mustAppend(t, s, recs(1, 5)...)
	if err := s.Roll(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, recs(6, 7)...)
	mustAppend(t, s, rec(3<<32|1)) // a later epoch

	s, r = mustOpen(t, testOptions(d.Crash(faultdisk.Nothing)))
	wantZxids(t, r, 1, 2, 3, 4, 5, 6, 7, 3<<32|1)
	if r.LastZxid != 3<<32|1 || r.Replayed != 8 || len(r.Window) != 8 || len(r.Warnings) != 0 {
		t.Fatalf("recovered %+v", r)
	}
	mustAppend(t, s, rec(3<<32|2))
}

func TestAppendRefusesGaps(t *testing.T) {
	for _, next := range []int64{1, 3, 5, 1<<32 | 2} {
		s, _ := mustOpen(t, testOptions(faultdisk.New()))
		mustAppend(t, s, recs(1, 3)...)
		if err := s.Append([]Record{rec(next)}); !errors.Is(err, ErrOutOfOrder) {
			t.Errorf("0x%x after 0x3: %v", next, err)
		}
		if err := s.Sync(); !errors.Is(err, ErrFailed) {
			t.Errorf("sync after a failure: %v", err)
		}
	}
}

func TestSnapshotAndRecover(t *testing.T) {
	d := faultdisk.New()
	s, r := mustOpen(t, testOptions(d))
	list := recs(1, 10)
	mustAppend(t, s, list...)
	apply(t, r.Tree, list[:6]...)
	info := snapshotOf(t, s, r.Tree)
	if info.Zxid != 6 || filepath.Base(info.Path) != "snapshot.6" {
		t.Fatalf("snapshot %+v", info)
	}
	_, r = mustOpen(t, testOptions(d.Crash(faultdisk.Nothing)))
	wantZxids(t, r, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	if r.Snapshot.Zxid != 6 || r.Replayed != 4 || !r.Snapshot.HasDigest || !r.Snapshot.HasLast {
		t.Fatalf("recovered %+v", r)
	}
}

// script is a run of a server that notes what it was promised.
type script struct {
	acked     int64 // last zxid that Sync covered
	truncated int64 // where Truncate or Install was begun to; 0 not
	begun     int64 // last zxid handed to Append
}

func (c *script) append(s *Store, records ...Record) error {
	c.begun = records[len(records)-1].Zxid
	if err := s.Append(records); err != nil {
		return err
	}
	if err := s.Sync(); err != nil {
		return err
	}
	c.acked = c.begun
	return nil
}

// crashPoints runs a scenario on a disk that stops at its 0th, 1st, 2nd …
// operation, crashes it in several ways, and checks what is found.
func crashPoints(t *testing.T, run func(*script, *Store, *Recovered) error, check func(*testing.T, *script, *Recovered)) {
	t.Helper()
	for ops := 0; ; ops++ {
		d := faultdisk.New()
		d.StopAfter(ops)
		c := &script{}
		s, err := Open(testOptions(d))
		var r *Recovered
		if err == nil {
			r, err = s.Recover(context.Background())
		}
		if err == nil {
			err = run(c, s, r)
		}
		done := !d.Stopped()
		if done && err != nil {
			t.Fatalf("without a fault: %v", err)
		}
		for seed := range uint64(6) {
			crashOnce(t, c, d.Crash(keeping(seed, uint64(ops))), check)
			if t.Failed() {
				t.Fatalf("stopped after %d operations, seed %d: %+v", ops, seed, *c)
			}
		}
		if done {
			return
		}
	}
}

// keeping makes the seeds' crashes: nothing, everything, and chance.
func keeping(seed, ops uint64) faultdisk.Keep {
	switch seed {
	case 0:
		return faultdisk.Nothing
	case 1:
		return faultdisk.All
	}
	rnd := rand.New(rand.NewPCG(seed, ops))
	return func() bool { return rnd.IntN(2) == 0 }
}

// crashOnce recovers from one crash, goes on, and crashes again.
func crashOnce(t *testing.T, c *script, d *faultdisk.Disk, check func(*testing.T, *script, *Recovered)) {
	t.Helper()
	s, err := Open(testOptions(d))
	if err != nil {
		t.Errorf("open: %v", err)
		return
	}
	r, err := s.Recover(context.Background())
	if err != nil {
		t.Errorf("recover: %v", err)
		return
	}
	check(t, c, r)
	next := r.LastZxid + 1
	if err := new(script).append(s, rec(next)); err != nil {
		t.Errorf("go on: %v", err)
		return
	}
	_, r = mustOpen(t, testOptions(d.Crash(faultdisk.Nothing)))
	if r.LastZxid != next {
		t.Errorf("went on with 0x%x, found 0x%x", next, r.LastZxid)
	}
}

// whole checks that the tree is exactly the history up to some zxid between
// what was acknowledged and what was begun.
func whole(t *testing.T, c *script, r *Recovered) {
	t.Helper()
	if r.LastZxid < c.acked || r.LastZxid > c.begun {
		t.Errorf("acknowledged up to 0x%x, begun 0x%x, recovered 0x%x", c.acked, c.begun, r.LastZxid)
	}
	if got := zxidsOf(r.Tree); int64(len(got)) != r.LastZxid {
		t.Errorf("recovered 0x%x, but the tree holds %x", r.LastZxid, got)
	}
}

func TestEveryCrashPointOfAppend(t *testing.T) {
	crashPoints(t, func(c *script, s *Store, _ *Recovered) error {
		if err := c.append(s, recs(1, 1)...); err != nil {
			return err
		}
		for z := int64(2); z < 100; z += 30 { // batches of several sectors
			if err := c.append(s, recs(z, z+29)...); err != nil {
				return err
			}
			if z == 32 {
				if err := s.Roll(); err != nil {
					return err
				}
			}
		}
		c.begun = 140 // Roll must sync what no Sync has
		if err := s.Append(recs(122, 140)); err != nil {
			return err
		}
		if err := s.Roll(); err != nil {
			return err
		}
		if err := c.append(s, recs(141, 142)...); err != nil {
			return err
		}
		return s.Close()
	}, whole)
}

func TestEveryCrashPointOfSnapshot(t *testing.T) {
	crashPoints(t, func(c *script, s *Store, r *Recovered) error {
		tr := r.Tree
		for z := int64(1); z < 60; z += 20 {
			list := recs(z, z+19)
			if err := c.append(s, list...); err != nil {
				return err
			}
			for _, x := range list {
				d, err := txn.Decode(x.Data)
				if err != nil {
					return err
				}
				tr.Apply(d)
			}
			digest := tr.Digest()
			if _, err := s.WriteSnapshot(tr.Snapshot(), &digest); err != nil {
				return err
			}
			if err := s.Roll(); err != nil {
				return err
			}
		}
		return nil
	}, whole)
}

// TestEveryCrashPointOfRecover crashes again while the torn tail of a crash
// is being repaired.
func TestEveryCrashPointOfRecover(t *testing.T) {
	for seed := range uint64(30) {
		d := faultdisk.New()
		s, _ := mustOpen(t, testOptions(d))
		c := &script{}
		if err := c.append(s, recs(1, 20)...); err != nil {
			t.Fatal(err)
		}
		if err := s.Append(recs(21, 60)); err != nil {
			t.Fatal(err)
		}
		c.begun = 60
		torn := func() *faultdisk.Disk { return d.Crash(keeping(2+seed, 0)) }
		for ops := 0; ; ops++ {
			again := torn()
			again.StopAfter(ops)
			r, err := tryRecover(again)
			if (err == nil) != !again.Stopped() {
				t.Fatalf("seed %d, stopped after %d operations: %v", seed, ops, err)
			}
			last := again.Crash(keeping(2+seed, uint64(ops)))
			if r2, err2 := tryRecover(last); err2 != nil || err == nil && r2.LastZxid != r.LastZxid {
				t.Fatalf("seed %d, stopped after %d operations: %v, then %v", seed, ops, r, err2)
			} else if whole(t, c, r2); t.Failed() {
				t.FailNow()
			}
			if err == nil {
				break
			}
		}
	}
}

// TestWithoutForceSync loses what was not written, but always starts.
func TestWithoutForceSync(t *testing.T) {
	for seed := range uint64(50) {
		d := faultdisk.New()
		o := testOptions(d)
		o.ForceSync = false
		s, _ := mustOpen(t, o)
		c := &script{}
		for z := int64(1); z < 60; z += 4 {
			if err := c.append(s, recs(z, z+3)...); err != nil {
				t.Fatal(err)
			}
		}
		c.acked = 0
		r, err := tryRecover(d.Crash(keeping(seed, 0)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		whole(t, c, r)
	}
}

func TestSnapshotterIsTree(t *testing.T) {
	var s Snapshotter = tree.New(tree.Options{}).Snapshot()
	if n, err := s.WriteTo(io.Discard); err != nil || n == 0 {
		t.Fatal(n, err)
	}
}
