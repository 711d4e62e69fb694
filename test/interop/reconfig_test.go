package interop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/test/ensemble"
)

// Codes that go-zk has no name for.
const (
	malformed  code = "-5"  // MARSHALLINGERROR
	noQuorum   code = "-13" // NEWCONFIGNOQUORUM
	inProgress code = "-14" // RECONFIGINPROGRESS
)

type code string

func (c code) Error() string { return string(c) }

// isCode tells whether go-zk's error is of such a code.
func isCode(err, want error) bool {
	c, ok := want.(code)
	return ok && err != nil && strings.HasSuffix(err.Error(), "unknown error: "+string(c))
}

// reconfigurable starts three servers whose membership may change, and has two more
// that may join. Launch is nil for servers of ours.
func reconfigurable(t *testing.T, launch func(sid int) ensemble.Launcher) *ensemble.Ensemble {
	t.Helper()
	return ensemble.Start(t, reformable(launch))
}

func reformable(launch func(sid int) ensemble.Launcher) ensemble.Options {
	o := options(3)
	o.Direct, o.Joiners, o.Launch = true, 2, launch
	o.Config["reconfigEnabled"], o.Config["skipACL"], o.Config["initLimit"] = "true", "yes", "25"
	return o
}

// A reformer changes who is in an ensemble, by a server that stays in it.
type reformer struct {
	*goClient
	e *ensemble.Ensemble
	n int // writes made
}

// write makes one more znode. A server that changes its role or its leader ends
// connections, with or without having done what was asked.
func (r *reformer) write() {
	r.t.Helper()
	r.n++
	path := fmt.Sprintf("/reform/%04d", r.n)
	tried := false
	ensemble.Eventually(r.t, "a write", func() bool {
		_, err := r.Create(path, []byte(fmt.Sprint(r.n)), 0, open)
		done := err == nil || tried && errors.Is(err, zk.ErrNodeExists)
		if !done && !errors.Is(err, zk.ErrConnectionClosed) {
			r.t.Fatalf("create %s: %v", path, err)
		}
		tried = true
		return done
	})
}

// change asks for members to join and to leave, again while the answer is that it
// cannot be now. A leader that makes room ends connections.
func (r *reformer) change(joining, leaving []string) {
	r.t.Helper()
	ensemble.Eventually(r.t, "the change to "+strings.Join(joining, ",")+" without "+strings.Join(leaving, ","), func() bool {
		_, err := r.IncrementalReconfig(joining, leaving, -1)
		switch {
		case err == nil:
			return true
		case isCode(err, noQuorum), isCode(err, inProgress), errors.Is(err, zk.ErrConnectionClosed):
			return false
		}
		r.t.Fatalf("reconfig: %v", err)
		return false
	})
	r.write()
}

// role waits until a server has a role.
func (r *reformer) role(sid int, role string) {
	r.t.Helper()
	ensemble.Eventually(r.t, fmt.Sprintf("server %d to be %s", sid, role), func() bool {
		s := r.e.Status(sid)
		return s.State == fourletter.Serving && s.Role == role
	})
}

// members waits until a server's configuration lists these and no others.
func (r *reformer) members(sid int, want ...string) {
	r.t.Helper()
	c := dial(r.t, r.e.Addr(sid))
	slices.Sort(want)
	var got []string
	ensemble.Eventually(r.t, fmt.Sprintf("server %d to list %v", sid, want), func() bool {
		c.sync()
		text, _ := c.get("/zookeeper/config")
		got = nil
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "server.") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// whole checks that a server has all that was written.
func (r *reformer) whole(sid int) {
	r.t.Helper()
	c := dial(r.t, r.e.Addr(sid))
	c.sync()
	children, _, err := c.Children("/reform")
	wantErr(r.t, "children", err, nil)
	if len(children) != r.n {
		r.t.Errorf("server %d has %d of %d writes", sid, len(children), r.n)
	}
}

func newReformer(t *testing.T, e *ensemble.Ensemble, home int) *reformer {
	t.Helper()
	r := &reformer{goClient: dial(t, e.Addr(home)), e: e}
	if !r.exists("/reform") {
		r.create("/reform", "", 0)
	}
	return r
}

const (
	follows  = fourletter.ModeFollower
	observes = fourletter.ModeObserver
)

// TestReconfig lets servers join and leave, in every role, the leader among them; then
// the first ones are gone and the files alone tell who is in the ensemble.
func TestReconfig(t *testing.T) {
	e := reconfigurable(t, nil)
	reform(t, e)
}

func reform(t *testing.T, e *ensemble.Ensemble) {
	leader := e.WaitLeader()
	home := leader%3 + 1 // a server that is not removed
	other := 6 - leader - home
	r := newReformer(t, e, home)
	voter := func(sid int) string { return e.Member(sid, "participant") }
	observer := func(sid int) string { return e.Member(sid, "observer") }
	r.write()

	e.Restart(4)
	r.role(4, follows) // without a vote, for nobody lists it
	r.change([]string{voter(4)}, nil)
	r.role(4, follows)
	r.members(home, voter(1), voter(2), voter(3), voter(4))

	e.Restart(5)
	r.role(5, follows)
	r.change([]string{observer(5)}, nil)
	r.role(5, observes)
	r.members(5, voter(1), voter(2), voter(3), voter(4), observer(5))
	r.whole(5)

	r.change(nil, []string{fmt.Sprint(leader)})
	e.WaitLeader(leader)
	r.members(4, voter(home), voter(other), voter(4), observer(5))
	e.Kill(leader)
	r.write()

	r.change([]string{voter(5)}, nil)
	r.role(5, follows)
	r.change([]string{observer(other)}, nil)
	r.role(other, observes)
	r.members(home, voter(home), voter(4), voter(5), observer(other))
	e.Kill(other)
	r.write()

	for _, sid := range []int{home, 4, 5} {
		e.Kill(sid)
	}
	for _, sid := range []int{home, 4, 5, other} {
		e.Restart(sid)
	}
	again := newReformer(t, e, home)
	again.n = r.n
	again.write()
	for _, sid := range []int{home, 4, 5, other} {
		again.members(sid, voter(home), voter(4), voter(5), observer(other))
		again.whole(sid)
	}
	again.role(other, observes)
}

// TestReconfigRefused asks for what cannot be: nothing changes.
func TestReconfigRefused(t *testing.T) {
	e := reconfigurable(t, nil)
	r := newReformer(t, e, 1)
	before, _ := r.get("/zookeeper/config")
	for _, x := range []struct {
		name             string
		joining, leaving []string
		version          int64
		want             error
	}{
		{"nobody listens there", []string{e.Member(4, "participant"), e.Member(5, "participant"), "server.6=127.0.0.1:1:2;3", "server.7=127.0.0.1:4:5;6"}, nil, -1, noQuorum},
		{"another version", nil, []string{"3"}, 7, zk.ErrBadVersion},
		{"no server", []string{"server.4=1"}, nil, -1, zk.ErrBadArguments},
		{"no number", []string{"server.x=1"}, nil, -1, malformed},
		{"too few are left", nil, []string{"2", "3"}, -1, zk.ErrBadArguments},
	} {
		if _, err := r.IncrementalReconfig(x.joining, x.leaving, x.version); !errors.Is(err, x.want) && !isCode(err, x.want) {
			t.Errorf("%s: %v, want %v", x.name, err, x.want)
		}
	}
	if after, _ := r.get("/zookeeper/config"); after != before {
		t.Errorf("the configuration was\n%s\nand is\n%s", before, after)
	}
	r.write()
}

// TestReconfigMixed does the same where some servers are Apache's, in each part.
func TestReconfigMixed(t *testing.T) {
	for _, x := range []struct {
		name string
		java []int
	}{
		{"one of three, and a joiner", []int{1, 5}},
		{"two of three", []int{2, 3}},
	} {
		t.Run(x.name, func(t *testing.T) {
			java, zkctl := ensemble.Java(t), ensemble.Zkctl(t)
			e := reconfigurable(t, func(sid int) ensemble.Launcher {
				if slices.Contains(x.java, sid) {
					return java
				}
				return func(config string) *exec.Cmd { return zkctl(config) }
			})
			reform(t, e)
		})
	}
}

// TestReconfigFiles looks at what is left beside zoo.cfg.
func TestReconfigFiles(t *testing.T) {
	e := reconfigurable(t, nil)
	r := newReformer(t, e, 1)
	r.change(nil, []string{"3"})
	r.members(1, e.Member(1, "participant"), e.Member(2, "participant"))
	for _, sid := range []int{1, 2} {
		ensemble.Eventually(t, fmt.Sprintf("the files of server %d", sid), func() bool {
			cfg, err := os.ReadFile(filepath.Join(e.Dir(sid), "zoo.cfg"))
			if err != nil {
				t.Fatal(err)
			}
			_, name, found := strings.Cut(string(cfg), "dynamicConfigFile=")
			if !found || strings.Contains(string(cfg), "server.") {
				return false
			}
			name, _, _ = strings.Cut(name, "\n")
			text, err := os.ReadFile(name)
			return err == nil && string(text) == e.Member(1, "participant")+"\n"+e.Member(2, "participant")
		})
	}
}
