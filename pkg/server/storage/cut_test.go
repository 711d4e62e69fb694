package storage

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// history builds log.1 (1..6), log.7 (7..9) and log.a (a..c), with snapshots
// at 4 and 8.
func history(c *script, s *Store, r *Recovered) error {
	for _, part := range [][2]int64{{1, 6}, {7, 9}, {10, 12}} {
		if err := c.append(s, recs(part[0], part[1])...); err != nil {
			return err
		}
		if err := s.Roll(); err != nil {
			return err
		}
	}
	for _, at := range []int64{4, 8} {
		tr := treeAt(at)
		d := tr.Digest()
		if _, err := s.WriteSnapshot(tr.Snapshot(), &d); err != nil {
			return err
		}
	}
	return nil
}

// treeAt is the tree after the first records.
func treeAt(zxid int64) *tree.Tree {
	tr := tree.New(tree.Options{})
	for _, r := range recs(1, zxid) {
		x := mustDecode(r)
		tr.Apply(x)
	}
	return tr
}

func TestTruncate(t *testing.T) {
	for _, to := range []int64{0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} {
		d := faultdisk.New()
		s, r := mustOpen(t, testOptions(d))
		if err := history(&script{}, s, r); err != nil {
			t.Fatal(err)
		}
		if err := s.Truncate(to); err != nil {
			t.Fatalf("truncate to %d: %v", to, err)
		}
		if err := s.Append(recs(to+1, to+1)); err == nil {
			t.Fatal("append went on without recover")
		}
		s, r = mustOpen(t, testOptions(d.Crash(faultdisk.Nothing)))
		if r.LastZxid != to || int64(len(zxidsOf(r.Tree))) != to || len(r.Warnings) != 0 {
			t.Fatalf("truncate to %d: recovered 0x%x %q", to, r.LastZxid, r.Warnings)
		}
		mustAppend(t, s, recs(to+1, to+3)...)
		_, r = mustOpen(t, testOptions(s.fs.(*faultdisk.Disk).Crash(faultdisk.Nothing)))
		if r.LastZxid != to+3 {
			t.Fatalf("truncate to %d: went on to 0x%x", to, r.LastZxid)
		}
	}
}

func TestTruncateRefuses(t *testing.T) {
	d := faultdisk.New()
	s, r := mustOpen(t, testOptions(d))
	if err := history(&script{}, s, r); err != nil {
		t.Fatal(err)
	}
	for _, to := range []int64{13, 1<<32 | 1} {
		if err := s.Truncate(to); !errors.Is(err, ErrCannotTruncate) {
			t.Errorf("truncate to 0x%x: %v", to, err)
		}
	}
	// A refusal changes nothing, and the store goes on.
	mustAppend(t, s, rec(13))
	for _, name := range []string{"snapshot.0", "snapshot.4"} {
		if err := s.fs.Remove("/data/version-2/" + name); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.fs.Remove("/logs/version-2/log.1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Truncate(7); !errors.Is(err, ErrCannotTruncate) || !strings.Contains(err.Error(), "zkctl server rejoin") || !strings.Contains(err.Error(), "/logs/version-2") {
		t.Errorf("truncate below the only snapshot: %v", err)
	}
	if err := s.CanTruncate(7); err == nil {
		t.Error("can truncate below the only snapshot")
	}
	if err := errors.Join(s.CanTruncate(8), s.Truncate(8)); err != nil {
		t.Errorf("truncate to the only snapshot: %v", err)
	}
}

// cutCheck accepts the whole old state, the whole new one, and, while a
// change is under way, nothing between.
func cutCheck(t *testing.T, c *script, r *Recovered) {
	t.Helper()
	if c.truncated == 0 {
		whole(t, c, r)
		return
	}
	if r.LastZxid != c.acked && r.LastZxid != c.truncated {
		t.Errorf("recovered 0x%x", r.LastZxid)
	}
	if got := zxidsOf(r.Tree); int64(len(got)) != r.LastZxid {
		t.Errorf("recovered 0x%x, but the tree holds %x", r.LastZxid, got)
	}
}

func TestEveryCrashPointOfTruncate(t *testing.T) {
	for _, to := range []int64{3, 6, 8, 11} {
		crashPoints(t, func(c *script, s *Store, r *Recovered) error {
			if err := history(c, s, r); err != nil {
				return err
			}
			c.truncated = to
			if err := s.Truncate(to); err != nil {
				return err
			}
			c.acked = to // from now on nothing else
			return nil
		}, cutCheck)
	}
}

func TestEveryCrashPointOfInstall(t *testing.T) {
	for _, at := range []int64{5, 12, 40} {
		crashPoints(t, func(c *script, s *Store, r *Recovered) error {
			if err := history(c, s, r); err != nil {
				return err
			}
			c.truncated = at
			if err := s.Install(treeAt(at).Snapshot(), nil); err != nil {
				return err
			}
			c.acked = at
			return nil
		}, cutCheck)
	}
}

func TestInstallLeavesNoOldRecord(t *testing.T) {
	d := faultdisk.New()
	s, r := mustOpen(t, testOptions(d))
	if err := history(&script{}, s, r); err != nil {
		t.Fatal(err)
	}
	if err := s.Install(treeAt(7).Snapshot(), nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, recs(8, 9)...)
	s, r = mustOpen(t, testOptions(d.Crash(faultdisk.Nothing)))
	wantZxids(t, r, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	snaps, logs, err := s.list()
	if err != nil || len(logs) != 1 || logs[0].Name != "log.8" || snaps[len(snaps)-1].Name != "snapshot.7" {
		t.Fatal(snaps, logs, err)
	}
}

func TestEveryCrashPointOfEpochs(t *testing.T) {
	list := []Epochs{{1, 0}, {1, 1}, {5, 1}, {5, 5}, {12, 12}}
	for ops := 0; ; ops++ {
		d := faultdisk.New()
		s, _ := mustOpen(t, testOptions(d))
		d.StopAfter(ops)
		done := 0
		for _, e := range list {
			if s.WriteEpochs(e) != nil {
				break
			}
			done++
		}
		stopped := d.Stopped()
		for _, keep := range []faultdisk.Keep{faultdisk.Nothing, faultdisk.All} {
			s, _ := mustOpen(t, testOptions(d.Crash(keep)))
			got, _, err := s.ReadEpochs()
			if err != nil {
				t.Fatal(err)
			}
			floor, roof := Epochs{}, list[min(done, len(list)-1)]
			if done > 0 {
				floor = list[done-1]
			}
			if got.Accepted < floor.Accepted || got.Current < floor.Current || got.Accepted > roof.Accepted || got.Current > roof.Current {
				t.Fatalf("stopped after %d operations: wrote %v, found %v", ops, list[:done], got)
			}
		}
		if !stopped {
			return
		}
	}
}

func TestReadEpochs(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   map[string]string
		last    int64
		want    Epochs
		found   bool
		corrupt bool
	}{
		{name: "standalone before", last: 3<<32 | 5, want: Epochs{3, 3}},
		{name: "both", files: map[string]string{"acceptedEpoch": "4", "currentEpoch": "3"}, want: Epochs{4, 3}, found: true},
		{name: "newline", files: map[string]string{"acceptedEpoch": "4\n", "currentEpoch": "3\r\n"}, want: Epochs{4, 3}, found: true},
		{name: "empty", files: map[string]string{"acceptedEpoch": ""}, corrupt: true},
		{name: "blank", files: map[string]string{"acceptedEpoch": " 4"}, corrupt: true},
		{name: "plus", files: map[string]string{"acceptedEpoch": "+4"}, corrupt: true},
		{name: "accepted below current", files: map[string]string{"acceptedEpoch": "2", "currentEpoch": "3"}, corrupt: true, found: true},
		{name: "zxid ahead", last: 5 << 32, files: map[string]string{"acceptedEpoch": "4", "currentEpoch": "4"}, corrupt: true, found: true},
		{name: "ended between log and epoch", last: 5<<32 | 3, files: map[string]string{"acceptedEpoch": "6", "currentEpoch": "4"}, want: Epochs{6, 5}, found: true},
		{name: "3.4 marker", last: 5 << 32, files: map[string]string{"acceptedEpoch": "5", "currentEpoch": "4", "updatingEpoch": ""}, want: Epochs{5, 5}, found: true},
		{name: "3.5 tmp", last: 5 << 32, files: map[string]string{"acceptedEpoch": "5", "currentEpoch": "4", "currentEpoch.tmp": "5"}, want: Epochs{5, 5}, found: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := mustOpen(t, testOptions(faultdisk.New()))
			s.last = c.last
			for name, text := range c.files {
				put(t, s.fs, "/data/version-2/"+name, []byte(text))
			}
			got, found, err := s.ReadEpochs()
			if errors.Is(err, ErrCorrupt) != c.corrupt || got != c.want || found != c.found {
				t.Fatal(got, found, err)
			}
		})
	}
}

func TestStaleIntentIsForgotten(t *testing.T) {
	d := faultdisk.New()
	s, r := mustOpen(t, testOptions(d))
	if err := history(&script{}, s, r); err != nil {
		t.Fatal(err)
	}
	put(t, d, "/data/version-2/zkctl.intent", []byte("truncate 0x3 0x6\n"))
	_, r = mustOpen(t, testOptions(d.Crash(faultdisk.All)))
	if r.LastZxid != 12 {
		t.Fatalf("recovered 0x%x", r.LastZxid)
	}
}

func TestTruncateGivesUpSnapshot(t *testing.T) {
	s, r := mustOpen(t, testOptions(faultdisk.New()))
	if err := history(&script{}, s, r); err != nil {
		t.Fatal(err)
	}
	slow := &slowSnapshot{zxid: 12, started: make(chan bool), release: make(chan bool)}
	failed := make(chan error)
	go func() {
		_, err := s.WriteSnapshot(slow, nil)
		failed <- err
	}()
	<-slow.started
	done := make(chan error)
	go func() { done <- s.Truncate(6) }()
	for s.generation.Load() == 0 { // Truncate raises it first
		runtime.Gosched()
	}
	close(slow.release)
	if err := <-failed; !errors.Is(err, ErrSuperseded) {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r, err := s.Recover(context.Background()); err != nil || r.LastZxid != 6 {
		t.Fatal(r, err)
	}
}

// hasFile tells whether a directory has a file.
func hasFile(t *testing.T, s *Store, dir, name string) bool {
	t.Helper()
	infos, err := s.fs.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range infos {
		if in.Name == name {
			return true
		}
	}
	return false
}
