package admin

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zkctl/zkctl/pkg/server/metrics"
)

// MetricsHandler shows metrics in Prometheus' text form: the names that
// Apache's PrometheusMetricsProvider shows, and with runtime those of the Go
// runtime (go_*) and of the process (process_*).
func MetricsHandler(m *metrics.Metrics, runtime bool, logger *slog.Logger) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{m}) // nothing else is there to clash with
	if runtime {
		r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: promLog{logger}, ErrorHandling: promhttp.ContinueOnError,
	})
}

// promLog takes what promhttp cannot show.
type promLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l promLog) Println(v ...any) { l.log.Warn("metrics", "err", v) }

// collector shows [metrics.Metrics].
type collector struct{ m *metrics.Metrics }

// Describe implements [prometheus.Collector]: which sets have which keys is not
// known before.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c collector) Collect(out chan<- prometheus.Metric) { c.m.Each(seer(out)) }

type seer chan<- prometheus.Metric

// desc describes a metric; its help is its name, as in Apache.
func desc(name, key string) (*prometheus.Desc, []string) {
	if key == "" {
		return prometheus.NewDesc(name, name, nil, nil), nil
	}
	return prometheus.NewDesc(name, name, []string{"key"}, nil), []string{strings.ToValidUTF8(key, "\uFFFD")}
}

// Gauge implements [metrics.Seer].
func (s seer) Gauge(name, key string, v float64, _ bool) {
	d, labels := desc(name, key)
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// Counter implements [metrics.Seer].
func (s seer) Counter(name, key string, v int64) {
	d, labels := desc(name, key)
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// Summary implements [metrics.Seer].
func (s seer) Summary(name, key string, x *metrics.Summary, advanced bool) {
	d, labels := desc(name, key)
	qs := []float64{0.5}
	if advanced {
		qs = []float64{0.5, 0.9, 0.99}
	}
	quantiles := make(map[float64]float64, len(qs))
	for i, v := range x.Quantiles(qs...) {
		quantiles[qs[i]] = v // NaN, as Apache shows it, when there was nothing lately
	}
	s <- prometheus.MustNewConstSummary(d, uint64(x.Count()), float64(x.Sum()), quantiles, labels...)
}
