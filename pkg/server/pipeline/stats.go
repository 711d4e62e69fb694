package pipeline

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Stats counts what the server did since it started, or since
// [Pipeline.ResetStats], beside what [metrics.Metrics] has. Its fields are safe
// for concurrent use.
type Stats struct {
	Received, Sent atomic.Int64 // packets from and to clients
	AuthFailed     atomic.Int64
	Responses      Sizes // of replies and events

	Guards *metrics.Guards // what the protections did

	outstanding atomic.Int64
}

// ResetStats forgets packet counts, sizes, latencies and whatever else is
// counted (the word srst; ServerStats.java, StatResetCommand.java).
func (p *Pipeline) ResetStats() {
	p.stats.Received.Store(0)
	p.stats.Sent.Store(0)
	p.stats.Responses.reset()
	p.m.Reset()
}

// Outstanding is how many clients' requests have not been answered yet.
func (s *Stats) Outstanding() int64 { return s.outstanding.Load() }

// Sizes keeps the last, least and greatest of some sizes in bytes; each is -1
// before the first (BufferStats.java).
type Sizes struct{ last, min, max atomic.Int64 }

func (s *Sizes) reset() {
	s.last.Store(-1)
	s.min.Store(-1)
	s.max.Store(-1)
}

func (s *Sizes) add(n int64) {
	s.last.Store(n)
	for m := s.min.Load(); (m < 0 || n < m) && !s.min.CompareAndSwap(m, n); m = s.min.Load() {
	}
	for m := s.max.Load(); n > m && !s.max.CompareAndSwap(m, n); m = s.max.Load() {
	}
}

// Last is the newest size.
func (s *Sizes) Last() int64 { return s.last.Load() }

// Min is the least size.
func (s *Sizes) Min() int64 { return s.min.Load() }

// Max is the greatest size.
func (s *Sizes) Max() int64 { return s.max.Load() }

// A Summary keeps least, greatest, count and sum of a connection's figure; it
// takes little room, as there may be many connections.
type Summary struct{ min, max, sum, count atomic.Int64 }

func (s *Summary) reset() {
	s.min.Store(math.MaxInt64)
	s.max.Store(0)
	s.sum.Store(0)
	s.count.Store(0)
}

func (s *Summary) add(v int64) {
	s.count.Add(1)
	s.sum.Add(v)
	for m := s.min.Load(); v < m && !s.min.CompareAndSwap(m, v); m = s.min.Load() {
	}
	for m := s.max.Load(); v > m && !s.max.CompareAndSwap(m, v); m = s.max.Load() {
	}
}

// Min is the least figure, 0 when there was none.
func (s *Summary) Min() int64 {
	if m := s.min.Load(); m != math.MaxInt64 {
		return m
	}
	return 0
}

// Max is the greatest figure.
func (s *Summary) Max() int64 { return s.max.Load() }

// Count is how many figures there were.
func (s *Summary) Count() int64 { return s.count.Load() }

// Sum is the sum of the figures.
func (s *Summary) Sum() int64 { return s.sum.Load() }

// Avg is the mean, 0 when there were none.
func (s *Summary) Avg() float64 {
	if n := s.count.Load(); n > 0 {
		return float64(s.sum.Load()) / float64(n)
	}
	return 0
}

// connStat is what the word cons tells of a connection.
type connStat struct {
	recv, sent   atomic.Int64
	last         atomic.Int32 // op
	lastXid      atomic.Int32
	lastZxid     atomic.Int64
	lastResponse atomic.Int64 // ms since the Unix epoch
	lastLatency  atomic.Int64
	latency      Summary
}

func (s *connStat) received(op proto.Op, xid int32) {
	s.recv.Add(1)
	s.last.Store(int32(op))
	if xid >= 0 {
		s.lastXid.Store(xid)
	}
}

func (s *connStat) replied(w *waiting, zxid int64, took time.Duration) {
	s.sent.Add(1)
	s.lastZxid.Store(zxid)
	s.lastResponse.Store(time.Now().UnixMilli())
	s.lastLatency.Store(took.Milliseconds())
	s.latency.add(took.Milliseconds())
}
