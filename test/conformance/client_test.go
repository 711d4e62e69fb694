package conformance

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Patience of a client.
const (
	dialPatience  = 10 * time.Second
	replyPatience = 10 * time.Second       // for what must come
	quiet         = 400 * time.Millisecond // after which a ping asks whether anything comes
	maxFrame      = 64 << 20
)

// A client is one client of a script, with at most one connection at a time.
type client struct {
	name     string
	conn     net.Conn
	frames   chan []byte // what the server sent; closed with the connection
	ended    bool        // the connection's end has been seen
	told     bool        // and shown
	xid      int32
	out      []byte    // to be sent with the next step
	waiting  []pending // requests without an answer, in order
	session  int64
	password []byte
	timeout  int32
	old      bool // the handshake had no flag for read-only
	shaken   bool // the handshake has been answered
	mute     bool // part of a frame was sent: a ping would be taken for the rest
	closed   bool // the session was closed
}

// A pending request has not been answered.
type pending struct {
	xid     int32
	op      proto.Op
	verb    string
	sorted  bool // a list of the answer has no defined order
	barrier bool // a ping whose answer is not shown
}

func (c *client) dial(address string) error {
	conn, err := net.DialTimeout("tcp", address, dialPatience)
	if err != nil {
		return err
	}
	frames := make(chan []byte, 1<<14)
	go readFrames(conn, frames)
	c.conn, c.frames = conn, frames
	c.ended, c.told, c.shaken, c.mute = false, false, false, false
	c.xid, c.out, c.waiting = 0, nil, nil
	return nil
}

// readFrames hands over frames until the connection ends.
func readFrames(conn net.Conn, frames chan<- []byte) {
	defer close(frames)
	r := bufio.NewReader(conn)
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > maxFrame {
			return
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		frames <- frame
	}
}

// connected tells whether there is a connection whose end has not been seen.
func (c *client) connected() bool { return c.conn != nil && !c.ended }

// canPing tells whether a ping on the connection is a request of its own.
func (c *client) canPing() bool { return c.connected() && c.shaken && !c.mute }

func (c *client) drop() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn, c.frames = nil, nil
}

func appendFrame(b, payload []byte) []byte {
	return append(jute.AppendInt(b, int32(len(payload))), payload...)
}

// queue adds a request to what is sent next.
func (c *client) queue(verb string, r request) {
	if r.xid == 0 {
		c.xid++
		r.xid = c.xid
	}
	header := proto.RequestHeader{Xid: r.xid, Op: r.op}.Append(nil)
	c.out = appendFrame(c.out, append(header, r.body...))
	if r.op == proto.OpPing { // whose answer always has the xid of pings
		r.xid = proto.XidPing
	}
	c.waiting = append(c.waiting, pending{xid: r.xid, op: r.op, verb: verb, sorted: r.sorted})
}

// flush sends what is queued; what cannot be sent was closed by the server.
func (c *client) flush() {
	if len(c.out) > 0 && c.conn != nil {
		_, _ = c.conn.Write(c.out)
	}
	c.out = nil
}

// ping asks for an answer that comes after all events so far.
func (c *client) ping() {
	c.out = appendFrame(c.out, proto.RequestHeader{Xid: proto.XidPing, Op: proto.OpPing}.Append(nil))
	c.waiting = append(c.waiting, pending{xid: proto.XidPing, op: proto.OpPing, verb: "ping", barrier: true})
	c.flush()
}

// next gives the next frame; nil when none comes in time or the connection ended.
func (c *client) next(within time.Duration) []byte {
	select {
	case frame, ok := <-c.frames:
		if !ok {
			c.ended = true
		}
		return frame
	default:
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case frame, ok := <-c.frames:
		if !ok {
			c.ended = true
		}
		return frame
	case <-timer.C:
		return nil
	}
}

// answered takes the request that a frame answers.
func (c *client) answered(frame []byte) (pending, bool) {
	if len(frame) < 4 {
		return pending{}, false
	}
	xid := int32(binary.BigEndian.Uint32(frame))
	i := slices.IndexFunc(c.waiting, func(p pending) bool { return p.xid == xid })
	if i < 0 {
		return pending{}, false
	}
	p := c.waiting[i]
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return p, true
}
