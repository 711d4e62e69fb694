package pipeline

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// readOnly begins a term without a leader.
func (f *fixture) readOnly() {
	f.order.setEpoch(-1)
	f.p.Term(quorum.Term{RoleChange: zab.RoleChange{Role: zab.Looking, Phase: zab.Election, Leader: zab.None}, ReadOnly: true})
}

// shakeReadOnly does the handshake of a client that accepts to read only.
func (c *client) shakeReadOnly(id int64, password []byte) error {
	c.t.Helper()
	req := proto.ConnectRequest{Timeout: 10000, SessionID: id, Password: password, HasReadOnly: true, ReadOnly: true}
	return c.shakeWith(req)
}

func (f *fixture) connectReadOnly() *client {
	f.t.Helper()
	c := f.dial()
	if err := c.shakeReadOnly(0, nil); err != nil {
		f.t.Fatal(err)
	}
	return c
}

func TestReadOnly(t *testing.T) {
	f := leader(t, local(true))
	c := f.connect()
	c.must(proto.OpCreate, create("/a", 0))
	c.must(proto.OpCreate, create("/e", 1)) // which makes it global
	last := f.p.LastZxid()
	f.readOnly()
	c.gone()
	if !f.p.Serving() || !f.p.ReadOnly() {
		t.Error("not serving what reads")
	}

	for name, refused := range map[string]struct {
		c   proto.ConnectRequest
		why error
	}{
		"wants to write":         {proto.ConnectRequest{HasReadOnly: true}, errReadOnly},
		"older than that flag":   {proto.ConnectRequest{}, errReadOnly},
		"has a global session":   {proto.ConnectRequest{SessionID: c.resp.SessionID, Password: c.resp.Password, HasReadOnly: true, ReadOnly: true}, errGlobal},
		"global, wrong password": {proto.ConnectRequest{SessionID: c.resp.SessionID, HasReadOnly: true, ReadOnly: true}, errGlobal},
		"is ahead":               {proto.ConnectRequest{LastZxidSeen: last + 1, HasReadOnly: true, ReadOnly: true}, errClientAhead},
	} {
		x := f.dial()
		if err := x.shakeWith(refused.c); !errors.Is(err, refused.why) {
			t.Errorf("a client that %s: %v", name, err)
		}
		x.none()
	}

	r := f.connectReadOnly()
	if !r.resp.ReadOnly || r.resp.SessionID == 0 {
		t.Errorf("connected as %+v", r.resp)
	}
	if got := r.must(proto.OpGetData, watched("/a", true)); string(got.Buffer()) != "x" || got.Zxid != last {
		t.Errorf("zxid 0x%x, want 0x%x", got.Zxid, last)
	}
	r.must(proto.OpPing, nil)
	for _, op := range []proto.Op{
		proto.OpCreate, proto.OpCreate2, proto.OpCreateTTL, proto.OpCreateContainer, proto.OpDelete, proto.OpDeleteContainer,
		proto.OpSetData, proto.OpSetACL, proto.OpMulti, proto.OpSync, proto.OpReconfig,
	} {
		if got := r.do(op, nil); got.Err != proto.ErrNotReadOnly || got.Zxid != last || got.Len() != 0 {
			t.Errorf("%v: %v at 0x%x", op, got.Err, got.Zxid)
		}
	}
	again := f.dial()
	if err := again.shakeReadOnly(r.resp.SessionID, r.resp.Password); err != nil || !again.resp.ReadOnly {
		t.Fatal(err)
	}
	r.gone()
	again.must(proto.OpCloseSession, nil)
	again.gone()
	late := f.dial()
	if err := late.shakeReadOnly(r.resp.SessionID, r.resp.Password); err == nil || late.resp.SessionID != 0 {
		t.Errorf("took up a closed session: %v", err)
	}

	last2 := f.connectReadOnly()
	last2.must(proto.OpGetData, watched("/a", true))
	f.lead(2)
	last2.gone()
	last2.none()
	if f.p.ReadOnly() {
		t.Error("reads only, though it leads")
	}
	w := f.reconnect(c) // whose session outlived all that
	w.must(proto.OpSetData, setData("/a", "y", -1))
	w.must(proto.OpSetData, setData("/e", "y", -1))
	if n := f.p.WatchCounts().Watches; n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// TestReadOnlyWithoutLocalSessions: there are no new sessions; a known one that
// this server does not know is taken at its word, as Apache's servers do.
func TestReadOnlyWithoutLocalSessions(t *testing.T) {
	f := newFixture(t, testConfig(), nil)
	f.readOnly()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	c := f.dial()
	req := proto.ConnectRequest{Timeout: 10000, HasReadOnly: true, ReadOnly: true}
	go func() { done <- c.c.Connect(ctx, req.Append(nil)) }()
	if r := c.next(); r.ReplyHeader != (proto.ReplyHeader{Err: proto.ErrNotReadOnly}) || r.Len() != 0 {
		t.Errorf("answered %+v", r.ReplyHeader)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the connection is not held: %v", err)
	}
	const id = 5<<56 + 9
	known := f.dial()
	if err := known.shakeReadOnly(id, sessionPassword(id)); err != nil || known.resp.SessionID != id {
		t.Fatalf("%v, %+v", err, known.resp)
	}
	known.must(proto.OpExists, watched("/", false))
	if r := known.do(proto.OpCloseSession, nil); r.Err != proto.ErrNotReadOnly {
		t.Errorf("closeSession: %v", r.Err)
	}
	if got := f.p.Touched(); len(got) != 0 {
		t.Errorf("remembers %v for a leader to come", got)
	}
}

// TestReadOnlyTermsChange lets clients come, read and write while the server
// leads, reads only and looks. Nothing of one term reaches another, and
// everything ends.
func TestReadOnlyTermsChange(t *testing.T) {
	f := leader(t, local(true))
	first := f.connect()
	first.must(proto.OpCreate, create("/n", 1)) // which makes it global
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := f.dial()
				req := proto.ConnectRequest{Timeout: 10000, HasReadOnly: true, ReadOnly: i%2 == 0}
				if i > 1 {
					req.SessionID, req.Password = first.resp.SessionID, first.resp.Password
				}
				if err := c.shakeWith(req); c.resp.Password != nil && c.resp.SessionID == 0 {
					t.Errorf("told that the session is gone: %v", err)
				} else if err == nil {
					if c.resp.ReadOnly && (!req.ReadOnly || i > 1) {
						t.Errorf("%+v was taken to read only", req)
					}
					_ = c.sendAs(1, proto.OpCreate, create("/e", 1))
					_ = c.sendAs(2, proto.OpSync, text("/"))
					_ = c.sendAs(3, proto.OpGetData, watched("/", true))
					_ = c.sendAs(4, proto.OpDelete, versioned("/e", -1))
				}
				c.c.Close()
			}
		})
	}
	for epoch := range int64(60) {
		f.readOnly()
		zxid := f.p.LastZxid()
		f.connectReadOnly().must(proto.OpGetData, watched("/", true))
		f.look()
		if f.p.LastZxid() != zxid {
			t.Error("something was written without a leader")
		}
		f.lead(epoch + 2)
	}
	close(stop)
	wg.Wait()
	f.reconnect(first).must(proto.OpSetData, setData("/n", "", -1))
	f.p.Stop()
	if n := len(f.p.conns.byID) + len(f.p.conns.all) + len(f.p.conns.before); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if n := f.p.WatchCounts().Watches; n != 0 {
		t.Errorf("%d watches are left", n)
	}
}
