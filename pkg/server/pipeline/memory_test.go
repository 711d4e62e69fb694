package pipeline

import (
	"errors"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// large is a create of so many bytes, and its frame.
func (c *client) large(path string, size int) []byte {
	c.xid++
	return append(proto.RequestHeader{Xid: c.xid, Op: proto.OpCreate}.Append(nil), createData(path, strings.Repeat("x", size))...)
}

// reserve takes memory for a frame, as front does.
func (c *client) reserve(frame []byte) (aborted chan struct{}) {
	c.t.Helper()
	aborted = make(chan struct{})
	if err := c.c.Reserve(len(frame), func() { close(aborted) }); err != nil {
		c.t.Fatal(err)
	}
	return aborted
}

func (f *fixture) held(want int) {
	f.t.Helper()
	eventually(f.t, "the memory held", func() bool { used, _ := f.p.RequestBytes(); return used == int64(want) })
}

// TestRequestMemory follows the memory of requests through all that can become
// of them.
func TestRequestMemory(t *testing.T) {
	f := leader(t, func(c *Config) { c.RequestMemory = 100_000 })
	c, other := f.connect(), f.connect()
	frame := c.large("/a", 50_000)
	n := len(frame)
	c.reserve(frame)
	f.held(n)
	if err := c.c.Request(frame); err != nil {
		t.Fatal(err)
	}
	c.next()
	f.held(0) // answered

	frame = c.large("/x", 50_000)
	c.reserve(frame)
	if err := c.c.Request(frame[:6]); err == nil {
		t.Error("half a header")
	}
	f.held(0) // malformed
	c.reserve(frame)
	c.c.Unreserve()
	f.held(0) // not read

	f.order.holding(true)
	frame = c.large("/b", 50_000)
	c.reserve(frame)
	if err := c.c.Request(frame); err != nil {
		t.Fatal(err)
	}
	read := append(proto.RequestHeader{Xid: 99, Op: proto.OpExists}.Append(nil), watched("/"+strings.Repeat("y", 20_000), false)...)
	c.reserve(read)
	if err := c.c.Request(read); err != nil {
		t.Fatal(err)
	}
	f.held(n + len(read))
	waiting := make(chan error)
	go func() { waiting <- other.c.Reserve(60_000, func() {}) }()
	eventually(t, "the other waits", func() bool { return f.p.memory.nwaiting.Load() == 1 })
	c.c.Close()
	f.held(n) // the read is forgotten, the write is under way
	f.order.holding(false)
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	f.held(60_000)
	other.c.Unreserve()
	f.held(0)
	if f.p.ReserveAbove() != smallRequest {
		t.Error("what must be reserved")
	}
}

// TestMemoryOrder serves who waits in order, however small; closes who goes; and
// lets in alone what is larger than all there may be.
func TestMemoryOrder(t *testing.T) {
	f := leader(t, func(c *Config) { c.RequestMemory = 100 })
	first, big, small, gone := f.connect(), f.connect(), f.connect(), f.connect()
	if err := first.c.Reserve(50, func() {}); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 4)
	wait := func(c *client, name string, n int) {
		waiting := f.p.memory.nwaiting.Load()
		go func() {
			if err := c.c.Reserve(n, func() {}); err != nil {
				name = err.Error()
			}
			got <- name
		}()
		eventually(t, name+" waits", func() bool { return f.p.memory.nwaiting.Load() == waiting+1 })
	}
	wait(gone, "gone", 90)
	wait(big, "big", 1000)
	wait(small, "small", 10)
	gone.c.Close()
	if name := <-got; name != errStopped.Error() {
		t.Errorf("%s came", name)
	}
	first.c.Unreserve()
	if name := <-got; name != "big" {
		t.Errorf("%s came", name)
	}
	f.held(1000)
	big.c.Unreserve()
	if name := <-got; name != "small" {
		t.Errorf("%s came", name)
	}
	small.c.Unreserve()
	f.held(0)
}

// TestArrivalsEvicted ends who announced a request and does not send it, when
// another needs the memory.
func TestArrivalsEvicted(t *testing.T) {
	f := leader(t, func(c *Config) { c.RequestMemory = 100 })
	idle, other, next := f.connect(), f.connect(), f.connect()
	aborted := idle.reserve(make([]byte, 60))
	late := other.reserve(make([]byte, 40))
	go func() { // what front does with a connection that was aborted
		<-aborted
		idle.c.Close()
		idle.c.Unreserve()
	}()
	if err := next.c.Reserve(50, func() {}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-late:
		t.Error("more were ended than had to be")
	default:
	}
	if n := f.p.Stats().Guards.ArrivalsClosed.Load(); n != 1 {
		t.Errorf("%d were counted", n)
	}
	other.c.Unreserve()
	next.c.Unreserve()
}

// TestMemoryEndsWithTerm: what was never answered is given back.
func TestMemoryEndsWithTerm(t *testing.T) {
	f := leader(t, nil)
	c, gone := f.connect(), f.connect()
	f.order.holding(true)
	for _, x := range []*client{c, gone} {
		frame := x.large("/a", 10_000)
		x.reserve(frame)
		if err := x.c.Request(frame); err != nil {
			t.Fatal(err)
		}
	}
	f.order.wait(t, "the proposals", func() bool { return len(f.order.proposed) == 2 })
	gone.c.Close()
	if n := f.p.Stats().Outstanding(); n != 2 {
		t.Errorf("%d are outstanding", n)
	}
	f.look()
	f.held(0)
	if n := f.p.Stats().Outstanding(); n != 0 {
		t.Errorf("%d are outstanding", n)
	}
}

// TestLargeRequests closes the connection of the one large request too many.
func TestLargeRequests(t *testing.T) {
	f := leader(t, func(c *Config) { c.LargeRequests = LargeRequests{Threshold: 1000, MaxBytes: 20_000} })
	if n := f.p.ReserveAbove(); n != 1000 {
		t.Errorf("reserve above %d", n)
	}
	c, other := f.connect(), f.connect()
	f.order.holding(true)
	frame := c.large("/a", 12_000)
	c.reserve(frame)
	if err := c.c.Request(frame); err != nil {
		t.Fatal(err)
	}
	if err := other.c.Reserve(12_000, func() {}); !errors.Is(err, errLargeRequests) {
		t.Errorf("announced: %v", err)
	}
	// Two that arrive at the same time: the limit is looked at again.
	frame = other.large("/b", 7_000)
	more := c.large("/c", 7_000)
	other.reserve(frame)
	c.reserve(more)
	if err := other.c.Request(frame); err != nil {
		t.Error(err)
	}
	if err := c.c.Request(more); !errors.Is(err, errLargeRequests) {
		t.Errorf("arrived: %v", err)
	}
	c.send(proto.OpCreate, create("/small", 0))
	f.order.holding(false)
	c.next()
	c.next()
	other.next()
	f.held(0)
	if n := f.p.memory.largeUsed.Load(); n != 0 {
		t.Errorf("%d bytes of large requests are left", n)
	}
	if n := f.p.Stats().Guards.LargeRequestsRejected.Load(); n != 2 {
		t.Errorf("%d rejected", n)
	}
	frame = c.large("/d", 19_000)
	c.reserve(frame)
	if err := c.c.Request(frame); err != nil {
		t.Error(err)
	}
	if r := c.next(); r.Err != proto.OK {
		t.Error(r.Err)
	}
}
