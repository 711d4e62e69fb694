package interop

import (
	"maps"
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

// TestAudit compares the audit logs of our servers with those of Apache's 3.9.3
// after the same requests, line by line: of the server that a client asked, which
// follows, and of the one that leads.
func TestAudit(t *testing.T) {
	apache := ensemble.JavaOf(t, ensemble.Line39, "zookeeper.audit.enable=true", "zookeeper.extendedTypesEnabled=true",
		"org.slf4j.simpleLogger.log.org.apache.zookeeper.audit=info")
	o := ensemble.Options{Servers: 2, Config: map[string]string{"tickTime": "1000", "initLimit": "8"}}
	theirs := o
	theirs.Launch = func(int) ensemble.Launcher { return apache }
	want := audited(t, ensemble.Start(t, theirs), func(e *ensemble.Ensemble, sid int) string { return e.Log(sid) })
	o.Config = maps.Clone(o.Config)
	maps.Copy(o.Config, map[string]string{"audit.enable": "true", "auditlog.file": "audit.log", "extendedTypesEnabled": "true"})
	got := audited(t, ensemble.Start(t, o), func(e *ensemble.Ensemble, sid int) string {
		text, err := os.ReadFile(filepath.Join(e.Dir(sid), "zkdatalog", "audit.log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	})
	// 3.9.3 tells nothing of createTTL, which later releases do.
	got["follower"] = slices.DeleteFunc(got["follower"], func(line string) bool {
		return strings.HasSuffix(line, "znode=/a/ttl\tznode_type=persistent_with_ttl\tresult=success")
	})
	for _, role := range []string{"follower", "leader"} {
		if mine, apaches := strings.Join(got[role], "\n"), strings.Join(want[role], "\n"); mine != apaches || len(want[role]) < 3 {
			t.Errorf("of a %s:\n%s\nApache's:\n%s", role, mine, apaches)
		}
	}
}

// auditLine is a line of either; its level and its event.
var auditLine = regexp.MustCompile(`(INFO|ERROR) .*audit\.Slf4jAuditLogger[: -]+(.*)`)

// audited asks a follower for all kinds of things, and gives what each role's
// server has told then, sessions masked. The servers are stopped: that is told.
func audited(t *testing.T, e *ensemble.Ensemble, read func(*ensemble.Ensemble, int) string) map[string][]string {
	t.Helper()
	leader, follower := e.Leader(), e.Follower()
	askAll(t, e.Addr(follower))
	e.WaitLevel()
	lines := map[string][]string{}
	for role, sid := range map[string]int{"leader": leader, "follower": follower} {
		e.Stop(sid)
		sessions := map[string]string{}
		for _, m := range auditLine.FindAllStringSubmatch(read(e, sid), -1) {
			line := regexp.MustCompile(`session=0x[0-9a-f]+`).ReplaceAllStringFunc(m[2], func(s string) string {
				if sessions[s] == "" {
					sessions[s] = "session=" + string(rune('a'+len(sessions)))
				}
				return sessions[s]
			})
			lines[role] = append(lines[role], m[1]+" "+line)
		}
		sortDeletions(lines[role])
	}
	return lines
}

// sortDeletions puts ephemerals that go with a session, which Apache takes from a
// hash table, in the order of their names.
func sortDeletions(lines []string) {
	first := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "DeletionOnSession") })
	if first < 0 {
		return
	}
	end := first
	for end < len(lines) && strings.Contains(lines[end], "DeletionOnSession") {
		end++
	}
	slices.Sort(lines[first:end])
}

// askAll leaves something of every kind in the audit log.
func askAll(t *testing.T, addr string) {
	t.Helper()
	c := dialServer(t, addr)
	if err := c.AddAuth("digest", []byte("u:p")); err != nil {
		t.Fatal(err)
	}
	open, mine := zk.WorldACL(zk.PermAll), append(zk.DigestACL(zk.PermAll, "u", "p"), zk.WorldACL(zk.PermRead)...)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fails := func(_ any, err error) {
		t.Helper()
		if err == nil {
			t.Fatal("that should have failed")
		}
	}
	create := func(path string, flags int32, acl []zk.ACL) (any, error) { return c.Create(path, nil, flags, acl) }
	must(create("/a", 0, open))
	must(create("/a/e", zk.FlagEphemeral, open))
	must(create("/a/s-", zk.FlagSequence, open))
	must(create("/a/es-", zk.FlagEphemeral|zk.FlagSequence, open))
	must(create("/a/mine", 0, mine))
	must(c.CreateContainer("/a/c", nil, zk.FlagContainer, open))
	must(c.CreateTTL("/a/ttl", nil, zk.FlagTTL, open, time.Hour))
	fails(create("/a", 0, open))
	fails(create("/none/below", 0, open))
	must(c.Set("/a", nil, -1))
	fails(c.Set("/a", nil, 77))
	fails(c.Set("/none", nil, -1))
	must(c.SetACL("/a", mine, -1))
	fails(c.SetACL("/a", open, 77))
	fails(nil, c.Delete("/a", -1))
	must(nil, c.Delete("/a/c", -1))
	must(c.Sync("/a"))
	must(c.Multi(&zk.CreateRequest{Path: "/a/m", Acl: open}, &zk.CreateRequest{Path: "/a/ms-", Acl: open, Flags: zk.FlagSequence}, &zk.SetDataRequest{Path: "/a/m", Version: -1},
		&zk.CheckVersionRequest{Path: "/a", Version: -1}, &zk.DeleteRequest{Path: "/a/m", Version: -1}))
	fails(c.Multi(&zk.CreateRequest{Path: "/a/m2", Acl: open}, &zk.DeleteRequest{Path: "/none", Version: -1}))
	fails(c.IncrementalReconfig(nil, []string{"9"}, -1))
	other := dialServer(t, addr)
	fails(other.Set("/a/mine", nil, -1))
	must(create("/a/e2", zk.FlagEphemeral, open))
	must(nil, c.Delete("/a/e2", -1))
	other.Close()
	c.Close()
	done := dialServer(t, addr)
	ensemble.Eventually(t, "ephemerals to be gone", func() bool {
		names, _, err := done.Children("/a")
		return err == nil && !slices.Contains(names, "e")
	})
	done.Close()
}

// dialServer is a client with a session on one server.
func dialServer(t *testing.T, addr string) *zk.Conn {
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
	return c
}
