package storage

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
)

// rested is a directory with several of each kind of file, at rest: log.1 (1..6),
// log.7 (7..9), log.a (a..c), snapshots 0, 4 and 8, and both epochs. The batches of
// the newest log are marked as synced, as a server that ends leaves them.
func rested(t *testing.T, c Compression) *faultdisk.Disk {
	t.Helper()
	d := faultdisk.New()
	o := testOptions(d)
	o.Compression, o.PreAllocKB = c, 1
	s, r := mustOpen(t, o)
	if err := errors.Join(history(&script{}, s, r), s.WriteEpochs(Epochs{5, 5}), s.Close()); err != nil {
		t.Fatal(err)
	}
	return d
}

// fresh is a copy of a disk, of which the machine has never been off.
func fresh(d *faultdisk.Disk) *faultdisk.Disk {
	n := d.Crash(faultdisk.All)
	d.StopAfter(1 << 40)
	return n
}

// filesOf lists what a start reads.
func filesOf(t *testing.T, d *faultdisk.Disk) (names []string) {
	t.Helper()
	for _, dir := range []string{"/data/version-2", "/logs/version-2"} {
		infos, err := d.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range infos {
			names = append(names, path.Join(dir, in.Name))
		}
	}
	return names
}

// verdict looks at what a start made of damage to one file: it found everything, or
// it stopped and told the file, the place, and the way out. What it warned of is
// returned when it found less.
func verdict(d *faultdisk.Disk, name string) (less []string, err error) {
	s, err := Open(testOptions(d))
	if err != nil {
		return nil, err
	}
	r, err := s.Recover(context.Background())
	if err == nil {
		err = r.EpochsErr
	}
	if err != nil {
		return nil, told(err, name)
	}
	if fmt.Sprintf("0x%x %x", r.LastZxid, r.Tree.Digest()) == contents(recs(1, 12)) {
		return nil, nil
	}
	if whole := fmt.Sprintf("0x%x %x", r.LastZxid, r.Tree.Digest()); whole != contents(recs(1, r.LastZxid)) {
		return nil, fmt.Errorf("it has 0x%x, but not the tree of it", r.LastZxid)
	}
	return append(r.Warnings, fmt.Sprintf("up to 0x%x", r.LastZxid)), nil
}

// told checks what the refusal of a start says; nil when that is all there is to say.
func told(err error, name string) error {
	text := err.Error()
	want := []string{path.Base(name)}
	switch kind, _ := ParseName(path.Base(name)); {
	case kind == KindLog && strings.Contains(text, "transactions are missing"): // its end is gone: zxids tell
		want = []string{"goes on with 0x", " after 0x", "rejoin"}
	case kind == KindLog:
		want = append(want, "offset ", "0x", "rejoin")
	case kind == KindSnapshot:
		want = append(want, "rejoin")
	default:
		want = append(want, "restore", "backup")
	}
	if !errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("it is not called corrupt: %w", err)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			return fmt.Errorf("it does not say %q: %w", w, err)
		}
	}
	return nil
}

// TestEveryBitAtRest flips a bit of each byte of each file. Only the two epochs have
// no checksum (Apache's format); they have tests of their own.
func TestEveryBitAtRest(t *testing.T) {
	t.Parallel()
	for _, c := range []Compression{Plain, Gzip, Snappy} {
		base := rested(t, c)
		refused := 0
		for _, name := range filesOf(t, base) {
			kind, zxid := ParseName(path.Base(name))
			if kind == KindOther || c != Plain && (kind == KindLog || zxid != 8) {
				continue
			}
			for at := stride(3) / 2; ; at += stride(3) {
				d := fresh(base)
				if !d.Flip(name, at, uint(at%8)) {
					break
				}
				less, err := verdict(d, name)
				if err != nil || less != nil {
					t.Fatalf("%s, byte %d: %v %v", name, at, less, err)
				}
				refused++
			}
		}
		t.Logf("%d flips with snapshots %q", refused, c)
	}
}

// TestOnlySnapshotAtRest flips bits of a snapshot that nothing stands in for.
func TestOnlySnapshotAtRest(t *testing.T) {
	t.Parallel()
	for _, c := range []Compression{Plain, Gzip, Snappy} {
		base := rested(t, c)
		only := "/data/version-2/" + SnapshotName(8) + c.suffix()
		for _, name := range filesOf(t, base) {
			if kind, zxid := ParseName(path.Base(name)); name != only && kind != KindOther && zxid <= 8 && zxid != 7 {
				base.Lose(name)
			}
		}
		if less, err := verdict(fresh(base), only); err != nil || less != nil {
			t.Fatal(less, err)
		}
		for at := 0; ; at += stride(1) {
			d := fresh(base)
			if !d.Flip(only, at, uint(at%8)) {
				break
			}
			if less, err := verdict(d, only); err != nil || less != nil {
				t.Fatalf("%s, byte %d: %v %v", only, at, less, err)
			}
		}
	}
}

// TestEveryLengthAtRest cuts each file to each length. Of the newest log nothing
// tells what is missing when it ends behind a record, or is empty: an Apache server
// leaves it so when it truncates, or has just begun it. Then the start warns.
func TestEveryLengthAtRest(t *testing.T) {
	t.Parallel()
	base := rested(t, Plain)
	const newest = "/logs/version-2/log.a"
	for _, name := range filesOf(t, base) {
		if kind, _ := ParseName(path.Base(name)); kind == KindOther {
			continue
		}
		whole := get(t, base, name)
		var silent []int
		for size := 0; size < len(whole); size += stride(1) {
			d := fresh(base)
			put(t, d, name, whole[:size])
			less, err := verdict(d, name)
			switch {
			case err != nil:
				t.Fatalf("%s, cut to %d bytes: %v", name, size, err)
			case less == nil:
			case name == newest && len(less) > 1 && strings.Contains(less[0], path.Base(name)):
				silent = append(silent, size)
			default:
				t.Fatalf("%s, cut to %d bytes: %v", name, size, less)
			}
		}
		ends := recordEnds()
		for _, size := range silent {
			if size >= logHeaderSize && !slices.Contains(ends, size) {
				t.Errorf("%s, cut to %d bytes, which is not behind a record (%v)", name, size, ends)
			}
		}
	}
}

// recordEnds are the offsets in log.a at which a record ends.
func recordEnds() (ends []int) {
	end := logHeaderSize
	for z := int64(10); z <= 12; z++ {
		end += len(appendRecord(nil, rec(z).Data))
		ends = append(ends, end)
	}
	return ends
}

// TestMissingAtRest takes each file away. That the newest log was there nobody tells;
// an epoch file that is missing counts as that of the last zxid, as with Apache.
func TestMissingAtRest(t *testing.T) {
	t.Parallel()
	base := rested(t, Plain)
	for _, name := range filesOf(t, base) {
		d := fresh(base)
		if !d.Lose(name) {
			t.Fatal(name)
		}
		less, err := verdict(d, name)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case path.Base(name) == "log.a" && !slices.Equal(less, []string{"up to 0x9"}):
			t.Errorf("%s: %v", name, less)
		case path.Base(name) != "log.a" && less != nil:
			t.Errorf("%s: %v", name, less)
		}
	}
}

// TestEveryBitOfEpochs: what does not read as a number, or as numbers that cannot be,
// ends the start; no flip makes an accepted epoch lower than a current one.
func TestEveryBitOfEpochs(t *testing.T) {
	t.Parallel()
	base := rested(t, Plain)
	for _, name := range []string{"/data/version-2/acceptedEpoch", "/data/version-2/currentEpoch"} {
		for bit := range uint(8) {
			d := fresh(base)
			if !d.Flip(name, 0, bit) {
				t.Fatal(name)
			}
			s, r := mustOpen(t, testOptions(d))
			switch err := r.EpochsErr; {
			case err == nil && r.Epochs.Accepted < r.Epochs.Current:
				t.Errorf("%s, bit %d: %+v", name, bit, r.Epochs)
			case err != nil && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path.Base(name)) || !strings.Contains(err.Error(), "backup")):
				t.Errorf("%s, bit %d: %v", name, bit, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		d := fresh(base)
		put(t, d, name, nil)
		if _, r := mustOpen(t, testOptions(d)); r.EpochsErr == nil || !strings.Contains(r.EpochsErr.Error(), name) || !strings.Contains(r.EpochsErr.Error(), "write the decimal epoch") {
			t.Errorf("%s empty: %v", name, r.EpochsErr)
		}
	}
}
