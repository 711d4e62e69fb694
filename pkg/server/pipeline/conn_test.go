package pipeline

import (
	"errors"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// TestOrder pipelines everything that may wait; the replies come in order.
func TestOrder(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	f.order.holding(true)
	var want []int32
	add := func(op proto.Op, body []byte) { want = append(want, c.send(op, body)) }
	add(proto.OpExists, watched("/a", false))
	add(proto.OpCreate, create("/a", 0))
	add(proto.OpExists, watched("/a", false))
	add(proto.OpPing, nil)
	add(proto.OpSync, text("/"))
	add(proto.OpSetData, setData("/a", "1", 0))
	add(proto.OpGetData, watched("/a", false))
	add(proto.OpSync, text("/"))
	add(proto.OpSync, text("/"))
	add(proto.OpDelete, versioned("/a", -1))
	add(proto.OpExists, watched("/a", false))
	f.order.wait(t, "the proposals", func() bool { return len(f.order.proposed) == 3 && len(f.order.syncs) == 3 })
	if r := c.next(); r.Xid != want[0] || r.Err != proto.ErrNoNode {
		t.Errorf("what was asked before the writes: %d %v", r.Xid, r.Err)
	}
	c.none()
	f.order.holding(false)
	codes := []proto.Code{0, 0, 0, 0, 0, 0, 0, 0, 0, proto.ErrNoNode}
	for i, xid := range want[1:] {
		if r := c.next(); r.Xid != xid || r.Err != codes[i] {
			t.Fatalf("reply %d: xid %d, %v; want xid %d, %v", i, r.Xid, r.Err, xid, codes[i])
		}
	}
	c.none()
}

// TestTransactionPassesSync is about an order that answers a sync late, with
// transactions that were proposed behind it before it.
func TestTransactionPassesSync(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	f.order.late = true
	f.order.holding(true)
	first, sync, second, read := c.send(proto.OpCreate, create("/a", 0)), c.send(proto.OpSync, text("/a")), c.send(proto.OpCreate, create("/b", 0)), c.send(proto.OpExists, watched("/b", false))
	f.order.wait(t, "the proposals", func() bool { return len(f.order.proposed) == 2 && len(f.order.syncs) == 1 })
	f.order.holding(false)
	for _, xid := range []int32{first, sync, second, read} {
		if r := c.next(); r.Xid != xid || r.Err != proto.OK {
			t.Fatalf("xid %d, %v; want %d", r.Xid, r.Err, xid)
		}
	}
}

// TestSecondConnection takes a session over while a write of its first
// connection is under way; the client numbers anew, as some libraries do.
func TestSecondConnection(t *testing.T) {
	f := leader(t, nil)
	first := f.connect()
	f.order.holding(true)
	if err := first.sendAs(1, proto.OpCreate, create("/first", 0)); err != nil {
		t.Fatal(err)
	}
	f.order.wait(t, "the proposal", func() bool { return len(f.order.proposed) == 1 })
	second := f.reconnect(first)
	first.gone()
	if err := second.sendAs(1, proto.OpCreate, create("/second", 0)); err != nil {
		t.Fatal(err)
	}
	f.order.wait(t, "the proposal", func() bool { return len(f.order.proposed) == 2 })
	f.order.holding(false)
	if r := second.next(); r.Xid != 1 || r.String() != "/second" {
		t.Error("the second connection got the reply of the first")
	}
	if got := f.p.conns.before[first.resp.SessionID]; len(got) != 0 {
		t.Errorf("%d former connections are kept for nothing", len(got))
	}
}

// TestCloseWhileWaiting closes with requests of all kinds under way.
func TestCloseWhileWaiting(t *testing.T) {
	f := leader(t, nil)
	c, other := f.connect(), f.connect()
	f.order.holding(true)
	c.send(proto.OpCreate, create("/a", 0))
	c.send(proto.OpSync, text("/"))
	c.send(proto.OpExists, watched("/a", true))
	answered := make(chan struct{})
	go func() { c.c.WaitAnswered(0); close(answered) }()
	f.order.wait(t, "the proposal", func() bool { return len(f.order.proposed) == 1 && len(f.order.syncs) == 1 })
	c.c.Close()
	<-answered
	if n := f.p.Stats().Outstanding(); n != 1 {
		t.Errorf("%d requests are outstanding, want the write", n)
	}
	f.order.holding(false)
	other.must(proto.OpSync, text("/"))
	if n := f.p.Stats().Outstanding(); n != 0 {
		t.Errorf("%d requests are outstanding", n)
	}
	other.must(proto.OpGetData, watched("/a", false)) // it was carried out
	c.none()
	if err := c.sendAs(9, proto.OpPing, nil); !errors.Is(err, errStopped) {
		t.Errorf("a request on a closed connection: %v", err)
	}
	if n := f.p.WatchCounts().Watches; n != 0 {
		t.Errorf("%d watches are left", n)
	}
	if f.p.ConnectionCount() != 1 {
		t.Errorf("%d connections", f.p.ConnectionCount())
	}
}

func TestOtherRequests(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	if r := c.must(proto.OpSync, text("/any")); r.String() != "/any" {
		t.Error("sync does not echo its path")
	}
	if r := c.do(proto.OpReconfig, nil); r.Err != proto.ErrMarshalling {
		t.Errorf("reconfig of nothing: %v", r.Err)
	}
	if r := c.do(proto.OpReconfig, proto.ReconfigRequest{Joining: "server.2=h:1:2"}.Append(nil)); r.Err != proto.ErrReconfigDisabled {
		t.Errorf("reconfig: %v", r.Err)
	}
	if r := c.do(proto.OpSasl, jute.AppendBuffer(nil, []byte{})); r.Err != proto.OK || r.Zxid != 0 || r.d.Int() != -1 {
		t.Errorf("sasl without SASL: %v", r.Err)
	}
	if r := c.do(proto.OpGetData, []byte{0, 0}); r.Err != proto.ErrMarshalling {
		t.Errorf("truncated: %v", r.Err)
	}
	if r := c.do(proto.OpExists, watched("/\x00", false)); r.Err != proto.ErrBadArguments {
		t.Errorf("exists with NUL: %v", r.Err)
	}
	if r := c.do(proto.OpExists, watched("q", false)); r.Err != proto.ErrNoNode {
		t.Errorf("exists without slash: %v", r.Err)
	}
	c.must(proto.OpCreate, create("/e", 1))
	c.must(proto.OpCreate, create("/d", 1))
	if r := c.must(proto.OpGetEphemerals, text("/")); len(r.d.Strings()) != 2 {
		t.Error("getEphemerals of all")
	}
	if r := c.must(proto.OpGetEphemerals, text("/e")); len(r.d.Strings()) != 1 {
		t.Error("getEphemerals with a prefix")
	}
	if r := c.must(proto.OpGetAllChildrenNumber, text("/")); r.d.Int() != 5 {
		t.Error("getAllChildrenNumber of the root")
	}
	if err := c.sendAs(7, 999, nil); !errors.Is(err, proto.ErrUnimplemented) {
		t.Errorf("op 999: %v", err)
	}
	if r := c.next(); r.Err != proto.ErrUnimplemented || r.Zxid != -1 || r.Xid != 7 {
		t.Errorf("op 999: %v", r.ReplyHeader)
	}
}

// TestLearner forwards writes, syncs and sessions to the leader.
func TestLearner(t *testing.T) {
	f := newFixture(t, testConfig(), nil)
	f.follow(3)
	made := make(chan *client)
	go func() { c := f.dial(); _ = c.shake(0, nil, 0); made <- c }()
	f.order.wait(t, "createSession", func() bool { return len(f.order.forwarded) == 1 })
	id := f.order.forwarded[0].Session
	zxid := int64(zab.MakeZxid(3, 1))
	f.commit(&txn.Txn{Header: txn.Header{ClientID: id, Zxid: zxid, Type: proto.OpCreateSession}, Body: &txn.CreateSession{Timeout: 10000}})
	c := <-made
	if c.resp.SessionID != id || c.resp.Timeout != 10000 {
		t.Fatalf("connected as %+v", c.resp)
	}
	w1, s1, w2 := c.send(proto.OpCreate, create("/a", 0)), c.send(proto.OpSync, text("/")), c.send(proto.OpSetData, setData("/none", "", -1))
	if n := len(f.order.forwarded); n != 4 {
		t.Fatalf("%d requests forwarded", n)
	}
	f.commit(
		&txn.Txn{Header: txn.Header{ClientID: id, Cxid: w1, Zxid: zxid + 1, Type: proto.OpCreate}, Body: &txn.Create{Path: "/a", ParentCVersion: 1}},
		&txn.Txn{Header: txn.Header{ClientID: id, Cxid: w2, Zxid: zxid + 2, Type: proto.OpError}, Body: &txn.Error{Code: proto.ErrNoNode}},
	)
	f.p.Synced()
	for _, want := range []proto.ReplyHeader{{Xid: w1}, {Xid: s1}, {Xid: w2, Err: proto.ErrNoNode}} {
		if r := c.next(); r.Xid != want.Xid || r.Err != want.Err {
			t.Fatalf("reply %+v, want %+v", r.ReplyHeader, want)
		}
	}
	moved := c.send(proto.OpDelete, versioned("/a", -1))
	f.commit(&txn.Txn{Header: txn.Header{ClientID: id, Cxid: moved, Zxid: zxid + 3, Type: proto.OpError}, Body: &txn.Error{Code: proto.ErrSessionMoved}})
	c.gone()
	c.none()
}

// TestLearnersSyncsEndWithTheTerm leaves a sync without answer when a term
// ends; the next term's answers are not taken for it.
func TestLearnersSyncsEndWithTheTerm(t *testing.T) {
	f := newFixture(t, testConfig(), nil)
	open := func(epoch int64) *client {
		f.follow(epoch)
		c := f.dial()
		done := make(chan error)
		id := int64(epoch)
		go func() { pw := sessionPassword(id); done <- c.shake(id, pw, 0) }()
		f.order.wait(t, "the question", func() bool { return len(f.order.revalidated) > 0 })
		f.order.revalidated = nil
		f.p.Revalidated(id, true)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := open(1)
	old.send(proto.OpSync, text("/"))
	stale := f.p.term.Load()
	f.look()
	old.gone()
	if err := stale.do(func() { t.Error("an ended term does something") }); !errors.Is(err, errNotServing) {
		t.Error(err)
	}
	c := open(2)
	f.p.Synced() // to a sync of nobody here
	if err := f.p.Alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.none()
	sync := c.send(proto.OpSync, text("/"))
	c.none()
	f.p.Synced()
	if r := c.next(); r.Xid != sync {
		t.Errorf("reply to %d", r.Xid)
	}
}
