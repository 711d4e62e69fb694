package storage

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// A life is a server's way through everything that this package writes: the first
// snapshot, both epochs, log files that begin, grow and end, snapshots of its own and
// from a leader, truncations. It keeps account of what the server may count on.
type life struct {
	o       Options
	store   *Store
	tree    *tree.Tree
	acked   []Record // history that was acknowledged
	begun   []Record // the same, with what is under way
	instead []Record // what acked is being replaced by; nil when it is not
	epochs  Epochs   // that were written
	next    Epochs   // that are being written
	failed  error    // first error, also of what may fail without an end
}

// lifeOptions are such that a log file grows after each few records.
func lifeOptions(fsys disk.FS, c Compression) Options {
	o := testOptions(fsys)
	o.PreAllocKB, o.Compression = 1, c
	return o
}

// run lives until something fails that ends a server.
func (l *life) run() error {
	var err error
	if l.store, err = Open(l.o); err != nil {
		return err
	}
	defer l.store.Close()
	steps := []func() error{
		l.recover,
		func() error { return l.promise(Epochs{1, 0}) },
		func() error { return l.promise(Epochs{1, 1}) },
		func() error { return l.append(recs(1, 3)) },
		func() error { return l.append(recs(4, 12)) },
		l.snapshot,
		func() error { return l.append(recs(13, 14)) },
		l.roll,
		func() error { return l.append(recs(15, 16)) },
		l.snapshot,
		func() error { return l.truncate(14) },
		func() error { return l.append(others(15, 15)) },
		l.snapshot,
		func() error { return l.append(others(16, 17)) },
		func() error { return l.truncate(13) },
		func() error { return l.promise(Epochs{2, 1}) },
		func() error { return l.install(append(recs(1, 13), others(14, 20)...)) },
		func() error { return l.promise(Epochs{2, 2}) },
		func() error { return l.append(others(21, 23)) },
		l.roll,
		func() error { return l.append(others(24, 24)) },
		func() error { return l.install(recs(1, 22)) },
		func() error { return l.promise(Epochs{13, 13}) },
		func() error { return l.append(recs(23, 25)) },
		func() error { return l.store.Close() },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// others are transactions with the zxids of recs that differ from them.
func others(first, last int64) []Record {
	var list []Record
	for z := first; z <= last; z++ {
		list = append(list, recSize(z, 20))
	}
	return list
}

func (l *life) recover() error {
	r, err := l.store.Recover(context.Background())
	if err != nil {
		return err
	}
	if r.EpochsErr != nil { // ends a member of an ensemble
		return r.EpochsErr
	}
	l.tree = r.Tree
	return nil
}

func (l *life) promise(e Epochs) error {
	l.next = e
	if err := l.store.WriteEpochs(e); err != nil {
		return err
	}
	l.epochs = e
	return nil
}

func (l *life) append(list []Record) error {
	l.begun = slices.Concat(l.acked, list)
	if err := l.store.Append(list); err != nil {
		return err
	}
	if err := l.store.Sync(); err != nil {
		return err
	}
	l.acked = l.begun
	for _, r := range list {
		l.tree.Apply(mustDecode(r))
		l.tree.SetLastZxid(r.Zxid)
	}
	return nil
}

// snapshot may fail: the log says all.
func (l *life) snapshot() error {
	digest := l.tree.Digest()
	if _, err := l.store.WriteSnapshot(l.tree.Snapshot(), &digest); err != nil {
		l.failed = err
		if errors.Is(err, ErrFailed) {
			return err
		}
	}
	return l.roll()
}

func (l *life) roll() error { return l.store.Roll() }

// truncate goes back to a zxid, as a follower does whose leader says so.
func (l *life) truncate(to int64) error {
	i := slices.IndexFunc(l.acked, func(r Record) bool { return r.Zxid == to })
	return l.replace(l.acked[:i+1:i+1], func() error { return l.store.Truncate(to) })
}

func (l *life) install(history []Record) error {
	t := grown(history)
	digest := t.Digest()
	return l.replace(history, func() error { return l.store.Install(t.Snapshot(), &digest) })
}

func (l *life) replace(history []Record, by func() error) error {
	l.instead = history
	if err := by(); err != nil {
		return err
	}
	l.acked, l.begun, l.instead = history, history, nil
	return l.recover()
}

// grown is the tree after a history.
func grown(history []Record) *tree.Tree {
	t := tree.New(tree.Options{})
	for _, r := range history {
		t.Apply(mustDecode(r))
		t.SetLastZxid(r.Zxid)
	}
	return t
}

// check looks at what a start found.
func (l *life) check(r *Recovered) error {
	if r.EpochsErr != nil {
		return r.EpochsErr
	}
	if e := r.Epochs; e.Accepted < l.epochs.Accepted || e.Current < l.epochs.Current ||
		e.Accepted > max(l.next.Accepted, l.epochs.Accepted) || e.Current > max(l.next.Current, l.epochs.Current) {
		return fmt.Errorf("epochs %+v, written %+v and begun %+v", e, l.epochs, l.next)
	}
	var may []string
	for n := len(l.acked); n <= len(l.begun); n++ {
		may = append(may, contents(l.begun[:n]))
	}
	if l.instead != nil {
		may = append(may, contents(l.instead))
	}
	if got := fmt.Sprintf("0x%x %x", r.LastZxid, r.Tree.Digest()); !slices.Contains(may, got) {
		return fmt.Errorf("found %s with %x, want one of %q", got, zxidsOf(r.Tree), may)
	}
	return nil
}

// contents tells a history from all others.
func contents(history []Record) string {
	last := int64(0)
	if len(history) > 0 {
		last = history[len(history)-1].Zxid
	}
	return fmt.Sprintf("0x%x %x", last, grown(history).Digest())
}

// again starts a server on a disk, lets it go on by one transaction, takes away the
// power, and starts another.
func (l *life) again(d *faultdisk.Disk) error {
	o := l.o
	o.FS = d
	s, err := Open(o)
	if err != nil {
		return err
	}
	r, err := s.Recover(context.Background())
	if err != nil {
		return err
	}
	if err := l.check(r); err != nil {
		return err
	}
	next := rec(r.LastZxid + 1)
	if err := errors.Join(s.Append([]Record{next}), s.Sync()); err != nil {
		return fmt.Errorf("go on: %w", err)
	}
	r, err = tryRecover(d.Crash(faultdisk.Nothing))
	if err == nil && r.LastZxid != next.Zxid {
		err = fmt.Errorf("it has 0x%x", r.LastZxid)
	}
	if err != nil {
		return fmt.Errorf("went on to 0x%x; after that: %w", next.Zxid, err)
	}
	return nil
}

// afterwards starts servers on the disk in each state that the fault, or the end of
// the machine after it, may have left. None may find anything wrong.
func (l *life) afterwards(d *faultdisk.Disk) error {
	for seed := range uint64(3) {
		if err := l.again(d.Crash(keeping(seed, uint64(d.Ops())))); err != nil {
			return fmt.Errorf("after a crash (%d): %w", seed, err)
		}
	}
	d.StopAfter(1 << 40) // the machine lives on
	d.Restart()
	if err := l.again(d); err != nil {
		return fmt.Errorf("when the process is started again: %w", err)
	}
	return nil
}

// named checks that an error says what failed, and where.
func named(err error, name string) error {
	if err == nil || !strings.Contains(err.Error(), name) {
		return fmt.Errorf("the error does not name %s: %w", name, err)
	}
	return nil
}

// TestEveryOperationFails lets each operation on the files fail, one at a time, in
// each way that there is: nothing that was acknowledged may be missing, nothing that
// was cut may be back, and the next start must be none the worse for it.
func TestEveryOperationFails(t *testing.T) {
	for _, c := range []struct {
		faultdisk.Fault
		Compression
		step int
	}{
		{faultdisk.Fault{Err: syscall.EIO, Effect: faultdisk.EffectNone}, Plain, 1},
		{faultdisk.Fault{Err: syscall.EIO, Effect: faultdisk.EffectHalf}, Plain, 3},
		{faultdisk.Fault{Err: syscall.EIO, Effect: faultdisk.EffectHalf}, Gzip, 5},
		{faultdisk.Fault{Err: syscall.EIO, Effect: faultdisk.EffectAll}, Plain, 2},
		{faultdisk.Fault{Err: syscall.EIO, Effect: faultdisk.EffectNone, Stays: true}, Plain, 3},
		{faultdisk.Fault{Err: syscall.ENOSPC, Effect: faultdisk.EffectHalf, Stays: true}, Plain, 2},
	} {
		t.Run(fmt.Sprintf("%v, effect %d, stays %t, snapshots %v", c.Err, c.Effect, c.Stays, c.Compression), func(t *testing.T) {
			t.Parallel()
			failEach(t, c.Fault, c.Compression, stride(c.step))
		})
	}
}

func failEach(t *testing.T, f faultdisk.Fault, c Compression, step int) {
	ops := map[string]int{}
	for n := step / 2; ; n += step {
		d := faultdisk.New()
		nth := d.FailNth(n, f)
		l := &life{o: lifeOptions(nth, c)}
		err := l.run()
		op, name, hit := nth.Hit()
		if !hit {
			if err != nil || l.failed != nil {
				t.Fatalf("without a fault: %v, %v", err, l.failed)
			}
			t.Logf("up to %d operations: %v", n, ops)
			return
		}
		ops[op]++
		if first := errors.Join(l.failed, err); first != nil {
			if !errors.Is(first, f.Err) {
				t.Fatalf("operation %d, %v: %v", n, nth, first)
			}
			if err := named(first, name); err != nil && !f.Stays {
				t.Fatalf("operation %d, %v: %v", n, nth, err)
			}
		}
		if err := l.afterwards(d); err != nil {
			t.Fatalf("operation %d, %v, which said: %v\nhad %+v\n%v", n, nth, err, l.epochs, err)
		}
	}
}

// stride is from which case a test goes on to which: -storage.every tries all.
func stride(n int) int {
	switch {
	case *everyCase:
		return 1
	case testing.Short():
		return 8*n + 1
	}
	return n
}

var everyCase = flag.Bool("storage.every", false, "try disks that are full after every single byte, and every fault of every operation")

// TestDiskFullAtEveryByte lets the disk fill up in the midst of whatever is written
// then. With room again the next start finds all that was acknowledged.
func TestDiskFullAtEveryByte(t *testing.T) {
	t.Parallel()
	for n := 0; ; n += stride(41) {
		d := faultdisk.New()
		d.Short(n, syscall.ENOSPC)
		l := &life{o: lifeOptions(d, Plain)}
		err := l.run()
		if err == nil {
			t.Logf("%d bytes", n)
			return
		}
		if at := new(fs.PathError); !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &at) || at.Path == "" {
			t.Fatalf("full after %d bytes: %v", n, err)
		}
		d.Short(0, nil)
		if err := l.afterwards(d); err != nil {
			t.Fatalf("full after %d bytes: %v", n, err)
		}
	}
}

// TestEveryCrashPointOfLife takes the power away at each operation that changes
// something; sectors and names that were not synced are there or not.
func TestEveryCrashPointOfLife(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		d := faultdisk.New()
		d.StopAfter(n)
		l := &life{o: lifeOptions(d, Plain)}
		err := l.run()
		done := !d.Stopped()
		if done && err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(6) {
			if err := l.again(d.Crash(keeping(seed, uint64(n)))); err != nil {
				t.Fatalf("stopped after %d operations, crash %d: %v", n, seed, err)
			}
		}
		if done {
			return
		}
	}
}

// TestEveryOperationOfRecoverFails lets each operation of a start fail that has
// something to repair: a torn end, a truncation or an install that was interrupted.
func TestEveryOperationOfRecoverFails(t *testing.T) {
	t.Parallel()
	starts := 0
	for k := 0; ; k += stride(3) {
		crashed := faultdisk.New()
		crashed.StopAfter(k)
		l := &life{o: lifeOptions(crashed, Plain)}
		_ = l.run() // stops at k
		done := !crashed.Stopped()
		for n, hit := k%7, true; hit; n += 7 {
			starts++
			d := crashed.Crash(keeping(uint64(k), uint64(k)))
			nth := d.FailNth(n, faultdisk.Fault{Err: syscall.EIO, Effect: faultdisk.Effect(n % 3)})
			r, err := tryRecover(nth)
			_, _, hit = nth.Hit()
			if err == nil {
				err = l.check(r)
			}
			if err != nil && !(hit && errors.Is(err, syscall.EIO)) {
				t.Fatalf("stopped after %d operations, then %d of the start, %v: %v", k, n, nth, err)
			}
			if err := l.afterwards(d); err != nil {
				t.Fatalf("stopped after %d operations, then %d of the start, %v: %v", k, n, nth, err)
			}
		}
		if done {
			t.Logf("%d starts", starts)
			return
		}
	}
}
