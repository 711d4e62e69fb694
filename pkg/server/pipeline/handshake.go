package pipeline

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/session"
)

func sessionText(id int64) string { return fmt.Sprintf("0x%x", uint64(id)) }

// Connect handles the first frame: it makes or takes up the client's session,
// answers, and returns when requests may follow. An error ends the
// connection, in most cases without an answer, so that the client tries
// another server.
//
// Source: ZooKeeperServer.java (processConnectRequest, finishSessionInit).
func (c *Conn) Connect(ctx context.Context, frame []byte) error {
	defer c.Unreserve()
	var req proto.ConnectRequest
	d := jute.NewDecoder(frame)
	req.Decode(d)
	if d.Err() != nil {
		return fmt.Errorf("connect request: %w", d.Err())
	}
	if c.denied != nil {
		c.p.stats.AuthFailed.Add(1)
		return c.denied
	}
	cur := c.p.term.Load()
	if cur == nil || cur.leading() && c.p.cfg.LeaderIdle {
		c.p.m.NotServingClosed.Inc()
		return errNotServing
	}
	if err := c.p.admit(req.SessionID != 0, cur.local != nil); err != nil {
		return err
	}
	if cur.ReadOnly && !req.ReadOnly {
		return errReadOnly
	}
	if last := c.p.LastZxid(); req.LastZxidSeen > last {
		return fmt.Errorf("%w: 0x%x, here 0x%x", errClientAhead, req.LastZxidSeen, last)
	}
	h := &handshake{req: req, done: make(chan error, 1)}
	h.reply = proto.ConnectResponse{
		Timeout: c.p.negotiate(req.Timeout), SessionID: req.SessionID, HasReadOnly: req.HasReadOnly, ReadOnly: cur.ReadOnly,
	}
	c.p.stats.Received.Add(1)
	late := time.NewTimer(time.Duration(h.reply.Timeout) * time.Millisecond)
	defer late.Stop()
	if err := c.openSession(cur, h); err != nil { // which leaves h to whoever brings the answer
		return err
	}
	select {
	case err := <-h.done:
		return err
	case <-late.C:
		return errLate
	case <-ctx.Done():
		return ctx.Err()
	case <-cur.stop:
		return errNotServing
	}
}

// negotiate brings a client's timeout (ms) into the configured bounds.
func (p *Pipeline) negotiate(ms int32) int32 {
	low, high := p.cfg.MinSessionTimeout.Milliseconds(), p.cfg.MaxSessionTimeout.Milliseconds()
	return int32(min(max(int64(ms), low), high, math.MaxInt32))
}

// openSession starts what ends in accept or refuse.
func (c *Conn) openSession(cur *term, h *handshake) error {
	if h.req.SessionID == 0 {
		return c.newSession(cur, h)
	}
	id := h.req.SessionID
	if cur.ReadOnly && c.p.global(id) {
		return errGlobal
	}
	if was := c.p.conns.get(id); was != nil {
		was.Close() // before the password is looked at, as Apache does
	}
	if !session.ValidPassword(id, h.req.Password) {
		return c.refuse(h, "wrong password")
	}
	if !c.begin(cur, id, h) {
		return errStopped
	}
	c.p.stats.Guards.ConnectionRevalidations.Add(1)
	return c.revalidate(cur, id, h.reply.Timeout)
}

// revalidate asks who knows the session whether it is alive.
func (c *Conn) revalidate(cur *term, id int64, timeout int32) error {
	p := c.p
	switch {
	case cur.local != nil && cur.local.Known(id):
		c.revalidated(cur.local.Use(id, timeout, p.monotonic(), p.cfg.Self) == nil)
	case cur.leading():
		c.revalidated(p.revalidate(cur, p.cfg.Self, id, timeout))
	case cur.ReadOnly: // without local sessions nobody can say no
		c.revalidated(cur.local == nil)
	default:
		return cur.do(func() { p.order.Revalidate(id, timeout) })
	}
	return nil
}

// newSession makes a session: by a transaction, unless this server has its own.
func (c *Conn) newSession(cur *term, h *handshake) error {
	id, timeout := c.p.ids.Next(), h.reply.Timeout
	h.reply.SessionID, h.makes = id, true
	switch {
	case cur.local != nil:
		cur.local.Add(id, timeout, c.p.monotonic())
		if !c.begin(cur, id, h) {
			return errStopped
		}
		c.sessionMade()
		return nil
	case cur.ReadOnly:
		c.refuseSession()
		return nil
	}
	if !c.begin(cur, id, h) {
		return errStopped
	}
	return c.submit(write{Request: quorum.Request{Session: id, Op: proto.OpCreateSession, Body: jute.AppendInt(nil, timeout)}})
}

// refuseSession says that a transaction would be needed, in a way that clients
// take for no answer at all; they try another server, sooner or later.
//
// Source: ReadOnlyRequestProcessor.java (sendErrorResponse).
func (c *Conn) refuseSession() {
	c.p.mu.RLock()
	zxid := c.p.tree.LastZxid()
	c.p.mu.RUnlock()
	c.out.Frame(proto.ReplyHeader{Zxid: zxid, Err: proto.ErrNotReadOnly}.Append)
	c.p.stats.Sent.Add(1)
	c.stat.sent.Add(1)
}

// begin ties the connection to its session.
func (c *Conn) begin(cur *term, id int64, h *handshake) bool {
	c.mu.Lock()
	if c.closed.Load() {
		c.mu.Unlock()
		return false
	}
	c.shake, c.term = h, cur
	c.session.Store(id)
	c.mu.Unlock()
	if was := c.p.conns.attach(id, c); was != nil && was != c {
		was.Close()
	}
	if c.closed.Load() { // perhaps before it was attached
		c.p.conns.remove(c, id)
		return false
	}
	return true
}

// endShake takes the handshake under way, once; makes says whether it is one
// that makes its session.
func (c *Conn) endShake(makes bool) *handshake {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.shake
	if h == nil || h.makes != makes {
		return nil
	}
	c.shake = nil
	return h
}

// sessionMade is called when the createSession transaction has been applied.
func (c *Conn) sessionMade() {
	if h := c.endShake(true); h != nil {
		c.accept(h)
	}
}

// revalidated is called with the leader's answer about the session.
func (c *Conn) revalidated(valid bool) {
	h := c.endShake(false)
	switch {
	case h == nil:
	case valid:
		c.accept(h)
	default:
		h.done <- c.refuse(h, "it has expired")
	}
}

func (c *Conn) accept(h *handshake) {
	pw := session.Password(h.reply.SessionID)
	h.reply.Password = pw[:]
	c.sessionTimeout.Store(int64(h.reply.Timeout))
	c.answerConnect(h)
	h.done <- nil
}

// refuse tells the client that its session is gone.
func (c *Conn) refuse(h *handshake, why string) error {
	h.reply.Timeout, h.reply.SessionID = 0, 0
	h.reply.Password = make([]byte, proto.PasswordSize)
	c.answerConnect(h)
	return fmt.Errorf("session %s refused: %s", sessionText(h.req.SessionID), why)
}

func (c *Conn) answerConnect(h *handshake) {
	c.out.Frame(func(b []byte) []byte {
		at := len(b)
		b = h.reply.Append(b)
		c.p.responded(len(b) - at)
		return b
	})
	c.p.stats.Sent.Add(1)
	c.stat.sent.Add(1)
	c.stat.last.Store(int32(proto.OpCreateSession))
	c.stat.lastResponse.Store(time.Now().UnixMilli())
}
