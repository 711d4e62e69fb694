package pipeline

import (
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// RequestThrottle lets requests in one after the other while many are under
// way. It is Apache's, and off unless it is configured.
//
// Source: RequestThrottler.java, Request.java (isStale).
type RequestThrottle struct {
	// MaxRequests is how many requests may be under way; 0 lets all in at once.
	MaxRequests int
	// StallTime is how long one waits, at most, before it is looked at again.
	StallTime time.Duration
	// DropStale ends the connection of a request that is stale instead of letting it in.
	DropStale bool
	// StaleConnectionCheck takes requests of closed connections for stale,
	// StaleLatencyCheck those that have waited longer than the session's timeout.
	StaleConnectionCheck, StaleLatencyCheck bool
	// OpWaitTime refuses requests that waited longer (throttled_op_wait_time); 0 is none.
	OpWaitTime time.Duration
}

// A throttle is a RequestThrottle at work: one goroutine lets requests in, in
// the order they came.
type throttle struct {
	RequestThrottle
	p      *Pipeline
	queue  *inbox[throttledRequest]
	length atomic.Int64  // of the queue
	freed  chan struct{} // a request has been answered; has room for one
	stop   chan struct{}
}

type throttledRequest struct {
	c *Conn
	w waiting
}

// newThrottle returns nil when nothing is to be throttled.
func newThrottle(c RequestThrottle, p *Pipeline) *throttle {
	if c.MaxRequests <= 0 {
		return nil
	}
	return &throttle{RequestThrottle: c, p: p, queue: newInbox[throttledRequest](), freed: make(chan struct{}, 1), stop: make(chan struct{})}
}

// put queues a request, which keeps its body.
func (t *throttle) put(c *Conn, w *waiting) {
	w.keep()
	t.length.Add(1)
	c.throttled.Add(1)
	if !t.queue.put(throttledRequest{c, *w}) {
		t.took(c)
		w.held.release()
	}
}

func (t *throttle) took(c *Conn) {
	t.length.Add(-1)
	c.throttled.Add(-1)
}

// wake tells that a request has been answered.
func (t *throttle) wake() {
	select {
	case t.freed <- struct{}{}:
	default:
	}
}

func (t *throttle) close() {
	close(t.stop)
	t.queue.close()
}

func (t *throttle) run() {
	var items []throttledRequest
	for {
		var ok bool
		if items, ok = t.queue.take(items); !ok {
			return
		}
		for i := range items {
			t.pass(items[i].c, &items[i].w)
			t.took(items[i].c)
			items[i].c.unpause()
		}
	}
}

// pass lets a request in when it may come, or drops it.
func (t *throttle) pass(c *Conn, w *waiting) {
	if c.invalid || !t.await(c, w) {
		w.held.release()
		return
	}
	guards := t.p.stats.Guards
	if t.stale(c, w) {
		guards.StaleRequests.Add(1)
	}
	waited := time.Since(w.since)
	guards.ThrottleQueueTime.Observe(waited.Milliseconds())
	if t.OpWaitTime > 0 && waited > t.OpWaitTime && w.Op != proto.OpPing && w.Op != proto.OpCloseSession {
		guards.ThrottledOps.Add(1)
		w.refused = proto.ErrThrottled
	}
	if err := c.dispatch(w); err != nil {
		c.Close()
	}
}

// await waits until fewer than MaxRequests are under way. It is false when the
// request is to be dropped; so are those behind it on its connection.
func (t *throttle) await(c *Conn, w *waiting) bool {
	guards := t.p.stats.Guards
	stall := time.NewTimer(t.StallTime)
	defer stall.Stop()
	for {
		if t.DropStale && t.stale(c, w) {
			guards.StaleRequestsDropped.Add(1)
			c.invalid = true
			c.Close()
			return false
		}
		if t.p.stats.Outstanding() < int64(t.MaxRequests) {
			return true
		}
		guards.ThrottleWaits.Add(1)
		stall.Reset(t.StallTime)
		select {
		case <-t.freed:
		case <-stall.C:
		case <-t.stop:
			return false
		}
	}
}

// stale tells whether nobody can want the answer any more.
func (t *throttle) stale(c *Conn, w *waiting) bool {
	if w.Op == proto.OpCloseSession {
		return false
	}
	return t.StaleConnectionCheck && c.closed.Load() ||
		t.StaleLatencyCheck && time.Since(w.since) > c.SessionTimeout()
}

// Crowded tells whether more than limit requests are under way, or wait to be
// let in.
func (p *Pipeline) Crowded(limit int) bool {
	return p.stats.Outstanding() > int64(limit) || p.throttle != nil && p.throttle.length.Load() > int64(limit)
}
