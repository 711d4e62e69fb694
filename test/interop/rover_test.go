package interop

import (
	"fmt"
	"net"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A wire is a client's connection, which tests can break.
type wire struct {
	mu   sync.Mutex
	conn net.Conn
}

// dial connects; it is a dialer of go-zk.
func (w *wire) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, timeout)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = conn
	if err != nil {
		return nil, err
	}
	return hasty{conn}, nil
}

// cut breaks the connection.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close() // it may have been broken before
	}
}

// hasty waits at most haste for a server that is paused to answer a handshake, where
// go-zk waits for much longer than sessions last.
type hasty struct{ net.Conn }

const haste = 2 * time.Second

func (h hasty) SetReadDeadline(at time.Time) error {
	if time.Until(at) > sessionTimeout {
		at = time.Now().Add(haste)
	}
	return h.Conn.SetReadDeadline(at)
}

// A rover is a client with an ephemeral that can be sent from one living server to
// another with its session.
type rover struct {
	*goClient
	wire
	session   int64
	ephemeral string
}

// newRover connects to a server; /rovers exists.
func newRover(t *testing.T, e *ensemble.Ensemble, home int) *rover {
	t.Helper()
	r := &rover{goClient: &goClient{t: t, helm: &helm{address: e.Addr(home)}}}
	conn, events, err := zk.Connect(e.Addrs(), sessionTimeout, zk.WithHostProvider(r.helm), zk.WithDialer(r.wire.dial),
		zk.WithLogger(silent{}), zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range events { // or the client forgets events that tests wait for
		}
	}()
	r.Conn = conn
	t.Cleanup(conn.Close)
	r.waitSession()
	r.session = r.SessionID()
	r.ephemeral = r.create(fmt.Sprintf("/rovers/%d", home), "", zk.FlagEphemeral)
	return r
}

// hop breaks the connection and returns when the session is at a server, which may
// be the same.
func (r *rover) hop(e *ensemble.Ensemble, to int) {
	r.t.Helper()
	r.helm.steer(e.Addr(to))
	if r.Server() != e.Addr(to) {
		r.cut()
	}
	r.waitServer(e.Addr(to))
}

// whole tells of a session that was lost, or its ephemeral.
func (r *rover) whole() {
	r.t.Helper()
	r.sync()
	found, stat, err := r.Exists(r.ephemeral)
	if err != nil {
		r.t.Fatalf("session 0x%x at %s: %v", r.session, r.Server(), err)
	}
	if !found || stat.EphemeralOwner != r.session || r.SessionID() != r.session {
		r.t.Errorf("session 0x%x is 0x%x at %s; its ephemeral %s exists: %t, of 0x%x",
			r.session, r.SessionID(), r.Server(), r.ephemeral, found, stat.EphemeralOwner)
	}
}

// Watches are what a rover set before servers changed.
type watches struct {
	r                                *rover
	dir                              string
	data, children, soon, gone, away <-chan zk.Event
}

// arm lets a rover watch znodes of a new directory.
func (r *rover) arm(dir string) *watches {
	r.t.Helper()
	r.create(dir, "", 0)
	for _, name := range []string{"data", "gone", "away"} {
		r.create(path.Join(dir, name), "", 0)
	}
	w := &watches{r: r, dir: dir}
	var err [5]error
	_, _, w.data, err[0] = r.GetW(dir + "/data")
	_, _, w.children, err[1] = r.ChildrenW(dir + "/data")
	_, _, w.soon, err[2] = r.ExistsW(dir + "/soon")
	_, _, w.gone, err[3] = r.GetW(dir + "/gone")
	_, _, w.away, err[4] = r.GetW(dir + "/away")
	for _, err := range err {
		wantErr(r.t, "watch", err, nil)
	}
	return w
}

// meanwhile changes what fires for a client that is nowhere just now.
func (w *watches) meanwhile(c *goClient) {
	w.r.t.Helper()
	c.set(w.dir+"/away", "x")
	wantErr(w.r.t, "delete", c.Delete(w.dir+"/gone", -1), nil)
}

// fire lets another client change what is watched, and waits for all events.
func (w *watches) fire(c *goClient) {
	w.r.t.Helper()
	w.r.expect(w.away, zk.EventNodeDataChanged, w.dir+"/away")
	w.r.expect(w.gone, zk.EventNodeDeleted, w.dir+"/gone")
	c.create(w.dir+"/soon", "", 0)
	c.create(w.dir+"/data/child", "", 0)
	c.set(w.dir+"/data", "x")
	w.r.expect(w.soon, zk.EventNodeCreated, w.dir+"/soon")
	w.r.expect(w.children, zk.EventNodeChildrenChanged, w.dir+"/data")
	w.r.expect(w.data, zk.EventNodeDataChanged, w.dir+"/data")
}

// through goes through every server with one session: each has to know the session
// from the leader, to be brought up to date by sync, and to pass writes on.
func (r *rover) through(e *ensemble.Ensemble, home int) {
	r.t.Helper()
	for i := range e.Len() {
		r.hop(e, (home+i)%e.Len()+1)
		r.whole()
		r.multi()
	}
}

// multi writes a znode and the number of all that were ever written by it, in one
// transaction, and checks that a failing one does nothing.
func (r *rover) multi() {
	r.t.Helper()
	before, stat := r.get("/rovers")
	res, err := r.Multi(
		&zk.CheckVersionRequest{Path: "/rovers", Version: stat.Version},
		&zk.CreateRequest{Path: "/multi/s-", Acl: open, Flags: zk.FlagSequence},
		&zk.SetDataRequest{Path: "/rovers", Data: []byte(before + "x"), Version: stat.Version},
	)
	if err != nil || len(res) != 3 {
		r.t.Fatalf("multi at %s: %+v, %v", r.Server(), res, err)
	}
	if want := fmt.Sprintf("/multi/s-%010d", len(before)); res[1].String != want {
		r.t.Errorf("created %s at %s, want %s", res[1].String, r.Server(), want)
	}
	_, err = r.Multi(
		&zk.SetDataRequest{Path: "/rovers", Data: []byte("wrong"), Version: -1},
		&zk.DeleteRequest{Path: "/absent", Version: -1},
	)
	wantErr(r.t, "multi with a fault at "+r.Server(), err, zk.ErrNoNode)
	if after, _ := r.get("/rovers"); after != before+"x" {
		r.t.Errorf("at %s /rovers is %q after %q", r.Server(), after, before)
	}
}

// A znode is what a client sees of one.
type znode struct {
	data string
	acl  string
	stat zk.Stat
}

// readTree reads all that a server has. /zookeeper/config is left out: every one of
// Apache's servers has its own there, with the addresses of its configuration and
// the time of its start; one of 3.4 has none, unless in a snapshot that it was sent.
func readTree(c *goClient, at string, tree map[string]znode) {
	c.t.Helper()
	data, stat := c.get(at)
	acl, _, err := c.GetACL(at)
	wantErr(c.t, "getACL "+at, err, nil)
	if at == "/zookeeper" {
		stat.Cversion, stat.NumChildren = 0, min(stat.NumChildren, 1)
	}
	tree[at] = znode{data: data, acl: fmt.Sprint(acl), stat: *stat}
	if stat.NumChildren == 0 {
		return
	}
	children, _, err := c.Children(at)
	wantErr(c.t, "children of "+at, err, nil)
	for _, child := range children {
		if p := path.Join(at, child); p != "/zookeeper/config" {
			readTree(c, p, tree)
		}
	}
}

// sameTrees reads the trees of all servers, which nobody changes, compares them and
// gives one.
func sameTrees(t *testing.T, e *ensemble.Ensemble) map[string]znode {
	t.Helper()
	clients := make([]*goClient, e.Len())
	for i := range clients {
		clients[i] = dial(t, e.Addr(i+1))
	}
	e.WaitLevel()
	var first map[string]znode
	for i, c := range clients {
		tree := make(map[string]znode)
		readTree(c, "/", tree)
		if i == 0 {
			first = tree
			continue
		}
		compareTrees(t, fmt.Sprintf("servers 1 and %d", i+1), first, tree)
	}
	t.Logf("%d znodes, the same on %d servers", len(first), e.Len())
	return first
}

func compareTrees(t *testing.T, which string, a, b map[string]znode) {
	t.Helper()
	const most = 20 // or a log is not read
	told := 0
	tell := func(path string) {
		if za, zb := a[path], b[path]; za != zb && told < most {
			told++
			t.Errorf("%s: %s is %+v and %+v", which, path, za, zb)
		}
	}
	for path := range a {
		tell(path)
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			tell(path)
		}
	}
}
