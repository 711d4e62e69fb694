package interop

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/test/ensemble"
)

// An ensemble of Apache's moves to zkctl and back, server by server, each on the
// same files with the same zoo.cfg, while clients write.
func TestRollingMigration(t *testing.T) {
	k := newKinds(t, []kind{apache, apache, apache}, ours)
	e := k.start(t)
	ws := startWriters(t, e)
	ws.wait(t, 200)
	rovers := make(map[int]*rover)
	for sid := 1; sid <= e.Len(); sid++ {
		rovers[sid] = newRover(t, e, sid)
	}
	for _, to := range []kind{ours, apache} {
		for i, sid := range leaderLast(e) {
			replace(t, e, ws, rovers, k, sid, to, fmt.Sprintf("/%s-%d", to, i))
		}
		for home, r := range rovers {
			r.through(e, home)
			r.hop(e, home)
		}
		checkDigests(t, e)
	}
	ws.end(t)
	settle(t, e, ws, rovers)
}

// leaderLast is the order of a rolling change.
func leaderLast(e *ensemble.Ensemble) []int {
	leader, sids := e.WaitLeader(), []int{1, 2, 3}
	return append(slices.DeleteFunc(sids, func(sid int) bool { return sid == leader }), leader)
}

// replace ends a server and starts one of another kind in its place. Its rover waits
// for it to return, the others see what happens meanwhile.
func replace(t *testing.T, e *ensemble.Ensemble, ws *writers, rovers map[int]*rover, k *kinds, sid int, to kind, dir string) {
	t.Helper()
	w := rovers[sid].arm(dir)
	other := rovers[sid%3+1]
	was := e.WaitLeader()
	checkDigests(t, e)
	e.Stop(sid)
	k.set(sid, to)
	e.WaitLeader(sid)
	other.waitSession()
	w.meanwhile(other.goClient)
	ws.wait(t, 150) // more than a snapshot's worth
	// A server of Apache's that joins a leader of Apache's may lose what is proposed
	// just then (ZOOKEEPER-4394, in 3.8.0), and it does on a busy machine. Our leader
	// gives it no occasion to.
	if to == apache && k.of(e.WaitLeader()) == apache {
		ws.rest.Lock()
		defer ws.rest.Unlock()
	}
	e.Restart(sid)
	e.WaitAll()
	if st := e.Status(sid); st.Role != fourletter.ModeFollower || strings.HasPrefix(st.Version, "3.8") != (to == apache) {
		t.Errorf("server %d, of kind %s, is a %s of version %s", sid, to, st.Role, st.Version)
	}
	rovers[sid].waitServer(e.Addr(sid))
	rovers[sid].whole()
	w.fire(other.goClient)
	t.Logf("server %d is %s now; %d led before, %d leads", sid, to, was, e.WaitLeader())
}

// One server's files are taken over and back, after kill -9, with the sessions in
// them: each kind starts from the snapshots and logs of the other.
func TestTakeTurnsOnOneDisk(t *testing.T) {
	k := newKinds(t, []kind{apache}, ours)
	e := k.start(t)
	ws := startWriters(t, e)
	r := newRover(t, e, 1)
	for _, to := range []kind{ours, apache, ours, apache} {
		found, snapshot := newestSnapshot(t, e), ""
		ws.wait(t, 150)
		ensemble.Eventually(t, "a snapshot of this kind", func() bool {
			snapshot = newestSnapshot(t, e)
			return snapshot != found
		})
		w := r.arm("/before-" + fmt.Sprint(ws.count.Load()))
		checkDigests(t, e)
		// Nobody may connect while it starts: one server of Apache's alone listens
		// before it has a database, and keeps whom it cannot serve then for ever.
		ws.hold(true)
		r.helm.steer(nowhere)
		e.Kill(1)
		k.set(1, to)
		e.Restart(1)
		e.WaitServing(1)
		ws.hold(false)
		r.helm.steer(e.Addr(1))
		r.waitSession()
		r.whole()
		r.multi()
		c := dial(t, e.Addr(1))
		w.meanwhile(c)
		w.fire(c)
		checkDigests(t, e)
		t.Logf("%s serves from %s", to, snapshot)
	}
	ws.end(t)
	before := sameTrees(t, e)
	ws.check(t, before)
	for _, to := range []kind{ours, apache} {
		e.Kill(1)
		k.set(1, to)
		e.Restart(1)
		e.WaitServing(1)
		after := sameTrees(t, e)
		compareTrees(t, "the same disk before and after "+string(to), before, after)
	}
	checkDigests(t, e)
}

// newestSnapshot is the name of the snapshot a server would start from.
func newestSnapshot(t *testing.T, e *ensemble.Ensemble) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(e.Dir(1), "zkdata", "version-2", "snapshot.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no snapshots: %v", err)
	}
	newest := slices.MaxFunc(files, func(a, b string) int { return len(a)*100 - len(b)*100 + strings.Compare(a, b) })
	return filepath.Base(newest)
}
