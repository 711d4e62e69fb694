package admin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/metrics"
)

var discard = slog.New(slog.DiscardHandler) //nolint:gochecknoglobals // a constant

// config offers one command of each kind; who says "digest good" may do all.
func config(serving bool) Config {
	echo := func(r Request) Response {
		r.OwnTime()
		body, _ := io.ReadAll(r.Body)
		return Response{Data: Object{{"got", string(body)}}}
	}
	return Config{
		URL: "/commands", Serving: func() bool { return serving }, Logger: discard,
		Commands: []Command{
			{Name: "ruok", Aliases: []string{"ok"}, Run: func(Request) Response { return Response{} }},
			{Name: "needy", NeedsServer: true, Run: func(Request) Response { return Response{Data: Object{{"n", 1}}} }},
			{Name: "failing", Run: func(Request) Response { return Response{Data: Object{{"error", "by itself"}}} }},
			{Name: "take", Post: true, Restricted: true, Run: echo},
			{Name: "give", Restricted: true, Run: func(Request) Response {
				return Response{Stream: io.NopCloser(strings.NewReader("data")), Size: 4, Header: map[string]string{"last_zxid": "0x1"}}
			}},
		},
		Authorize: func(_ *http.Request, c Credentials) error {
			switch {
			case c.Scheme != "digest":
				return ErrNotAuthenticated
			case c.Data != "good":
				return fmt.Errorf("%w: no", ErrNotAuthorized)
			}
			return nil
		},
		Metrics: MetricsHandler(metrics.New(), true, discard),
	}
}

// TestStatus is what Apache's 3.9.3 answered to the same.
func TestStatus(t *testing.T) {
	tests := []struct {
		method, path, auth string
		serving            bool
		status             int
		body               string
	}{
		{"GET", "/commands/ruok", "", true, 200, "{\n  \"command\" : \"ruok\",\n  \"error\" : null\n}"},
		{"GET", "/commands/ok", "", false, 200, "{\n  \"command\" : \"ruok\",\n  \"error\" : null\n}"},
		{"GET", "/commands/ok/", "", false, 200, "{\n  \"command\" : \"ruok\",\n  \"error\" : null\n}"},
		{"GET", "/commands/xyz", "", true, 200, "{\n  \"command\" : \"xyz\",\n  \"error\" : \"Unknown command: xyz\"\n}"},
		{"GET", "/commands/needy", "", true, 200, "{\n  \"n\" : 1,\n  \"command\" : \"needy\",\n  \"error\" : null\n}"},
		{"GET", "/commands/needy", "", false, 200, "{\n  \"command\" : \"needy\",\n  \"error\" : \"" + notServing + "\"\n}"},
		{"GET", "/commands/failing", "", true, 200, "{\n  \"error\" : \"by itself\",\n  \"command\" : \"failing\"\n}"},
		{"GET", "/commands/give", "", true, 401, "{\n  \"command\" : \"give\",\n  \"error\" : \"Auth info is missing for the command\"\n}"},
		{"GET", "/commands/give", "xx yy", true, 401, "{\n  \"command\" : \"give\",\n  \"error\" : \"Not authenticated\"\n}"},
		{"GET", "/commands/give", "digest bad", true, 403, "{\n  \"command\" : \"give\",\n  \"error\" : \"Not authorized\"\n}"},
		{"GET", "/commands/give", "digest good", true, 200, "data"},
		{"POST", "/commands/take", "", true, 401, ""},
		{"POST", "/commands/take", "digest good", true, 200, "{\n  \"got\" : \"body\",\n  \"command\" : \"take\",\n  \"error\" : null\n}"},
		{"GET", "/commands/take", "digest good", true, 405, ""},
		{"POST", "/commands/ruok", "", true, 405, ""},
		{"PUT", "/commands/ruok", "", true, 405, ""},
		{"TRACE", "/commands/ruok", "", true, 403, ""},
		{"OPTIONS", "/commands/ruok", "", true, 200, ""},
		{"GET", "/", "", true, 404, ""},
		{"GET", "/commandsx", "", true, 404, ""},
		{"GET", "/commands", "", true, 200, "<a href=\"/commands/failing\">failing</a>\n<br/>\n<a href=\"/commands/give\">give</a>\n<br/>\n" +
			"<a href=\"/commands/needy\">needy</a>\n<br/>\n<a href=\"/commands/ruok\">ruok</a>\n<br/>\n<a href=\"/commands/take\">take</a>\n<br/>\n"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader("body"))
		if tt.auth != "" {
			r.Header.Set("Authorization", tt.auth)
		}
		w := httptest.NewRecorder()
		Handler(config(tt.serving)).ServeHTTP(w, r)
		if w.Code != tt.status || tt.body != "" && w.Body.String() != tt.body {
			t.Errorf("%s %s (%s): %d %q, want %d %q", tt.method, tt.path, tt.auth, w.Code, w.Body, tt.status, tt.body)
		}
	}
}

func TestMetricsText(t *testing.T) {
	m := metrics.New()
	m.Commits.Add(3)
	m.ReadLatency.Observe(7)
	m.ReadBytes.Observe("kafka", 100)
	m.ReadBytes.Observe("bad\xff", 1)
	m.GaugesFrom(func(g *metrics.Gauges) { g.Int("znode_count", 5); g.Float("avg_latency", 0.5) })
	w := httptest.NewRecorder()
	MetricsHandler(m, true, discard).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{
		"# TYPE commit_count counter\ncommit_count 3\n", "\nznode_count 5\n", "\navg_latency 0.5\n",
		"readlatency{quantile=\"0.99\"} 7\n", "readlatency_sum 7\nreadlatency_count 1\n", "read_per_namespace_sum{key=\"kafka\"} 100\n",
		"fsynctime{quantile=\"0.5\"} NaN\n", "\ngo_goroutines ", "\nprocess_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestLimiter(t *testing.T) {
	l := Limiter{Every: time.Minute}
	now := time.Now()
	for i, want := range []bool{true, false, true} {
		if got := l.Allow(now.Add(time.Duration(i) * 30 * time.Second)); got != want {
			t.Errorf("time %d: %v", i, got)
		}
	}
	var always Limiter
	for range 2 {
		if !always.Allow(now) {
			t.Error("a limiter without an interval limits")
		}
	}
}

// TestServe asks over the network, and ends.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Listen(ctx, Options{Address: "127.0.0.1:0", Handler: Handler(config(true)), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	r, err := http.Get("http://" + s.Addr().String() + "/commands/ruok")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", r)
	}
	_, err = Listen(ctx, Options{Address: s.Addr().String(), Handler: Handler(config(true)), Logger: discard})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("the port is taken: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
