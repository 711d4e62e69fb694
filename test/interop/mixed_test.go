package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A kind is whose program a server is.
type kind string

const (
	ours     kind = "zkctl"
	apache   kind = "Apache's"
	apache34 kind = "Apache's 3.4"
	apache39 kind = "Apache's 3.9"
)

// kinds says of which kind each server is when it is started next.
type kinds struct {
	launch map[kind]ensemble.Launcher

	mu   sync.Mutex
	kind map[int]kind // by sid
}

// newKinds is for servers 1, 2 and so on. The test is skipped without Apache's.
func newKinds(t *testing.T, of ...kind) *kinds {
	t.Helper()
	k := &kinds{launch: map[kind]ensemble.Launcher{apache: ensemble.Java(t), ours: ensemble.Zkctl(t)}, kind: make(map[int]kind)}
	for i, kind := range of {
		k.kind[i+1] = kind
		switch kind {
		case apache34:
			k.launch[kind] = ensemble.JavaOf(t, ensemble.Line34)
		case apache39:
			k.launch[kind] = ensemble.JavaOf(t, ensemble.Line39)
		}
	}
	return k
}

// any tells whether a server is of a kind.
func (k *kinds) any(of kind) bool {
	for sid := range k.kind {
		if k.of(sid) == of {
			return true
		}
	}
	return false
}

// start starts servers whose kind can change from start to start. Snapshots are
// taken often. An initLimit of 3 s is how long Apache's leader waits for a follower
// that missed its election, of whichever kind, before it elects again.
func (k *kinds) start(t *testing.T) *ensemble.Ensemble {
	t.Helper()
	o := options(len(k.kind))
	o.Config["snapCount"], o.Config["extendedTypesEnabled"], o.Config["initLimit"] = "100", "true", "15"
	o.Launch = func(sid int) ensemble.Launcher {
		return func(config string) *exec.Cmd { return k.launch[k.of(sid)](config) }
	}
	o.Idle = true
	e := ensemble.Start(t, o)
	straight(t, e)
	e.RestartAll()
	furnish(t, dial(t, e.Addr(1)), !k.any(apache34))
	return e
}

// furnish creates what tests write below, and a znode of each rarer kind: those of
// 3.5 only where all servers know them.
func furnish(t *testing.T, c *goClient, all bool) {
	t.Helper()
	for _, path := range []string{"/rovers", "/multi", "/furniture"} {
		c.create(path, "", 0)
	}
	if all {
		_, err := c.CreateContainer("/furniture/container", []byte("c"), 4, open)
		wantErr(t, "container", err, nil)
		_, err = c.CreateTTL("/furniture/ttl", nil, zk.FlagTTL, open, time.Hour)
		wantErr(t, "TTL", err, nil)
	} else {
		c.create("/furniture/container", "c", 0)
	}
	_, err := c.Create("/furniture/read-only", []byte("r"), 0, zk.WorldACL(zk.PermRead|zk.PermAdmin))
	wantErr(t, "create with an ACL", err, nil)
	_, err = c.SetACL("/furniture/container", append(zk.DigestACL(zk.PermAll, "u", "p"), zk.WorldACL(zk.PermRead)...), -1)
	wantErr(t, "setACL", err, nil)
	c.sync()
}

// straight takes the relays out of all zoo.cfg, which are the same then, as where
// people migrate. What is no server yet refuses connections as it does there, where
// a relay would take them and hang up, after which a learner looks for a leader
// again and Apache's leader misses it for initLimit.
func straight(t *testing.T, e *ensemble.Ensemble) {
	t.Helper()
	relays := regexp.MustCompile(`(?m)^(server\.(\d)=127\.\d+\.\d+)\.\d+:`)
	for sid := 1; sid <= e.Len(); sid++ {
		path := filepath.Join(e.Dir(sid), "zoo.cfg")
		cfg, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, relays.ReplaceAll(cfg, []byte("$1.$2:")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (k *kinds) of(sid int) kind {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kind[sid]
}

func (k *kinds) set(sid int, to kind) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kind[sid] = to
}

// Servers of both kinds serve together and lead each other, in either majority.
func TestMixedEnsembles(t *testing.T) {
	t.Run("one of Apache's", func(t *testing.T) { mixed(t, newKinds(t, ours, apache, ours)) })
	t.Run("two of Apache's", func(t *testing.T) { mixed(t, newKinds(t, apache, ours, apache)) })
	t.Run("one of 3.4", func(t *testing.T) { mixed(t, newKinds(t, ours, apache34, ours)) })
	t.Run("3.4 and 3.9", func(t *testing.T) { mixed(t, newKinds(t, apache39, ours, apache34)) })
}

func mixed(t *testing.T, k *kinds) {
	e := k.start(t)
	ws := startWriters(t, e)
	rovers := make(map[int]*rover)
	for sid := 1; sid <= e.Len(); sid++ {
		rovers[sid] = newRover(t, e, sid)
	}
	for round, sid := range []int{2, 1, 2} { // the kind changes every time but perhaps the first
		before := e.WaitLeader()
		crown(t, e, ws, rovers, sid, fmt.Sprintf("/round-%d", round))
		t.Logf("round %d: after server %d, %s, leads %d, %s", round, before, k.of(before), sid, k.of(sid))
		for home, r := range rovers {
			r.whole()
			r.through(e, home)
			r.hop(e, home)
		}
		checkDigests(t, e)
	}
	ws.end(t)
	settle(t, e, ws, rovers)
}

// settle looks at what is left when nobody writes any more.
func settle(t *testing.T, e *ensemble.Ensemble, ws *writers, rovers map[int]*rover) {
	t.Helper()
	for _, r := range rovers {
		r.whole()
	}
	last := dial(t, e.Addr(1))
	for _, r := range rovers {
		r.Close()
		last.sync()
		if last.exists(r.ephemeral) {
			t.Errorf("%s outlives its session, which was closed", r.ephemeral)
		}
	}
	ws.check(t, sameTrees(t, e))
	checkDigests(t, e)
}

// crown makes a server of three the leader: it and the leader write alone, then the
// leader is killed, and the third, which missed what was written, cannot win. The
// clients of the leader go to the new one, those of the third wait for it to return.
func crown(t *testing.T, e *ensemble.Ensemble, ws *writers, rovers map[int]*rover, sid int, dir string) {
	t.Helper()
	leader := e.WaitLeader()
	if leader == sid {
		return
	}
	third := 1 + 2 + 3 - sid - leader
	var set []*watches
	for home, r := range rovers {
		set = append(set, r.arm(fmt.Sprintf("%s-%d", dir, home)))
	}
	e.Kill(third)
	for _, w := range set {
		w.meanwhile(rovers[sid].goClient)
	}
	ws.wait(t, 20)
	rovers[leader].helm.steer(e.Addr(sid))
	e.Kill(leader)
	e.Restart(third)
	ensemble.Eventually(t, fmt.Sprintf("server %d to lead", sid), func() bool { return e.Leader() == sid })
	e.WaitServing(third)
	for _, r := range rovers {
		r.waitSession()
	}
	for _, w := range set {
		w.fire(rovers[third].goClient)
	}
	ws.wait(t, 20)
	e.Restart(leader)
	e.WaitAll()
}
