package metrics

import "math"

// Flat shows each figure by itself under the name that the word mntr has for
// it, without "zk_": a set's key stands before the name, and what is told of a
// summary before that, as in p50_readlatency (DefaultMetricsProvider.java).
type Flat func(name string, v float64, whole bool)

// Gauge implements [Seer].
func (f Flat) Gauge(name, key string, v float64, whole bool) { f(keyedName(name, key), v, whole) }

// Counter implements [Seer].
func (f Flat) Counter(name, key string, v int64) { f(keyedName(name, key), float64(v), true) }

// Summary implements [Seer].
func (f Flat) Summary(name, key string, s *Summary, advanced bool) {
	name = keyedName(name, key)
	f("avg_"+name, math.Round(s.Avg()*1e4)/1e4, false)
	f("min_"+name, float64(s.Min()), true)
	f("max_"+name, float64(s.Max()), true)
	f("cnt_"+name, float64(s.Count()), true)
	f("sum_"+name, float64(s.Sum()), true)
	if !advanced {
		return
	}
	for i, q := range s.Quantiles(0.5, 0.95, 0.99, 0.999) {
		if math.IsNaN(q) {
			q = 0
		}
		f([...]string{"p50_", "p95_", "p99_", "p999_"}[i]+name, q, true)
	}
}

func keyedName(name, key string) string {
	if key == "" {
		return name
	}
	return key + "_" + name
}
