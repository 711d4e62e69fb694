package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSummary(t *testing.T) {
	var s Summary
	if s.Min() != 0 || s.Max() != 0 || s.Avg() != 0 || !math.IsNaN(s.Quantiles(0.5)[0]) {
		t.Error("a summary without figures tells some")
	}
	for _, v := range []int64{7, 3, 5, -2} {
		s.Observe(v)
	}
	s.ObserveN(100, 2)
	if s.Min() != 0 || s.Max() != 100 || s.Count() != 6 || s.Sum() != 215 {
		t.Errorf("min %d max %d count %d sum %d", s.Min(), s.Max(), s.Count(), s.Sum())
	}
	s.reset()
	s.Observe(9)
	if s.Min() != 9 || s.Max() != 9 || s.Count() != 1 {
		t.Errorf("after a reset: min %d max %d count %d", s.Min(), s.Max(), s.Count())
	}
}

// TestQuantiles compares with the figures themselves, sorted.
func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, top := range []int64{10, 1000, 1 << 20, 1 << 45} {
		var s Summary
		var all []int64
		for range 10000 {
			v := r.Int64N(top)
			s.Observe(v)
			all = append(all, v)
		}
		slices.Sort(all)
		qs := []float64{0.001, 0.5, 0.95, 0.99, 0.999, 1}
		for i, got := range s.Quantiles(qs...) {
			want := float64(min(all[int(math.Ceil(qs[i]*10000))-1], 1<<(greatest+1)))
			if diff := math.Abs(got - want); diff > want/16+1 {
				t.Errorf("up to %d: quantile %v is %v, want about %v", top, qs[i], got, want)
			}
		}
	}
}

func TestBuckets(t *testing.T) {
	last := -1
	for v := int64(0); v < 1<<20; v++ {
		b := bucketOf(v)
		if b != last && b != last+1 {
			t.Fatalf("bucket %d after %d at %d", b, last, v)
		}
		if m := middle(b); m>>1 > v || v > m*2 {
			t.Fatalf("%d is taken for %d", v, m)
		}
		last = b
	}
	if bucketOf(math.MaxInt64) != buckets-1 || bucketOf(math.MinInt64) != 0 {
		t.Error("the ends have no bucket")
	}
}

// TestQuantilesForget turns the windows: what is old is not told.
func TestQuantilesForget(t *testing.T) {
	var s Summary
	now := time.Now()
	s.turnAt(now)
	s.Observe(1000)
	for i := range 2 {
		if got := s.Quantiles(0.5)[0]; math.Abs(got-1000) > 63 {
			t.Errorf("after %d turns: %v", i, got)
		}
		now = now.Add(turn)
		s.turnAt(now)
	}
	if got := s.Quantiles(0.5)[0]; !math.IsNaN(got) {
		t.Errorf("after two turns: %v", got)
	}
	if s.Count() != 1 {
		t.Error("a turn forgets more than quantiles")
	}
}

func TestSets(t *testing.T) {
	var c CounterSet
	var s SummarySet
	for i := range maxKeys + 10 {
		c.Add(fmt.Sprint(i), 2)
		s.Observe(fmt.Sprint(i), 3)
	}
	c.Add("5", 1)
	if v := c.Values(); len(v) != maxKeys || v["5"] != 3 || v["999"] != 2 {
		t.Errorf("%d keys, %v", len(v), v["5"])
	}
}

func TestCountingTakesNoMemory(t *testing.T) {
	m := New()
	m.ReadBytes.Observe("kafka", 1)
	path := strings.Repeat("kafka", 2)
	if n := testing.AllocsPerRun(100, func() {
		m.ReadLatency.Observe(17)
		m.BytesReceived.Add(5)
		m.ReadBytes.Observe(path[:5], 100)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConcurrent(t *testing.T) {
	m := New()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				m.ReadLatency.Observe(int64(i))
				m.WriteBytes.Observe(fmt.Sprint(g, i%10), 1)
				m.Commits.Inc()
			}
		})
	}
	m.Each(discard{})
	wg.Wait()
	if m.ReadLatency.Count() != 4000 || m.Commits.Load() != 4000 || m.ReadLatency.Max() != 999 || m.ReadLatency.Min() != 0 {
		t.Error("figures are lost")
	}
}

type discard struct{}

func (discard) Gauge(string, string, float64, bool)     {}
func (discard) Counter(string, string, int64)           {}
func (discard) Summary(_, _ string, s *Summary, _ bool) { s.Quantiles(0.5) }

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range Names() {
		if n.Name == "" || seen[n.Name] || n.Kind == "" {
			t.Errorf("%+v: no name, or twice", n)
		}
		seen[n.Name] = true
	}
	if !seen["readlatency"] || !seen["znode_count"] || !seen["proposal_count"] {
		t.Error("names are missing")
	}
}

func BenchmarkObserve(b *testing.B) {
	var s Summary
	for i := range b.N {
		s.Observe(int64(i & 1023))
	}
}

func BenchmarkSet(b *testing.B) {
	var s SummarySet
	for i := range b.N {
		s.Observe("kafka", int64(i&1023))
	}
}

// TestNamesAreApaches compares with what a server of 3.9.3 shows (mntr of a
// leader, a follower and one that stands alone; the quotas' from
// QuotaMetricsUtils.java).
func TestNamesAreApaches(t *testing.T) {
	text, err := os.ReadFile("testdata/apache-3.9.txt")
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.Fields(string(text))
	ours := map[string]string{
		"fsync_threshold_exceed_count": "of 3.4 and 3.5, and of the AdminServer's server_stats",
		"slow_readers_closed":          "a protection that only this server has",
		"slow_arrivals_closed":         "likewise",
	}
	for _, n := range Names() {
		if !slices.Contains(theirs, n.Name) && ours[n.Name] == "" {
			t.Errorf("%s is none of Apache's", n.Name)
		}
	}
}
