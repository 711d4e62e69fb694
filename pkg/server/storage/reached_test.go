package storage

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
)

const epoch2 = int64(2 << 32)

// twoEpochs is a disk with log.1 (1..6), log.7 (7..9), log.200000001 (two of epoch 2) and
// log.200000003 (one), and snapshots at 0, 4 and 0x200000001.
func twoEpochs(t *testing.T) *faultdisk.Disk {
	t.Helper()
	d := faultdisk.New()
	s, _ := mustOpen(t, testOptions(d))
	if err := s.WriteEpochs(Epochs{Accepted: 3, Current: 2}); err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]Record{recs(1, 6), recs(7, 9), recs(epoch2+1, epoch2+2), recs(epoch2+3, epoch2+3)} {
		mustAppend(t, s, part...)
		if err := s.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	tr := treeAt(4)
	if _, err := s.WriteSnapshot(tr.Snapshot(), nil); err != nil {
		t.Fatal(err)
	}
	return d.Crash(faultdisk.Nothing)
}

// TestMissingFiles: files that are gone or empty are noticed, and named.
func TestMissingFiles(t *testing.T) {
	const logs, data = "/logs/version-2/", "/data/version-2/"
	for _, c := range []struct {
		name   string
		change func(d *faultdisk.Disk) bool
		want   string // in the error; "" when nothing is missed
	}{
		{"nothing", func(*faultdisk.Disk) bool { return true }, ""},
		{"the newest log", func(d *faultdisk.Disk) bool { return d.Lose(logs + "log.200000003") }, logs + "log.200000003 is missing"},
		{"the newest log's contents", func(d *faultdisk.Disk) bool { return d.Empty(logs + "log.200000003") }, logs + "log.200000003 has lost its contents"},
		{"the newest log, which a snapshot reaches into", func(d *faultdisk.Disk) bool {
			s, r := mustOpen(t, testOptions(d))
			if _, err := s.WriteSnapshot(r.Tree.Snapshot(), nil); err != nil {
				t.Fatal(err)
			}
			return s.Close() == nil && d.Lose(logs+"log.200000003")
		}, logs + "log.200000003 is missing"},
		{"the newest log, when a rejoin was begun and no more", func(d *faultdisk.Disk) bool {
			return BeginRejoin(d, strings.TrimSuffix(data, "/"), 3) == nil && d.Lose(logs+"log.200000003")
		}, "zkctl server rejoin was interrupted (" + data + RejoiningName},
		{"the end of an epoch", func(d *faultdisk.Disk) bool { return d.Lose(logs + "log.7") }, logs + "log.200000001 came after 0x9, and what is there ends with 0x6"},
		{"the end of an epoch, emptied", func(d *faultdisk.Disk) bool { return d.Empty(logs + "log.7") }, logs + "log.200000001 came after 0x9"},
		{"the beginning of an epoch", func(d *faultdisk.Disk) bool { return d.Lose(logs + "log.200000001") }, "transactions are missing"},
		{"the newest two logs", func(d *faultdisk.Disk) bool { return d.Lose(logs+"log.200000003") && d.Lose(logs+"log.200000001") }, "end with 0x9, but 0x200000002 was on the disk"},
		{"an old log", func(d *faultdisk.Disk) bool { return d.Lose(logs + "log.1") }, "transactions are missing"},
		{"the snapshot", func(d *faultdisk.Disk) bool { return d.Lose(data + "snapshot.4") }, ""}, // the log goes back to the one before
		{"what tells of it", func(d *faultdisk.Disk) bool { return d.Lose(data + reachedName) }, ""},
		{"what is in what tells of it", func(d *faultdisk.Disk) bool { return d.Empty(data + reachedName) }, data + reachedName + ": corrupt: it has no checksum"},
		{"all but the epochs", func(d *faultdisk.Disk) bool {
			for _, name := range []string{logs + "log.1", logs + "log.7", logs + "log.200000001", logs + "log.200000003", data + "snapshot.0", data + "snapshot.4"} {
				if !d.Lose(name) {
					return false
				}
			}
			return true
		}, "0x200000002 was on the disk"},
		{"acceptedEpoch", func(d *faultdisk.Disk) bool { return d.Lose(data + acceptedName) }, data + acceptedName + " is missing"},
		{"currentEpoch", func(d *faultdisk.Disk) bool { return d.Lose(data + currentName) }, data + currentName + " is missing"},
		{"the newest log, and an Apache server was here", func(d *faultdisk.Disk) bool {
			put(t, d, data+currentName, []byte("2"))
			return d.Lose(logs + "log.200000003")
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := twoEpochs(t)
			if !c.change(d) {
				t.Fatal("there was nothing to lose")
			}
			err := recoverErr(t, d)
			if (err == nil) != (c.want == "") {
				t.Fatal(err)
			}
			if err != nil && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "zkctl server rejoin")) {
				t.Fatalf("%v\nwant %q", err, c.want)
			}
		})
	}
}

// recoverErr is why a server of an ensemble would not start.
func recoverErr(t *testing.T, d *faultdisk.Disk) error {
	t.Helper()
	s, err := Open(testOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Recover(context.Background())
	if err == nil {
		err = r.EpochsErr
	}
	return err
}

// TestMissingInstalledSnapshot: an older snapshot and a log that begins an epoch behind
// the lost one do not pass for the whole.
func TestMissingInstalledSnapshot(t *testing.T) {
	for _, more := range []bool{false, true} {
		d := faultdisk.New()
		s, _ := mustOpen(t, testOptions(d))
		if err := s.Install(treeAt(9).Snapshot(), nil); err != nil {
			t.Fatal(err)
		}
		if more {
			mustAppend(t, s, rec(epoch2+1))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		d = d.Crash(faultdisk.Nothing)
		if !d.Lose("/data/version-2/snapshot.9") {
			t.Fatal("no snapshot was installed")
		}
		if err := recoverErr(t, d); !errors.Is(err, ErrCorrupt) {
			t.Errorf("with more behind it %t: %v", more, err)
		}
	}
}

// TestEverySmallFileIsGuarded: no bit that flips in an epoch file or in one of this
// package's own is taken for what was written.
func TestEverySmallFileIsGuarded(t *testing.T) {
	d := twoEpochs(t)
	if err := recoverErr(t, d); err != nil {
		t.Fatal(err)
	}
	put(t, d, "/data/version-2/"+intentName, guard(intentName, "truncate 0x200000003 0x200000003"))
	sizes := map[string]int64{}
	for _, name := range []string{acceptedName, currentName, reachedName, intentName} {
		sizes[name] = int64(len(get(t, d, "/data/version-2/"+name)))
	}
	for name, size := range sizes {
		path := "/data/version-2/" + name
		for bit := range int(size) * 8 {
			b := d.Crash(faultdisk.All)
			b.Flip(path, bit/8, uint(bit%8))
			if err := recoverErr(t, b); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
				t.Fatalf("bit %d of %s flips: %v", bit, name, err)
			}
		}
	}
}

// TestReachedForgets: what goes on purpose is not missed.
func TestReachedForgets(t *testing.T) {
	d := twoEpochs(t)
	s, _ := mustOpen(t, testOptions(d))
	if err := s.Truncate(5); err != nil {
		t.Fatal(err)
	}
	s, r := mustOpen(t, testOptions(d.Crash(faultdisk.Nothing)))
	if r.LastZxid != 5 || len(s.reached.after) != 1 {
		t.Fatalf("truncated, but at 0x%x, %v", r.LastZxid, s.reached)
	}
	if err := s.Install(treeAt(3).Snapshot(), nil); err != nil {
		t.Fatal(err)
	}
	if _, r = mustOpen(t, testOptions(s.fs.(*faultdisk.Disk).Crash(faultdisk.Nothing))); r.LastZxid != 3 {
		t.Fatalf("installed, but at 0x%x", r.LastZxid)
	}
}

// FuzzReached asks that any text reads as what it writes, or as damage.
func FuzzReached(f *testing.F) {
	f.Add("0x100000009 log.200000001\nlog.1 after 0x0\nlog.200000001 after 0x100000009")
	f.Add("0x0")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseReached(text)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := parseReached(r.String())
		if err != nil || again.last != r.last || again.log != r.log || !slices.Equal(again.after, r.after) {
			t.Fatalf("%q reads as %v and writes as %q: %v", text, r, r.String(), err)
		}
	})
}

// FuzzUnguard asks that a text with its checksum comes back, and no other passes.
func FuzzUnguard(f *testing.F) {
	f.Add("5", guard(currentName, "5"))
	f.Add("a\nzkctl 1", []byte("5\n"))
	f.Fuzz(func(t *testing.T, text string, content []byte) {
		if got, guarded, err := unguard("x", guard("x", text)); got != text || !guarded || err != nil {
			t.Fatalf("%q came back as %q, %t, %v", text, got, guarded, err)
		}
		if got, guarded, err := unguard("x", content); guarded && err == nil && !slices.Equal(guard("x", got), content) {
			t.Fatalf("%q passes for %q", content, got)
		}
	})
}
