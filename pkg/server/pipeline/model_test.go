package pipeline

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// A model is the simplest thing that answers writes as a server should.
type model map[string]*modelNode

type modelNode struct {
	data              string
	version, aversion int32
	created, deleted  int32 // children, ever
	owner             int64
	czxid, mzxid      int64
	pzxid             int64
}

func (m model) children(path string) (names []string) {
	for p := range m {
		if p != "/" && parentPath(p) == path {
			names = append(names, p[strings.LastIndexByte(p, '/')+1:])
		}
	}
	slices.Sort(names)
	return names
}

func parentPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// An action is one write: create, delete, set or check.
type action struct {
	op      proto.Op
	path    string
	data    string
	version int32
	flags   int32
}

func (a action) body() []byte {
	switch a.op {
	case proto.OpCreate:
		return create(a.path, a.flags)
	case proto.OpDelete:
		return versioned(a.path, a.version)
	}
	return setData(a.path, a.data, a.version)
}

func (a action) part() proto.MultiOp {
	switch a.op {
	case proto.OpCreate:
		r := newNode(a.path)
		r.Flags = a.flags
		return part(a.op, r)
	case proto.OpSetData:
		return part(a.op, &proto.SetDataRequest{Path: a.path, Data: []byte(a.data), Version: a.version})
	}
	return part(a.op, &proto.PathVersion{Path: a.path, Version: a.version})
}

// apply carries an action out and returns its code and the path created.
func (m model) apply(a action, zxid, session int64) (proto.Code, string) {
	n, up := m[a.path], m[parentPath(a.path)]
	switch {
	case a.op == proto.OpCreate:
		return m.create(a, zxid, session)
	case a.op == proto.OpDelete && up == nil, n == nil:
		return proto.ErrNoNode, ""
	case a.version != -1 && a.version != n.version:
		return proto.ErrBadVersion, ""
	case a.op == proto.OpDelete:
		if len(m.children(a.path)) > 0 {
			return proto.ErrNotEmpty, ""
		}
		m.remove(a.path, zxid)
	case a.op == proto.OpSetData:
		n.data, n.mzxid = a.data, zxid
		n.version++
	}
	return proto.OK, ""
}

func (m model) create(a action, zxid, session int64) (proto.Code, string) {
	up, path := m[parentPath(a.path)], a.path
	if up == nil {
		return proto.ErrNoNode, ""
	}
	if a.flags&2 != 0 {
		path = fmt.Sprintf("%s%010d", path, up.created)
	}
	if m[path] != nil {
		return proto.ErrNodeExists, ""
	}
	if up.owner != 0 {
		return proto.ErrNoChildrenEphemeral, ""
	}
	n := &modelNode{data: "x", czxid: zxid, mzxid: zxid, pzxid: zxid}
	if a.flags&1 != 0 {
		n.owner = session
	}
	m[path] = n
	up.created++
	up.pzxid = zxid
	return proto.OK, path
}

func (m model) remove(path string, zxid int64) {
	delete(m, path)
	m[parentPath(path)].deleted++
	m[parentPath(path)].pzxid = zxid
}

// clone is for multis that fail.
func (m model) clone() model {
	c := make(model, len(m))
	for p, n := range m {
		copied := *n
		c[p] = &copied
	}
	return c
}

func (m model) stat(path string) proto.Stat {
	n, kids := m[path], int32(len(m.children(path)))
	return proto.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Pzxid: n.pzxid, Version: n.version, Cversion: n.created + n.deleted,
		Aversion: n.aversion, EphemeralOwner: n.owner, DataLength: int32(len(n.data)), NumChildren: kids,
	}
}

func randomAction(r *rand.Rand) action {
	names := []string{"a", "b", "c"}
	path := ""
	for range 1 + r.IntN(3) {
		path += "/" + names[r.IntN(len(names))]
	}
	a := action{path: path, version: -1, data: fmt.Sprint(r.IntN(1000))}
	a.op = []proto.Op{proto.OpCreate, proto.OpCreate, proto.OpDelete, proto.OpSetData, proto.OpCheck}[r.IntN(5)]
	if r.IntN(3) == 0 {
		a.version = int32(r.IntN(3))
	}
	if a.op == proto.OpCreate && r.IntN(3) == 0 {
		a.flags = int32(r.IntN(4))
	}
	return a
}

// TestAgainstModel does random writes through sessions that come and go.
// Many are sent before the first is applied, so that they are validated
// against what is under way.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { againstModel(t, seed) })
	}
}

func againstModel(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	f := leader(t, nil)
	m := model{"/": {}}
	clients := []*client{f.connect(), f.connect(), f.connect()}
	zxid := f.p.LastZxid()
	for range 60 {
		f.order.holding(true)
		var checks []func()
		var sent int
		before := len(f.order.proposed)
		for range 1 + r.IntN(12) {
			c := clients[r.IntN(len(clients))]
			zxid++
			sent++
			checks = append(checks, step(c, m, r, zxid))
			// One client's write is to be behind the other's.
			f.order.wait(t, "the proposal", func() bool { return len(f.order.proposed) == before+sent })
		}
		f.order.holding(false)
		for _, check := range checks {
			check()
		}
		if r.IntN(4) == 0 {
			zxid = renew(f, clients, r.IntN(len(clients)), m)
		}
		compare(t, f, m)
	}
}

// step sends a random write, or a multi of some, and returns what checks its
// reply.
func step(c *client, m model, r *rand.Rand, zxid int64) (check func()) {
	session := c.resp.SessionID
	if r.IntN(4) > 0 {
		a := randomAction(r)
		if a.op == proto.OpCheck {
			a.op = proto.OpSetData
		}
		xid := c.send(a.op, a.body())
		code, path := m.apply(a, zxid, session)
		return func() {
			if got := c.next(); got.Xid != xid || got.Err != code || code == proto.OK && a.op == proto.OpCreate && got.String() != path {
				c.t.Fatalf("%+v: %v, want %v %s", a, got.ReplyHeader, code, path)
			}
		}
	}
	var parts []proto.MultiOp
	var codes []int32
	tried, failed := m.clone(), false
	for range r.IntN(5) {
		a := randomAction(r)
		parts = append(parts, a.part())
		switch code, _ := tried.apply(a, zxid, session); {
		case failed:
			codes = append(codes, int32(proto.ErrRuntimeInconsistency))
		case code != proto.OK:
			failed = true
			clear(codes)
			codes = append(codes, int32(code))
		default:
			codes = append(codes, int32(a.op))
		}
	}
	if !failed {
		clear(m)
		maps.Copy(m, tried)
	}
	xid := c.send(proto.OpMulti, multi(parts...))
	return func() {
		if got := c.next(); got.Xid != xid || got.Err != proto.OK || !equal(got.results(c.t), codes) {
			c.t.Fatalf("multi %+v: want %v", parts, codes)
		}
	}
}

// renew closes a session and makes another.
func renew(f *fixture, clients []*client, i int, m model) int64 {
	c := clients[i]
	xid := c.send(proto.OpCloseSession, nil)
	closed := c.next()
	if closed.Xid != xid {
		f.t.Fatalf("reply to %d", closed.Xid)
	}
	for path, n := range m.clone() {
		if n.owner == c.resp.SessionID {
			m.remove(path, closed.Zxid)
		}
	}
	clients[i] = f.connect()
	return f.p.LastZxid()
}

// compare looks at the whole tree.
func compare(t *testing.T, f *fixture, m model) {
	t.Helper()
	f.p.View(func(tr *tree.Tree) {
		for path, want := range m {
			n, ok := tr.Get(path)
			if !ok {
				t.Fatalf("%s is missing", path)
			}
			if path == "/" {
				continue // has /zookeeper
			}
			got := n.Stat()
			got.Ctime, got.Mtime = 0, 0
			if got != m.stat(path) || string(n.Data()) != want.data {
				t.Fatalf("%s: %+v %q, want %+v %q", path, got, n.Data(), m.stat(path), want.data)
			}
		}
		if got, want := tr.NodeCount(), len(m)+1+3; got != want {
			t.Fatalf("%d znodes, want %d", got, want)
		}
	})
	if n := f.p.Metrics().DigestMismatches.Load(); n > 0 {
		t.Fatalf("%d digests differ", n)
	}
}
