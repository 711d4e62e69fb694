package interop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/test/ensemble"
)

// Leaders of ours bring learners of Apache's up to date, and theirs ours, with a
// TRUNC, a DIFF and a SNAP, as the relays see it. An observer is told only of what is
// committed, so it has nothing to be truncated. The matrix has each line in both
// directions.
func TestLearnersOfOtherKind(t *testing.T) {
	for _, x := range []struct {
		leads, learns kind
		sampled       bool
	}{
		{ours, apache34, false}, {apache34, ours, true},
		{ours, apache, true}, {apache, ours, false},
		{ours, apache39, false}, {apache39, ours, true},
	} {
		if x.sampled || *matrix {
			t.Run(fmt.Sprintf("%s leads %s", x.leads, x.learns), func(t *testing.T) { learn(t, x.leads, x.learns) })
		}
	}
}

// Servers of [learn]: two of one kind, of which the second leads once the third has
// been the leader, and an observer like the third.
const (
	spare = iota + 1
	teacher
	pupil
	onlooker
)

func learn(t *testing.T, leads, learns kind) {
	k := newKinds(t, []kind{leads, leads, learns, learns})
	o := k.options(1)
	o.Patience = ensemble.Patience
	// What is not in memory is in no log either. Apache's 3.4 always keeps 500.
	o.Config["commitLogCount"], o.Config["snapshotSizeFactor"], o.Config["snapCount"] = "500", "-1", "1000"
	e := ensemble.Start(t, o)
	e.RestartAll()
	c := dial(t, e.Addr(spare))
	c.create("/known", "", 0)
	e.WaitLevel()

	loseTail(t, e)
	e.WaitLeader(pupil)
	// Before anything is committed in the new epoch: no leader truncates across epochs,
	// except 3.4's (LearnerHandler.java, queueCommittedProposals).
	come(t, e, pupil, ensemble.Trunc)
	if late := dial(t, e.Addr(pupil)); late.exists("/ghost") || !late.exists("/known") {
		t.Error("the learner still has what was never committed, or lacks what was")
	}

	for _, sid := range []int{pupil, onlooker} {
		e.Kill(sid)
	}
	for i := range 10 {
		c.create(fmt.Sprintf("/missed-%d", i), "x", 0)
	}
	come(t, e, pupil, ensemble.Diff)
	come(t, e, onlooker, ensemble.Diff)

	for _, sid := range []int{pupil, onlooker} {
		e.Kill(sid)
	}
	crowd(t, c, "/crowd", 600)
	come(t, e, pupil, ensemble.Snap)
	come(t, e, onlooker, ensemble.Snap)

	c.create("/live", "", 0)
	sameTrees(t, e)
	checkDigests(t, e)
}

// A learner that missed more than the leader has in memory, and little beside the
// size of a snapshot, gets a DIFF from the log, which 3.4 cannot give.
func TestLearnersFromLog(t *testing.T) {
	for _, x := range []struct {
		leads, learns kind
		sampled       bool
	}{{ours, apache, true}, {apache, ours, false}, {ours, apache39, false}, {apache39, ours, false}, {ours, apache34, false}} {
		if x.sampled || *matrix {
			t.Run(fmt.Sprintf("%s leads %s", x.leads, x.learns), func(t *testing.T) { learnFromLog(t, x.leads, x.learns) })
		}
	}
}

func learnFromLog(t *testing.T, leads, learns kind) {
	k := newKinds(t, []kind{leads, leads, learns, learns})
	o := k.options(1)
	o.Patience = ensemble.Patience
	o.Config["preAllocSize"] = "64" // which counts as the log's size
	e := ensemble.Start(t, o)
	e.RestartAll()
	if leader := e.WaitLeader(); leader == pupil {
		e.Kill(leader)
		e.WaitLeader(leader)
		e.Restart(leader)
		e.WaitAll()
	}
	c := dial(t, e.Addr(e.WaitLeader()))
	large := strings.Repeat("large", 8<<10)
	for i := range 100 {
		c.create(fmt.Sprintf("/large-%d", i), large, 0)
	}
	crowd(t, c, "/known", 250) // snapshots, and logs without what is large
	e.WaitLevel()
	for _, sid := range []int{pupil, onlooker} {
		e.Kill(sid)
	}
	crowd(t, c, "/missed", 600)
	come(t, e, pupil, ensemble.Diff)
	come(t, e, onlooker, ensemble.Diff)
	c.create("/live", "", 0)
	sameTrees(t, e)
	checkDigests(t, e)
}

// A server of ours whose history came in one snapshot, of a leader that was lost, cannot
// go back behind it: it asks for another.
func TestLearnerThatCannotTruncate(t *testing.T) {
	for _, leads := range []kind{apache, ours, apache34, apache39} {
		if leads != apache && !*matrix {
			continue
		}
		t.Run(fmt.Sprintf("%s leads", leads), func(t *testing.T) {
			e := ensemble.Start(t, newKinds(t, []kind{leads, leads, ours, ours}).options(1))
			e.RestartAll()
			dial(t, e.Addr(spare)).create("/known", "", 0)
			e.WaitLevel()
			loseTail(t, e)
			e.WaitLeader(pupil)
			inOneSnapshot(t, e, pupil)
			come(t, e, pupil, ensemble.Trunc, ensemble.Snap)
			if c := dial(t, e.Addr(pupil)); c.exists("/ghost") || !c.exists("/known") {
				t.Error("the learner still has what was never committed, or lacks what was")
			}
			sameTrees(t, e)
		})
	}
}

// inOneSnapshot leaves on a server's disk what is there when a leader has sent all of it
// in a snapshot.
func inOneSnapshot(t *testing.T, e *ensemble.Ensemble, sid int) {
	t.Helper()
	dir := filepath.Join(e.Dir(sid), "zkdata")
	s, err := storage.Open(storage.Options{DataDir: dir, LogDir: filepath.Join(e.Dir(sid), "zkdatalog")})
	wantErr(t, "open", err, nil)
	r, err := s.Recover(t.Context())
	wantErr(t, "recover", err, nil)
	wantErr(t, "install", s.Install(r.Tree.Snapshot(), nil), nil)
	wantErr(t, "close", s.Close(), nil)
	paths, err := filepath.Glob(filepath.Join(dir, storage.VersionDir, "snapshot.*"))
	wantErr(t, "glob", err, nil)
	for _, path := range paths {
		if _, zxid := storage.ParseName(filepath.Base(path)); zxid < r.LastZxid {
			wantErr(t, "remove", os.Remove(path), nil)
		}
	}
}

// loseTail ends the pupil while it leads and only it has the last write.
func loseTail(t *testing.T, e *ensemble.Ensemble) {
	t.Helper()
	if leader := e.WaitLeader(); leader != pupil {
		e.Kill(leader) // the last of equals is elected
		e.WaitLeader(leader)
		e.Restart(leader)
		e.WaitAll()
	}
	if leader := e.WaitLeader(); leader != pupil {
		t.Fatalf("server %d leads, not %d", leader, pupil)
	}
	c := dial(t, e.Addr(pupil))
	e.WaitLevel()
	had := lastLogged(t, e, pupil)
	for _, sid := range []int{spare, teacher, onlooker} {
		e.Cut(pupil, sid)
	}
	written := make(chan error, 1)
	go func() {
		_, err := c.Create("/ghost", nil, 0, open)
		written <- err
	}()
	ensemble.Eventually(t, "the write to be in the leader's log", func() bool { return lastLogged(t, e, pupil) > had })
	e.Kill(pupil)
	if err := <-written; err == nil {
		t.Error("a write was acknowledged that only the leader has")
	}
	for _, sid := range []int{spare, teacher, onlooker} {
		e.Reset(pupil, sid)
	}
	e.Heal()
}

// come starts a learner, which has to be brought up to date like that: at once, or when
// it comes again.
func come(t *testing.T, e *ensemble.Ensemble, sid int, how ...string) {
	t.Helper()
	leader := e.WaitLeader()
	before := e.Syncs(leader, sid)
	e.Restart(sid)
	e.WaitServing(sid)
	if now := e.WaitLeader(); now != leader {
		t.Fatalf("server %d leads after %d", now, leader)
	}
	if got := e.Syncs(leader, sid)[len(before):]; !slices.Equal(got, how) {
		t.Errorf("server %d brought %d up to date with %v, want %s", leader, sid, got, how)
	}
}

// crowd makes many znodes soon, below a new one.
func crowd(t *testing.T, c *goClient, dir string, n int) {
	t.Helper()
	const hands = 8
	c.create(dir, "", 0)
	errs := make([]error, hands)
	var all sync.WaitGroup
	for h := range hands {
		all.Go(func() {
			for i := h; i < n && errs[h] == nil; i += hands {
				errs[h] = insist(c, fmt.Sprintf("%s/%d", dir, i))
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		wantErr(t, "create", err, nil)
	}
}

// insist creates a znode, again where the connection breaks.
func insist(c *goClient, path string) error {
	for again := false; ; again = true {
		_, err := c.Create(path, nil, 0, open)
		if again && errors.Is(err, zk.ErrNodeExists) {
			return nil
		}
		if !errors.Is(err, zk.ErrConnectionClosed) {
			return err
		}
	}
}
