package pipeline

import (
	"sync"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// A fullSink is full while it is told to.
type fullSink struct {
	*sink
	mu     sync.Mutex
	isFull bool
	resume func()
}

func (s *fullSink) Full(resume func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isFull {
		s.resume = resume
	}
	return s.isFull
}

// set makes the sink full, or lets what waits go on.
func (s *fullSink) set(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isFull = full
	if !full && s.resume != nil {
		go s.resume()
		s.resume = nil
	}
}

// TestFullOutput: reads behind a write wait for a client that does not read its
// answers, in order, and hold up nobody else.
func TestFullOutput(t *testing.T) {
	f := leader(t, nil)
	s := &fullSink{sink: &sink{frames: make(chan []byte, 100), closed: make(chan struct{})}}
	c := &client{t: t, sink: s.sink, c: f.p.NewConn(s, Client{Remote: "10.1.2.3:4444", IP: "10.1.2.3"})}
	t.Cleanup(c.c.Close)
	if err := c.shake(0, nil, 0); err != nil {
		t.Fatal(err)
	}
	other := f.connect()
	s.set(true)
	f.order.holding(true)
	c.send(proto.OpCreate, create("/a", 0))
	for range 3 {
		c.send(proto.OpExists, watched("/a", false))
	}
	c.send(proto.OpDelete, versioned("/a", -1))
	c.send(proto.OpExists, watched("/a", false))
	f.order.holding(false)
	if r := c.next(); r.Xid != 1 {
		t.Errorf("first reply to %d", r.Xid)
	}
	other.must(proto.OpSync, text("/"))
	if r := other.do(proto.OpExists, watched("/a", false)); r.Err != proto.ErrNoNode {
		t.Errorf("the second write is not carried out: %v", r.Err)
	}
	c.none()
	if n := f.p.Stats().Outstanding(); n != 0 {
		t.Errorf("%d are outstanding, though they wait for their client only", n)
	}
	c.send(proto.OpPing, nil)
	s.set(false)
	for i, want := range []proto.Code{proto.ErrNoNode, proto.ErrNoNode, proto.ErrNoNode, proto.OK, proto.ErrNoNode, proto.OK} {
		xid := int32(i + 2)
		if i == 5 { // the ping
			xid = proto.XidPing
		}
		if r := c.next(); r.Xid != xid || r.Err != want {
			t.Errorf("reply to %d: %v, want %v", r.Xid, r.Err, want)
		}
	}
	if n := f.p.Stats().Outstanding(); n != 0 {
		t.Errorf("%d are outstanding", n)
	}
	s.set(true)
	f.order.holding(true)
	c.send(proto.OpCreate, create("/a", 0))
	c.send(proto.OpExists, watched("/a", false))
	f.order.holding(false)
	c.next()
	c.c.Close() // while it waits
	s.set(false)
	other.must(proto.OpSync, text("/"))
}
