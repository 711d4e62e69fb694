package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"
)

// runAdmin starts a server with an AdminServer; get asks that.
func runAdmin(t *testing.T, dir, extra string) (r *running, get func(method, path, auth string, body []byte) (*http.Response, []byte)) {
	t.Helper()
	port := freePort(t)
	r = run(t, dir, freePort(t), fmt.Sprintf("admin.serverPort=%d\nadmin.rateLimiterIntervalInMS=0\n%s", port, extra))
	return r, func(method, path, auth string, body []byte) (*http.Response, []byte) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if auth != "" {
			q.Header.Set("Authorization", auth)
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, got
	}
}

// shape describes a JSON value without its figures: names and kinds. Objects
// whose names are data, such as session ids, are one.
func shape(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case []any:
		kinds := map[string]bool{}
		for _, x := range v {
			kinds[shape(x)] = true
		}
		return "[" + strings.Join(slices.Sorted(maps.Keys(kinds)), "|") + "]"
	case map[string]any:
		members := map[string]bool{}
		for name, x := range v {
			if regexp.MustCompile(`^-?\d+$|^/`).MatchString(name) {
				name = "*"
				if list, ok := x.([]any); ok && len(list) == 0 {
					continue // a bucket without sessions
				}
			}
			members[name+":"+shape(x)] = true
		}
		return "{" + strings.Join(slices.Sorted(maps.Keys(members)), " ") + "}"
	}
	return fmt.Sprintf("%T", v)
}

// notTold are fields of Apache's that this server has nothing to say for.
func notTold(text string) string {
	for _, field := range []string{"non_mtlsremote_conn_count:float64 ", "non_mtlslocal_conn_count:float64 "} {
		text = strings.ReplaceAll(text, field, "")
	}
	return text
}

// TestAdminShapes compares each command's answer with that of Apache's 3.9.3,
// which was asked after the same requests.
func TestAdminShapes(t *testing.T) {
	r, get := runAdmin(t, t.TempDir(), "")
	c := r.dial(t)
	if _, err := c.Create("/a", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create("/a/e", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.GetW("/a"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/admin/standalone/*.json")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		resp, got := get("GET", "/commands/"+name, "", nil)
		var theirs, ours any
		if err := json.Unmarshal(text, &theirs); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got, &ours); err != nil {
			t.Fatalf("%s: %v in %s", name, err, got)
		}
		if a, b := notTold(shape(theirs)), shape(ours); a != b || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d\n%s\nApache's\n%s", name, resp.StatusCode, b, a)
		}
	}
}

func TestAdminMonitorAndMetrics(t *testing.T) {
	_, get := runAdmin(t, t.TempDir(), "")
	_, text := get("GET", "/commands/monitor", "", nil)
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil || m["server_state"] != "standalone" || m["znode_count"] != 5.0 {
		t.Errorf("%v: %s", err, text)
	}
	if _, text := get("GET", "/metrics", "", nil); !bytes.Contains(text, []byte("\nznode_count 5\n")) || !bytes.Contains(text, []byte("\ngo_goroutines ")) {
		t.Errorf("%s", text)
	}
}

// TestMetricsProvider serves metrics on a port of their own, as Apache's
// PrometheusMetricsProvider does.
func TestMetricsProvider(t *testing.T) {
	port := freePort(t)
	run(t, t.TempDir(), freePort(t), fmt.Sprintf("metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n"+
		"metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=%d\nmetricsProvider.exportJvmInfo=false\n", port))
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(text, []byte("\nznode_count 5\n")) || bytes.Contains(text, []byte("\ngo_")) {
		t.Errorf("%v: %s", err, text)
	}
}

// TestSnapshotAndRestore takes a state away and brings it back.
func TestSnapshotAndRestore(t *testing.T) {
	dir := t.TempDir()
	r, get := runAdmin(t, dir, "")
	c := r.dial(t)
	const auth = "digest root:secret"
	if _, err := c.Create("/kept", []byte("first"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	resp, snapshot := get("GET", "/commands/snapshot?streaming=true", auth, nil)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Last_zxid") == "" || resp.Header.Get("Snapshot_size") != fmt.Sprint(len(snapshot)) {
		t.Fatalf("%d %v, %d bytes", resp.StatusCode, resp.Header, len(snapshot))
	}
	if _, err := c.Set("/kept", []byte("second"), -1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create("/later", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"cut": snapshot[:len(snapshot)-9], "flipped": flip(snapshot), "nothing": nil, "else": []byte("PK")} {
		if resp, text := get("POST", "/commands/restore", auth, bad); resp.StatusCode < 400 {
			t.Fatalf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
	if data, _, err := c.Get("/kept"); err != nil || string(data) != "second" {
		t.Fatalf("after restores that were refused: %q, %v", data, err)
	}
	if resp, text := get("POST", "/commands/restore", auth, snapshot); resp.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(`"last_zxid" : `)) {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	check := func(r *running) {
		t.Helper()
		c := r.dial(t)
		data, _, err := c.Get("/kept")
		if err != nil || string(data) != "first" {
			t.Errorf("restored: %q, %v", data, err)
		}
		if ok, _, err := c.Exists("/later"); ok || err != nil {
			t.Errorf("what came later is there: %v, %v", ok, err)
		}
		if _, err := c.Set("/kept", []byte("first"), -1); err != nil {
			t.Error(err)
		}
	}
	check(r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	check(run(t, dir, freePort(t), "")) // it is on the disk as well
	if left, err := filepath.Glob(filepath.Join(dir, "restore-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// TestAdminRights: who has not every right on / may not take a snapshot.
func TestAdminRights(t *testing.T) {
	r, get := runAdmin(t, t.TempDir(), "admin.snapshot.enabled=true\nadmin.restore.enabled=false\n")
	c := r.dial(t)
	if _, err := c.SetACL("/", append(zk.DigestACL(zk.PermAll, "root", "secret"), zk.WorldACL(zk.PermAll&^zk.PermAdmin)...), -1); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, auth string
		status     int
	}{
		{"/commands/snapshot", "", 401}, {"/commands/snapshot", "sasl x", 401}, {"/commands/snapshot", "digest root:wrong", 403},
		{"/commands/snapshot", "ip", 403}, {"/commands/snapshot?streaming=false", "digest root:secret", 200},
	} {
		if resp, text := get("GET", tt.path, tt.auth, nil); resp.StatusCode != tt.status {
			t.Errorf("%s %q: %d %s", tt.path, tt.auth, resp.StatusCode, text)
		}
	}
	if resp, _ := get("POST", "/commands/restore", "digest root:secret", []byte("x")); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("restore that is turned off: %d", resp.StatusCode)
	}
}

// TestAdminRate allows one snapshot in a while.
func TestAdminRate(t *testing.T) {
	r, get := runAdmin(t, t.TempDir(), "")
	_ = r
	resp, _ := get("GET", "/commands/snapshot", "digest a:b", nil)
	again, _ := get("GET", "/commands/snap", "digest a:b", nil)
	if resp.StatusCode != 200 || again.StatusCode != 200 {
		t.Errorf("without a limit: %d, %d", resp.StatusCode, again.StatusCode)
	}
	_, get = runAdmin(t, t.TempDir(), "admin.rateLimiterIntervalInMS=600000\n")
	resp, _ = get("GET", "/commands/snapshot", "digest a:b", nil)
	again, _ = get("GET", "/commands/snap", "digest a:b", nil)
	if resp.StatusCode != 200 || again.StatusCode != http.StatusTooManyRequests {
		t.Errorf("with a limit: %d, %d", resp.StatusCode, again.StatusCode)
	}
}

// TestAdminPortTaken: a port that zoo.cfg names stops a server that stands alone.
func TestAdminPortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	err = tryRun(t, fmt.Sprintf("admin.serverPort=%d\n", ln.Addr().(*net.TCPAddr).Port))
	if err == nil || !strings.Contains(err.Error(), "admin.serverPort") || !strings.Contains(err.Error(), "process") {
		t.Errorf("%v", err)
	}
	if err := tryRun(t, "admin.needClientAuth=true\n"); err == nil || !strings.Contains(err.Error(), "admin.forceHttps") {
		t.Errorf("a certificate without TLS: %v", err)
	}
}
