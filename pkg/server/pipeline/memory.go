package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Requests of more than smallRequest bytes reserve their memory before they are
// read, and give it back when they are answered. Smaller ones are bounded by
// their number (globalOutstandingLimit).
const smallRequest = 4 << 10

const (
	// defaultRequestMemory is how many bytes large requests may hold unless Config says
	// otherwise.
	defaultRequestMemory = 64 << 20
	// arrivalGrace is how long a request may take to arrive while others wait for
	// its memory.
	arrivalGrace = time.Second
)

// LargeRequests bounds the requests above a size that are under way at once; who
// sends one more is disconnected. It is Apache's protection, and off unless it is
// configured; Config.RequestMemory lets them wait instead.
//
// Source: ZooKeeperServer.java (checkRequestSizeWhenReceivingMessage).
type LargeRequests struct {
	// Threshold is the size in bytes above which a request is large
	// (largeRequestThreshold); less than 1 is none.
	Threshold int
	// MaxBytes is what they may hold together (largeRequestMaxBytes).
	MaxBytes int
}

func (l LargeRequests) large(n int) bool { return l.Threshold > 0 && n > l.Threshold }

// A reservation is the memory of one request. It is given back once.
type reservation struct {
	m     *memory
	n     int64
	large int64 // counts as a large request
}

// release gives the memory back; a nil reservation is none.
func (r *reservation) release() {
	if r != nil {
		r.m.release(r.n)
		r.m.largeUsed.Add(-r.large)
	}
}

// memory is what large requests of all clients hold, from before they are read
// until they are answered. Who finds no room waits, in order of coming.
type memory struct {
	limit     int64
	used      atomic.Int64
	large     LargeRequests
	largeUsed atomic.Int64
	evict     func(wanted int64) // ends what has been arriving for too long

	nwaiting atomic.Int32
	mu       sync.Mutex
	waiting  []*memoryWaiter // nwaiting of them
}

type memoryWaiter struct {
	n     int64
	ready chan struct{} // closed when it has got its bytes
}

// tryTake takes n bytes if there is room. What is larger than all there may be
// is let in alone.
func (m *memory) tryTake(n int64) bool {
	used := m.used.Add(n)
	if used <= m.limit || used == n {
		return true
	}
	m.used.Add(-n)
	return false
}

// take takes n bytes, waiting for them until gone is closed.
func (m *memory) take(n int64, gone <-chan struct{}) error {
	if m.nwaiting.Load() == 0 && m.tryTake(n) {
		return nil
	}
	w := &memoryWaiter{n: n, ready: make(chan struct{})}
	m.mu.Lock()
	m.waiting = append(m.waiting, w)
	m.nwaiting.Add(1)
	m.grant()
	m.mu.Unlock()
	tick := time.NewTicker(arrivalGrace)
	defer tick.Stop()
	for {
		select {
		case <-w.ready:
			return nil
		case <-gone:
			m.giveUp(w)
			return errStopped
		case <-tick.C:
			m.press(w)
		}
	}
}

// grant serves who waits; m.mu is held.
func (m *memory) grant() {
	for len(m.waiting) > 0 && m.tryTake(m.waiting[0].n) {
		close(m.waiting[0].ready)
		m.waiting = slices.Delete(m.waiting, 0, 1)
		m.nwaiting.Add(-1)
	}
}

// giveUp forgets a waiter, and what it may have got meanwhile.
func (m *memory) giveUp(w *memoryWaiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.waiting, w); i >= 0 {
		m.waiting = slices.Delete(m.waiting, i, i+1)
		m.nwaiting.Add(-1)
	} else {
		m.used.Add(-w.n)
	}
	m.grant()
}

// press makes room for all who wait when the first of them has waited long.
func (m *memory) press(w *memoryWaiter) {
	m.mu.Lock()
	var wanted int64
	if len(m.waiting) > 0 && m.waiting[0] == w {
		for _, x := range m.waiting {
			wanted += x.n
		}
	}
	m.mu.Unlock()
	if wanted > 0 {
		m.evict(wanted)
	}
}

func (m *memory) release(n int64) {
	m.used.Add(-n)
	if m.nwaiting.Load() > 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.grant()
	}
}

var errLargeRequests = errors.New("large requests under way hold too much (largeRequestMaxBytes)")

// An arrival is a request that is being read.
type arrival struct {
	held  *reservation
	since time.Time
	abort func() // ends the connection at once
}

// ReserveAbove is the size in bytes above which a request must be announced with
// [Conn.Reserve] before it is read.
func (p *Pipeline) ReserveAbove() int {
	if t := p.memory.large.Threshold; t > 0 {
		return min(t, smallRequest)
	}
	return smallRequest
}

// RequestBytes is how many bytes large requests hold, and may hold.
func (p *Pipeline) RequestBytes() (used, limit int64) { return p.memory.used.Load(), p.memory.limit }

// Reserve takes memory for the request of n bytes that is to be read next, from
// the goroutine that will call Connect or Request; it may have to wait. The frame
// that is then handed over must not be used again. While others wait for memory,
// abort may be called if the frame does not arrive; it must end the reading. An
// error ends the connection.
func (c *Conn) Reserve(n int, abort func()) error {
	m := &c.p.memory
	if m.large.large(n) && m.largeUsed.Load()+int64(n) > int64(m.large.MaxBytes) {
		return c.rejectLarge(n)
	}
	if err := m.take(int64(n), c.done); err != nil {
		return err
	}
	c.arriving.Store(&arrival{held: &reservation{m: m, n: int64(n)}, since: time.Now(), abort: abort})
	return nil
}

func (c *Conn) rejectLarge(n int) error {
	c.p.stats.Guards.LargeRequestsRejected.Add(1)
	return fmt.Errorf("a request of %d bytes: %w", n, errLargeRequests)
}

// Unreserve gives back the memory of a request that was not handed over. It is
// called by the goroutine that called Reserve, when it ends.
func (c *Conn) Unreserve() { c.arrived().release() }

// arrived takes over the memory of the frame that has arrived, nil for none.
func (c *Conn) arrived() *reservation {
	if c.arriving.Load() == nil {
		return nil
	}
	return c.arriving.Swap(nil).held
}

// countLarge counts a request that has arrived among the large ones.
func (c *Conn) countLarge(w *waiting) error {
	m := &c.p.memory
	n := len(w.body)
	if w.held == nil || !m.large.large(n) {
		return nil
	}
	if m.largeUsed.Add(int64(n)) > int64(m.large.MaxBytes) {
		m.largeUsed.Add(-int64(n))
		return c.rejectLarge(n)
	}
	w.held.large = int64(n)
	return nil
}

// evictArrivals ends the connections whose requests have been arriving for
// longest, until wanted bytes will be free or the rest may still take its time.
func (p *Pipeline) evictArrivals(wanted int64) {
	var late []*arrival
	for _, c := range p.conns.list() {
		if a := c.arriving.Load(); a != nil && time.Since(a.since) > arrivalGrace {
			late = append(late, a)
		}
	}
	slices.SortFunc(late, func(a, b *arrival) int { return a.since.Compare(b.since) })
	for _, a := range late {
		if wanted <= 0 {
			return
		}
		wanted -= a.held.n
		p.stats.Guards.ArrivalsClosed.Add(1)
		a.abort()
	}
	if len(late) > 0 {
		p.log.Warn("requests did not arrive and were given up: others waited for their memory", "bytes held", p.memory.used.Load())
	}
}
