package pipeline

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

func TestSessions(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	if c.resp.Timeout != 10000 || len(c.resp.Password) != 16 || c.c.SessionTimeout() != 10*time.Second {
		t.Errorf("connected as %+v", c.resp)
	}
	id := c.resp.SessionID
	c.must(proto.OpCreate, create("/e", 1))

	again := f.reconnect(c)
	c.gone()
	if again.resp.SessionID != id {
		t.Errorf("took up %x, want %x", again.resp.SessionID, id)
	}
	again.must(proto.OpSetData, setData("/e", "", -1))

	wrong := f.dial()
	if err := wrong.shake(id, make([]byte, 16), 0); err == nil || wrong.resp.SessionID != 0 || wrong.resp.Timeout != 0 {
		t.Errorf("with a wrong password: %v, %+v", err, wrong.resp)
	}
	again.gone() // as in Apache's servers; the session lives
	last := f.reconnect(again)
	last.must(proto.OpExists, watched("/e", false))
	if r := last.must(proto.OpCloseSession, nil); r.Len() != 0 {
		t.Error("closeSession answers more than a header")
	}
	last.gone()
	f.p.View(func(tr *tree.Tree) {
		if _, ok := tr.Get("/e"); ok || tr.SessionCount() != 0 {
			t.Error("something of the session is left")
		}
	})
	late := f.dial()
	if err := late.shake(id, c.resp.Password, 0); err == nil || late.resp.SessionID != 0 {
		t.Errorf("took up a closed session: %v, %+v", err, late.resp)
	}
}

func TestNegotiate(t *testing.T) {
	p := &Pipeline{cfg: testConfig()}
	for ms, want := range map[int32]int32{-5: 4000, 0: 4000, 5000: 5000, 1 << 30: 40000} {
		if got := p.negotiate(ms); got != want {
			t.Errorf("%d became %d, want %d", ms, got, want)
		}
	}
}

func TestHandshakeRefused(t *testing.T) {
	f := newFixture(t, testConfig(), nil)
	if err := f.dial().shake(0, nil, 0); !errors.Is(err, errNotServing) {
		t.Errorf("before a term: %v", err)
	}
	f.lead(1)
	ahead := f.dial()
	if err := ahead.shake(0, nil, f.p.LastZxid()+1); !errors.Is(err, errClientAhead) {
		t.Errorf("a client from the future: %v", err)
	}
	ahead.none()
	if err := f.dial().c.Connect(context.Background(), []byte{1}); err == nil {
		t.Error("garbage is taken for a handshake")
	}
	old := f.dial()
	if err := old.c.Connect(context.Background(), proto.ConnectRequest{Timeout: 5000}.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if b := <-old.sink.frames; len(b) != 36 {
		t.Errorf("the answer to the old form has %d bytes", len(b))
	}
	f.order.holding(true)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	waiting := f.dial()
	go func() { done <- waiting.c.Connect(ctx, proto.ConnectRequest{Timeout: 5000}.Append(nil)) }()
	f.order.wait(t, "createSession", func() bool { return len(f.order.proposed) == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a server that ends: %v", err)
	}
	idle := leader(t, func(c *Config) { c.LeaderIdle = true })
	if err := idle.dial().shake(0, nil, 0); !errors.Is(err, errNotServing) {
		t.Errorf("a leader that does not serve: %v", err)
	}
}

// TestEpochBegins asks for the zxid that a server of the epoch tells before
// its first transaction.
func TestEpochBegins(t *testing.T) {
	f := leader(t, nil)
	f.connect()
	f.look()
	f.lead(7)
	c := f.dial()
	if err := c.shake(0, nil, 7<<32); err != nil {
		t.Error(err)
	}
}

// TestExpiry runs on a clock that the test moves.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := leader(t, nil)
		quiet, loud := f.connect(), f.connect()
		quiet.must(proto.OpCreate, create("/e", 1))
		loud.must(proto.OpExists, watched("/e", true))
		start := time.Now()
		for {
			time.Sleep(time.Second)
			synctest.Wait()
			xid := loud.send(proto.OpPing, nil)
			if events := loud.events(xid); len(events) > 0 {
				break
			}
			if time.Since(start) > time.Minute {
				t.Fatal("the session does not expire")
			}
		}
		// At the end of the tick in which 10 s are over, and a quarter tick to find out.
		if took := time.Since(start); took < 10*time.Second || took > 14*time.Second {
			t.Errorf("a session of 10 s expired after %v", took)
		}
		quiet.gone()
		if n := f.p.Metrics().SessionsExpired.Load(); n != 1 {
			t.Errorf("%d sessions expired", n)
		}
		late := f.dial()
		if err := late.shake(quiet.resp.SessionID, quiet.resp.Password, 0); err == nil || late.resp.SessionID != 0 {
			t.Errorf("an expired session was taken up: %v", err)
		}
	})
}

// TestNewLeaderGivesTime: whoever begins to lead starts all timers anew.
func TestNewLeaderGivesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := leader(t, nil)
		c := f.connect()
		c.must(proto.OpCreate, create("/e", 1))
		f.look()
		time.Sleep(time.Hour)
		f.lead(2)
		again := f.reconnect(c)
		again.must(proto.OpExists, watched("/e", false))
	})
}

// TestPendingEphemerals closes a session while its creates and deletes are
// under way, from another connection and its own.
func TestPendingEphemerals(t *testing.T) {
	f := leader(t, nil)
	c, other := f.connect(), f.connect()
	for _, path := range []string{"/1", "/2", "/3"} {
		c.must(proto.OpCreate, create(path, 1))
	}
	f.order.holding(true)
	c.send(proto.OpCreate, create("/4", 1))
	c.send(proto.OpCreate, create("/5", 1))
	c.send(proto.OpDelete, versioned("/5", -1))
	c.send(proto.OpDelete, versioned("/1", -1))
	c.send(proto.OpSetData, setData("/2", "", -1))
	f.order.wait(t, "the writes", func() bool { return len(f.order.proposed) == 5 })
	f.p.closeSession(c.resp.SessionID)
	f.order.wait(t, "its end", func() bool { return len(f.order.proposed) == 6 })
	_ = c.sendAs(99, proto.OpCreate, create("/late", 1)) // dropped: the session is closing
	other.send(proto.OpCreate, create("/4", 0))
	f.order.holding(false)
	if r := other.next(); r.Err != proto.OK {
		t.Errorf("create of what the session had: %v", r.Err)
	}
	c.gone()
	f.p.View(func(tr *tree.Tree) {
		if tr.EphemeralCount() != 0 || tr.SessionCount() != 1 {
			t.Errorf("%d ephemerals, %d sessions are left", tr.EphemeralCount(), tr.SessionCount())
		}
	})
}

// TestMoved writes through a server that does not serve the session any more.
func TestMoved(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	if !f.p.Revalidate(2, c.resp.SessionID, 10000) {
		t.Fatal("server 2 may not serve the session")
	}
	c.send(proto.OpCreate, create("/a", 0))
	c.gone()
	c.none()
	again := f.reconnect(c)
	if r := again.do(proto.OpExists, watched("/a", false)); r.Err != proto.ErrNoNode {
		t.Error("the write was carried out")
	}
	again.must(proto.OpCreate, create("/a", 0))
}

// TestTermsChange lets clients connect, reconnect and write while terms come
// and go. Nobody may be told that a session has expired, and everything ends.
func TestTermsChange(t *testing.T) {
	f := leader(t, nil)
	first := f.connect()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := f.dial()
				if err := c.shake(first.resp.SessionID, first.resp.Password, 0); c.resp.Password != nil && c.resp.SessionID == 0 {
					t.Errorf("told that the session is gone: %v", err)
				} else if err == nil {
					_ = c.sendAs(1, proto.OpSetData, setData("/", "", -1))
					_ = c.sendAs(2, proto.OpSync, text("/"))
					_ = c.sendAs(3, proto.OpGetData, watched("/", true))
				}
				c.c.Close()
			}
		})
	}
	for epoch := range int64(100) {
		f.look()
		f.lead(epoch + 2)
	}
	close(stop)
	wg.Wait()
	f.reconnect(first).must(proto.OpExists, watched("/", false))
	f.p.Stop()
	if n := len(f.p.conns.byID) + len(f.p.conns.all) + len(f.p.conns.before); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if n := f.p.WatchCounts().Watches; n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// TestTermEndsInHandshake ends the term between the look at it and the
// question whether the session lives: that is no reason to say it does not.
func TestTermEndsInHandshake(t *testing.T) {
	f := leader(t, nil)
	first := f.connect()
	cur := f.p.term.Load()
	f.look()
	c := f.dial()
	h := &handshake{done: make(chan error, 1)}
	h.req = proto.ConnectRequest{SessionID: first.resp.SessionID, Password: first.resp.Password}
	h.reply = proto.ConnectResponse{Timeout: 10000, SessionID: first.resp.SessionID}
	if err := c.c.openSession(cur, h); err != nil {
		t.Fatal(err)
	}
	if err := <-h.done; err != nil {
		t.Errorf("refused: %v", err)
	}
	if err := c.sendAs(1, proto.OpSetData, setData("/", "", -1)); !errors.Is(err, errNotServing) {
		t.Errorf("a write of an ended term: %v", err)
	}
}

// TestWatchOfClosed closes a connection while it reads.
func TestWatchOfClosed(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	c.c.Close()
	f.p.mu.RLock()
	c.c.answer(&waiting{RequestHeader: proto.RequestHeader{Xid: 1, Op: proto.OpExists}, body: watched("/", true)})
	f.p.mu.RUnlock()
	if n := f.p.WatchCounts().Watches; n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// TestMovedReads: a leader looks at who serves the session before it answers
// a read; a learner cannot.
func TestMovedReads(t *testing.T) {
	for _, op := range []proto.Op{proto.OpExists, proto.OpPing, proto.OpSync, proto.OpGetChildren} {
		f := leader(t, nil)
		c := f.connect()
		f.order.holding(true)
		ahead := c.send(proto.OpSetData, setData("/", "x", -1))
		f.order.wait(t, "the write", func() bool { return len(f.order.proposed) == 1 })
		f.p.Revalidate(2, c.resp.SessionID, 10000)
		c.send(op, watched("/", true))
		f.order.holding(false)
		if r := c.next(); r.Xid != ahead || r.Err != proto.OK {
			t.Errorf("%v: reply %d ahead of it: %v", op, r.Xid, r.Err)
		}
		c.gone()
		c.none()
		if n := f.p.WatchCounts().Watches; n != 0 {
			t.Errorf("%v: %d watches are left", op, n)
		}
	}
}

// TestChecksInOrder asks with a session that is served elsewhere: what is looked
// at before the session is answered, all else closes the connection.
func TestChecksInOrder(t *testing.T) {
	for _, x := range []struct {
		name string
		op   proto.Op
		body []byte
		want proto.Code // ErrSessionMoved: closed
	}{
		{"flags that do not exist", proto.OpCreate, create("/a", 77), proto.ErrBadArguments},
		{"a TTL that is not known here", proto.OpCreateTTL, createTTL("/a", 5, 1000), proto.ErrUnimplemented},
		{"a TTL for a znode without", proto.OpCreateTTL, createTTL("/a", 0, 1000), proto.ErrBadArguments},
		{"garbage", proto.OpSetData, []byte{1}, proto.ErrMarshalling},
		{"a path", proto.OpCreate, create("a", 0), proto.ErrSessionMoved},
		{"an ephemeral", proto.OpCreate, create("/a", 1), proto.ErrSessionMoved},
		{"a znode that is not there", proto.OpDelete, versioned("/none", -1), proto.ErrSessionMoved},
		{"reconfig", proto.OpReconfig, proto.ReconfigRequest{ConfigID: -1}.Append(nil), proto.ErrReconfigDisabled},
		{"an empty multi", proto.OpMulti, multi(), proto.OK},
		{"a multi", proto.OpMulti, multi(part(proto.OpCreate, newNode("/a"))), proto.ErrSessionMoved},
		{"a multi that fails before", proto.OpMulti, multi(part(proto.OpCreateTTL,
			&proto.CreateRequest{Path: "/a", ACL: proto.WorldAnyone(), Flags: proto.ModePersistentTTL, TTL: 1000})), proto.OK},
		{"a multi with a TTL's flags and no TTL", proto.OpMulti, multi(part(proto.OpCreate, ephemeral("/a", 5))), proto.ErrMarshalling},
	} {
		f := leader(t, nil)
		c := f.connect()
		f.p.Revalidate(2, c.resp.SessionID, 10000)
		c.send(x.op, x.body)
		if x.want == proto.ErrSessionMoved {
			c.gone()
			c.none()
			continue
		}
		if r := c.next(); r.Err != x.want {
			t.Errorf("%s: %v, want %v", x.name, r.Err, x.want)
		}
	}
}

// TestExpiryWhileQueued: what was asked before a session's end, and comes to
// the leader after it, fails.
func TestExpiryWhileQueued(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	write := quorum.Request{Session: c.resp.SessionID, Cxid: 1, Op: proto.OpCreate, Body: create("/late", 1)}
	f.p.term.Load().sessions.SetClosing(c.resp.SessionID)
	f.p.Request(2, write)
	other := f.connect()
	other.must(proto.OpSync, text("/"))
	if r := other.do(proto.OpExists, watched("/late", false)); r.Err != proto.ErrNoNode {
		t.Error("a closing session writes")
	}
	c.send(proto.OpPing, nil)
	c.none() // dropped
	f.p.closeSession(c.resp.SessionID)
	c.gone()
}
