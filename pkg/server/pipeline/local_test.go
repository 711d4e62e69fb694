package pipeline

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

func local(upgrade bool) func(*Config) {
	return func(c *Config) { c.LocalSessions, c.LocalUpgrade = true, upgrade }
}

// localFollower follows with local sessions.
func localFollower(t *testing.T, upgrade bool) *fixture {
	t.Helper()
	cfg := testConfig()
	local(upgrade)(&cfg)
	f := newFixture(t, cfg, nil)
	f.wrong = true // what the tests commit has no digests worked out
	f.follow(1)
	return f
}

func ephemeral(path string, flags int32) *proto.CreateRequest {
	r := newNode(path)
	r.Flags = flags
	return r
}

func (f *fixture) sessionCount() (n int) {
	f.p.View(func(t *tree.Tree) { n = t.SessionCount() })
	return n
}

func (f *fixture) wantLocal(n int) {
	f.t.Helper()
	if got, ok := f.p.LocalSessions(); got != n || !ok {
		f.t.Errorf("%d local sessions, want %d", got, n)
	}
}

func TestLocalSessionOnLeader(t *testing.T) {
	f := leader(t, local(false))
	c := f.connect()
	f.wantLocal(1)
	if f.sessionCount() != 0 || f.p.LastZxid() != 1<<32 {
		t.Errorf("%d global sessions, zxid 0x%x", f.sessionCount(), f.p.LastZxid())
	}
	c.must(proto.OpCreate, create("/a", 0))
	for _, op := range []proto.Op{proto.OpCreate, proto.OpCreate2} {
		if r := c.do(op, create("/e", 1)); r.Err != proto.ErrEphemeralOnLocal || r.Zxid != f.p.LastZxid() {
			t.Errorf("ephemeral by %v: %v", op, r.Err)
		}
	}
	// Nobody looks into it: the leader finds the session unknown.
	if r := c.do(proto.OpCreateContainer, create("/e", 1)); r.Err != proto.ErrSessionExpired {
		t.Errorf("ephemeral by createContainer: %v", r.Err)
	}
	r := c.must(proto.OpMulti, multi(part(proto.OpCreate, newNode("/b")), part(proto.OpCreate, ephemeral("/e", 3)), part(proto.OpCreate, newNode("/c"))))
	if got := r.results(t); !equal(got, []int32{0, int32(proto.ErrEphemeralOnLocal), int32(proto.ErrRuntimeInconsistency)}) {
		t.Errorf("a multi with an ephemeral: %v", got)
	}
	c.must(proto.OpMulti, multi(part(proto.OpCreate, newNode("/b"))))

	again := f.reconnect(c)
	c.gone()
	again.must(proto.OpSync, text("/"))
	last := f.p.LastZxid()
	if r := again.must(proto.OpCloseSession, nil); r.Len() != 0 {
		t.Error("closeSession answers more than a header")
	}
	again.gone()
	f.wantLocal(0)
	late := f.dial()
	if err := late.shake(c.resp.SessionID, c.resp.Password, 0); err == nil || late.resp.SessionID != 0 {
		t.Errorf("took up a closed session: %v", err)
	}
	if f.p.LastZxid() != last {
		t.Error("the end of a local session is a transaction")
	}
}

func TestLocalSessionUpgraded(t *testing.T) {
	for name, body := range map[string][]byte{
		"create": create("/e", 1),
		"multi":  multi(part(proto.OpCreate, newNode("/b")), part(proto.OpCreate2, ephemeral("/e", 1))),
	} {
		t.Run(name, func(t *testing.T) {
			f := leader(t, local(true))
			c := f.connect()
			f.order.holding(true)
			op := proto.OpCreate
			if name == "multi" {
				op = proto.OpMulti
			}
			xid := c.send(op, body)
			f.order.wait(t, "createSession and the request", func() bool { return len(f.order.proposed) == 2 })
			ping := c.send(proto.OpPing, nil) // alive meanwhile
			f.order.holding(false)
			if r := c.next(); r.Xid != xid || r.Err != proto.OK {
				t.Fatalf("%d: %v", r.Xid, r.Err)
			}
			if r := c.next(); r.Xid != ping {
				t.Errorf("reply to %d, want the ping's", r.Xid)
			}
			f.wantLocal(0)
			if timeout, ok := f.timeoutOf(c); !ok || timeout != 10000 {
				t.Errorf("in the table with %d ms, %v", timeout, ok)
			}
			c.must(proto.OpCreate, create("/e2", 1)) // without another upgrade
			if f.p.LastZxid() != 1<<32+3 {
				t.Errorf("zxid 0x%x", f.p.LastZxid())
			}
			f.reconnect(c).must(proto.OpCloseSession, nil)
			if f.sessionCount() != 0 {
				t.Error("the session was not closed for all")
			}
		})
	}
}

func (f *fixture) timeoutOf(c *client) (timeout int32, ok bool) {
	f.p.View(func(t *tree.Tree) { timeout, ok = t.SessionTimeout(c.resp.SessionID) })
	return timeout, ok
}

// TestLocalSessionOnFollower: nothing of it is forwarded but writes.
func TestLocalSessionOnFollower(t *testing.T) {
	f := localFollower(t, false)
	c := f.connect()
	again := f.reconnect(c)
	c.gone()
	again.must(proto.OpPing, nil)
	xid := again.send(proto.OpCreate, create("/a", 0))
	e := again.send(proto.OpCreate, create("/e", 1))
	m := again.send(proto.OpMulti, multi(part(proto.OpCreate, ephemeral("/e", 1))))
	f.order.wait(t, "the writes", func() bool { return len(f.order.forwarded) == 3 })
	id := again.resp.SessionID
	head := func(zxid int64, xid int32, op proto.Op) txn.Header {
		return txn.Header{ClientID: id, Cxid: xid, Zxid: zxid, Type: op}
	}
	f.commit(
		&txn.Txn{Header: head(1, xid, proto.OpCreate), Body: &txn.Create{Path: "/a", ParentCVersion: 1}},
		// The leader knows only that no such session is known to all.
		&txn.Txn{Header: head(2, e, proto.OpError), Body: &txn.Error{Code: proto.ErrSessionExpired}},
		&txn.Txn{Header: head(3, m, proto.OpMulti), Body: &txn.Multi{Parts: []txn.Part{
			{Type: proto.OpError, Body: &txn.Error{Code: proto.ErrSessionExpired}}}}},
	)
	for _, want := range []proto.Code{proto.OK, proto.ErrEphemeralOnLocal} {
		if r := again.next(); r.Err != want {
			t.Errorf("reply %d: %v, want %v", r.Xid, r.Err, want)
		}
	}
	if r := again.next(); r.Err != proto.OK || !equal(r.results(t), []int32{int32(proto.ErrSessionExpired)}) {
		t.Errorf("multi: %v", r.Err) // as in Apache's server
	}
	again.must(proto.OpCloseSession, nil)
	again.gone()
	f.wantLocal(0)
	if got := f.p.Touched(); len(got) != 0 || len(f.order.forwarded) != 3 || len(f.order.revalidated) != 0 {
		t.Errorf("the leader is told of %v, %v, %v", got, f.order.forwarded[3:], f.order.revalidated)
	}
}

// TestUpgradeOnFollower reconnects while the session is being made global: it
// is the leader's word that counts then, not the transaction.
func TestUpgradeOnFollower(t *testing.T) {
	f := localFollower(t, true)
	c := f.connect()
	id := c.resp.SessionID
	xid := c.send(proto.OpCreate, create("/e", 1))
	f.order.wait(t, "both requests", func() bool { return len(f.order.forwarded) == 2 })
	if r := f.order.forwarded[0]; r.Op != proto.OpCreateSession || r.Session != id || r.Cxid != 0 || jute.NewDecoder(r.Body).Int() != 10000 {
		t.Errorf("forwarded %+v", r)
	}
	c.send(proto.OpPing, nil)
	if got := f.p.Touched(); len(got) != 1 || got[0] != (quorum.Touch{Session: id, Timeout: 10000}) {
		t.Errorf("touched %v", got)
	}
	again, done := f.dial(), make(chan error, 1)
	go func() { done <- again.shake(id, c.resp.Password, 0) }()
	f.order.wait(t, "revalidation", func() bool { return len(f.order.revalidated) == 1 })
	f.commit(&txn.Txn{Header: txn.Header{ClientID: id, Zxid: 1, Type: proto.OpCreateSession}, Body: &txn.CreateSession{Timeout: 10000}})
	if err := f.p.Alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("connected before the leader had answered: %v", err)
	default:
	}
	f.p.Revalidated(id, true)
	if err := <-done; err != nil || again.resp.SessionID != id {
		t.Fatalf("%v, session %x", err, again.resp.SessionID)
	}
	f.commit(&txn.Txn{Header: txn.Header{ClientID: id, Cxid: xid, Zxid: 2, Type: proto.OpCreate}, Body: &txn.Create{Path: "/e", Ephemeral: true, ParentCVersion: 1}})
	if err := f.p.Alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	again.must(proto.OpExists, watched("/e", false))
	f.wantLocal(0)
}

// TestLocalSessionExpires on the server that made it.
func TestLocalSessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := localFollower(t, true)
		quiet, loud := f.connect(), f.connect()
		start := time.Now()
		for closed := false; !closed; {
			time.Sleep(time.Second)
			synctest.Wait()
			loud.must(proto.OpPing, nil)
			select {
			case <-quiet.sink.closed:
				closed = true
			default:
			}
			if time.Since(start) > time.Minute {
				t.Fatal("the session does not expire")
			}
		}
		if took := time.Since(start); took < 10*time.Second || took > 14*time.Second {
			t.Errorf("a session of 10 s expired after %v", took)
		}
		f.wantLocal(1)
		f.order.wait(t, "nothing", func() bool { return len(f.order.forwarded) == 0 })
	})
}

// TestLocalSessionElsewhere: another server's local session may write, and is
// not taken over.
func TestLocalSessionElsewhere(t *testing.T) {
	f := leader(t, local(true))
	const other, own = 2<<56 + 7, 1<<56 + 7
	watcher := f.connect()
	watcher.do(proto.OpExists, watched("/a", true))
	f.p.Request(2, quorum.Request{Session: other, Cxid: 1, Op: proto.OpCreate, Body: create("/a", 0)})
	if e := watcher.next().event(); e != "1 /a" {
		t.Errorf("event %s", e)
	}
	for _, r := range []struct {
		session int64
		flags   int32
	}{{other, 1}, {own, 0}, {own, 1}} {
		f.p.Request(2, quorum.Request{Session: r.session, Cxid: 2, Op: proto.OpCreate, Body: create("/b", r.flags)})
	}
	watcher.must(proto.OpSync, text("/"))
	if r := watcher.do(proto.OpExists, watched("/b", false)); r.Err != proto.ErrNoNode {
		t.Errorf("/b: %v", r.Err)
	}
	if f.p.Revalidate(2, watcher.resp.SessionID, 4000) {
		t.Error("a local session is confirmed to another server")
	}
	c := f.dial()
	if err := c.shake(other, sessionPassword(other), 0); err == nil || c.resp.SessionID != 0 {
		t.Errorf("another server's local session was taken up: %v", err)
	}
}

// TestLocalSessionsEndWithTerm: they are in no table.
func TestLocalSessionsEndWithTerm(t *testing.T) {
	f := leader(t, local(true))
	c := f.connect()
	f.look()
	c.gone()
	f.lead(2)
	f.wantLocal(0)
	again := f.dial()
	if err := again.shake(c.resp.SessionID, c.resp.Password, 0); err == nil || again.resp.SessionID != 0 {
		t.Errorf("taken up in another term: %v", err)
	}
	if err := c.sendAs(1, proto.OpCreate, create("/a", 0)); !errors.Is(err, errStopped) {
		t.Errorf("a write of an ended term: %v", err)
	}
}
