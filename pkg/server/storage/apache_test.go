package storage

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
)

// The tests of this file are those that bugs of Apache ZooKeeper asked for which no
// other test would have caught; docs/reliability.md lists them all.

// snapshot.trust.empty must not drop the log (ZOOKEEPER-3056), and one start with it
// must be enough (ZOOKEEPER-3644, 3781).
func TestTrustEmptyIsForOneStart(t *testing.T) {
	d := faultdisk.New()
	if err := d.MkdirAll("/logs/version-2", 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, d, "/logs/version-2/log.7", javaLog(recs(7, 9), 50))
	if r, err := tryRecover(d.Crash(faultdisk.All)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "snapshot.trust.empty") {
		t.Fatalf("without the setting: %v %v", r, err)
	}
	d = d.Crash(faultdisk.All)
	o := testOptions(d)
	o.TrustEmpty = true
	_, r := mustOpen(t, o)
	wantZxids(t, r, 7, 8, 9)
	d = d.Crash(faultdisk.Nothing)
	_, r = mustOpen(t, testOptions(d))
	if wantZxids(t, r, 7, 8, 9); r.Snapshot.Zxid != 9 {
		t.Fatalf("started from %+v", r.Snapshot)
	}
}

// An error of the disk inside a truncation is no end of it: nothing may be logged
// or acknowledged behind half of one, and the next start ends it (ZOOKEEPER-3701).
func TestTruncateWithFailingDisk(t *testing.T) {
	for n := 0; ; n++ {
		d := faultdisk.New()
		s, r := mustOpen(t, testOptions(d))
		if err := history(&script{}, s, r); err != nil {
			t.Fatal(err)
		}
		d.FailAt(d.Ops()+n, syscall.ENOSPC) // once; what follows it works again
		err := s.Truncate(5)
		if err == nil {
			if n == 0 {
				t.Fatal("no operation failed")
			}
			return
		}
		for _, after := range []error{err, s.Append(recs(6, 6)), s.Sync(), s.WriteEpochs(Epochs{1, 1})} {
			if !errors.Is(after, ErrFailed) || !errors.Is(after, syscall.ENOSPC) {
				t.Errorf("operation %d failed, after it: %v", n, after)
			}
		}
		_, r = mustOpen(t, testOptions(d.Crash(faultdisk.All)))
		if got := zxidsOf(r.Tree); r.LastZxid != 5 && r.LastZxid != 12 || int64(len(got)) != r.LastZxid {
			t.Errorf("operation %d failed: recovered 0x%x, the tree holds %x", n, r.LastZxid, got)
		}
	}
}

// A snapshot that does not get on, on a stuck disk or a slow one, holds up neither
// the log nor what asks for figures (ZOOKEEPER-3531).
func TestStuckSnapshotHoldsUpNothing(t *testing.T) {
	s, _ := mustOpen(t, testOptions(faultdisk.New()))
	mustAppend(t, s, recs(1, 4)...)
	slow := &slowSnapshot{zxid: 4, started: make(chan bool), release: make(chan bool)}
	written, logged := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := s.WriteSnapshot(slow, nil)
		written <- err
	}()
	<-slow.started
	go func() {
		_ = s.Stats()
		logged <- errors.Join(s.Append(recs(5, 9)), s.Sync(), s.Roll(), s.WriteEpochs(Epochs{1, 1}))
	}()
	select {
	case err := <-logged:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the log waits for the snapshot")
	}
	close(slow.release)
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// What a start has found and kept is synced, and the log says so: damage that comes
// to it later is no torn end, though nothing was logged behind it.
func TestEveryByteOfRecoveredLogIsGuarded(t *testing.T) {
	d := faultdisk.New()
	s, _ := mustOpen(t, testOptions(d))
	mustAppend(t, s, recs(1, 4)...)
	d = d.Crash(faultdisk.Nothing)
	mustOpen(t, testOptions(d))
	base := d.Crash(faultdisk.Nothing)
	whole := get(t, base, log1)
	for at := logHeaderSize; at < len(javaLog(recs(1, 4), 0)); at++ {
		d := base.Crash(faultdisk.All)
		b := append([]byte(nil), whole...)
		b[at] ^= 0x10
		put(t, d, log1, b)
		if r, err := tryRecover(d); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d: %v %v", at, r, err)
		}
		base = d
		put(t, base, log1, whole)
	}
}
