package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// adminPort is where each server of an ensemble, which has an address of its
// own, has its AdminServer.
const adminPort = 8080

// startWithAdmin starts an ensemble of ours whose servers have AdminServers.
func startWithAdmin(t *testing.T, o ensemble.Options) *ensemble.Ensemble {
	t.Helper()
	o.Idle = true
	e := ensemble.Start(t, o)
	for sid := 1; sid <= e.Len(); sid++ {
		f, err := os.OpenFile(filepath.Join(e.Dir(sid), "zoo.cfg"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(f, "admin.serverAddress=%s\nadmin.serverPort=%d\n", hostOf(e.Addr(sid)), adminPort)
		if cerr := f.Close(); err != nil || cerr != nil {
			t.Fatal(err, cerr)
		}
	}
	e.RestartAll()
	return e
}

func hostOf(addr string) string {
	host, _, _ := strings.Cut(addr, ":")
	return host
}

// adminAsk sends a command of the AdminServer with every right on /.
func adminAsk(t *testing.T, method, addr, command string, body io.Reader) (*http.Response, []byte) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://%s:%d/commands/%s", hostOf(addr), adminPort, command), body)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "digest root:secret")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, text
}

// TestAdminRoles compares the commands of the AdminServer of a leader, a follower
// and an observer with what Apache's were asked after the same requests: fields
// and their types. 3.9.3 has the same ones; of 3.8.0 none is missing.
func TestAdminRoles(t *testing.T) {
	e := startWithAdmin(t, ensemble.Options{Servers: 2, Observers: 1, Config: map[string]string{"admin.enableServer": "true"}})
	for sid := 1; sid <= e.Len(); sid++ {
		useFromAll(t, e.Addr(sid), sid == 1)
	}
	for sid := 1; sid <= e.Len(); sid++ {
		role := e.Status(sid).Role
		for _, line := range []string{"3.9", "3.8"} {
			for command, answer := range recorded(t, line, role) {
				_, text := adminAsk(t, http.MethodGet, e.Addr(sid), command, nil)
				var mine any
				if err := json.Unmarshal(text, &mine); err != nil {
					t.Fatalf("%s of a %s: %v in %s", command, role, err, text)
				}
				compareFields(t, fmt.Sprintf("%s of a %s, beside %s", command, role, line), fields(mine), fields(answer), line == "3.9")
			}
		}
	}
}

// useFromAll leaves a session with a watch and an ephemeral on a server.
func useFromAll(t *testing.T, addr string, first bool) {
	t.Helper()
	c, events, err := zk.Connect([]string{addr}, 10*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for ev := range events {
		if ev.State == zk.StateHasSession {
			break
		}
	}
	if first {
		_, err = c.Create("/a", nil, 0, zk.WorldACL(zk.PermAll))
	} else {
		_, err = c.Sync("/a")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create("/a/e", nil, zk.FlagEphemeral|zk.FlagSequence, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.GetW("/a"); err != nil {
		t.Fatal(err)
	}
}

// recorded is the answers of Apache's servers by command.
func recorded(t *testing.T, line, role string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "admin", line+"-"+role+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string]any
	if err := json.Unmarshal(text, &answers); err != nil || len(answers) < 20 {
		t.Fatalf("%d answers: %v", len(answers), err)
	}
	return answers
}

// notCounted are fields of Apache's that this server has nothing to say for.
var notCounted = regexp.MustCompile(`\.non_mtls(remote|local)_conn_count `)

// compareFields wants theirs among ours, and with exactly nothing else.
func compareFields(t *testing.T, what string, mine, theirs []string, exactly bool) {
	t.Helper()
	for _, f := range theirs {
		if !slices.Contains(mine, f) && !notCounted.MatchString(f) {
			t.Errorf("%s: no field %s", what, f)
		}
	}
	for _, f := range mine {
		if exactly && !slices.Contains(theirs, f) {
			t.Errorf("%s: a field %s that Apache does not have", what, f)
		}
	}
}

// dataName is the name of an object's member that stands for itself: a session,
// a server or a path.
var dataName = regexp.MustCompile(`^-?\d+$|^/`)

// fields lists where in a JSON value are values of which type. Lists that are
// empty only once, as buckets without sessions, tell of no element.
func fields(v any) []string {
	set := map[string]bool{}
	addFields("", v, set)
	return slices.Sorted(maps.Keys(set))
}

func addFields(at string, v any, set map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		set[at+" object"] = true
		for name, member := range v {
			if dataName.MatchString(name) {
				name = "*"
			}
			addFields(at+"."+name, member, set)
		}
	case []any:
		set[at+" list"] = true
		for _, element := range v {
			addFields(at+"[]", element, set)
		}
	default:
		set[fmt.Sprintf("%s %T", at, v)] = true
	}
}

// TestRestoreEnsemble goes the way that docs/operations.md tells for an ensemble:
// the snapshot is put in place on a majority, and what came later is gone on all.
func TestRestoreEnsemble(t *testing.T) {
	e := startWithAdmin(t, ensemble.Options{Servers: 3, Config: map[string]string{"admin.enableServer": "true"}})
	c := dialAll(t, e)
	if _, err := c.Create("/kept", []byte("first"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	resp, snapshot := adminAsk(t, http.MethodGet, e.Addr(e.WaitLeader()), "snapshot?streaming=true", nil)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d: %s", resp.StatusCode, snapshot)
	}
	zxid := strings.TrimPrefix(resp.Header.Get("last_zxid"), "0x")
	if _, err := c.Create("/later", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if resp, text := adminAsk(t, http.MethodPost, e.Addr(1), "restore", strings.NewReader(string(snapshot))); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "docs/operations.md") {
		t.Fatalf("restore on a member: %d %s", resp.StatusCode, text)
	}
	c.Close()
	for sid := 1; sid <= e.Len(); sid++ {
		e.Stop(sid)
		for _, dir := range []string{"zkdata", "zkdatalog"} {
			data := filepath.Join(e.Dir(sid), dir, "version-2")
			if err := os.Rename(data, data+".aside"); err != nil {
				t.Fatal(err)
			}
			if dir == "zkdatalog" || sid == 3 {
				continue
			}
			if err := os.Mkdir(data, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(data, "snapshot."+zxid), snapshot, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	e.RestartAll()
	for sid := 1; sid <= e.Len(); sid++ {
		wantRestored(t, e.Addr(sid))
	}
}

func wantRestored(t *testing.T, addr string) {
	t.Helper()
	c, _, err := zk.Connect([]string{addr}, 10*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if data, _, err := c.Get("/kept"); err != nil || string(data) != "first" {
		t.Errorf("%s: /kept holds %q, %v", addr, data, err)
	}
	if ok, _, err := c.Exists("/later"); ok || err != nil {
		t.Errorf("%s: /later is there: %v, %v", addr, ok, err)
	}
	if _, err := c.Set("/kept", []byte("first"), -1); err != nil {
		t.Error(err)
	}
}

// dialAll is a client with a session on any server.
func dialAll(t *testing.T, e *ensemble.Ensemble) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect(e.Addrs(), 10*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for ev := range events {
		if ev.State == zk.StateHasSession {
			break
		}
	}
	return c
}
