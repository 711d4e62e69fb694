package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
	apache   kind = "Apache's 3.8"
	apache34 kind = "Apache's 3.4"
	apache39 kind = "Apache's 3.9"
)

// version is how the version of a server of Apache's begins, "" of ours.
func (k kind) version() string {
	_, version, _ := strings.Cut(string(k), " ")
	return version
}

// launcher starts servers of a kind. The test is skipped where there are none.
func (k kind) launcher(t *testing.T) ensemble.Launcher {
	t.Helper()
	switch k {
	case ours:
		return ensemble.Zkctl(t)
	case apache34:
		start := ensemble.JavaOf(t, ensemble.Line34)
		return func(config string) *exec.Cmd {
			dropHeadless(t, filepath.Join(filepath.Dir(config), "zkdatalog", "version-2"))
			return start(config)
		}
	case apache39:
		return ensemble.JavaOf(t, ensemble.Line39)
	}
	return ensemble.Java(t)
}

// dropHeadless removes log files without a header, as their operators have to:
// Apache's 3.4 begins such a file when it is killed in between, and does not start
// on it (ZOOKEEPER-1621).
func dropHeadless(t *testing.T, dir string) {
	t.Helper()
	const header = 16
	files, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		st, err := os.Stat(file)
		if err == nil && st.Size() < header {
			err = os.Remove(file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// kinds says of which kind each server is when it is started next.
type kinds struct {
	launch map[kind]ensemble.Launcher

	mu   sync.Mutex
	kind map[int]kind // by sid
}

// newKinds is for servers 1, 2 and so on, which may become of the kinds in spare. The
// test is skipped where there is none of a kind.
func newKinds(t *testing.T, of []kind, spare ...kind) *kinds {
	t.Helper()
	k := &kinds{launch: make(map[kind]ensemble.Launcher), kind: make(map[int]kind)}
	for i, kind := range of {
		k.kind[i+1] = kind
	}
	for _, kind := range slices.Concat(of, spare) {
		if k.launch[kind] == nil {
			k.launch[kind] = kind.launcher(t)
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

// options are those of servers whose kind can change from start to start, so many
// of which observe. Snapshots are taken often. An initLimit of 3 s is how long
// Apache's leader waits for a follower that missed its election, of whichever kind,
// before it elects again.
func (k *kinds) options(observers int) ensemble.Options {
	o := options(len(k.kind) - observers)
	o.Observers = observers
	o.Config["snapCount"], o.Config["extendedTypesEnabled"], o.Config["initLimit"] = "100", "true", "25"
	o.Launch = func(sid int) ensemble.Launcher {
		return func(config string) *exec.Cmd { return k.launch[k.of(sid)](config) }
	}
	o.Idle = true
	return o
}

// start starts servers that reach each other without relays.
func (k *kinds) start(t *testing.T) *ensemble.Ensemble {
	t.Helper()
	e := ensemble.Start(t, k.options(0))
	straight(t, e)
	e.RestartAll()
	furnish(t, dial(t, e.Addr(1)), !k.any(apache34))
	return e
}

// startRelayed starts servers that can be cut off, so many of which observe.
func (k *kinds) startRelayed(t *testing.T, observers int) *ensemble.Ensemble {
	t.Helper()
	o := k.options(observers)
	o.Patience = 5 * time.Second
	e := ensemble.Start(t, o)
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
