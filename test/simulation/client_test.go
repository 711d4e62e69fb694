package simulation

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/anishathalye/porcupine"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/pipeline"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// keys is how many registers all clients write to.
const keys = 3

// client is one session that goes from server to server, with one request at a time.
type client struct {
	*world
	id       int
	conn     *pipeline.Conn
	at       *server
	out      *sink
	shaking  bool
	session  int64
	secret   []byte
	seen     int64 // newest zxid
	xid      int32
	made     int // znodes it made up names for
	asked    *call
	operator bool // it changes the members, half of the time
	calls    []porcupine.Operation
	clock    *int64  // of all clients: counts what happens
	lost     int     // sessions that ended
	last     zab.Sid // whom it was connected to before
}

// sink is the client's end of a connection.
type sink struct {
	mu     sync.Mutex
	frames [][]byte
	closed bool
}

func (s *sink) Frame(f func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = append(s.frames, f(nil))
}

func (s *sink) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *sink) take() (frames [][]byte, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames = s.frames
	s.frames = nil
	return frames, s.closed
}

// call is a request to a register; others are asked with no key.
type call struct {
	key      string
	create   bool
	version  int32 // that a write expects, or -1
	reconfig bool  // a change of members
	began    int64
}

// result is what became of a call.
type result struct {
	known   bool
	code    proto.Code
	version int32
}

// registers says how the versions of a znode go on: -1 is a znode that is not there.
var registers = porcupine.Model{
	Init: func() any { return int32(-1) },
	Step: func(state, in, out any) (bool, any) {
		v, c, r := state.(int32), in.(call), out.(result)
		next, code := v+1, proto.OK
		switch {
		case c.create && v >= 0:
			next, code = v, proto.ErrNodeExists
		case !c.create && v < 0:
			next, code = v, proto.ErrNoNode
		case !c.create && c.version >= 0 && c.version != v:
			next, code = v, proto.ErrBadVersion
		}
		return !r.known || r.code == code && (code != proto.OK || r.version == next), next
	},
}

// act lets the client do the next thing: take its answers, connect, or ask.
func (c *client) act() {
	c.listen()
	switch {
	case c.conn == nil:
		c.connect(c.servers[c.world.rnd.Intn(len(c.servers))])
	case c.asked == nil && !c.shaking:
		c.ask()
	}
}

func (c *client) connect(s *server) {
	if s.peer == nil || !s.pipe.Serving() {
		return
	}
	c.out, c.at, c.shaking = &sink{}, s, true
	c.conn = s.pipe.NewConn(c.out, pipeline.Client{Remote: "10.0.0.1:1", IP: "10.0.0.1"})
	frame := proto.ConnectRequest{Timeout: 2000, SessionID: c.session, Password: c.secret, LastZxidSeen: c.seen, HasReadOnly: true}.Append(nil)
	conn, out := c.conn, c.out
	go func() {
		if err := conn.Connect(context.Background(), frame); err != nil {
			out.Close()
		}
	}()
	s.collect()
}

// listen takes what has come.
func (c *client) listen() {
	if c.conn == nil {
		return
	}
	frames, closed := c.out.take()
	for _, f := range frames {
		c.frame(f)
	}
	if closed {
		c.leave()
	}
}

// leave gives the connection up; what became of the request is not known.
func (c *client) leave() {
	if c.conn == nil {
		return
	}
	c.conn.Close()
	c.finish(result{})
	c.conn, c.out, c.shaking, c.asked = nil, nil, false, nil
	if c.at.peer != nil {
		c.at.collect()
	}
}

func (c *client) frame(b []byte) {
	d := jute.NewDecoder(b)
	if c.shaking {
		var r proto.ConnectResponse
		r.Decode(d)
		c.shaking = false
		if r.SessionID == 0 || r.Timeout == 0 { // expired
			c.session, c.secret = 0, nil
			c.lost++
			c.saw("session: expired")
			return
		}
		c.sawIf(c.session != 0 && c.last != c.at.sid, "session: moved")
		c.last = c.at.sid
		c.session, c.secret = r.SessionID, append([]byte(nil), r.Password...)
		return
	}
	var h proto.ReplyHeader
	h.Decode(d)
	if h.Zxid > 0 {
		c.demand(c.history.told(c.id, c.seen, h.Zxid, h.Xid >= 0))
		c.seen = max(c.seen, h.Zxid)
	}
	if h.Xid != c.xid || c.asked == nil {
		return
	}
	if c.asked.reconfig {
		c.reorganised(h, d)
	}
	r := result{known: true, code: h.Err}
	if c.asked.key != "" && !c.asked.create && h.Err == proto.OK {
		var st proto.Stat
		st.Decode(d)
		r.version = st.Version
	}
	if h.Err == proto.ErrSessionExpired || h.Err == proto.ErrSessionMoved || h.Err == proto.ErrConnectionLoss {
		r.known = false
	}
	c.finish(r)
	c.asked = nil
}

func (c *client) finish(r result) {
	if c.asked == nil || c.asked.key == "" {
		return
	}
	*c.clock++
	op := porcupine.Operation{ClientId: c.id, Input: *c.asked, Output: r, Call: c.asked.began, Return: *c.clock}
	if !r.known {
		op.Return = 1 << 60
		op.ClientId = 1000 + len(c.calls)*10 + c.id // its own, as it never ends
	}
	c.calls = append(c.calls, op)
}

// ask sends a request made up by chance.
func (c *client) ask() {
	c.xid++
	*c.clock++
	c.asked = &call{began: *c.clock}
	rnd := c.world.rnd
	if c.operator && !c.healing && rnd.Intn(2) == 0 {
		c.reorganise()
		return
	}
	key := "/k" + strconv.Itoa(rnd.Intn(keys))
	own := fmt.Sprintf("/c%d-", c.id)
	op, body := proto.OpSync, jute.AppendString(nil, "/")
	switch k := rnd.Intn(16); {
	case k < 2:
		c.asked.key, c.asked.create = key, true
		op, body = proto.OpCreate, create(key, proto.ModePersistent)
	case k < 7:
		c.asked.key, c.asked.version = key, int32(rnd.Intn(20)-1)
		if k < 5 {
			c.asked.version = -1
		}
		op = proto.OpSetData
		body = proto.SetDataRequest{Path: key, Data: []byte(strconv.Itoa(int(c.xid))), Version: c.asked.version}.Append(nil)
	case k < 9:
		c.made++
		op, body = proto.OpCreate, create(own+strconv.Itoa(c.made), proto.ModeEphemeral)
	case k == 9:
		op, body = proto.OpCreate, create(own, proto.ModeEphemeralSequential)
	case k == 10:
		op, body = proto.OpCreate, create("/seq-", proto.ModePersistentSequential)
	case k == 11:
		op, body = proto.OpDelete, proto.PathVersion{Path: own + strconv.Itoa(rnd.Intn(c.made+1)), Version: -1}.Append(nil)
	case k == 12:
		c.made++
		op, body = proto.OpMulti, proto.AppendMulti(nil, []proto.MultiOp{
			{Op: proto.OpCreate, Body: proto.CreateRequest{Path: own + strconv.Itoa(c.made), ACL: proto.WorldAnyone()}},
			{Op: proto.OpCheck, Body: proto.PathVersion{Path: key, Version: -1}},
		})
	case k == 13:
		op, body = proto.OpGetData, proto.PathWatch{Path: key}.Append(nil)
	case k == 14 && rnd.Intn(6) == 0:
		op, body = proto.OpCloseSession, nil
	}
	c.submit(op, body)
	if op == proto.OpCloseSession {
		c.saw("session: closed by its client")
		c.session, c.secret, c.seen = 0, nil, 0
	}
}

// submit sends a request.
func (c *client) submit(op proto.Op, body []byte) {
	frame := append(proto.RequestHeader{Xid: c.xid, Op: op}.Append(nil), body...)
	conn, out := c.conn, c.out
	go func() {
		if err := conn.Request(frame); err != nil {
			out.Close()
		}
	}()
	c.at.collect()
}

func create(path string, mode int32) []byte {
	return proto.CreateRequest{Path: path, Data: []byte("x"), ACL: proto.WorldAnyone(), Flags: mode}.Append(nil, proto.OpCreate)
}
