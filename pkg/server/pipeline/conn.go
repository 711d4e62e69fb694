package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// Output is where a connection's frames go. Its methods are safe for
// concurrent use and never wait for the network.
type Output interface {
	// Frame queues one frame, whose payload f appends to the slice it is given.
	Frame(f func([]byte) []byte)
	// Close sends what is queued and closes the connection.
	Close()
}

// A Conn is a client's connection to this server, from the handshake on.
type Conn struct {
	p      *Pipeline
	out    Output
	remote string // "ip:port"
	opened time.Time

	// SessionTimeout is the negotiated timeout, 0 before the handshake ends.
	sessionTimeout atomic.Int64
	session        atomic.Int64

	mu     sync.Mutex
	auth   []proto.ID // replaced, never changed in place
	queue  []waiting  // requests in order, from the first that waits
	shake  *handshake // while the handshake waits for the ensemble
	closed bool
	empty  sync.Cond // the queue is empty, or the connection closed

	stat connStat
}

// A waiting request holds up those behind it, or is behind one that does.
type waiting struct {
	proto.RequestHeader
	body  []byte
	since time.Time
}

// A handshake waits for the session to be made or revalidated.
type handshake struct {
	req   proto.ConnectRequest
	reply proto.ConnectResponse
	done  chan bool // true: connected
}

// Reasons why a connection ends without a reply.
var (
	errNotServing  = errors.New("the server is not serving")
	errClientAhead = errors.New("the client has seen newer transactions than this server has")
)

// NewConn makes a connection known; remote is the client's "ip:port" and ip
// the address alone. Close must be called when it ends.
func (p *Pipeline) NewConn(out Output, remote, ip string) *Conn {
	c := &Conn{p: p, out: out, remote: remote, opened: time.Now(), auth: []proto.ID{{Scheme: "ip", ID: ip}}}
	c.empty.L = &c.mu
	c.stat.latency.reset()
	c.stat.lastXid.Store(-1)
	p.conns.add(c)
	return c
}

// Session is the connection's session, 0 before the handshake.
func (c *Conn) Session() int64 { return c.session.Load() }

// SessionTimeout is the negotiated timeout, 0 before the handshake has ended.
func (c *Conn) SessionTimeout() time.Duration {
	return time.Duration(c.sessionTimeout.Load()) * time.Millisecond
}

// Waiting is how many requests have not been answered.
func (c *Conn) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// Close ends the connection; the session lives on. It may be called often.
func (c *Conn) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.p.stats.outstanding.Add(-int64(len(c.queue)))
	c.queue = nil
	c.empty.Broadcast()
	if c.shake != nil {
		c.shake.done <- false
		c.shake = nil
	}
	c.mu.Unlock()
	c.p.conns.remove(c, c.session.Load())
	c.p.watches.RemoveWatcher(c)
	c.out.Close()
}

// WaitAnswered returns when every request has been answered, or the
// connection is closed.
func (c *Conn) WaitAnswered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 && !c.closed {
		c.empty.Wait()
	}
}

func (c *Conn) ids() []proto.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.auth
}

// Request handles one frame of a connected client. It is called from one
// goroutine. The frame is kept. An error ends the connection.
func (c *Conn) Request(frame []byte) error {
	d := jute.NewDecoder(frame)
	w := waiting{since: time.Now()}
	w.Decode(d)
	if d.Err() != nil {
		return d.Err()
	}
	w.body = d.Rest()
	c.p.stats.Received.Add(1)
	c.stat.received(w.Op, w.Xid)
	if w.Op == proto.OpAuth {
		return c.authenticate(&w)
	}
	if !c.p.touch(c.session.Load(), int32(c.sessionTimeout.Load())) {
		return nil // the session is closing: its end is on the way
	}
	switch kindOf(w.Op) {
	case readOp:
		return c.read(&w)
	case writeOp:
		return c.write(&w)
	}
	c.reply(&w, proto.ErrUnimplemented, -1, nil)
	return fmt.Errorf("%w: %v", proto.ErrUnimplemented, w.Op)
}

type opKind uint8

const (
	unknownOp opKind = iota
	readOp
	writeOp
)

func kindOf(op proto.Op) opKind {
	switch op {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL, proto.OpDelete,
		proto.OpDeleteContainer, proto.OpSetData, proto.OpSetACL, proto.OpMulti, proto.OpSync, proto.OpCloseSession:
		return writeOp
	case proto.OpExists, proto.OpGetData, proto.OpGetACL, proto.OpGetChildren, proto.OpGetChildren2, proto.OpPing,
		proto.OpMultiRead, proto.OpSetWatches, proto.OpSetWatches2, proto.OpGetEphemerals,
		proto.OpGetAllChildrenNumber, proto.OpAddWatch, proto.OpCheckWatches, proto.OpRemoveWatches, proto.OpWhoAmI:
		return readOp
	}
	return unknownOp
}

// read answers at once when nothing is ahead, and queues the request
// otherwise.
func (c *Conn) read(w *waiting) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return errStopped
	}
	if len(c.queue) > 0 {
		c.push(w)
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	c.p.mu.RLock()
	defer c.p.mu.RUnlock()
	c.answer(w)
	return nil
}

// push queues a request; c.mu is held.
func (c *Conn) push(w *waiting) {
	c.queue = append(c.queue, *w)
	c.p.stats.outstanding.Add(1)
}

// write queues the request and hands it to the leader.
func (c *Conn) write(w *waiting) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return errStopped
	}
	c.push(w)
	auth := c.auth
	c.mu.Unlock()
	return c.p.submit(c, quorum.Request{Session: c.session.Load(), Cxid: w.Xid, Op: w.Op, Body: w.body, Auth: auth})
}

// submit hands a write or sync of a client to the leader, which may be this
// server.
func (p *Pipeline) submit(c *Conn, r quorum.Request) error {
	cur := p.term.Load()
	switch {
	case cur == nil:
		return errNotServing
	case cur.leading():
		p.writes.put(prepItem{write: write{Request: r, from: p.cfg.Self}, conn: c})
	case r.Op == proto.OpSync:
		p.syncs.push(pendingSync{conn: c, xid: r.Cxid}, func() { p.order.Forward(r) })
	default:
		p.order.Forward(r)
	}
	return nil
}

// touch tells the leader that a session is alive; false when it is known not
// to be.
func (p *Pipeline) touch(session int64, timeout int32) bool {
	if t := p.tracker.Load(); t != nil {
		return t.Touch(session, timeout, p.monotonic())
	}
	p.touched.Touch(session, timeout)
	return true
}

// applied completes the client's own transaction t, if it is what this
// connection waits for. It runs in the apply goroutine under the write lock.
func (c *Conn) applied(t *txn.Txn, res *treeResult) {
	if t.Type == proto.OpCreateSession {
		c.sessionMade()
		return
	}
	if w, ok := c.popIf(func(w *waiting) bool { return w.Xid == t.Cxid && w.Op != proto.OpSync }); ok {
		c.replyWrite(&w, t, res)
		if res.Code == proto.ErrSessionMoved {
			c.Close()
			return
		}
		c.answerQueued()
	}
	if t.Type == proto.OpCloseSession {
		c.Close()
	}
}

// synced answers the sync xid. It runs as applied does.
func (c *Conn) synced(xid int32) {
	w, ok := c.popIf(func(w *waiting) bool { return w.Xid == xid && w.Op == proto.OpSync })
	if !ok {
		return
	}
	d := jute.NewDecoder(w.body)
	path := d.String()
	if d.Err() != nil {
		c.reply(&w, proto.ErrMarshalling, c.p.tree.LastZxid(), nil)
	} else {
		c.reply(&w, proto.OK, c.p.tree.LastZxid(), func(b []byte) []byte { return jute.AppendString(b, path) })
	}
	c.answerQueued()
}

// popIf takes the first request from the queue if it is the one meant.
func (c *Conn) popIf(meant func(*waiting) bool) (waiting, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 || !meant(&c.queue[0]) {
		return waiting{}, false
	}
	return c.pop(), true
}

// pop takes the first request; c.mu is held and the queue not empty.
func (c *Conn) pop() waiting {
	w := c.queue[0]
	c.queue[0] = waiting{}
	c.queue = c.queue[1:]
	if len(c.queue) == 0 {
		c.queue = nil
		c.empty.Broadcast()
	}
	c.p.stats.outstanding.Add(-1)
	return w
}

// answerQueued answers the reads up to the next write.
func (c *Conn) answerQueued() {
	for {
		w, ok := c.popIf(func(w *waiting) bool { return kindOf(w.Op) == readOp })
		if !ok {
			return
		}
		c.answer(&w)
	}
}

// reply queues the answer to w. The body is left out when code is an error.
func (c *Conn) reply(w *waiting, code proto.Code, zxid int64, body func([]byte) []byte) {
	c.out.Frame(func(b []byte) []byte {
		b = proto.ReplyHeader{Xid: w.Xid, Zxid: zxid, Err: code}.Append(b)
		if code == proto.OK && body != nil {
			b = body(b)
		}
		return b
	})
	latency := time.Since(w.since)
	c.p.stats.replied(kindOf(w.Op), latency)
	c.stat.replied(w, zxid, latency)
}

// event tells the client that a watch fired.
func (c *Conn) event(typ proto.EventType, path string, zxid int64) {
	c.out.Frame(func(b []byte) []byte {
		b = proto.ReplyHeader{Xid: proto.XidEvent, Zxid: zxid}.Append(b)
		return proto.WatcherEvent{Type: typ, State: proto.StateSyncConnected, Path: path}.Append(b)
	})
	c.p.stats.Sent.Add(1)
	c.stat.sent.Add(1)
}

// authenticate adds identities to the connection; a failure is told and ends
// it.
func (c *Conn) authenticate(w *waiting) error {
	var a proto.AuthPacket
	d := jute.NewDecoder(w.body)
	a.Decode(d)
	err := d.Err()
	var ids []proto.ID
	if err == nil {
		ids, err = c.p.cfg.Auth.authenticate(a, c.ids()[0].ID)
	}
	if err != nil {
		c.p.stats.AuthFailed.Add(1)
		c.reply(w, proto.ErrAuthFailed, 0, nil)
		return fmt.Errorf("auth with scheme %q: %w", a.Scheme, err)
	}
	c.mu.Lock()
	auth := slices.Clone(c.auth)
	for _, id := range ids {
		if !slices.Contains(auth, id) {
			auth = append(auth, id)
		}
	}
	c.auth = auth
	c.mu.Unlock()
	c.reply(w, proto.OK, 0, nil)
	return nil
}
