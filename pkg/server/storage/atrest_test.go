package storage

import (
	"context"
	"errors"
	"fmt"
	"path"
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
// it stopped and told the file, the place, and the way out.
func verdict(d *faultdisk.Disk, name string) error {
	s, err := Open(testOptions(d))
	if err != nil {
		return err
	}
	r, err := s.Recover(context.Background())
	if err == nil {
		err = r.EpochsErr
	}
	if err != nil {
		return told(err, name)
	}
	if got := fmt.Sprintf("0x%x %x", r.LastZxid, r.Tree.Digest()); got != contents(recs(1, 12)) {
		return fmt.Errorf("it has %s, warned of %q", got, r.Warnings)
	}
	if r.HasEpochs && r.Epochs != (Epochs{5, 5}) {
		return fmt.Errorf("it has %+v", r.Epochs)
	}
	return nil
}

// told checks what the refusal of a start says; nil when that is all there is to say.
func told(err error, name string) error {
	text := err.Error()
	want := []string{path.Base(name), "zkctl server rejoin"}
	switch kind, _ := ParseName(path.Base(name)); {
	case kind == KindLog && strings.Contains(text, "transactions are missing"): // its end is gone: zxids tell
		want = []string{"goes on with 0x", " after 0x", "rejoin"}
	case kind == KindLog && strings.Contains(text, reachedName): // all of it is
		want = append(want, "begun behind 0x")
	case kind == KindLog:
		want = append(want, "offset ", "0x")
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

// TestEveryBitAtRest flips a bit of each byte of each file.
func TestEveryBitAtRest(t *testing.T) {
	t.Parallel()
	for _, c := range []Compression{Plain, Gzip, Snappy} {
		base := rested(t, c)
		flips := 0
		for _, name := range filesOf(t, base) {
			kind, zxid := ParseName(path.Base(name))
			if c != Plain && (kind != KindSnapshot || zxid != 8) {
				continue
			}
			for at := stride(3) / 2; ; at += stride(3) {
				d := fresh(base)
				if !d.Flip(name, at, uint(at%8)) {
					break
				}
				if err := verdict(d, name); err != nil {
					t.Fatalf("%s, byte %d: %v", name, at, err)
				}
				flips++
			}
		}
		t.Logf("%d flips with snapshots %q", flips, c)
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
		if err := verdict(fresh(base), only); err != nil {
			t.Fatal(err)
		}
		for at := 0; ; at += stride(2) {
			d := fresh(base)
			if !d.Flip(only, at, uint(at%8)) {
				break
			}
			if err := verdict(d, only); err != nil {
				t.Fatalf("%s, byte %d: %v", only, at, err)
			}
		}
	}
}

// TestEveryLengthAtRest cuts each file to each length, none included, and takes it
// away.
func TestEveryLengthAtRest(t *testing.T) {
	t.Parallel()
	base := rested(t, Plain)
	for _, name := range filesOf(t, base) {
		whole := get(t, base, name)
		sizes := []int{len(whole) - 1}
		for size := 0; size < len(whole); size += stride(2) {
			sizes = append(sizes, size)
		}
		if path.Base(name) == "log.a" {
			sizes = append(sizes, recordEnds()...)
		}
		for _, size := range sizes {
			d := fresh(base)
			put(t, d, name, whole[:size])
			if err := verdict(d, name); err != nil {
				t.Fatalf("%s, cut to %d bytes: %v", name, size, err)
			}
		}
		d := fresh(base)
		if !d.Lose(name) {
			t.Fatal(name)
		}
		if err := verdict(d, name); err != nil {
			t.Errorf("%s is missing: %v", name, err)
		}
	}
}

// recordEnds are the offsets in log.a at which a record ends, but the last.
func recordEnds() (ends []int) {
	end := logHeaderSize
	for _, r := range recs(10, 11) {
		end += len(appendRecord(nil, r.Data))
		ends = append(ends, end)
	}
	return ends
}

// TestApacheTruncates: an Apache server that took over the directory cuts the log
// exactly behind a record, and writes an epoch. That is no damage, and the start after
// the next one still knows, when the epochs are written anew.
func TestApacheTruncates(t *testing.T) {
	const logA = "/logs/version-2/log.a"
	d := rested(t, Plain)
	put(t, d, logA, get(t, d, logA)[:recordEnds()[0]])
	if _, err := tryRecover(fresh(d)); !errors.Is(err, ErrCorrupt) || told(err, logA) != nil {
		t.Fatalf("cut by nobody: %v", err)
	}
	for _, name := range []string{acceptedName, currentName} {
		put(t, d, "/data/version-2/"+name, []byte("6"))
	}
	s, r := mustOpen(t, testOptions(d))
	if r.LastZxid != 10 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "log.a was cut to offset 114 by an Apache server") {
		t.Fatalf("0x%x %q", r.LastZxid, r.Warnings)
	}
	if err := errors.Join(s.WriteEpochs(Epochs{6, 6}), s.Append(recs(11, 11)), s.Sync(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, r = mustOpen(t, testOptions(d)); r.LastZxid != 11 || len(r.Warnings) != 0 {
		t.Fatalf("0x%x %q", r.LastZxid, r.Warnings)
	}
}
