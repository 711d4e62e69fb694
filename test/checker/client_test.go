package checker

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
	"github.com/zkctl/zkctl/test/testbed"
)

// settings are the flags of this package's tests.
type settings struct {
	duration *time.Duration
	seed     *uint64

	nemesis *time.Duration
	hosts   *int
	init    *string
}

// The bounds of the nemesis's flags. Of fewer than three hosts none may fail, and of
// more than nine there is nothing to learn.
const (
	fewestHosts     = 3
	mostHosts       = 9
	shortestNemesis = time.Second
	longestNemesis  = 7 * 24 * time.Hour
)

// check says what is wrong with the flags of TestNemesis.
func (s settings) check() error {
	var errs []error
	if n := *s.hosts; n < fewestHosts || n > mostHosts {
		errs = append(errs, fmt.Errorf("-nemesis.hosts=%d: want %d to %d", n, fewestHosts, mostHosts))
	}
	if d := *s.nemesis; d < shortestNemesis || d > longestNemesis {
		errs = append(errs, fmt.Errorf("-nemesis.duration=%v: want %v to %v", d, shortestNemesis, longestNemesis))
	}
	if f := testbed.Flavour(*s.init); f != testbed.Plain && f != testbed.Systemd {
		errs = append(errs, fmt.Errorf("-nemesis.init=%s: want %s or %s", f, testbed.Plain, testbed.Systemd))
	}
	return errors.Join(errs...)
}

var flags = settings{
	duration: flag.Duration("checker.duration", 10*time.Second, "how long clients work in each test"),
	seed:     flag.Uint64("checker.seed", 0, "repeat the schedule of faults of this seed; 0 is a new one"),

	nemesis: flag.Duration("nemesis.duration", 30*time.Second, "how long clients work while the nemesis does, on hosts of their own"),
	hosts:   flag.Int("nemesis.hosts", 3, "how many hosts the nemesis works on, 3 to 9"),
	init:    flag.String("nemesis.init", string(testbed.Plain), "what boots these hosts: plain (who ends a server starts it again), or systemd (it does so by itself)"),
}

func TestMain(m *testing.M) { os.Exit(ensemble.Main(m)) }

// random is the source of a test's choices; its seed is logged.
func random(t *testing.T) *rand.Rand {
	seed := *flags.seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-checker.seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// silent is a logger of go-zk that says nothing.
type silent struct{}

func (silent) Printf(string, ...any) {}

// servers is a HostProvider that goes round the servers for ever, at a walk.
type servers struct {
	mu    sync.Mutex
	addrs []string
	next  int
}

// pace is how long a client waits between two tries to connect.
const pace = 20 * time.Millisecond

func (s *servers) Init([]string) error { return nil }
func (s *servers) Len() int            { return len(s.addrs) }
func (s *servers) Connected()          {}
func (s *servers) Next() (string, bool) {
	<-time.After(pace)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.addrs[s.next%len(s.addrs)], false
}

// sessionTimeout is what clients ask for; a client notices a dead server after
// two thirds of it.
const sessionTimeout = 2 * time.Second

// connect opens a client that tries all servers in turn, from the first given on.
func connect(t *testing.T, c cluster, first int) *zk.Conn {
	t.Helper()
	return connectTo(t, c, c.Addrs(), first)
}

// connectTo opens a client of some of a cluster's servers.
func connectTo(t *testing.T, on cluster, addrs []string, first int) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect(addrs, sessionTimeout, zk.WithHostProvider(&servers{addrs: addrs, next: first}),
		zk.WithLogger(silent{}), zk.WithLogInfo(false), zk.WithDialer(on.Dial))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range events {
		}
	}()
	t.Cleanup(c.Close)
	return c
}

// decided tells whether err says for sure that a write was or was not done.
func decided(err error) bool {
	for _, sure := range []error{nil, zk.ErrNoNode, zk.ErrNodeExists, zk.ErrBadVersion, zk.ErrNotEmpty} {
		if errors.Is(err, sure) {
			return true
		}
	}
	return false
}

var open = zk.WorldACL(zk.PermAll)

// prepare creates persistent znodes before clients begin.
func prepare(t *testing.T, on cluster, paths ...string) {
	t.Helper()
	c := connect(t, on, 0)
	for _, path := range paths {
		if _, err := c.Create(path, nil, 0, open); err != nil {
			t.Fatal(err)
		}
	}
}

// barrier returns when the client's server has applied all that was committed
// before: it checks a znode by a transaction.
func barrier(c *zk.Conn) error {
	_, err := c.Multi(&zk.CheckVersionRequest{Path: "/", Version: -1})
	return err
}
