package metrics

import (
	"math"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Counter only grows, until it is reset. It is safe for concurrent use.
type Counter struct{ n atomic.Int64 }

// Add counts n more.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Inc counts one more.
func (c *Counter) Inc() { c.n.Add(1) }

// Load is what was counted.
func (c *Counter) Load() int64 { return c.n.Load() }

func (c *Counter) reset() { c.n.Store(0) }

// A Summary sums up a figure: least, greatest, mean, count and sum since it was
// reset, and quantiles of the last minutes. Observe takes a few atomic
// operations and no memory. It is safe for concurrent use; figures read while
// others are added may not fit together.
type Summary struct {
	count, sum atomic.Int64
	min        atomic.Int64 // the complement of the least, so that 0 means none
	max        atomic.Int64
	windows    [2]window
	current    atomic.Uint32 // the window that is added to
	turned     atomic.Int64  // when it began, in ns since the Unix epoch; 0: never
}

// A window counts figures by size: each below linear has a bucket of its own,
// and each power of two above is cut into parts.
type window struct{ buckets [buckets]atomic.Uint32 }

const (
	linear    = 16 // figures below are counted exactly
	linearLog = 4
	partsLog  = 3  // a power of two is cut into 8: quantiles are off by 1/16 at most
	greatest  = 40 // powers of two above it share the last bucket
	buckets   = linear + (greatest-linearLog+1)<<partsLog

	// turn is how long a window is added to before the other is: quantiles
	// are those of the last one to two of these.
	turn = 5 * time.Minute
)

func bucketOf(v int64) int {
	if v < linear {
		return int(max(v, 0))
	}
	power := bits.Len64(uint64(v)) - 1
	if power > greatest {
		return buckets - 1
	}
	part := int(v>>(power-partsLog)) & (1<<partsLog - 1)
	return linear + (power-linearLog)<<partsLog + part
}

// middle is what the figures of a bucket are taken for.
func middle(bucket int) int64 {
	if bucket < linear {
		return int64(bucket)
	}
	power := (bucket-linear)>>partsLog + linearLog
	part := int64(bucket-linear) & (1<<partsLog - 1)
	width := int64(1) << (power - partsLog)
	return int64(1)<<power + part*width + width/2
}

// Observe adds a figure; below 0, as a clock that was set may give, it counts
// as 0.
func (s *Summary) Observe(v int64) { s.ObserveN(v, 1) }

// ObserveN adds the same figure n times.
func (s *Summary) ObserveN(v int64, n int) {
	if n <= 0 {
		return
	}
	v = max(v, 0)
	s.count.Add(int64(n))
	s.sum.Add(v * int64(n))
	for m := s.min.Load(); (m == 0 || ^v > m) && !s.min.CompareAndSwap(m, ^v); m = s.min.Load() {
	}
	for m := s.max.Load(); v > m && !s.max.CompareAndSwap(m, v); m = s.max.Load() {
	}
	s.windows[s.current.Load()&1].buckets[bucketOf(v)].Add(uint32(n))
}

// Since adds how long ago start was, in ms.
func (s *Summary) Since(start time.Time) { s.Observe(time.Since(start).Milliseconds()) }

// Min is the least figure, 0 when there was none.
func (s *Summary) Min() int64 {
	if m := s.min.Load(); m < 0 {
		return ^m
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

// Quantiles gives, for each q from 0 to 1, the figure that a share of q of the
// figures of the last minutes does not exceed; NaN when there were none.
func (s *Summary) Quantiles(qs ...float64) []float64 {
	s.turnAt(time.Now())
	var counts [buckets]uint64
	var total uint64
	for i := range counts {
		counts[i] = uint64(s.windows[0].buckets[i].Load()) + uint64(s.windows[1].buckets[i].Load())
		total += counts[i]
	}
	out := make([]float64, len(qs))
	for i, q := range qs {
		out[i] = quantile(counts[:], total, q)
	}
	return out
}

func quantile(counts []uint64, total uint64, q float64) float64 {
	if total == 0 {
		return math.NaN()
	}
	rank := max(uint64(math.Ceil(q*float64(total))), 1)
	var seen uint64
	for b, n := range counts {
		if seen += n; seen >= rank {
			return float64(middle(b))
		}
	}
	return float64(middle(len(counts) - 1))
}

// turnAt forgets the older window when the younger has been added to for long
// enough. Whoever reads does it, so that who adds need not know the time.
func (s *Summary) turnAt(now time.Time) {
	began := s.turned.Load()
	if began != 0 && now.UnixNano()-began < int64(turn) || !s.turned.CompareAndSwap(began, now.UnixNano()) || began == 0 {
		return
	}
	next := (s.current.Load() + 1) & 1
	s.windows[next].clear()
	s.current.Store(next)
}

func (w *window) clear() {
	for i := range w.buckets {
		w.buckets[i].Store(0)
	}
}

func (s *Summary) reset() {
	s.count.Store(0)
	s.sum.Store(0)
	s.min.Store(0)
	s.max.Store(0)
	s.windows[0].clear()
	s.windows[1].clear()
}

// maxKeys bounds a set: clients choose some of the keys.
const maxKeys = 1000

// A keyed holds instruments by key. Looking one up takes no lock.
type keyed[T any] struct {
	mu  sync.Mutex
	all atomic.Pointer[map[string]*T]
}

// get finds or makes the instrument of a key; nil when there are too many.
func (k *keyed[T]) get(key string) *T {
	if m := k.all.Load(); m != nil {
		if x := (*m)[key]; x != nil {
			return x
		}
	}
	return k.add(key)
}

func (k *keyed[T]) add(key string) *T {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := make(map[string]*T)
	if m := k.all.Load(); m != nil {
		if x := (*m)[key]; x != nil {
			return x
		}
		if len(*m) >= maxKeys {
			return nil
		}
		for key, x := range *m {
			next[key] = x
		}
	}
	x := new(T)
	next[strings.Clone(key)] = x
	k.all.Store(&next)
	return x
}

func (k *keyed[T]) each(see func(key string, x *T)) {
	if m := k.all.Load(); m != nil {
		for key, x := range *m {
			see(key, x)
		}
	}
}

// A CounterSet is counters by key, a thousand at most: what comes with further
// keys is not counted. It is safe for concurrent use.
type CounterSet struct{ keys keyed[Counter] }

// Add counts n more of a key.
func (s *CounterSet) Add(key string, n int64) {
	if c := s.keys.get(key); c != nil {
		c.Add(n)
	}
}

// Values is what was counted, by key.
func (s *CounterSet) Values() map[string]int64 {
	out := make(map[string]int64)
	s.keys.each(func(key string, c *Counter) { out[key] = c.Load() })
	return out
}

func (s *CounterSet) reset() { s.keys.each(func(_ string, c *Counter) { c.reset() }) }

// A SummarySet is summaries by key, bounded as a CounterSet is. It is safe for
// concurrent use.
type SummarySet struct{ keys keyed[Summary] }

// Observe adds a figure to a key's.
func (s *SummarySet) Observe(key string, v int64) {
	if x := s.keys.get(key); x != nil {
		x.Observe(v)
	}
}

func (s *SummarySet) reset() { s.keys.each(func(_ string, x *Summary) { x.reset() }) }
