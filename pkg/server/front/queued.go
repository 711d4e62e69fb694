package front

import (
	"context"
	"sync/atomic"
	"time"
)

// What is queued to clients that do not read is bounded for each of them
// (softQueue, hardQueue) and for all together: when it is more than Config's
// MaxQueued the slowest of those with the most are given up, and above half of that
// each may have less before its requests wait.
const (
	defaultQueued = 256 << 20
	crowdedQueue  = softQueue / 8
	countQueued   = 64 << 10 // a connection with less does not count
)

// queued counts the bytes that wait for clients, over all connections.
type queued struct {
	max    int64
	bytes  atomic.Int64
	exceed chan struct{} // there are too many; has room for one
}

func newQueued(limit int64) *queued {
	if limit <= 0 {
		limit = defaultQueued
	}
	return &queued{max: limit, exceed: make(chan struct{}, 1)}
}

// behind tells whether so much waits for the client that its next request has to
// wait, too; c.mu is held.
func (c *conn) behind() bool {
	waits := max(len(c.buf), (len(c.buf)+c.sending)/2)
	return waits > crowdedQueue && (waits > softQueue || c.s.queued.bytes.Load() > c.s.queued.max/2)
}

// Full implements [pipeline.Backpressure].
func (c *conn) Full(resume func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.failed || !c.behind() {
		return false
	}
	c.resume = resume
	c.kick()
	return true
}

// count brings what c counts for up to date; c.mu is held.
func (c *conn) count() {
	now := int64(len(c.buf) + c.sending)
	if now < countQueued {
		now = 0
	}
	if now == c.counted {
		return
	}
	if c.counted == 0 {
		c.countedSince = time.Now()
	}
	q := c.s.queued
	bytes := q.bytes.Add(now - c.counted)
	c.counted = now
	if bytes > q.max {
		select {
		case q.exceed <- struct{}{}:
		default:
		}
	}
}

// relieve ends the slowest readers while more is queued than may be.
func (s *Server) relieve(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.queued.exceed:
		}
		for s.queued.bytes.Load() > s.queued.max && s.endSlowest() {
		}
	}
}

// endSlowest gives up the connection that has been counted for longest, of those
// with about the most bytes; false when there is none.
func (s *Server) endSlowest() bool {
	s.mu.Lock()
	var most int64
	for c := range s.conns {
		c.mu.Lock()
		most = max(most, c.counted)
		c.mu.Unlock()
	}
	var slowest *conn
	var since time.Time
	for c := range s.conns {
		c.mu.Lock()
		if c.counted > 0 && c.counted >= most/2 && (slowest == nil || c.countedSince.Before(since)) {
			slowest, since = c, c.countedSince
		}
		c.mu.Unlock()
	}
	s.mu.Unlock()
	if slowest == nil {
		return false
	}
	slowest.mu.Lock()
	defer slowest.mu.Unlock()
	if slowest.counted == 0 {
		return true // it has read just now
	}
	s.p.Stats().Guards.SlowReadersClosed.Add(1)
	s.cfg.Logger.Warn("connection closed", "client", slowest.nc.RemoteAddr().String(), "why", "it does not read, and too much waits for all clients", "bytes", slowest.counted)
	slowest.fail()
	return true
}
