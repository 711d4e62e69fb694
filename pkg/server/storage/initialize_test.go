package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
)

// asked is a disk on which an operator said that a server is new.
func asked(t *testing.T) *faultdisk.Disk {
	t.Helper()
	d := faultdisk.New()
	if err := d.MkdirAll("/data", 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, d, "/data/initialize", nil)
	if err := d.SyncDir("/data"); err != nil {
		t.Fatal(err)
	}
	return d
}

// votes starts a server on a disk whose files are gone unless it says otherwise, and
// tells whether it has a vote.
func votes(o Options) (bool, error) {
	o.NoAutoCreate = true
	s, err := Open(o)
	if err != nil {
		return false, err
	}
	defer s.Close()
	r, err := s.Recover(context.Background())
	return err == nil && r.LastZxid == 0, err
}

// once checks that a server has the vote that it was given, whatever became of its
// first start, also after the power is gone once more, and that it has none after its
// files are lost.
func once(d *faultdisk.Disk) error {
	for range 2 {
		if has, err := votes(testOptions(d)); err != nil || !has {
			return fmt.Errorf("the next start has a vote: %t, %w", has, err)
		}
		d = d.Crash(faultdisk.Nothing)
	}
	infos, err := d.ReadDir("/data/version-2")
	if err != nil {
		return err
	}
	for _, in := range infos {
		d.Lose("/data/version-2/" + in.Name)
	}
	if has, err := votes(testOptions(d)); err != nil || has {
		return fmt.Errorf("without its files it has a vote: %t, %w", has, err)
	}
	return nil
}

// TestInitializeFileCountsOnce lets each operation of the first start fail, and
// takes the power away after it: the file by which an operator founds a
// database is neither lost before there is one nor left to found another.
func TestInitializeFileCountsOnce(t *testing.T) {
	for _, f := range []faultdisk.Fault{
		{Err: syscall.EIO, Effect: faultdisk.EffectNone},
		{Err: syscall.EIO, Effect: faultdisk.EffectHalf},
		{Err: syscall.EIO, Effect: faultdisk.EffectAll},
		{Err: syscall.ENOSPC, Effect: faultdisk.EffectHalf, Stays: true},
	} {
		for n := 0; ; n++ {
			d := asked(t)
			nth := d.FailNth(n, f)
			_, err := votes(testOptions(nth))
			_, _, hit := nth.Hit()
			if err != nil && !errors.Is(err, f.Err) {
				t.Fatalf("operation %d, %v: %v", n, nth, err)
			}
			for seed := range uint64(4) {
				if err := once(d.Crash(keeping(seed, uint64(n)))); err != nil {
					t.Fatalf("operation %d, %v, crash %d: %v", n, nth, seed, err)
				}
			}
			d.StopAfter(1 << 40)
			d.Restart()
			if err := once(d); err != nil {
				t.Fatalf("operation %d, %v: %v", n, nth, err)
			}
			if !hit {
				break
			}
		}
	}
}

// TestInitializeFileCannotGo: a database that is there serves, and says what is left
// to do.
func TestInitializeFileCannotGo(t *testing.T) {
	d := asked(t)
	s, _ := mustOpen(t, testOptions(d))
	put(t, d, "/data/initialize", nil)
	d.Fail("remove", "initialize", syscall.EACCES)
	r, err := s.Recover(context.Background())
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "remove it: ") {
		t.Errorf("%+v %v", r, err)
	}
}
