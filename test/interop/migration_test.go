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
// same files with the same zoo.cfg, while clients write. The matrix has three and
// five servers of each line.
func TestRollingMigration(t *testing.T) {
	for _, x := range []struct {
		line    kind
		servers int
	}{{apache, 3}, {apache34, 3}, {apache39, 3}, {apache34, 5}, {apache, 5}, {apache39, 5}} {
		if x.line == apache && x.servers == 3 || *matrix {
			t.Run(fmt.Sprintf("%d of %s", x.servers, x.line), func(t *testing.T) { migrate(t, x.line, x.servers) })
		}
	}
}

func migrate(t *testing.T, line kind, servers int) {
	k := newKinds(t, slices.Repeat([]kind{line}, servers), ours)
	e := k.start(t)
	ws := startWriters(t, e)
	ws.wait(t, 200)
	rovers := make(map[int]*rover)
	for sid := 1; sid <= e.Len(); sid++ {
		rovers[sid] = newRover(t, e, sid)
	}
	for _, to := range []kind{ours, line} {
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
	leader, order := e.WaitLeader(), []int(nil)
	for sid := 1; sid <= e.Len(); sid++ {
		if sid != leader {
			order = append(order, sid)
		}
	}
	return append(order, leader)
}

// replace ends a server and starts one of another kind in its place. Its rover waits
// for it to return, the others see what happens meanwhile.
func replace(t *testing.T, e *ensemble.Ensemble, ws *writers, rovers map[int]*rover, k *kinds, sid int, to kind, dir string) {
	t.Helper()
	w := rovers[sid].arm(dir)
	other := rovers[sid%e.Len()+1]
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
	if to != ours && k.of(e.WaitLeader()) != ours {
		ws.rest.Lock()
		defer ws.rest.Unlock()
	}
	e.Restart(sid)
	e.WaitAll()
	st := e.Status(sid)
	is := strings.HasPrefix(st.Version, to.version()) && strings.Contains(st.Version, "zkctl") == (to == ours)
	if st.Role != fourletter.ModeFollower || !is {
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

// newestSnapshot is the name of the snapshot a server would start from, "" when
// there is none.
func newestSnapshot(t *testing.T, e *ensemble.Ensemble) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(e.Dir(1), "zkdata", "version-2", "snapshot.*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		return ""
	}
	return filepath.Base(slices.MaxFunc(files, byZxidName))
}
