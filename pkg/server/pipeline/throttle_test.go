package pipeline

import (
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

func throttled(change func(*RequestThrottle)) func(*Config) {
	return func(c *Config) {
		c.RequestThrottle = RequestThrottle{MaxRequests: 1, StallTime: time.Millisecond, DropStale: true, StaleConnectionCheck: true}
		if change != nil {
			change(&c.RequestThrottle)
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
		<-tick.C
	}
}

// TestThrottle lets one request in at a time, and answers all in order.
func TestThrottle(t *testing.T) {
	f := leader(t, throttled(nil))
	c, other := f.connect(), f.connect()
	f.order.holding(true)
	for range 3 {
		c.send(proto.OpCreate, create("/a", 0))
		c.send(proto.OpGetData, watched("/a", false))
	}
	other.send(proto.OpCreate, create("/b", 0))
	guards := f.p.Stats().Guards
	eventually(t, "requests are held back", func() bool { return guards.ThrottleWaits.Load() > 2 })
	f.order.mu.Lock()
	if n := len(f.order.proposed); n != 1 {
		t.Errorf("%d requests were let in", n)
	}
	f.order.mu.Unlock()
	if !f.p.Crowded(3) || f.p.Crowded(100) {
		t.Error("the queue of the throttle does not count")
	}
	waited := make(chan struct{})
	go func() { other.c.WaitAnswered(0); close(waited) }()
	f.order.holding(false)
	for i, want := range []proto.Code{proto.OK, proto.OK, proto.ErrNodeExists, proto.OK, proto.ErrNodeExists, proto.OK} {
		if r := c.next(); r.Xid != int32(i+1) || r.Err != want {
			t.Errorf("reply %d: xid %d, %v", i, r.Xid, r.Err)
		}
	}
	if r := other.next(); r.Err != proto.OK {
		t.Errorf("the other client: %v", r.Err)
	}
	<-waited
	if n := guards.ThrottleQueueTime.Count(); n != 7 {
		t.Errorf("%d requests passed", n)
	}
}

// TestThrottledOp refuses what waited too long, whatever it is, in its turn.
func TestThrottledOp(t *testing.T) {
	f := leader(t, throttled(func(c *RequestThrottle) { c.OpWaitTime = time.Nanosecond }))
	c := f.connect()
	for _, op := range []proto.Op{proto.OpCreate, proto.OpGetData, proto.OpSync, proto.OpMulti} {
		if r := c.do(op, create("/a", 0)); r.Err != proto.ErrThrottled || r.Len() != 0 {
			t.Errorf("%v: %v", op, r.Err)
		}
	}
	c.must(proto.OpPing, nil)
	if n := f.p.Stats().Guards.ThrottledOps.Load(); n != 4 {
		t.Errorf("%d were counted", n)
	}
	c.must(proto.OpCloseSession, nil)
}

// TestThrottledBehindWrite: a refused write waits for the one ahead, and is not
// taken for it.
func TestThrottledBehindWrite(t *testing.T) {
	f := leader(t, func(c *Config) {
		throttled(func(r *RequestThrottle) { r.MaxRequests = 2 })(c)
	})
	c := f.connect()
	f.order.holding(true)
	_ = c.sendAs(7, proto.OpCreate, create("/a", 0))
	f.order.wait(t, "the proposal", func() bool { return len(f.order.proposed) == 1 })
	w := waiting{RequestHeader: proto.RequestHeader{Xid: 7, Op: proto.OpCreate}, since: time.Now(), refused: proto.ErrThrottled}
	if err := c.c.dispatch(&w); err != nil {
		t.Fatal(err)
	}
	f.order.holding(false)
	if a, b := c.next(), c.next(); a.Err != proto.OK || b.Err != proto.ErrThrottled {
		t.Errorf("%v, then %v", a.Err, b.Err)
	}
}

// TestStale drops requests of connections that have gone, and counts them.
func TestStale(t *testing.T) {
	for name, x := range map[string]struct {
		change         func(*RequestThrottle)
		dropped, stale int64
	}{
		"dropped":       {nil, 1, 0},
		"not looked at": {func(c *RequestThrottle) { c.StaleConnectionCheck = false }, 0, 0},
		"kept":          {func(c *RequestThrottle) { c.DropStale = false }, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := leader(t, throttled(x.change))
			c, other := f.connect(), f.connect()
			f.order.holding(true)
			other.send(proto.OpCreate, create("/a", 0))
			f.order.wait(t, "the proposal", func() bool { return len(f.order.proposed) == 1 })
			for range 3 {
				c.send(proto.OpExists, watched("/a", false))
			}
			guards := f.p.Stats().Guards
			eventually(t, "one is held back", func() bool { return guards.ThrottleWaits.Load() > 0 })
			c.c.Close()
			f.order.holding(false)
			other.next()
			other.must(proto.OpPing, nil) // behind them in the queue
			if d, s := guards.StaleRequestsDropped.Load(), guards.StaleRequests.Load(); d != x.dropped || s != x.stale {
				t.Errorf("%d dropped, %d stale", d, s)
			}
		})
	}
}

// TestStaleLatency ends the connection of who waited for longer than a session.
func TestStaleLatency(t *testing.T) {
	f := leader(t, throttled(func(c *RequestThrottle) { c.StaleLatencyCheck = true }))
	other, c := f.connect(), f.connect()
	c.c.sessionTimeout.Store(1)
	f.order.holding(true)
	other.send(proto.OpCreate, create("/a", 0))
	f.order.wait(t, "the proposal", func() bool { return len(f.order.proposed) == 1 })
	_ = c.sendAs(1, proto.OpExists, watched("/a", false))
	c.gone()
	if n := f.p.Stats().Guards.StaleRequestsDropped.Load(); n != 1 {
		t.Errorf("%d dropped", n)
	}
	f.order.holding(false)
	other.next()
}

// TestThrottleEnds with requests in its queue.
func TestThrottleEnds(t *testing.T) {
	f := leader(t, throttled(func(c *RequestThrottle) { c.StallTime = time.Hour }))
	c := f.connect()
	f.order.holding(true)
	for range 5 {
		c.send(proto.OpCreate, create("/a", 0))
	}
	f.look()
	c.gone()
	f.lead(2)
	f.order.holding(false)
	c = f.connect()
	c.must(proto.OpCreate, create("/a", 0))
}
