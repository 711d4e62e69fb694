package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/auth"
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
	peer   auth.Peer
	secure bool // by TLS
	opened time.Time

	denied error          // why the client cannot be served, whatever it asks
	sasl   *auth.Exchange // nil where there is none; of the goroutine that calls Request
	passed bool           // the client may ask for things; as sasl

	// SessionTimeout is the negotiated timeout, 0 before the handshake ends.
	sessionTimeout atomic.Int64
	session        atomic.Int64

	mu      sync.Mutex
	auth    []proto.ID  // replaced, never changed in place
	queue   []waiting   // requests in order, from the first that waits
	room    []waiting   // for the queue when it was empty
	stalled bool        // the queue waits for the output; it is not counted as outstanding
	shake   *handshake  // while the handshake waits for the ensemble
	term    *term       // in which the client connected; set once
	closed  atomic.Bool // set under mu
	paused  bool        // in WaitAnswered, for limit
	limit   int
	empty   sync.Cond     // WaitAnswered may go on, or the connection closed
	done    chan struct{} // closed when the connection is

	arriving  atomic.Pointer[arrival] // the large request that is being read
	throttled atomic.Int32            // requests in the throttle
	pressure  Backpressure            // out, if it can be full
	invalid   bool                    // the throttle dropped a request of it; used there only

	stat connStat
}

// A waiting request holds up those behind it, or is behind one that does.
type waiting struct {
	proto.RequestHeader
	body    []byte
	since   time.Time
	outcome *outcome     // nil for a read, and until it is known
	held    *reservation // its memory; nil for a small request
	refused proto.Code   // not to be executed
	early   bool         // refused before the leader has seen it
	here    bool         // this server answers it, though others of its kind go to the leader
	barred  bool         // it may make no ephemeral znode: the session is local and stays so
}

// keep makes the body outlive the call that brought it. That of a large request
// was made for it alone.
func (w *waiting) keep() {
	if w.held == nil {
		w.body = bytes.Clone(w.body)
	}
}

// reads tells whether the request is answered without the leader.
func (w *waiting) reads() bool { return w.refused != proto.OK || w.here || kindOf(w.Op) == readOp }

// A handshake waits for the session to be made or revalidated.
type handshake struct {
	req   proto.ConnectRequest
	reply proto.ConnectResponse
	makes bool       // the session is a new one
	done  chan error // nil: connected; has room for one
}

// Reasons why a connection ends without a reply.
var (
	errNotServing  = errors.New("the server is not serving")
	errLate        = errors.New("the ensemble did not make or confirm the session in its timeout")
	errThrottled   = errors.New("sessions are asked for too fast (connection_throttle_tokens)")
	errClientAhead = errors.New("the client has seen newer transactions than this server has")
	errReadOnly    = errors.New("there is no leader, and the client does not accept a server that only reads")
	errGlobal      = errors.New("there is no leader, and only a leader can say whether the session lives")
)

// NewConn makes a client's connection known. Close must be called when it
// ends.
func (p *Pipeline) NewConn(out Output, client Client) *Conn {
	c := &Conn{p: p, out: out, remote: client.Remote, secure: client.Secure, peer: client.identity(), opened: time.Now(), done: make(chan struct{})}
	c.pressure, _ = out.(Backpressure)
	c.empty.L = &c.mu
	c.identify()
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
	return len(c.queue) + int(c.throttled.Load())
}

// Close ends the connection; the session lives on. It may be called often.
// Writes that the leader has been given stay in the queue, without their
// bodies, so that their transactions are not taken for those of the session's
// next connection.
func (c *Conn) Close() {
	c.mu.Lock()
	if c.closed.Swap(true) {
		c.mu.Unlock()
		return
	}
	close(c.done)
	c.unstall()
	c.drop(func(w *waiting) bool { return w.outcome != nil || !w.owed() })
	for i := range c.queue {
		if c.p.cfg.Audit == nil { // which tells what the request was
			c.queue[i].body = nil
		}
	}
	c.empty.Broadcast()
	if c.shake != nil {
		c.shake.done <- errStopped
		c.shake = nil
	}
	c.mu.Unlock()
	if !c.p.conns.remove(c, c.session.Load()) {
		c.forget()
	}
	c.p.watches.RemoveWatcher(c)
	c.out.Close()
}

// drop takes requests out of the queue that will not be answered; c.mu is held.
func (c *Conn) drop(which func(*waiting) bool) {
	kept := c.queue[:0]
	for i := range c.queue {
		w := &c.queue[i]
		if !which(w) {
			kept = append(kept, *w)
			continue
		}
		w.held.release()
		c.p.answered(1)
	}
	clear(c.queue[len(kept):])
	c.queue = kept
}

// forget drops what is left of a closed connection's queue.
func (c *Conn) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(func(*waiting) bool { return true })
}

// owed tells whether the leader has been given the request and owes its
// transaction.
func (w *waiting) owed() bool {
	return !w.reads() && kindOf(w.Op) == writeOp && w.Op != proto.OpSync
}

// unanswered tells whether the leader still owes transactions to this
// connection in its term.
func (c *Conn) unanswered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.term != nil && c.term.do(func() {}) == nil &&
		slices.ContainsFunc(c.queue, func(w waiting) bool { return w.owed() })
}

// WaitAnswered returns when every request of the connection has been answered,
// when the server is not crowded by limit any more at an answer to it, or when
// it is closed.
func (c *Conn) WaitAnswered(limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused, c.limit = true, limit
	for c.mustPause() {
		c.empty.Wait()
	}
	c.paused = false
}

// mustPause tells whether WaitAnswered is to wait on; c.mu is held.
func (c *Conn) mustPause() bool {
	return !c.closed.Load() && (len(c.queue) > 0 || c.throttled.Load() > 0) && c.p.Crowded(c.limit)
}

// unpause lets WaitAnswered look again.
func (c *Conn) unpause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.empty.Broadcast()
}

// answered counts n requests that are under way no more.
func (p *Pipeline) answered(n int64) {
	p.stats.outstanding.Add(-n)
	if p.throttle != nil {
		p.throttle.wake()
	}
}

// Request handles one frame of a connected client. It is called from one
// goroutine, the one that called Connect. The frame may be used again when it
// returns, unless its memory was reserved. An error ends the connection.
func (c *Conn) Request(frame []byte) error {
	d := jute.NewDecoder(frame)
	w := waiting{since: time.Now(), held: c.arrived()}
	w.Decode(d)
	w.body = d.Rest()
	err := d.Err()
	if err == nil {
		err = c.countLarge(&w)
	}
	if err == nil {
		err = c.handle(&w)
	}
	w.held.release() // unless it was queued
	return err
}

func (c *Conn) handle(w *waiting) error {
	c.p.stats.Received.Add(1)
	c.stat.received(w.Op, w.Xid)
	switch w.Op {
	case proto.OpAuth:
		return c.authenticate(w)
	case proto.OpSasl:
		return c.saslStep(w)
	}
	if !c.mayAsk() {
		return c.unauthenticated(w)
	}
	if !c.touch(w) {
		return nil // the session is closing: its end is on the way
	}
	if t := c.p.throttle; t != nil {
		t.put(c, w)
		w.held = nil
		return nil
	}
	return c.dispatch(w)
}

// dispatch executes a request, or queues it. What it holds goes with it.
func (c *Conn) dispatch(w *waiting) error {
	c.screen(w)
	switch {
	case w.reads():
		return c.read(w)
	case kindOf(w.Op) == writeOp:
		return c.write(w)
	}
	c.reply(w, proto.ErrUnimplemented, -1, nil)
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
		proto.OpDeleteContainer, proto.OpSetData, proto.OpSetACL, proto.OpMulti, proto.OpSync, proto.OpCloseSession,
		proto.OpReconfig:
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
	if c.closed.Load() {
		c.mu.Unlock()
		return errStopped
	}
	if len(c.queue) > 0 {
		w.keep()
		c.push(w)
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	if w.Op == proto.OpMultiRead {
		c.p.multiReads <- struct{}{}
		defer func() { <-c.p.multiReads }()
	}
	c.p.mu.RLock()
	defer c.p.mu.RUnlock()
	c.answer(w)
	return nil
}

// keepQueue is how many requests a queue has room for while it is empty.
const keepQueue = 4

// push queues a request; c.mu is held.
func (c *Conn) push(w *waiting) {
	if len(c.queue) == 0 {
		c.queue = c.room[:0]
	}
	c.queue = append(c.queue, *w)
	w.held = nil // it is the queue's
	if n := cap(c.queue); n > cap(c.room) && n <= keepQueue {
		c.room = c.queue
	}
	if !c.stalled {
		c.p.stats.outstanding.Add(1)
	}
}

// write queues the request and hands it to the leader.
func (c *Conn) write(w *waiting) error {
	if c.p.cfg.EagerACL {
		if code := c.p.tooEarly(w, c.ids()); code != proto.OK {
			w.refused, w.early = code, true
			return c.read(w)
		}
	}
	w.keep()
	if c.term.local != nil {
		if err := c.upgrade(w); err != nil {
			return err
		}
	}
	c.mu.Lock()
	if c.closed.Load() {
		c.mu.Unlock()
		return errStopped
	}
	c.push(w)
	ids := c.auth
	c.mu.Unlock()
	r := quorum.Request{Session: c.session.Load(), Cxid: w.Xid, Op: w.Op, Body: w.body, Auth: ids}
	return c.submit(write{Request: r, barred: w.barred, here: true})
}

// submit hands a write or sync to the leader of the term in which the client
// connected; it may be this server.
func (c *Conn) submit(w write) error {
	p, cur := c.p, c.term
	w.from = p.cfg.Self
	return cur.do(func() {
		switch {
		case cur.leading():
			p.queueWrite(prepItem{write: w, conn: c})
		case w.Op == proto.OpSync:
			cur.syncs.push(pendingSync{conn: c, xid: w.Cxid}, func() { p.order.Forward(w.Request) })
		default:
			p.order.Forward(w.Request)
		}
	})
}

// applied takes the client's own transaction t. It reports whether the
// connection, which may be closed by now, had asked for it. It runs in the
// apply goroutine under the write lock.
func (c *Conn) applied(t *txn.Txn, res *treeResult) bool {
	if t.Type == proto.OpCreateSession {
		c.sessionMade()
		return true
	}
	return c.finish(outcome{xid: t.Cxid, t: t, res: res})
}

// synced answers the sync xid. It runs as applied does.
func (c *Conn) synced(xid int32) { c.finish(outcome{xid: xid, sync: true}) }

// An outcome is what became of the write or sync xid; t and res are nil for a
// sync.
type outcome struct {
	xid  int32
	sync bool
	t    *txn.Txn
	res  *treeResult
}

// finish notes the outcome of the oldest request that it fits, and answers
// what no longer waits. Transactions may pass a sync that is ahead of them:
// their replies wait for it.
func (c *Conn) finish(o outcome) bool {
	c.mu.Lock()
	i := c.find(&o)
	if i < 0 {
		c.mu.Unlock()
		return false
	}
	if w := c.queue[i]; c.p.cfg.Audit != nil && !o.sync {
		defer c.audited(&w, o.t, o.res)
	}
	if c.closed.Load() {
		c.drop(func(w *waiting) bool { return w == &c.queue[i] })
		c.mu.Unlock()
		return true
	}
	c.queue[i].outcome = &o
	c.mu.Unlock()
	if i == 0 {
		c.advance()
	}
	return true
}

// refuseWrite answers a write that becomes no transaction. It runs as applied does.
func (c *Conn) refuseWrite(xid int32, code proto.Code) {
	c.mu.Lock()
	i := c.find(&outcome{xid: xid})
	switch {
	case i < 0:
	case c.closed.Load():
		c.drop(func(w *waiting) bool { return w == &c.queue[i] })
	default:
		c.queue[i].refused = code
	}
	c.mu.Unlock()
	if i == 0 {
		c.advance()
	}
}

// find returns the index of the request that o is of, or -1; c.mu is held.
func (c *Conn) find(o *outcome) int {
	for i := range c.queue {
		if c.queue[i].wants(o) {
			return i
		}
	}
	return -1
}

// wants tells whether o is of this request.
func (w *waiting) wants(o *outcome) bool {
	return w.Xid == o.xid && w.outcome == nil && !w.reads() && kindOf(w.Op) == writeOp && (w.Op == proto.OpSync) == o.sync
}

// advance answers the requests at the head of the queue, up to one whose
// outcome is not known.
func (c *Conn) advance() {
	for {
		w, ok := c.next()
		switch {
		case !ok:
			return
		case w.outcome == nil:
			c.answer(&w)
		case w.outcome.sync:
			c.replySync(&w)
		default:
			c.replyWrite(&w, w.outcome.t, w.outcome.res)
		}
		w.held.release()
	}
}

// next takes the first request if it can be answered.
func (c *Conn) next() (waiting, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() || len(c.queue) == 0 {
		return waiting{}, false
	}
	w := c.queue[0]
	if w.outcome == nil && (!w.reads() || c.full()) {
		return waiting{}, false
	}
	c.queue[0] = waiting{}
	c.queue = c.queue[1:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	c.p.answered(1)
	if c.paused && !c.mustPause() {
		c.empty.Broadcast()
	}
	return w, true
}

// reply queues the answer to w. The body is left out when code is an error, but
// for multiRead.
func (c *Conn) reply(w *waiting, code proto.Code, zxid int64, body func([]byte) []byte) {
	if code != proto.OK && w.Op != proto.OpMultiRead {
		body = nil
	}
	c.send(w, code, zxid, body)
}

// send queues an answer with its body.
func (c *Conn) send(w *waiting, code proto.Code, zxid int64, body func([]byte) []byte) {
	c.out.Frame(func(b []byte) []byte {
		at := len(b)
		b = proto.ReplyHeader{Xid: w.replyXid(code), Zxid: zxid, Err: code}.Append(b)
		if body != nil {
			b = body(b)
		}
		c.p.responded(len(b) - at)
		return b
	})
	latency := time.Since(w.since)
	c.p.replied(kindOf(w.Op), latency)
	c.stat.replied(w, zxid, latency)
}

// replyXid is the xid that the answer carries: that of a ping has one of its own,
// whatever the client sent.
func (w *waiting) replyXid(code proto.Code) int32 {
	if w.Op == proto.OpPing && code == proto.OK {
		return proto.XidPing
	}
	return w.Xid
}

// event tells the client that a watch fired.
func (c *Conn) event(typ proto.EventType, path string, zxid int64) {
	c.out.Frame(func(b []byte) []byte {
		at := len(b)
		b = proto.ReplyHeader{Xid: proto.XidEvent, Zxid: zxid}.Append(b)
		b = proto.WatcherEvent{Type: typ, State: proto.StateSyncConnected, Path: path}.Append(b)
		c.p.notified(len(b) - at)
		return b
	})
	c.p.stats.Sent.Add(1)
	c.stat.sent.Add(1)
}
