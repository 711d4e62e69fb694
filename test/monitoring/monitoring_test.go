// Package monitoring keeps docs/monitoring true: its dashboard and alerts use
// metrics that servers show.
package monitoring

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/zkctl/zkctl/pkg/server/admin"
	"github.com/zkctl/zkctl/pkg/server/metrics"
)

const docs = "../../docs/monitoring"

// shown lists every series that a server may show.
func shown(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{"up": true} // Prometheus' own
	for _, n := range metrics.Names() {
		names[n.Name] = true
		if n.Kind == metrics.KindSummary {
			names[n.Name+"_sum"], names[n.Name+"_count"] = true, true
		}
	}
	w := httptest.NewRecorder()
	admin.MetricsHandler(metrics.New(), true, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name := regexp.MustCompile(`^(go|process)_\w+`).FindString(line); name != "" {
			names[name] = true
		}
	}
	return names
}

// words of PromQL that are not metrics.
func isWord(w string) bool {
	switch w {
	case "by", "on", "unless", "or", "and", "without", "ignoring", "group_left", "group_right", "bool", "offset":
		return true
	}
	return false
}

// used lists the metrics of an expression.
func used(expr string) (names []string) {
	for _, cut := range []string{`"[^"]*"`, `\{[^}]*\}`, `\[[^\]]*\]`, `\b(by|on|without|ignoring)\s*\([^)]*\)`} {
		expr = regexp.MustCompile(cut).ReplaceAllString(expr, " ")
	}
	for _, m := range regexp.MustCompile(`([A-Za-z_:][\w:]*)\s*(\(?)`).FindAllStringSubmatch(expr, -1) {
		if m[2] == "" && !isWord(m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}

func check(t *testing.T, where, expr string, shown map[string]bool) {
	t.Helper()
	names := used(expr)
	if len(names) == 0 {
		t.Errorf("%s: no metric in %q", where, expr)
	}
	for _, n := range names {
		if !shown[n] {
			t.Errorf("%s: no server shows %s, which is in %q", where, n, expr)
		}
	}
}

func TestUsed(t *testing.T) {
	got := strings.Join(used(`topk(10, sum by (key) (rate(a_sum{job=~"b"}[5m]))) / on (c) d{e="f"} > 0.5 unless g or vector(0)`), " ")
	if got != "a_sum d g" {
		t.Errorf("%q", got)
	}
}

func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(docs, "grafana-zookeeper.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Templating struct {
			List []struct {
				Name, Type string
				Query      string
			}
		}
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	names, ids := shown(t), map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: its id is not its own, or it is too wide", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			check(t, p.Title, target.Expr, names)
		}
	}
	for _, v := range board.Templating.List {
		if m := regexp.MustCompile(`^label_values\((\w+)`).FindStringSubmatch(v.Query); v.Type == "query" && (m == nil || !names[m[1]]) {
			t.Errorf("variable %s asks for %q", v.Name, v.Query)
		}
	}
	if len(board.Panels) < 20 {
		t.Errorf("%d panels", len(board.Panels))
	}
}

func TestAlerts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(docs, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	names, n := shown(t), 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			n++
			check(t, r.Alert, r.Expr, names)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("%s has no severity or no summary", r.Alert)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d alerts", n)
	}
}

// TestPromtool lets Prometheus' own tool look at the rules.
func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here (Debian: apt install prometheus)")
	}
	out, err := exec.Command(tool, "check", "rules", filepath.Join(docs, "alerts.yaml")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
