package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/session"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// fakeOrder commits what is proposed at once, or when it is told to.
type fakeOrder struct {
	mu          sync.Mutex
	machine     *Pipeline
	epoch       int64
	hold        bool
	late        bool // answer syncs behind everything that is released with them
	proposed    []zab.Proposal
	syncs       []heldSync
	forwarded   []quorum.Request
	revalidated []int64
	came        chan struct{} // something was forwarded, asked or proposed
	check       error         // what CheckReconfig says
}

// A heldSync is to be answered behind so many proposals.
type heldSync struct {
	behind int
	done   func()
}

func (o *fakeOrder) Propose(epoch int64, ps []zab.Proposal) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if epoch != o.epoch {
		return
	}
	o.proposed = append(o.proposed, ps...)
	o.settle()
}

func (o *fakeOrder) Sync(epoch int64, _ zab.Sid, done func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if epoch != o.epoch {
		return
	}
	o.syncs = append(o.syncs, heldSync{len(o.proposed), done})
	o.settle()
}

// CheckReconfig implements quorum.Order.
func (o *fakeOrder) CheckReconfig(int64, string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.check
}

func (o *fakeOrder) Forward(r quorum.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forwarded = append(o.forwarded, r)
	o.tell()
}

func (o *fakeOrder) Revalidate(session int64, _ int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.revalidated = append(o.revalidated, session)
	o.tell()
}

func (o *fakeOrder) tell() {
	select {
	case o.came <- struct{}{}:
	default:
	}
}

// settle commits unless it is to hold; o.mu is held.
func (o *fakeOrder) settle() {
	o.tell()
	if o.hold {
		return
	}
	given := 0
	give := func(n int) {
		if n > given {
			o.machine.Commit(o.proposed[given:n])
			given = n
		}
	}
	for _, s := range o.syncs {
		if o.late {
			s.behind = len(o.proposed)
		}
		give(s.behind)
		if s.done != nil {
			s.done()
		}
	}
	give(len(o.proposed))
	o.proposed, o.syncs = nil, nil
}

// holding makes the order keep what is proposed, or release it.
func (o *fakeOrder) holding(hold bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hold = hold
	o.settle()
}

// setEpoch drops what an ended term left.
func (o *fakeOrder) setEpoch(epoch int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.epoch, o.proposed, o.syncs = epoch, nil, nil
}

// wait returns when ok holds, which is asked with o.mu held.
func (o *fakeOrder) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		done := ok()
		o.mu.Unlock()
		if done {
			return
		}
		select {
		case <-o.came:
		case <-deadline:
			t.Fatalf("%s did not come", what)
		}
	}
}

// A fixture is a pipeline with its order.
type fixture struct {
	t     *testing.T
	p     *Pipeline
	order *fakeOrder
	wrong bool // digests may differ
}

func testConfig() Config {
	return Config{
		Self: 1, TickTime: 2 * time.Second, MinSessionTimeout: 4 * time.Second, MaxSessionTimeout: 40 * time.Second,
		SnapCount: 100000, Digests: true, Logger: slog.New(slog.DiscardHandler),
	}
}

// newFixture makes a pipeline that does not serve yet; prepare, which may be
// nil, changes the tree it starts from.
func newFixture(t *testing.T, cfg Config, prepare func(*tree.Tree)) *fixture {
	t.Helper()
	store, err := storage.Open(storage.Options{DataDir: t.TempDir(), Tree: tree.Options{ExtendedTypes: cfg.ExtendedTypes}})
	if err != nil {
		t.Fatal(err)
	}
	recovered, err := store.Recover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(recovered.Tree)
	}
	f := &fixture{t: t, p: New(cfg, store, recovered), order: &fakeOrder{came: make(chan struct{}, 1)}}
	f.order.machine = f.p
	f.p.Start(f.order)
	t.Cleanup(func() {
		f.p.Stop()
		if n := f.p.Metrics().DigestMismatches.Load(); n > 0 && !f.wrong {
			t.Errorf("%d transactions left the tree other than the leader had worked out", n)
		}
		if n := f.p.Stats().Outstanding(); n != 0 {
			t.Errorf("%d requests are outstanding after the end", n)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// lead begins a term in which the pipeline leads.
func (f *fixture) lead(epoch int64) {
	f.order.setEpoch(epoch)
	next := zab.MakeZxid(epoch, 0)
	f.p.View(func(t *tree.Tree) { next = max(next, zab.Zxid(t.LastZxid())) })
	f.p.Term(quorum.Term{RoleChange: zab.RoleChange{Role: zab.Leading, Phase: zab.Broadcast, Epoch: epoch, Leader: 1, Serving: true}, Next: next + 1})
}

// follow begins a term in which server 2 leads.
func (f *fixture) follow(epoch int64) {
	f.p.Term(quorum.Term{RoleChange: zab.RoleChange{Role: zab.Following, Phase: zab.Broadcast, Epoch: epoch, Leader: 2, Serving: true}})
}

// look ends a term.
func (f *fixture) look() {
	f.order.setEpoch(-1)
	f.p.Term(quorum.Term{RoleChange: zab.RoleChange{Role: zab.Looking, Phase: zab.Election, Leader: zab.None}})
}

// leader is a fixture that leads.
func leader(t *testing.T, change func(*Config)) *fixture {
	t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	f := newFixture(t, cfg, nil)
	f.lead(1)
	return f
}

// commit gives a follower transactions of its leader.
func (f *fixture) commit(ts ...*txn.Txn) {
	var ps []zab.Proposal
	for _, x := range ts {
		ps = append(ps, zab.Proposal{Zxid: zab.Zxid(x.Zxid), Data: x.Append(nil)})
	}
	f.p.Commit(ps)
}

// A sink is the client's end of a connection.
type sink struct {
	frames chan []byte
	closed chan struct{}
	once   sync.Once
}

func (s *sink) Frame(f func([]byte) []byte) {
	select {
	case <-s.closed:
	default:
		s.frames <- f(nil)
	}
}

func (s *sink) Close() { s.once.Do(func() { close(s.closed) }) }

// A client is what tests talk through.
type client struct {
	t    *testing.T
	c    *Conn
	sink *sink
	xid  int32
	resp proto.ConnectResponse
}

// dial makes a connection without a handshake.
func (f *fixture) dial() *client {
	return f.dialAs(Client{Remote: "10.1.2.3:4444", IP: "10.1.2.3"})
}

// dialAs is dial for a client of one's own.
func (f *fixture) dialAs(who Client) *client {
	s := &sink{frames: make(chan []byte, 1<<16), closed: make(chan struct{})}
	c := &client{t: f.t, sink: s, c: f.p.NewConn(s, who)}
	f.t.Cleanup(c.c.Close)
	return c
}

// connect makes a session.
func (f *fixture) connect() *client {
	f.t.Helper()
	c := f.dial()
	if err := c.shake(0, nil, 0); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// reconnect takes up a session on another connection.
func (f *fixture) reconnect(old *client) *client {
	f.t.Helper()
	c := f.dial()
	if err := c.shake(old.resp.SessionID, old.resp.Password, 0); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// shake does the handshake and reads the answer, if there is one.
func (c *client) shake(id int64, password []byte, seen int64) error {
	return c.shakeWith(proto.ConnectRequest{Timeout: 10000, SessionID: id, Password: password, LastZxidSeen: seen, HasReadOnly: true})
}

func (c *client) shakeWith(req proto.ConnectRequest) error {
	err := c.c.Connect(context.Background(), req.Append(nil))
	select {
	case b := <-c.sink.frames:
		c.resp.Decode(jute.NewDecoder(b))
	default:
	}
	return err
}

// rest is what follows a reply's header.
type rest struct{ d *jute.Decoder }

func (r *rest) Len() int       { return r.d.Len() }
func (r *rest) String() string { return r.d.String() }
func (r *rest) Buffer() []byte { return r.d.Buffer() }

// A reply is a reply or an event.
type reply struct {
	proto.ReplyHeader
	*rest
}

func (r reply) stat() (s proto.Stat) {
	s.Decode(r.d)
	return s
}

func (r reply) event() string {
	var e proto.WatcherEvent
	e.Decode(r.d)
	return fmt.Sprintf("%d %s", e.Type, e.Path)
}

// next is the next frame.
func (c *client) next() reply {
	c.t.Helper()
	select {
	case b := <-c.sink.frames:
		r := reply{rest: &rest{jute.NewDecoder(b)}}
		r.ReplyHeader.Decode(r.d)
		return r
	case <-time.After(patience):
		c.t.Fatal("no frame came")
		panic("not reached")
	}
}

// none fails when a frame is there.
func (c *client) none() {
	c.t.Helper()
	select {
	case b := <-c.sink.frames:
		c.t.Errorf("a frame that was not expected: %x", b)
	default:
	}
}

// gone waits until the server has closed the connection.
func (c *client) gone() {
	c.t.Helper()
	select {
	case <-c.sink.closed:
	case <-time.After(patience):
		c.t.Fatal("the connection is not closed")
	}
}

// send sends a request and returns the xid of its answer.
func (c *client) send(op proto.Op, body []byte) int32 {
	c.t.Helper()
	c.xid++
	if err := c.sendAs(c.xid, op, body); err != nil {
		c.t.Fatal(err)
	}
	if op == proto.OpPing {
		return proto.XidPing
	}
	return c.xid
}

func (c *client) sendAs(xid int32, op proto.Op, body []byte) error {
	frame := append(proto.RequestHeader{Xid: xid, Op: op}.Append(nil), body...)
	err := c.c.Request(frame)
	clear(frame) // the pipeline must have what it needs
	return err
}

// do sends a request and returns its reply.
func (c *client) do(op proto.Op, body []byte) reply {
	c.t.Helper()
	xid := c.send(op, body)
	r := c.next()
	if r.Xid != xid {
		c.t.Fatalf("reply to %d, want %d", r.Xid, xid)
	}
	return r
}

// must is do for what has to succeed.
func (c *client) must(op proto.Op, body []byte) reply {
	c.t.Helper()
	r := c.do(op, body)
	if r.Err != proto.OK {
		c.t.Fatalf("%v: %v", op, r.Err)
	}
	return r
}

func (c *client) auth(scheme, id string) proto.Code {
	c.t.Helper()
	_ = c.sendAs(proto.XidAuth, proto.OpAuth, proto.AuthPacket{Scheme: scheme, Auth: []byte(id)}.Append(nil))
	return c.next().Err
}

func create(path string, flags int32) []byte { return createACL(path, flags, proto.WorldAnyone()) }

func createACL(path string, flags int32, acl []proto.ACL) []byte {
	return proto.CreateRequest{Path: path, Data: []byte("x"), ACL: acl, Flags: flags}.Append(nil, proto.OpCreate)
}

func createTTL(path string, flags int32, ttl int64) []byte {
	return proto.CreateRequest{Path: path, Data: []byte("x"), ACL: proto.WorldAnyone(), Flags: flags, TTL: ttl}.Append(nil, proto.OpCreateTTL)
}

func versioned(path string, version int32) []byte {
	return proto.PathVersion{Path: path, Version: version}.Append(nil)
}

func setData(path, data string, version int32) []byte {
	return proto.SetDataRequest{Path: path, Data: []byte(data), Version: version}.Append(nil)
}

func setACL(path string, version int32, acl ...proto.ACL) []byte {
	return proto.SetACLRequest{Path: path, ACL: acl, Version: version}.Append(nil)
}

func watched(path string, watch bool) []byte {
	return proto.PathWatch{Path: path, Watch: watch}.Append(nil)
}

func text(path string) []byte { return jute.AppendString(nil, path) }

func acl(perms int32, scheme, id string) proto.ACL {
	return proto.ACL{Perms: perms, ID: proto.ID{Scheme: scheme, ID: id}}
}

func sessionPassword(id int64) []byte {
	p := session.Password(id)
	return p[:]
}
