package quorum

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// javaJars is where Debian's libzookeeper-java and what it needs are installed.
const javaJars = "/usr/share/java"

// javaClassPath lists the jars a server of Apache's needs, or skips the test.
func javaClassPath(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("java is not installed: no mixed ensemble")
	}
	if _, err := os.Stat(filepath.Join(javaJars, "zookeeper.jar")); err != nil {
		t.Skip("libzookeeper-java is not installed: no mixed ensemble: ", err)
	}
	var jars []string
	for _, name := range []string{
		"zookeeper-jute", "zookeeper", "commons-cli", "commons-io", "jackson-annotations", "jackson-core", "jackson-databind",
		"metrics-core", "netty-buffer", "netty-common", "netty-handler", "netty-transport", "netty-transport-native-epoll",
		"netty-resolver", "netty-codec", "netty-transport-native-unix-common", "slf4j-api", "slf4j-simple", "log4j-1.2", "snappy-java",
	} {
		jars = append(jars, filepath.Join(javaJars, name+".jar"))
	}
	return strings.Join(jars, ":")
}

// javaServer is a server of Apache's in an ensemble of ours.
type javaServer struct {
	t      *testing.T
	client string // host:port
	config string
	class  string
	cmd    *exec.Cmd
}

// java makes server sid of an ensemble one of Apache's; it does not run yet.
func (e *ensemble) java(t *testing.T, sid zab.Sid) *javaServer {
	t.Helper()
	class := javaClassPath(t)
	delete(e.servers, sid)
	const clientPort = "14181"
	host, _, err := net.SplitHostPort(e.members[sid-1].Quorum[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lines := []string{
		"tickTime=200", "initLimit=50", "syncLimit=20", "maxSessionTimeout=60000", "admin.enableServer=false",
		"4lw.commands.whitelist=*", "dataDir=" + dir, "clientPort=" + clientPort, "clientPortAddress=" + host,
	}
	for _, line := range strings.Split(configText(e.members), "\n") {
		if strings.HasPrefix(line, "server.") {
			lines = append(lines, line)
		}
	}
	if e.members[sid-1].Observer {
		lines = append(lines, "peerType=observer")
	}
	j := &javaServer{t: t, client: net.JoinHostPort(host, clientPort), config: filepath.Join(dir, "zoo.cfg"), class: class}
	for file, text := range map[string]string{"zoo.cfg": strings.Join(lines, "\n") + "\n", "myid": fmt.Sprintln(sid)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(j.kill)
	return j
}

func (j *javaServer) start() {
	j.t.Helper()
	j.cmd = exec.Command("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
		"-Dzookeeper.admin.enableServer=false", "-cp", j.class, "org.apache.zookeeper.server.quorum.QuorumPeerMain", j.config)
	log, err := os.Create(j.config + ".log")
	if err != nil {
		j.t.Fatal(err)
	}
	defer log.Close()
	j.cmd.Stdout, j.cmd.Stderr = log, log
	if err := j.cmd.Start(); err != nil {
		j.t.Fatal(err)
	}
}

// kill ends the server at once.
func (j *javaServer) kill() {
	if j.cmd == nil {
		return
	}
	_ = j.cmd.Process.Kill()
	_ = j.cmd.Wait()
	j.cmd = nil
	if j.t.Failed() {
		text, _ := os.ReadFile(j.config + ".log")
		j.t.Logf("log of %s:\n%s", j.config, text[max(0, len(text)-20000):])
	}
}

// word asks a four-letter word; "" if the server does not answer.
func (j *javaServer) word(word string) string {
	conn, err := net.DialTimeout("tcp", j.client, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, word); err != nil {
		return ""
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

var zxidLine = regexp.MustCompile(`(?m)^Zxid: (0x[0-9a-f]+)$`)

// zxid is the last one that the server has applied; "" while it does not serve.
func (j *javaServer) zxid() string {
	if m := zxidLine.FindStringSubmatch(j.word("srvr")); m != nil {
		return m[1]
	}
	return ""
}

func (j *javaServer) serves(mode string) func() bool {
	return func() bool { return strings.Contains(j.word("srvr"), "Mode: "+mode) }
}

// session opens a client's session with the server.
func (j *javaServer) session() *zk.Conn {
	j.t.Helper()
	conn, events, err := zk.Connect([]string{j.client}, 20*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(conn.Close)
	timeout := time.After(patience)
	for {
		select {
		case ev := <-events:
			if ev.State == zk.StateHasSession {
				return conn
			}
		case <-timeout:
			j.t.Fatalf("no session with %s", j.client)
		}
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// transact makes a leader's machine turn requests into real transactions.
func transact(r Request, zxid zab.Zxid) []byte {
	t := txn.Txn{Header: txn.Header{ClientID: r.Session, Cxid: r.Cxid, Zxid: int64(zxid), Time: 1, Type: r.Op}}
	d := jute.NewDecoder(r.Body)
	switch r.Op {
	case proto.OpCreateSession:
		t.Body = &txn.CreateSession{Timeout: d.Int()}
	case proto.OpCreate, proto.OpCreate2:
		var c proto.CreateRequest
		c.Decode(d, r.Op)
		t.Body = &txn.Create{Path: c.Path, Data: c.Data, ACL: c.ACL, ParentCVersion: 1}
	default:
		t.Type, t.Body = proto.OpError, &txn.Error{Code: -6}
	}
	return t.Append(nil)
}

// Our server follows one of Apache's: by SNAP, live, by DIFF, with requests,
// sessions and syncs of its own.
func TestFollowJava(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	j3, j2 := e.java(t, 3), e.java(t, 2)
	j2.start()
	j3.start()
	waitFor(t, "server 3, of Apache's, leads", j3.serves("leader"))
	client := j3.session()
	create := func(path string) {
		t.Helper()
		if _, err := client.Create(path, []byte("data of "+path), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	create("/before")

	ours := e.servers[1]
	same := func() {
		t.Helper()
		waitFor(t, "our server has what Apache's has", func() bool {
			return ours.serving() && view(ours.memory, func() string { return ours.applied.String() }) == j3.zxid()
		})
	}
	e.start(1)
	same()
	if n := view(ours.memory, func() int { return ours.installs }); n != 1 {
		t.Errorf("%d snapshots installed, want 1", n)
	}
	if tree := treePaths(ours.memory); !strings.Contains(tree, "/before\n") {
		t.Errorf("the tree from Apache's snapshot lacks /before:\n%s", tree)
	}
	create("/live")
	same()

	e.halt(ours)
	for i := range 10 {
		create(fmt.Sprintf("/missed-%d", i))
	}
	e.start(1)
	same()
	if n := view(ours.memory, func() int { return ours.installs }); n != 1 {
		t.Errorf("%d snapshots installed, want still 1: the rest is in the window", n)
	}

	const session = 0x01000000abcd0001
	ours.peer.Forward(Request{Session: session, Op: proto.OpCreateSession, Body: jute.AppendInt(nil, 20000)})
	waitFor(t, "the session that we asked Apache's leader for is created", func() bool {
		return strings.Contains(j3.word("dump"), fmt.Sprintf("%#x", session)) && lastTxn(ours.memory).ClientID == session
	})
	ours.mu.Lock()
	ours.touched = []Touch{{session, 20000}}
	ours.mu.Unlock()
	ours.peer.Revalidate(session, 20000)
	ours.peer.Revalidate(7, 20000)
	ours.peer.Forward(Request{Session: session, Cxid: 1, Op: proto.OpSync, Body: jute.AppendString(nil, "/")})
	waitFor(t, "Apache's leader has answered", func() bool {
		return view(ours.memory, func() bool { return ours.synced == 1 && len(ours.valid) == 2 && ours.touched == nil })
	})
	if !ours.valid[session] || ours.valid[7] {
		t.Errorf("sessions valid: %v", ours.valid)
	}

	j3.kill() // the most recent of ours and Apache's goes on
	waitFor(t, "server 2, of Apache's, leads", j2.serves("leader"))
	waitFor(t, "we serve again", ours.serving)
}

// Servers of Apache's follow ours: by SNAP, live, by DIFF; a client of theirs gets
// its session and its writes through us.
func TestLeadJava(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	j1 := e.java(t, 1)
	e.start(2, 3)
	ours := e.leader()
	ours.mu.Lock()
	ours.transact = transact
	ours.mu.Unlock()
	path := 0
	create := func() {
		path++
		c := proto.CreateRequest{Path: fmt.Sprintf("/n%d", path), Data: []byte("x"), ACL: proto.WorldAnyone()}
		if ours.request(Request{Op: proto.OpCreate, Body: c.Append(nil, proto.OpCreate)}) == 0 {
			t.Fatal("we do not lead")
		}
	}
	same := func() {
		t.Helper()
		waitFor(t, "Apache's server has what ours has", func() bool {
			return j1.zxid() == view(ours.memory, func() string { return ours.applied.String() })
		})
	}
	for range 600 { // more than the window
		create()
	}
	waitFor(t, "all is applied", func() bool {
		return view(ours.memory, func() bool { return ours.applied == zab.MakeZxid(1, 600) })
	})
	j1.start()
	waitFor(t, "Apache's server follows", j1.serves("follower"))
	same()
	for range 10 {
		create()
	}
	same()

	client := j1.session()
	if _, err := client.Create("/client", []byte("x"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Error("create through Apache's follower: ", err)
	}
	if data, _, err := client.Get("/n605"); err != nil || !bytes.Equal(data, []byte("x")) {
		t.Errorf("/n605 at Apache's follower is %q, %v", data, err)
	}
	if _, err := client.Sync("/"); err != nil {
		t.Error("sync through Apache's follower: ", err)
	}
	waitFor(t, "Apache's follower tells of its session", func() bool {
		return view(ours.memory, func() bool { return len(ours.heard) > 0 })
	})

	j1.kill()
	for range 10 {
		create()
	}
	j1.start()
	waitFor(t, "Apache's server follows again", j1.serves("follower"))
	same()
	e.halt(ours)
	waitFor(t, "server 2 leads Apache's", func() bool { return e.servers[2].serving() && j1.serves("follower")() })
}

// Observers of either kind hear from leaders of either kind.
func TestObserversAndJava(t *testing.T) {
	e := newEnsemble(t, 3, 2)
	j3, j5 := e.java(t, 3), e.java(t, 5)
	j3.start()
	e.start(1)
	waitFor(t, "server 3, of Apache's, leads", j3.serves("leader"))
	j5.start()
	e.start(2, 4)
	e.serveAll()
	observer := e.servers[4]
	client := j3.session()
	for i := range 5 {
		if _, err := client.Create(fmt.Sprintf("/observed-%d", i), nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "our observer has what Apache's leader has", func() bool {
		return view(observer.memory, func() string { return observer.applied.String() }) == j3.zxid()
	})
	if role := view(observer.memory, func() zab.Role { return observer.term.Role }); role != zab.Observing {
		t.Errorf("server 4 is %s", role)
	}
	waitFor(t, "Apache's observer serves", j5.serves("observer"))

	j3.kill()
	waitFor(t, "one of ours leads", func() bool { return e.servers[1].serving() && e.servers[2].serving() })
	leader := e.leader()
	leader.mu.Lock()
	leader.transact = transact
	leader.mu.Unlock()
	waitFor(t, "Apache's observer serves again", j5.serves("observer"))
	for i := range 5 {
		c := proto.CreateRequest{Path: fmt.Sprintf("/ours-%d", i), ACL: proto.WorldAnyone()}
		leader.request(Request{Op: proto.OpCreate, Body: c.Append(nil, proto.OpCreate)})
	}
	waitFor(t, "both observers have what our leader has", func() bool {
		z := view(leader.memory, func() zab.Zxid { return leader.applied })
		return z.Counter() == 5 && j5.zxid() == z.String() && view(observer.memory, func() zab.Zxid { return observer.applied }) == z
	})
}

// treePaths lists the znodes of a server.
func treePaths(m *memory) string {
	return view(m, func() string {
		var b strings.Builder
		for _, n := range m.tree {
			fmt.Fprintln(&b, n.path)
		}
		return b.String()
	})
}

// lastTxn is the header of the last transaction applied.
func lastTxn(m *memory) txn.Header {
	return view(m, func() txn.Header {
		var h txn.Header
		h.Decode(jute.NewDecoder(jute.NewDecoder(m.tree[len(m.tree)-1].raw).Buffer()))
		return h
	})
}
