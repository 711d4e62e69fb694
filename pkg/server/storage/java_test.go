package storage

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// javaJars are what Debian's ZooKeeper needs on its class path.
const javaJars = "/usr/share/java"

// startJava runs Debian's Java server, alone, on a directory, until stop is
// called.
func startJava(t *testing.T, dir string, snapshots int) (address string, stop func() string) {
	t.Helper()
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("no java here; Debian's packages zookeeper and default-jre-headless bring the server this test needs")
	}
	if _, err := os.Stat(javaJars + "/zookeeper.jar"); err != nil {
		t.Skip("no Java ZooKeeper here; Debian's package zookeeper brings it")
	}
	port := freePort(t)
	cfg := filepath.Join(t.TempDir(), "zoo.cfg")
	text := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nsnapCount=%d\nadmin.enableServer=false\n4lw.commands.whitelist=*\n", dir, port, snapshots)
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	jars, err := filepath.Glob(javaJars + "/*.jar")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("java", "-Xmx256m", fmt.Sprintf("-Dzookeeper.snapCount=%d", snapshots), "-Dzookeeper.preAllocSize=64",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", strings.Join(keepJars(jars), ":"),
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	stopped := false
	stop = func() string {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill() // as a crash would
			<-gone
		}
		return out.String()
	}
	t.Cleanup(func() { stop() })
	address = fmt.Sprintf("127.0.0.1:%d", port)
	awaitServing(t, address, gone, stop)
	return address, stop
}

// keepJars leaves out bundles that bring an slf4j back end of their own.
func keepJars(all []string) []string {
	var jars []string
	for _, j := range all {
		base := filepath.Base(j)
		for _, want := range []string{"zookeeper.jar", "zookeeper-jute.jar", "slf4j-api.jar", "slf4j-simple.jar", "netty-", "snappy-java.jar", "commons-", "jackson-", "metrics-core.jar", "jline.jar", "servlet-api.jar", "jetty9-"} {
			if strings.HasPrefix(base, want) && !strings.Contains(base, "netty-all") {
				jars = append(jars, j)
			}
		}
	}
	return jars
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// awaitServing asks until the server answers.
func awaitServing(t *testing.T, address string, gone chan error, stop func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case err := <-gone:
			gone <- err
			t.Fatalf("the Java server ended: %v\n%s", err, stop())
		case <-time.After(50 * time.Millisecond):
		}
		if strings.Contains(ask(address, "srvr"), "Mode: standalone") {
			return
		}
	}
	t.Fatalf("the Java server does not serve\n%s", stop())
}

func ask(address, word string) string {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte(word)); err != nil {
		return ""
	}
	var b strings.Builder
	for s := bufio.NewScanner(c); s.Scan(); {
		b.WriteString(s.Text() + "\n")
	}
	return b.String()
}

func dial(t *testing.T, address string) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect([]string{address}, 20*time.Second, zk.WithLogInfo(false), zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for e := range events {
		if e.State == zk.StateHasSession {
			return c
		}
	}
	t.Fatal("no session")
	return nil
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func osOptions(dir string) Options {
	return Options{DataDir: dir, PreAllocKB: 64, ForceSync: true, MaxRecord: 2 * jute.DefaultMaxBuffer}
}

func TestJavaToUs(t *testing.T) {
	dir := t.TempDir()
	address, stop := startJava(t, dir, 20)
	c := dial(t, address)
	acl := zk.DigestACL(zk.PermAll, "user", "secret")
	for i := range 60 {
		if _, err := c.Create(fmt.Sprintf("/a%03d", i), []byte(fmt.Sprint(i)), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Create("/closed", nil, 0, acl))
	must(c.Create("/eph", []byte("e"), zk.FlagEphemeral, zk.WorldACL(zk.PermAll)))
	must(c.Set("/a001", []byte("changed"), -1))
	must(nil, c.Delete("/a002", -1))
	must(c.Multi(&zk.SetDataRequest{Path: "/a003", Data: []byte("multi"), Version: -1}, &zk.CreateRequest{Path: "/a003/x", Acl: zk.WorldACL(zk.PermAll)}))
	if _, err := c.Create("/a001", nil, 0, acl); !errors.Is(err, zk.ErrNodeExists) {
		t.Fatal(err)
	}
	zxid := fieldOf(ask(address, "srvr"), "Zxid: ")
	nodes := fieldOf(ask(address, "srvr"), "Node count: ")
	stop()

	_, r := mustOpen(t, osOptions(dir))
	if got := fmt.Sprintf("0x%x", r.LastZxid); got != zxid || fmt.Sprint(r.Tree.NodeCount()) != nodes {
		t.Fatalf("recovered %s with %d znodes, the Java server had %s with %s", got, r.Tree.NodeCount(), zxid, nodes)
	}
	if len(r.Warnings) != 0 { // one would tell of a different digest
		t.Fatal(r.Warnings)
	}
	for path, want := range map[string]string{"/a001": "changed", "/a003": "multi", "/eph": "e", "/a059": "59"} {
		if n, ok := r.Tree.Get(path); !ok || string(n.Data()) != want {
			t.Errorf("%s: %v %t", path, n, ok)
		}
	}
	if _, ok := r.Tree.Get("/a002"); ok {
		t.Error("/a002 is there")
	}
}

func fieldOf(text, name string) string {
	_, rest, _ := strings.Cut(text, name)
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

func TestUsToJava(t *testing.T) {
	for _, c := range []struct {
		name        string
		digest      bool
		compression Compression
	}{{"with digest", true, Plain}, {"without digest", false, Plain}, {"gz", true, Gzip}, {"snappy", true, Snappy}} {
		t.Run(c.name, func(t *testing.T) {
			withDigest := c.digest
			dir := t.TempDir()
			o := osOptions(dir)
			o.Compression = c.compression
			s, r := mustOpen(t, o)
			list := recs(1, 50)
			for i := 0; i < len(list); i += 10 {
				mustAppend(t, s, list[i:i+10]...)
			}
			apply(t, r.Tree, list[:30]...)
			var digest *uint64
			if withDigest {
				d := r.Tree.Digest()
				digest = &d
			}
			if _, err := s.WriteSnapshot(r.Tree.Snapshot(), digest); err != nil {
				t.Fatal(err)
			}
			if err := s.Roll(); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, s, recs(51, 60)...)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			// It must read the one that is left: without any it refuses to start.
			if err := os.Remove(filepath.Join(s.snapDir, SnapshotFileName(0, c.compression))); err != nil {
				t.Fatal(err)
			}
			address, stop := startJava(t, dir, 1000)
			if got := fieldOf(ask(address, "mntr"), "zk_digest_mismatches_count\t"); got != "0" {
				t.Errorf("the Java server counts %q digest mismatches", got)
			}
			c := dial(t, address)
			for z := 1; z <= 60; z++ {
				if _, _, err := c.Get(fmt.Sprintf("/n%x", z)); err != nil {
					t.Fatalf("/n%x: %v", z, err)
				}
			}
			if _, err := c.Create("/java", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
				t.Fatal(err)
			}
			out := stop()
			// Without a digest it tells that there is none, as from an older release.
			if withDigest && strings.Contains(strings.ToLower(out), "digest") || complains(out) {
				t.Errorf("the Java server complains: %s", out)
			}
			_, r = mustOpen(t, osOptions(dir))
			if _, ok := r.Tree.Get("/java"); !ok || len(zxidsOf(r.Tree)) != 60 || len(r.Warnings) != 0 {
				t.Fatal(ok, zxidsOf(r.Tree), r.Warnings)
			}
		})
	}
}

// complains tells whether a Java server reports an error of its own. One that is
// asked for a word before it has loaded its database cannot close that
// connection in order (its zkDb is null), which says nothing of the files.
func complains(log string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "ERROR") && !strings.Contains(line, "Error closing a command socket") {
			return true
		}
	}
	return false
}

// TestSamples reads files that unmodified Apache servers wrote.
func TestSamples(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/version-2")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no samples", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(filepath.Dir(dir)), func(t *testing.T) {
			to := t.TempDir()
			if err := os.CopyFS(filepath.Join(to, VersionDir), os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			s, err := Open(osOptions(to))
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Recover(context.Background())
			if err != nil || len(r.Warnings) != 0 {
				t.Fatal(r, err)
			}
			for _, path := range []string{"/sample/a", "/sample/seq0000000001", "/sample/acl"} {
				if _, ok := r.Tree.Get(path); !ok {
					t.Errorf("%s is not there", path)
				}
			}
			snaps, _, err := s.list()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range snaps {
				if _, _, err := ReadSnapshotFile(filepath.Join(s.snapDir, f.Name), tree.Options{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
