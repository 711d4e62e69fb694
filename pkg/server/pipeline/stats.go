package pipeline

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Stats counts what the server did since it started, or since Reset. Its
// fields are safe for concurrent use.
type Stats struct {
	Received, Sent   atomic.Int64 // packets from and to clients
	AuthFailed       atomic.Int64
	SessionsExpired  atomic.Int64
	DigestMismatches atomic.Int64
	SnapshotErrors   atomic.Int64
	SnapshotTime     Summary // ms
	ReadLatency      Summary // ms, from receipt to reply
	WriteLatency     Summary // ms

	Guards Guards

	outstanding   atomic.Int64
	quotaExceeded counters
	latency       Summary // ms, of all requests
}

// Reset forgets packet counts and latencies (the word srst).
func (s *Stats) Reset() {
	s.Received.Store(0)
	s.Sent.Store(0)
	s.ResetLatency()
}

// ResetLatency forgets the latencies.
func (s *Stats) ResetLatency() {
	for _, x := range []*Summary{&s.latency, &s.ReadLatency, &s.WriteLatency, &s.SnapshotTime, &s.Guards.TokenDeficit, &s.Guards.ThrottleQueueTime} {
		x.reset()
	}
}

// Outstanding is how many clients' requests have not been answered yet.
func (s *Stats) Outstanding() int64 { return s.outstanding.Load() }

// Latency sums up how long requests took, in ms.
func (s *Stats) Latency() *Summary { return &s.latency }

func (s *Stats) replied(kind opKind, took time.Duration) {
	ms := took.Milliseconds()
	s.Sent.Add(1)
	s.latency.add(ms)
	if kind == writeOp {
		s.WriteLatency.add(ms)
	} else {
		s.ReadLatency.add(ms)
	}
}

// A Summary keeps least, greatest, count and sum of a figure.
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
