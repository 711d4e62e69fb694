package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A place is where a server listens, and its role.
type place struct {
	sid, quorum, election, client int
	role                          string
}

// home is where servers are at first.
func home(sid int) place { return place{sid, 2888, 3888, 2181, "participant"} }

// host is a server's address without a port.
func host(e *ensemble.Ensemble, sid int) string {
	h, _, _ := strings.Cut(e.Addr(sid), ":")
	return h
}

// line is what a list says of the server.
func (p place) line(e *ensemble.Ensemble) string {
	h := host(e, p.sid)
	return fmt.Sprintf("server.%d=%s:%d:%d:%s;%s:%d", p.sid, h, p.quorum, p.election, p.role, h, p.client)
}

// address is where clients reach the server.
func (p place) address(e *ensemble.Ensemble) string {
	return fmt.Sprintf("%s:%d", host(e, p.sid), p.client)
}

// A mover changes the places of an ensemble's servers one by one.
type mover struct {
	*reformer
	at map[int]place
}

// lists waits until each server lists all at their places.
func (m *mover) lists(more ...string) {
	m.t.Helper()
	var want []string
	for _, p := range m.at {
		want = append(want, p.line(m.e))
	}
	slices.Sort(want)
	for sid, p := range m.at {
		c := dial(m.t, p.address(m.e))
		var got []string
		ensemble.Eventually(m.t, fmt.Sprintf("server %d to list %v", sid, want), func() bool {
			text, _, err := c.Get("/zookeeper/config")
			got = nil
			for line := range strings.Lines(cutVersion(string(text))) {
				got = append(got, strings.TrimSpace(line))
			}
			slices.Sort(got)
			return err == nil && slices.Equal(got, slices.Sorted(slices.Values(slices.Concat(want, more))))
		})
		c.Close()
	}
}

// move changes one server's place, and waits until all know.
func (m *mover) move(p place) {
	m.t.Helper()
	m.at[p.sid] = p
	m.change([]string{p.line(m.e)}, nil)
	m.lists()
}

// kindsOf starts servers of ours, and Apache's where java says so.
func kindsOf(t *testing.T, java ...int) func(sid int) ensemble.Launcher {
	if len(java) == 0 {
		return nil
	}
	apache := ensemble.Java(t)
	return func(sid int) ensemble.Launcher {
		if slices.Contains(java, sid) {
			return apache
		}
		return nil
	}
}

// lead makes one of some servers lead: others are restarted while they do.
func lead(e *ensemble.Ensemble, sids ...int) int {
	for {
		leader := e.WaitLeader()
		if slices.Contains(sids, leader) {
			e.WaitAll()
			return leader
		}
		e.Kill(leader)
		e.WaitLeader(leader)
		e.Restart(leader)
		e.WaitAll()
	}
}

// mixtures are ensembles of three, each kind leading.
var mixtures = []struct {
	name          string
	java, leaders []int // nobody: whoever
}{
	{"ours", nil, []int{1, 2, 3}},
	{"ours lead", []int{1}, []int{2, 3}},
	{"theirs lead", []int{1, 3}, []int{1, 3}},
}

// eachMixture runs a test in each.
func eachMixture(t *testing.T, test func(t *testing.T, e *ensemble.Ensemble, leader int)) {
	for _, x := range mixtures {
		t.Run(x.name, func(t *testing.T) {
			e := reconfigurable(t, kindsOf(t, x.java...))
			test(t, e, lead(e, x.leaders...))
		})
	}
}

// TestReconfigMoves gives a follower and the leader other ports while a client of theirs
// stays; then all are ended, and the files tell where they are.
func TestReconfigMoves(t *testing.T) {
	eachMixture(t, func(t *testing.T, e *ensemble.Ensemble, leader int) {
		follower := leader%3 + 1
		r := newReformer(t, e, 6-leader-follower)
		m := &mover{r, map[int]place{1: home(1), 2: home(2), 3: home(3)}}
		guest := dial(t, e.Addr(follower))
		guest.create("/guest", "", zk.FlagEphemeral)
		session := guest.SessionID()

		p := home(follower)
		p.client = 2182
		m.move(p)
		if got := guest.SessionID(); got != session || !guest.exists("/guest") {
			t.Errorf("the session was %x and is %x", session, got)
		}
		p.election = 3889
		m.move(p)
		p.quorum = 2889
		m.move(p)

		p = home(leader)
		p.client = 2182
		m.move(p)
		p.election = 3889
		m.move(p)
		p.quorum = 2889 // it hands over
		m.move(p)

		for sid := 1; sid <= 3; sid++ {
			e.Kill(sid)
		}
		for sid := 1; sid <= 3; sid++ {
			e.Restart(sid)
		}
		m.write()
		m.lists()
		m.move(home(follower))
		m.move(home(leader))
		for sid := 1; sid <= 3; sid++ {
			m.whole(sid)
		}
	})
}

// TestReconfigRoles makes the leader an observer, and lets each server watch the change.
func TestReconfigRoles(t *testing.T) {
	eachMixture(t, func(t *testing.T, e *ensemble.Ensemble, leader int) {
		watching := make(map[int]*goClient)
		events := make(map[int]<-chan zk.Event)
		for sid := 1; sid <= 3; sid++ {
			c := dial(t, e.Addr(sid))
			_, _, ch, err := c.GetW("/zookeeper/config")
			wantErr(t, "watch", err, nil)
			watching[sid], events[sid] = c, ch
		}
		r := newReformer(t, e, leader%3+1)
		m := &mover{r, map[int]place{1: home(1), 2: home(2), 3: home(3)}}
		p := home(leader)
		p.role = "observer"
		m.move(p)
		r.role(leader, observes)
		for sid, c := range watching {
			c.expect(events[sid], zk.EventNodeDataChanged, "/zookeeper/config")
		}
		m.move(home(leader))
		r.role(leader, follows)
		for sid := 1; sid <= 3; sid++ {
			r.whole(sid)
		}
	})
}

// TestReconfigGroups begins with groups in zoo.cfg, adds two servers and two groups, and
// goes on while groups enough have a quorum, also when all have been ended.
func TestReconfigGroups(t *testing.T) {
	for _, x := range mixtures {
		t.Run(x.name, func(t *testing.T) {
			o := reformable(kindsOf(t, x.java...))
			o.Config["group.1"], o.Config["weight.3"] = "1:2:3", "2"
			e := ensemble.Start(t, o)
			lead(e, x.leaders...)
			groups(t, e)
		})
	}
}

func groups(t *testing.T, e *ensemble.Ensemble) {
	r := newReformer(t, e, 1)
	m := &mover{r, map[int]place{1: home(1), 2: home(2), 3: home(3)}}
	m.lists("group.1=1:2:3", "weight.1=1", "weight.2=1", "weight.3=2")
	for _, sid := range []int{4, 5} {
		e.Restart(sid)
		r.role(sid, follows)
		m.at[sid] = home(sid)
	}
	whole := []string{"group.1=2:1", "group.2=3:4", "group.3=5", "weight.4=3"}
	for _, p := range m.at {
		whole = append(whole, p.line(e))
	}
	m.replace(whole)
	text := []string{"group.1=1:2", "group.2=3:4", "group.3=5", "weight.1=1", "weight.2=1", "weight.3=1", "weight.4=3", "weight.5=1"}
	m.lists(text...)
	if _, err := r.IncrementalReconfig(nil, []string{"5"}, -1); err != zk.ErrBadArguments {
		t.Errorf("one by one: %v", err)
	}

	e.Kill(5)
	e.Kill(3) // 1, 2 and 4 are a quorum of two groups
	e.WaitLeader()
	r.write()
	for _, sid := range []int{1, 2, 4} {
		e.Kill(sid)
	}
	for sid := 1; sid <= 5; sid++ {
		e.Restart(sid)
	}
	r.write()
	m.lists(text...)
	m.replace([]string{home(1).line(e), home(2).line(e), home(3).line(e)})
	delete(m.at, 4)
	delete(m.at, 5)
	m.lists()
	for sid := 1; sid <= 3; sid++ {
		r.whole(sid)
	}
	m.move(home(3)) // one by one again
}

// replace asks for a whole list until it is given.
func (m *mover) replace(whole []string) {
	m.t.Helper()
	slices.Sort(whole)
	ensemble.Eventually(m.t, "the list "+strings.Join(whole, ","), func() bool {
		_, err := m.Reconfig(whole, -1)
		if err != nil && err != zk.ErrConnectionClosed && !isCode(err, noQuorum) && !isCode(err, inProgress) {
			m.t.Fatalf("reconfig: %v", err)
		}
		return err == nil
	})
	m.write()
}

// TestReconfigOneToThree lets an ensemble of one server grow, and shrink again; its joiners
// know it and themselves only.
func TestReconfigOneToThree(t *testing.T) {
	for _, x := range []struct {
		name string
		java []int
	}{{"ours", nil}, {"ours first", []int{2}}, {"theirs first", []int{1}}} {
		t.Run(x.name, func(t *testing.T) {
			o := reformable(kindsOf(t, x.java...))
			o.Servers, o.Config["standaloneEnabled"] = 1, "false"
			e := ensemble.Start(t, o)
			r := newReformer(t, e, 1)
			m := &mover{r, map[int]place{1: home(1)}}
			m.write()
			for _, sid := range []int{2, 3} {
				e.Restart(sid)
				r.role(sid, follows)
				m.move(home(sid))
			}
			e.Kill(1)
			e.WaitLeader(1)
			e.Restart(1)
			m.write()
			for _, sid := range []int{2, 3} {
				r.whole(sid)
				delete(m.at, sid)
				m.change(nil, []string{fmt.Sprint(sid)})
				m.lists()
			}
			e.Kill(2)
			e.Kill(3)
			m.write()
			r.whole(1)
		})
	}
}

// TestReconfigAccess: who may not write the configuration's znode changes nothing.
func TestReconfigAccess(t *testing.T) {
	const super = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=" // super:test
	o := reformable(nil)
	o.Servers = 2
	delete(o.Config, "skipACL")
	o.Config["DigestAuthenticationProvider.superDigest"] = super
	e := ensemble.Start(t, o)
	client := func() *goClient { return dial(t, e.Addr(1)) }
	anybody := client()
	change := []string{home(2).line(e)}
	if _, err := anybody.IncrementalReconfig(change, nil, -1); err != zk.ErrNoAuth {
		t.Errorf("anybody: %v", err)
	}
	root := client()
	wantErr(t, "auth", root.AddAuth("digest", []byte("super:test")), nil)
	_, err := root.IncrementalReconfig(change, nil, -1)
	wantErr(t, "the super user", err, nil)
	_, err = root.SetACL("/zookeeper/config", zk.DigestACL(zk.PermRead|zk.PermWrite, "joe", "x"), -1)
	wantErr(t, "set the ACL", err, nil)
	joe := client()
	wantErr(t, "auth", joe.AddAuth("digest", []byte("joe:x")), nil)
	_, err = joe.IncrementalReconfig(change, nil, -1)
	wantErr(t, "joe", err, nil)
	if _, _, err := anybody.Get("/zookeeper/config"); err != zk.ErrNoAuth {
		t.Errorf("anybody reads: %v", err)
	}
}

// TestReconfigFilesAsApache: what is left beside zoo.cfg, and what was there before, is
// what Apache's server leaves.
func TestReconfigFilesAsApache(t *testing.T) {
	left := func(launch func(sid int) ensemble.Launcher) (all []string) {
		o := reformable(launch)
		o.Servers, o.Joiners, o.Idle = 2, 0, true
		e := ensemble.Start(t, o)
		for sid := 1; sid <= 2; sid++ { // of a server that ended in the middle of something
			for name, text := range map[string]string{"next": home(1).line(e) + "\nversion=77", "5": "old"} {
				wantErr(t, "write", os.WriteFile(filepath.Join(e.Dir(sid), "zoo.cfg.dynamic."+name), []byte(text), 0o644), nil)
			}
			e.Restart(sid)
		}
		e.WaitAll()
		r := newReformer(t, e, 1)
		m := &mover{r, map[int]place{1: home(1), 2: home(2)}}
		m.move(home(2))
		_, now := r.get("/zookeeper/config")
		for sid := 1; sid <= 2; sid++ {
			all = append(all, files(t, e.Dir(sid), fmt.Sprintf("%x", now.Mzxid))...)
		}
		return all
	}
	java := ensemble.Java(t)
	want, got := left(func(int) ensemble.Launcher { return java }), left(nil)
	if !slices.Equal(got, want) {
		t.Errorf("there are %q, where Apache's have %q", got, want)
	}
}

// files are the names of zoo.cfg and of what is beside it; now is the version that ends one.
func files(t *testing.T, dir, now string) (names []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "zoo.cfg*"))
	wantErr(t, "list", err, nil)
	for _, name := range found {
		name = strings.TrimSuffix(filepath.Base(name), "."+now)
		names = append(names, name)
	}
	return names
}
