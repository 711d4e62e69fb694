package interop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/test/ensemble"
)

// A loss is a way in which an ensemble loses its leader, and gets the server back.
type loss struct {
	name         string
	strike, mend func(e *ensemble.Ensemble, sid int)
}

// losses are all ways.
func losses() []loss {
	return []loss{
		{"killed", (*ensemble.Ensemble).Kill, (*ensemble.Ensemble).Restart},
		{"stopped", (*ensemble.Ensemble).Stop, (*ensemble.Ensemble).Restart},
		{"paused", (*ensemble.Ensemble).Pause, (*ensemble.Ensemble).Resume},
		{"cut off", (*ensemble.Ensemble).Isolate, func(e *ensemble.Ensemble, _ int) { e.Heal() }},
	}
}

// A mixture is an ensemble of several kinds, and who writes to it and watches it.
type mixture struct {
	t      *testing.T
	e      *ensemble.Ensemble
	k      *kinds
	ws     *writers
	rovers map[int]*rover // by the server to which they belong
}

// newMixture starts servers of such kinds behind relays; the last ones observe.
func newMixture(t *testing.T, voters, observers []kind) *mixture {
	t.Helper()
	m := &mixture{t: t, k: newKinds(t, slices.Concat(voters, observers)), rovers: make(map[int]*rover)}
	m.e = m.k.startRelayed(t, len(observers))
	m.ws = startWriters(t, m.e)
	for sid := 1; sid <= m.e.Len(); sid++ {
		m.rovers[sid] = newRover(t, m.e, sid)
	}
	return m
}

// heir is a voter of a kind that does not lead, 0 when there is none. Of equal ones
// the last one wins elections.
func (m *mixture) heir(of kind) int {
	leader := m.e.WaitLeader()
	for sid := m.e.Voters(); sid > 0; sid-- {
		if sid != leader && m.k.of(sid) == of {
			return sid
		}
	}
	return 0
}

// crown makes a voter the leader: it alone has all that the leader has when that is
// lost. Of the others so many are down then as a quorum can do without, and the rest
// stays behind. The clients of the leader go to the new one, those of the servers
// that are down wait for their return.
func (m *mixture) crown(sid int, how loss, dir string) {
	m.t.Helper()
	e, leader := m.e, m.e.WaitLeader()
	helpers, absent := m.court(leader, sid)
	var set []*watches
	for home, r := range m.rovers {
		set = append(set, r.arm(fmt.Sprintf("%s-%d", dir, home)))
	}
	for _, s := range absent {
		e.Kill(s)
	}
	for _, w := range set {
		w.meanwhile(m.rovers[sid].goClient)
	}
	m.ws.wait(m.t, 20)
	caughtUp := m.outrun(leader, sid, helpers)
	m.rovers[leader].helm.steer(e.Addr(sid))
	how.strike(e, leader)
	m.rovers[leader].cut() // a server that is paused, or cut off, may keep it
	m.ws.leave(e.Addr(leader))
	for _, h := range helpers {
		e.Reset(leader, h)
		if how.name != "cut off" {
			e.Mend(leader, h)
		}
	}
	e.Restart(absent[0]) // a quorum now, and none without sid
	ensemble.Eventually(m.t, fmt.Sprintf("server %d to lead", sid), func() bool { return e.Leader() == sid })
	for _, s := range absent[1:] {
		e.Restart(s)
	}
	for _, s := range absent {
		e.WaitServing(s)
	}
	caughtUp()
	for _, r := range m.rovers {
		r.waitSession()
	}
	for _, w := range set {
		w.fire(m.rovers[absent[0]].goClient)
	}
	m.ws.wait(m.t, 20)
	how.mend(e, leader)
	e.WaitAll()
}

// court is the voters beside the leader and its heir: those which a quorum needs
// with them, and those it can do without.
func (m *mixture) court(leader, heir int) (helpers, absent []int) {
	for sid := 1; sid <= m.e.Voters(); sid++ {
		if sid != leader && sid != heir {
			absent = append(absent, sid)
		}
	}
	needed := m.e.Voters()/2 - 1
	return absent[:needed], absent[needed:]
}

// outrun keeps what the leader proposes from the helpers, until the heir has more of
// it on its disk than they. Nothing is committed any more, and it is soon that a
// leader has to be lost. What is returned waits for the write that was made meanwhile.
func (m *mixture) outrun(leader, heir int, helpers []int) (done func()) {
	m.t.Helper()
	if len(helpers) == 0 {
		return func() {}
	}
	for _, h := range helpers {
		m.e.Cut(leader, h)
	}
	written := make(chan error, 1)
	go func() {
		_, err := m.rovers[heir].Set("/multi", nil, -1)
		written <- err
	}()
	ensemble.Eventually(m.t, fmt.Sprintf("server %d to have more than %v", heir, helpers), func() bool {
		last := lastLogged(m.t, m.e, heir)
		return !slices.ContainsFunc(helpers, func(h int) bool { return lastLogged(m.t, m.e, h) >= last })
	})
	return func() {
		m.t.Helper()
		var broken *net.OpError
		if err := <-written; err != nil && !errors.Is(err, zk.ErrConnectionClosed) && !errors.As(err, &broken) {
			m.t.Errorf("a write while the leader was lost: %v", err)
		}
	}
}

// lastLogged is the last zxid in a server's log, which may be written just now.
func lastLogged(t *testing.T, e *ensemble.Ensemble, sid int) int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(e.Dir(sid), "zkdatalog", "version-2", "log.*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(files, byZxidName)
	for _, file := range slices.Backward(files) {
		if last := lastIn(t, file); last != 0 {
			return last
		}
	}
	return 0
}

// lastIn is the last zxid in a log file, 0 when there is none yet.
func lastIn(t *testing.T, file string) (last int64) {
	t.Helper()
	l, err := storage.OpenLog(file)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, storage.ErrCorrupt) { // purged, or just begun
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for {
		r, err := l.Next()
		if err != nil {
			return last
		}
		last = r.Zxid
	}
}

// byZxidName orders files by the zxid behind the point of their names, without a
// compression's suffix.
func byZxidName(a, b string) int {
	za, zb := zxidOfName(a), zxidOfName(b)
	if len(za) != len(zb) {
		return len(za) - len(zb)
	}
	return strings.Compare(za, zb)
}

func zxidOfName(path string) string {
	parts := strings.Split(filepath.Base(path), ".")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}
