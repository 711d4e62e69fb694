package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

func onDisk(d *faultdisk.Disk) storage.Options {
	return storage.Options{DataDir: "/data", LogDir: "/logs", FS: d, ForceSync: true, PreAllocKB: 8}
}

// filled is a disk with transactions 1 to 12 in three log files, snapshots of 0, 4
// and 8, and epoch 0.
func filled(t *testing.T) *faultdisk.Disk {
	t.Helper()
	d := faultdisk.New()
	s, err := storage.Open(onDisk(d))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Recover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.WriteEpochs(storage.Epochs{Accepted: 5}))
	for z := int64(1); z <= 12; z++ {
		x := &txn.Txn{
			Header: txn.Header{Zxid: z, Time: z, Type: proto.OpCreate},
			Body:   &txn.Create{Path: fmt.Sprintf("/n%d", z), Data: bytes.Repeat([]byte{byte(z)}, 100), ACL: proto.WorldAnyone(), ParentCVersion: int32(z)},
		}
		must(s.Append([]storage.Record{{Zxid: z, Data: x.Append(nil)}}))
		r.Tree.Apply(x)
		r.Tree.SetLastZxid(z)
		switch z {
		case 4, 8:
			_, err := s.WriteSnapshot(r.Tree.Snapshot(), nil)
			must(err)
			must(s.Roll())
		}
	}
	must(s.Close())
	return d.Crash(faultdisk.Nothing)
}

// recovered recovers a disk and tells what is there.
func recovered(t *testing.T, d *faultdisk.Disk) *storage.Recovered {
	t.Helper()
	s, err := storage.Open(onDisk(d))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Recover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keeping are crashes of different luck.
func keeping(seed, at uint64) faultdisk.Keep {
	switch rnd := rand.New(rand.NewPCG(seed, at)); seed {
	case 0:
		return faultdisk.Nothing
	case 1:
		return faultdisk.All
	default:
		return func() bool { return rnd.IntN(2) == 0 }
	}
}

func cutOn(t *testing.T, d *faultdisk.Disk, to Zxid, at int64) error {
	t.Helper()
	_, err := Cut(t.Context(), CutOptions{Zxid: to, Dirs: []string{"/data", "/logs"}, Now: time.Unix(at, 0), FS: d})
	return err
}

// TestEveryCrashPointOfCut: a cut that is interrupted leaves a whole history that
// ends where it was to be cut, or later, and can be done again.
func TestEveryCrashPointOfCut(t *testing.T) {
	for _, to := range []Zxid{2, 4, 6, 10} {
		for ops, done := 0, false; !done; ops++ {
			for seed := range uint64(4) {
				d := filled(t)
				d.StopAfter(ops)
				if err := cutOn(t, d, to, 1); (err == nil) == d.Stopped() {
					t.Fatalf("cut at %v stopped after %d operations: %v", to, ops, err)
				}
				done = !d.Stopped()
				left := d.Crash(keeping(seed, uint64(ops)))
				after, again := left.Crash(faultdisk.All), left.Crash(faultdisk.All)
				if r := recovered(t, after); r.LastZxid < int64(to) || r.LastZxid > 12 || done && r.LastZxid != int64(to) {
					t.Fatalf("cut at %v stopped after %d operations, seed %d: left up to %#x", to, ops, seed, r.LastZxid)
				}
				if err := cutOn(t, again, to, 2); err != nil {
					t.Fatalf("cut at %v stopped after %d operations, seed %d: again: %v", to, ops, seed, err)
				}
				if r := recovered(t, again); r.LastZxid != int64(to) {
					t.Fatalf("cut again at %v: left up to %#x", to, r.LastZxid)
				}
			}
		}
	}
}

// TestCutWithoutRoom: the former log stays whole, wherever the room for the new one ends.
func TestCutWithoutRoom(t *testing.T) {
	for room, done := 0, false; !done; room++ {
		d := filled(t)
		d.Short(room, syscall.ENOSPC)
		err := cutOn(t, d, 10, 1)
		done = err == nil
		if want := int64(12); !done && (!errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "partial.log.9")) {
			t.Fatalf("room for %d bytes: %v", room, err)
		} else if done {
			want = 10
		} else if r := recovered(t, d.Crash(faultdisk.All)); r.LastZxid != want {
			t.Fatalf("room for %d bytes: left up to %#x", room, r.LastZxid)
		}
	}
}

// TestCutOnABadDisk: whatever operation fails, a whole history is left, and the
// error says so.
func TestCutOnABadDisk(t *testing.T) {
	for op, done := 0, false; !done; op++ {
		d := filled(t)
		d.FailAt(op, syscall.EIO)
		err := cutOn(t, d, 6, 1)
		done = d.Ops() <= op
		if !done && !errors.Is(err, syscall.EIO) {
			t.Fatalf("operation %d fails: %v", op, err)
		}
		if r := recovered(t, d.Crash(faultdisk.Nothing)); r.LastZxid < 6 {
			t.Fatalf("operation %d fails: left up to %#x", op, r.LastZxid)
		}
	}
}

// TestEveryCrashPointOfSetAside: before it has begun the server is as it was, and if its
// epochs were damaged it does not start; until it has ended the server does not start, and
// the command can be given again; then it has no history and no vote, and keeps what is
// known of its promises.
func TestEveryCrashPointOfSetAside(t *testing.T) {
	setAside := func(d *faultdisk.Disk) error {
		_, err := SetAside(d, 7, time.Unix(1, 0), "/data", "/logs")
		return err
	}
	accepted := filepath.Join("/data", storage.VersionDir, storage.AcceptedName)
	promised := func() *faultdisk.Disk {
		d := filled(t)
		s, err := storage.Open(onDisk(d))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.WriteEpochs(storage.Epochs{Accepted: 9, Current: 8}); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		name  string
		disk  func() *faultdisk.Disk
		whole bool
		want  int64 // acceptedEpoch, afterwards
	}{
		{"young", func() *faultdisk.Disk { return filled(t) }, true, 7},
		{"whole", promised, true, 9},
		{"acceptedEpoch lost", func() *faultdisk.Disk { d := promised(); d.Lose(accepted); return d }, false, 8},
		{"acceptedEpoch flipped", func() *faultdisk.Disk { d := promised(); d.Flip(accepted, 0, 2); return d }, false, 8},
		{"acceptedEpoch empty", func() *faultdisk.Disk { d := promised(); d.Empty(accepted); return d }, false, 8},
	} {
		for ops, done := 0, false; !done; ops++ {
			for seed := range uint64(6) {
				d := c.disk()
				d.StopAfter(ops)
				if err := setAside(d); (err == nil) == d.Stopped() {
					t.Fatalf("%s: stopped after %d operations: %v", c.name, ops, err)
				}
				done = !d.Stopped()
				after := d.Crash(keeping(seed, uint64(ops)))
				s, err := storage.Open(onDisk(after))
				if err != nil {
					t.Fatal(err)
				}
				r, err := s.Recover(t.Context())
				if err == nil {
					err = r.EpochsErr
				}
				switch {
				case errors.Is(err, storage.ErrCorrupt):
				case err != nil:
					t.Fatalf("%s: stopped after %d operations, seed %d: %v", c.name, ops, seed, err)
				case c.whole && r.LastZxid == 12 && !r.Rejoin:
				case r.LastZxid != 0 || !r.Rejoin || r.Epochs != storage.Epochs{Accepted: c.want}:
					t.Fatalf("%s: stopped after %d operations, seed %d: starts at %#x, epochs %v, rejoin %t", c.name, ops, seed, r.LastZxid, r.Epochs, r.Rejoin)
				}
				s.Close()
				if err := setAside(after); err != nil {
					t.Fatalf("%s: stopped after %d operations, seed %d: again: %v", c.name, ops, seed, err)
				}
				if r := recovered(t, after.Crash(faultdisk.Nothing)); !r.Rejoin || r.LastZxid != 0 || r.Epochs != (storage.Epochs{Accepted: c.want}) {
					t.Fatalf("%s: stopped after %d operations, seed %d: set aside, but starts at %#x, epochs %v, rejoin %t", c.name, ops, seed, r.LastZxid, r.Epochs, r.Rejoin)
				}
			}
		}
	}
}

// TestCopyLogShort: an error of the copy is that of the disk.
func TestCopyLogShort(t *testing.T) {
	d := filled(t)
	path := filepath.Join("/logs", storage.VersionDir, "log.9")
	for _, op := range []string{"create", "write", "sync"} {
		d.Fail(op, "copy", syscall.EIO)
		if _, err := storage.CopyLog(d, path, "/logs/copy", 10); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s fails: %v", op, err)
		}
		d.Fail("", "", nil)
		_ = d.Remove("/logs/copy")
	}
	size, err := storage.CopyLog(d, path, "/logs/copy", 10)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.OpenFile("/logs/copy", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size+1))
	if err != nil || int64(len(b)) != size {
		t.Errorf("%d bytes of %d: %v", len(b), size, err)
	}
}
