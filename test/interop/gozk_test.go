package interop

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// silent is a logger of go-zk that says nothing.
type silent struct{}

func (silent) Printf(string, ...any) {}

// pace is how long a client waits between two tries to connect.
const pace = 20 * time.Millisecond

// A helm says which server a client is to connect to; it is a HostProvider.
type helm struct {
	mu      sync.Mutex
	address string
}

func (h *helm) Init([]string) error { return nil }
func (h *helm) Len() int            { return 1 }
func (h *helm) Connected()          {}
func (h *helm) Next() (string, bool) {
	<-time.After(pace)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.address, false // true would be a second's pause, also before the first try
}

func (h *helm) steer(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.address = address
}

// goClient is a connected client of go-zk and where it connects to.
type goClient struct {
	*zk.Conn
	t    *testing.T
	helm *helm
}

// sessionTimeout outlives what the tests do to servers, also on a busy machine.
const sessionTimeout = 35 * time.Second

// dial connects a client of go-zk to one server.
func dial(t *testing.T, address string) *goClient {
	t.Helper()
	c := &goClient{t: t, helm: &helm{address: address}}
	conn, events, err := zk.Connect([]string{address}, sessionTimeout, zk.WithHostProvider(c.helm), zk.WithLogger(silent{}), zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range events { // or the client forgets events that tests wait for
		}
	}()
	c.Conn = conn
	t.Cleanup(conn.Close)
	c.waitSession()
	return c
}

func (c *goClient) waitSession() {
	c.t.Helper()
	ensemble.Eventually(c.t, "a client's session", func() bool { return c.State() == zk.StateHasSession })
}

// move makes the client go to another server.
func (c *goClient) move(e *ensemble.Ensemble, from, to int) {
	c.t.Helper()
	c.helm.steer(e.Addr(to))
	e.Kill(from)
	c.waitServer(e.Addr(to))
}

func (c *goClient) waitServer(address string) {
	c.t.Helper()
	ensemble.Eventually(c.t, "the client to be at "+address, func() bool { return c.State() == zk.StateHasSession && c.Server() == address })
}

var open = zk.WorldACL(zk.PermAll)

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (c *goClient) create(path, data string, flags int32) string {
	c.t.Helper()
	return must(c.Create(path, []byte(data), flags, open))(c.t)
}

func (c *goClient) set(path, data string) *zk.Stat {
	c.t.Helper()
	return must(c.Set(path, []byte(data), -1))(c.t)
}

func (c *goClient) get(path string) (string, *zk.Stat) {
	c.t.Helper()
	data, stat, err := c.Get(path)
	if err != nil {
		c.t.Fatalf("get %s: %v", path, err)
	}
	return string(data), stat
}

func (c *goClient) exists(path string) bool {
	c.t.Helper()
	found, _, err := c.Exists(path)
	if err != nil {
		c.t.Fatalf("exists %s: %v", path, err)
	}
	return found
}

func (c *goClient) sync() {
	c.t.Helper()
	must(c.Sync("/"))(c.t)
}

// expect waits for an event.
func (c *goClient) expect(events <-chan zk.Event, typ zk.EventType, path string) {
	c.t.Helper()
	select {
	case ev := <-events:
		if ev.Type != typ || ev.Path != path || ev.Err != nil {
			c.t.Fatalf("event %v, want %v at %s", ev, typ, path)
		}
	case <-time.After(ensemble.Patience):
		c.t.Fatalf("no event; want %v at %s", typ, path)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// both runs a test against one server and against three.
func both(t *testing.T, test func(t *testing.T, e *ensemble.Ensemble)) {
	for name, servers := range map[string]int{"standalone": 1, "ensemble": 3} {
		t.Run(name, func(t *testing.T) {
			o := options(servers)
			o.Config["extendedTypesEnabled"] = "true"
			test(t, ensemble.Start(t, o))
		})
	}
}

func TestGoOperations(t *testing.T) {
	both(t, func(t *testing.T, e *ensemble.Ensemble) {
		c := dial(t, e.Addr(1))
		t.Run("znodes", func(t *testing.T) { goZnodes(t, c) })
		t.Run("kinds", func(t *testing.T) { goKinds(t, c) })
		t.Run("access", func(t *testing.T) { goAccess(t, c, dial(t, e.Addr(e.Len()))) })
		t.Run("multi", func(t *testing.T) { goMulti(t, c) })
		t.Run("lock", func(t *testing.T) { goLock(t, c, dial(t, e.Addr(e.Len()))) })
		t.Run("watches", func(t *testing.T) { goWatches(t, c, dial(t, e.Addr(e.Len()))) })
	})
}

func goZnodes(t *testing.T, c *goClient) {
	if got := c.create("/a", "one", 0); got != "/a" {
		t.Errorf("created %q", got)
	}
	_, err := c.Create("/a", nil, 0, open)
	wantErr(t, "create again", err, zk.ErrNodeExists)
	_, err = c.Create("/no/parent", nil, 0, open)
	wantErr(t, "create without parent", err, zk.ErrNoNode)
	for _, bad := range []string{"", "a", "/a/", "//", "/a/../b"} {
		if _, err := c.Create(bad, nil, 0, open); err == nil {
			t.Errorf("create %q succeeded", bad)
		}
	}
	stat := c.set("/a", "two")
	if stat.Version != 1 || stat.DataLength != 3 {
		t.Errorf("stat %+v", stat)
	}
	_, err = c.Set("/a", nil, 0)
	wantErr(t, "set of an old version", err, zk.ErrBadVersion)
	if data, again := c.get("/a"); data != "two" || *again != *stat {
		t.Errorf("got %q, %+v", data, again)
	}
	for range 3 {
		c.create("/a/s-", "", zk.FlagSequence)
	}
	children, stat, err := c.Children("/a")
	slices.Sort(children)
	if want := []string{"s-0000000000", "s-0000000001", "s-0000000002"}; err != nil || !slices.Equal(children, want) || stat.NumChildren != 3 {
		t.Errorf("children %v, %+v, %v", children, stat, err)
	}
	wantErr(t, "delete with children", c.Delete("/a", -1), zk.ErrNotEmpty)
	wantErr(t, "delete of a wrong version", c.Delete("/a/s-0000000000", 4), zk.ErrBadVersion)
	for _, child := range children {
		wantErr(t, "delete "+child, c.Delete("/a/"+child, 0), nil)
	}
	wantErr(t, "delete of what is gone", c.Delete("/a/"+children[0], -1), zk.ErrNoNode)
	if path, err := c.Sync("/a"); err != nil || path != "/a" {
		t.Errorf("sync: %q, %v", path, err)
	}
}

func goKinds(t *testing.T, c *goClient) {
	path := c.create("/ephemeral", "", zk.FlagEphemeral)
	if _, stat := c.get(path); stat.EphemeralOwner != c.SessionID() {
		t.Errorf("owner 0x%x, want the session 0x%x", stat.EphemeralOwner, c.SessionID())
	}
	_, err := c.Create(path+"/x", nil, 0, open)
	wantErr(t, "create below an ephemeral", err, zk.ErrNoChildrenForEphemerals)
	if _, err := c.CreateContainer("/container", nil, 4, open); err != nil {
		t.Errorf("container: %v", err)
	}
	if _, err := c.CreateTTL("/ttl", nil, zk.FlagTTL, open, time.Minute); err != nil {
		t.Errorf("TTL: %v", err)
	}
	protected, err := c.CreateProtectedEphemeralSequential("/container/p-", nil, open)
	if err != nil || !c.exists(protected) {
		t.Errorf("protected %q: %v", protected, err)
	}
	wantErr(t, "delete", c.Delete(protected, -1), nil)
	if _, err := c.Reconfig([]string{"server.9=127.0.0.1:1:2"}, -1); err == nil {
		t.Error("reconfig succeeded, and is not enabled")
	}
}

func goAccess(t *testing.T, c, owner *goClient) {
	wantErr(t, "auth", owner.AddAuth("digest", []byte("user:secret")), nil)
	if _, err := owner.Create("/locked", []byte("x"), 0, zk.DigestACL(zk.PermAll, "user", "secret")); err != nil {
		t.Fatal(err)
	}
	c.sync()
	_, _, err := c.Get("/locked")
	wantErr(t, "get of a stranger", err, zk.ErrNoAuth)
	_, err = c.Set("/locked", nil, -1)
	wantErr(t, "set of a stranger", err, zk.ErrNoAuth)
	_, err = c.SetACL("/locked", open, -1)
	wantErr(t, "setACL of a stranger", err, zk.ErrNoAuth)
	acl, stat, err := owner.GetACL("/locked")
	if err != nil || len(acl) != 1 || acl[0].Scheme != "digest" || stat.Aversion != 0 {
		t.Errorf("acl %v, %+v, %v", acl, stat, err)
	}
	_, err = owner.SetACL("/locked", append(acl, zk.WorldACL(zk.PermRead)...), 0)
	wantErr(t, "setACL of the owner", err, nil)
	c.sync()
	if data, _ := c.get("/locked"); data != "x" {
		t.Errorf("got %q", data)
	}
	if err := owner.AddAuth("nonsense", nil); err == nil {
		t.Error("an unknown scheme was accepted")
	}
	ensemble.Eventually(t, "the owner to connect and be known again", func() bool {
		_, _, err := owner.Get("/locked")
		return err == nil
	})
}

func goMulti(t *testing.T, c *goClient) {
	res, err := c.Multi(
		&zk.CreateRequest{Path: "/m", Data: []byte("1"), Acl: open},
		&zk.SetDataRequest{Path: "/m", Data: []byte("2"), Version: 0},
		&zk.CheckVersionRequest{Path: "/m", Version: 1},
		&zk.CreateRequest{Path: "/m/s-", Acl: open, Flags: zk.FlagSequence},
	)
	if err != nil || len(res) != 4 || res[0].String != "/m" || res[1].Stat.Version != 1 || res[3].String != "/m/s-0000000000" {
		t.Errorf("multi: %+v, %v", res, err)
	}
	res, err = c.Multi(
		&zk.SetDataRequest{Path: "/m", Data: []byte("3"), Version: -1},
		&zk.DeleteRequest{Path: "/absent", Version: -1},
		&zk.DeleteRequest{Path: "/m/s-0000000000", Version: -1},
	)
	wantErr(t, "multi with a fault", err, zk.ErrNoNode)
	if len(res) != 3 || res[1].Error != zk.ErrNoNode {
		t.Errorf("parts %+v", res)
	}
	if data, stat := c.get("/m"); data != "2" || stat.Version != 1 || stat.NumChildren != 1 {
		t.Errorf("a multi that failed left %q, %+v", data, stat)
	}
}

func goLock(t *testing.T, c, other *goClient) {
	first, second := zk.NewLock(c.Conn, "/lock", open), zk.NewLock(other.Conn, "/lock", open)
	wantErr(t, "lock", first.Lock(), nil)
	got := make(chan error, 1)
	go func() { got <- second.Lock() }()
	ensemble.Eventually(t, "the second to stand in line", func() bool {
		children, _, err := c.Children("/lock")
		return err == nil && len(children) == 2
	})
	select {
	case err := <-got:
		t.Fatalf("two have the lock (%v)", err)
	default:
	}
	wantErr(t, "unlock", first.Unlock(), nil)
	wantErr(t, "lock of the second", <-got, nil)
	wantErr(t, "unlock of the second", second.Unlock(), nil)
}

func goWatches(t *testing.T, c, other *goClient) {
	c.create("/w", "", 0)
	other.sync()
	_, _, data, err := other.GetW("/w")
	wantErr(t, "GetW", err, nil)
	_, _, children, err := other.ChildrenW("/w")
	wantErr(t, "ChildrenW", err, nil)
	_, _, later, err := other.ExistsW("/w/c")
	wantErr(t, "ExistsW", err, nil)
	c.set("/w", "x")
	other.expect(data, zk.EventNodeDataChanged, "/w")
	c.create("/w/c", "", 0)
	other.expect(children, zk.EventNodeChildrenChanged, "/w")
	other.expect(later, zk.EventNodeCreated, "/w/c")
	_, _, gone, err := other.GetW("/w/c")
	wantErr(t, "GetW", err, nil)
	wantErr(t, "delete", c.Delete("/w/c", -1), nil)
	other.expect(gone, zk.EventNodeDeleted, "/w/c")
}

// A client goes to another server, and what it watched fires there, also what
// happened while it was connected to none.
func TestGoMovesWithSessionAndWatches(t *testing.T) {
	e := ensemble.Start(t, options(3))
	leader := e.WaitLeader()
	follower, home := e.Follower(), 0
	for sid := 1; sid <= 3; sid++ {
		if sid != leader && sid != follower {
			home = sid
		}
	}
	c, other := dial(t, e.Addr(home)), dial(t, e.Addr(leader))
	for _, path := range []string{"/data", "/children", "/gone", "/meanwhile"} {
		other.create(path, "", 0)
	}
	c.sync()
	c.create("/mine", "", zk.FlagEphemeral)
	session := c.SessionID()
	_, _, data, err := c.GetW("/data")
	wantErr(t, "GetW", err, nil)
	_, _, children, err := c.ChildrenW("/children")
	wantErr(t, "ChildrenW", err, nil)
	_, _, created, err := c.ExistsW("/created")
	wantErr(t, "ExistsW", err, nil)
	_, _, gone, err := c.GetW("/gone")
	wantErr(t, "GetW", err, nil)
	_, _, meanwhile, err := c.GetW("/meanwhile")
	wantErr(t, "GetW", err, nil)

	e.Kill(home) // and the client knows nowhere else to go
	other.set("/meanwhile", "x")
	wantErr(t, "delete", other.Delete("/gone", -1), nil)
	c.helm.steer(e.Addr(follower))
	c.waitServer(e.Addr(follower))
	c.expect(meanwhile, zk.EventNodeDataChanged, "/meanwhile")
	c.expect(gone, zk.EventNodeDeleted, "/gone")
	other.set("/data", "x")
	c.expect(data, zk.EventNodeDataChanged, "/data")
	other.create("/children/c", "", 0)
	c.expect(children, zk.EventNodeChildrenChanged, "/children")
	other.create("/created", "", 0)
	c.expect(created, zk.EventNodeCreated, "/created")
	if c.SessionID() != session || !c.exists("/mine") {
		t.Errorf("session 0x%x became 0x%x; its ephemeral exists: %v", session, c.SessionID(), c.exists("/mine"))
	}
}

// Sessions and their ephemerals survive the leader, and go when they are closed.
func TestGoLeaderKilled(t *testing.T) {
	e := ensemble.Start(t, options(3))
	leader, follower := e.WaitLeader(), e.Follower()
	atLeader, atFollower := dial(t, e.Addr(leader)), dial(t, e.Addr(follower))
	atLeader.create("/leader", "", zk.FlagEphemeral)
	atFollower.create("/follower", "", zk.FlagEphemeral)
	before := []int64{atLeader.SessionID(), atFollower.SessionID()}

	atLeader.move(e, leader, follower)
	e.WaitLeader(leader)
	e.WaitServing(follower)
	atFollower.waitSession()
	for i, c := range []*goClient{atLeader, atFollower} {
		c.waitSession()
		c.sync()
		if c.SessionID() != before[i] || !c.exists("/leader") || !c.exists("/follower") {
			t.Errorf("session 0x%x is 0x%x; ephemerals exist: %v %v", before[i], c.SessionID(), c.exists("/leader"), c.exists("/follower"))
		}
	}
	atLeader.Close()
	atFollower.sync()
	if atFollower.exists("/leader") {
		t.Error("an ephemeral outlives its closed session")
	}
}

// An observer serves reads, watches and sessions, and passes writes on.
func TestGoObserver(t *testing.T) {
	o := options(3)
	o.Observers = 1
	e := ensemble.Start(t, o)
	c, other := dial(t, e.Addr(4)), dial(t, e.Addr(1))
	c.create("/a", "from the observer", 0)
	c.create("/e", "", zk.FlagEphemeral)
	other.sync()
	if data, _ := other.get("/a"); data != "from the observer" {
		t.Errorf("got %q", data)
	}
	_, _, changed, err := c.GetW("/a")
	wantErr(t, "GetW", err, nil)
	other.set("/a", "x")
	c.expect(changed, zk.EventNodeDataChanged, "/a")
	c.sync()
	if data, _ := c.get("/a"); data != "x" {
		t.Errorf("got %q", data)
	}
	goMulti(t, c)
	c.Close()
	other.sync()
	if other.exists("/e") {
		t.Error("an ephemeral outlives its session, closed at the observer")
	}
	e.Kill(4)
	other.set("/a", "y")
	e.Restart(4)
	e.WaitServing(4)
	late := dial(t, e.Addr(4))
	late.sync()
	if data, _ := late.get("/a"); data != "y" {
		t.Errorf("after its restart the observer says %q", data)
	}
}
