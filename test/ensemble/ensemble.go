package ensemble

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

// TickTime is the tick of every server unless Options.Config says otherwise. It
// is short, so that sessions expire and leaders are replaced soon.
const TickTime = 200 * time.Millisecond

// Patience is how long a Wait function waits before it fails the test. It says
// nothing about how fast a server should be.
const Patience = 60 * time.Second

// poll is how often a condition is looked at.
const poll = 20 * time.Millisecond

// A Launcher makes the command that runs a server with a zoo.cfg in the
// foreground.
type Launcher func(config string) *exec.Cmd

// Options is what to start.
type Options struct {
	// Servers is how many participants there are, 1 to 9 with the observers; 0 is
	// 1. One participant without observers stands alone.
	Servers int
	// Observers is how many servers without a vote there are.
	Observers int
	// Config is added to every server's zoo.cfg, over what this package sets.
	Config map[string]string
	// Launch gives how a server is started, by sid; nil, or a nil Launcher, is the
	// server under test.
	Launch func(sid int) Launcher
	// Idle leaves the servers to be started by Restart.
	Idle bool
	// Patience is how long a relay keeps who dials a quorum port where nobody listens
	// yet; 0 is not at all. Apache's servers, which are refused there without relays
	// and try again, give up when they are accepted and hung up on, and their leader
	// misses them for initLimit.
	Patience time.Duration
	// Direct lets servers name each other without relays, and with client addresses,
	// as a membership that changes needs it. Nothing can be cut then.
	Direct bool
	// Joiners is how many more servers there are that no other one lists, with Direct;
	// they list themselves, as observers, and are left to be started by Restart.
	Joiners int
}

// An Ensemble is servers that run on this machine. Its methods are safe for
// concurrent use, except that those which start, stop or signal one server are
// not to be called at once for the same one. Methods end the test when they
// fail, so they are called from the test's goroutine, unless they say otherwise.
type Ensemble struct {
	t       testing.TB
	servers []*server // by sid-1
	voters  int
	net     *network
	subnet  subnet
}

// Start starts servers and waits until all of them serve. They end with the test.
func Start(t testing.TB, o Options) *Ensemble {
	t.Helper()
	o.Servers = max(o.Servers, 1)
	listed := o.Servers + o.Observers
	n := listed + o.Joiners
	if n > 9 {
		t.Fatalf("an ensemble of %d servers: at most 9", n)
	}
	nw, s := claimNetwork(t, n, o.Patience)
	e := &Ensemble{t: t, net: nw, subnet: s, voters: o.Servers}
	for sid := 1; sid <= n; sid++ {
		srv, err := newServer(t, o, s, sid)
		if err != nil {
			t.Fatal(err)
		}
		e.servers = append(e.servers, srv)
	}
	t.Cleanup(e.end)
	if o.Idle {
		return e
	}
	for _, srv := range e.servers[:listed] {
		if err := srv.start(); err != nil {
			t.Fatal(err)
		}
	}
	e.WaitAll()
	return e
}

func claimNetwork(t testing.TB, servers int, patience time.Duration) (*network, subnet) {
	t.Helper()
	s := claimSubnet(t)
	nw, err := newNetwork(s, servers, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nw.close)
	return nw, s
}

func newServer(t testing.TB, o Options, s subnet, sid int) (*server, error) {
	t.Helper()
	srv := &server{sid: sid, address: fmt.Sprintf("%s:%d", s.host(sid, sid), clientPort), dir: t.TempDir()}
	if o.Launch != nil {
		srv.launch = o.Launch(sid)
	}
	if srv.launch == nil {
		srv.launch = Zkctl(t)
	}
	data := filepath.Join(srv.dir, "zkdata")
	for _, dir := range []string{data, filepath.Join(srv.dir, "zkdatalog")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(data, "myid"), fmt.Appendln(nil, sid), 0o644); err != nil {
		return nil, err
	}
	return srv, os.WriteFile(srv.config(), zooCfg(o, s, srv), 0o644)
}

// zooCfg is a server's configuration; it names relays for all other servers.
func zooCfg(o Options, s subnet, srv *server) []byte {
	keys := map[string]string{
		"dataDir": filepath.Join(srv.dir, "zkdata"), "dataLogDir": filepath.Join(srv.dir, "zkdatalog"),
		"clientPort": fmt.Sprint(clientPort), "clientPortAddress": s.host(srv.sid, srv.sid),
		"tickTime": fmt.Sprint(TickTime.Milliseconds()), "initLimit": "50", "syncLimit": "10",
		"maxClientCnxns": "0", "4lw.commands.whitelist": "*", "admin.enableServer": "false", "preAllocSize": "1024",
	}
	n := o.Servers + o.Observers
	if n > 1 || o.Direct {
		for to := 1; to <= n; to++ {
			keys[fmt.Sprintf("server.%d", to)] = o.member(s, srv.sid, to)
		}
	}
	if o.Direct {
		delete(keys, "clientPort")
		delete(keys, "clientPortAddress")
		keys[fmt.Sprintf("server.%d", srv.sid)] = o.member(s, srv.sid, srv.sid)
	}
	if srv.sid > o.Servers {
		keys["peerType"] = "observer"
	}
	maps.Copy(keys, o.Config)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		fmt.Fprintf(&b, "%s=%s\n", key, keys[key])
	}
	return []byte(b.String())
}

// member is what server from lists of server to.
func (o Options) member(s subnet, from, to int) string {
	role, suffix := "participant", ""
	if to > o.Servers {
		role, suffix = "observer", ":observer"
	}
	if o.Direct {
		return memberText(s, to, role)
	}
	return fmt.Sprintf("%s:%d:%d%s", s.host(from, to), quorumPort, electionPort, suffix)
}

// memberText is a server's line, without a relay and with its client address.
func memberText(s subnet, sid int, role string) string {
	host := s.host(sid, sid)
	return fmt.Sprintf("%s:%d:%d:%s;%s:%d", host, quorumPort, electionPort, role, host, clientPort)
}

// Member is what a reconfiguration says of a server, server.N=..., with Direct.
func (e *Ensemble) Member(sid int, role string) string {
	return fmt.Sprintf("server.%d=%s", sid, memberText(e.subnet, sid, role))
}

// end ends all processes, and prints their logs if the test has failed.
func (e *Ensemble) end() {
	e.Heal()
	for _, s := range e.servers {
		if err := s.died(); err != nil && s.exited != nil {
			e.t.Error(err)
		}
	}
	for _, s := range e.servers {
		if err := s.kill(); err != nil {
			e.t.Error(err)
		}
	}
	if !e.t.Failed() {
		return
	}
	const lines = 60
	for _, s := range e.servers {
		e.t.Logf("server %d (%s), end of its log:\n%s", s.sid, s.address, s.logTail(lines))
	}
}

// Len is how many servers there are, observers included.
func (e *Ensemble) Len() int { return len(e.servers) }

// Voters is how many of them are participants.
func (e *Ensemble) Voters() int { return e.voters }

// Addr is a server's client address, host:port.
func (e *Ensemble) Addr(sid int) string { return e.servers[sid-1].address }

// Addrs is the client addresses of all servers, by sid.
func (e *Ensemble) Addrs() []string {
	all := make([]string, 0, len(e.servers))
	for _, s := range e.servers {
		all = append(all, s.address)
	}
	return all
}

// ConnectString is what clients are given: all addresses, joined by commas.
func (e *Ensemble) ConnectString() string { return strings.Join(e.Addrs(), ",") }

// PID is the process id of a server, 0 when it does not run.
func (e *Ensemble) PID(sid int) int { return e.servers[sid-1].pid() }

// Dir is a server's directory; it holds zoo.cfg, zkdata, zkdatalog and server.log.
func (e *Ensemble) Dir(sid int) string { return e.servers[sid-1].dir }

// Log is all that a server has logged so far.
func (e *Ensemble) Log(sid int) string {
	e.t.Helper()
	b, err := os.ReadFile(e.servers[sid-1].logFile())
	if err != nil {
		e.t.Fatal(err)
	}
	return string(b)
}

// Status is what a server tells of itself.
func (e *Ensemble) Status(sid int) fourletter.Status { return e.servers[sid-1].status() }

// Leader is the sid of the server that leads, or stands alone; 0 when there is
// none. Of two, as there are while an old one has not noticed that it is cut off,
// the one of the newer epoch counts. It may be called from any goroutine.
func (e *Ensemble) Leader() int {
	var leader int
	var newest fourletter.Zxid
	for _, s := range e.servers {
		st := s.status()
		if st.State != fourletter.Serving || st.Role != fourletter.ModeLeader && st.Role != fourletter.ModeStandalone {
			continue
		}
		if leader == 0 || st.Zxid > newest {
			leader, newest = s.sid, st.Zxid
		}
	}
	return leader
}

// WaitLeader waits for a leader that is none of those given, and gives its sid.
func (e *Ensemble) WaitLeader(not ...int) int {
	e.t.Helper()
	var leader int
	Eventually(e.t, "a leader", func() bool {
		leader = e.Leader()
		return leader != 0 && !slices.Contains(not, leader)
	})
	return leader
}

// WaitServing waits until a server serves clients.
func (e *Ensemble) WaitServing(sid int) {
	e.t.Helper()
	Eventually(e.t, fmt.Sprintf("server %d to serve", sid), func() bool {
		return e.servers[sid-1].status().State == fourletter.Serving
	})
}

// WaitAll waits until every server that runs, and is not paused, serves clients,
// and one leads.
func (e *Ensemble) WaitAll() {
	e.t.Helper()
	e.WaitLeader()
	for _, s := range e.servers {
		if s.responsive() {
			e.WaitServing(s.sid)
		}
	}
}

// Eventually waits until the condition holds, at most for [Patience].
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	deadline := time.Now().Add(Patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", Patience, what)
		}
		<-tick.C
	}
}

// Follower is a participant that follows, the one of the lowest sid. It is to be
// called while all servers serve.
func (e *Ensemble) Follower() int {
	e.t.Helper()
	for _, s := range e.servers[:e.voters] {
		if st := s.status(); st.Role == fourletter.ModeFollower {
			return s.sid
		}
	}
	e.t.Fatal("there is no follower")
	return 0
}

// check ends the test if err is not nil.
func (e *Ensemble) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// Kill ends a server with SIGKILL and returns when its process is gone. Killing
// one that does not run does nothing.
func (e *Ensemble) Kill(sid int) {
	e.t.Helper()
	e.check(e.servers[sid-1].kill())
}

// KillAll ends all servers with SIGKILL, as nearly at once as can be.
func (e *Ensemble) KillAll() {
	e.t.Helper()
	for _, s := range e.servers {
		_, err := s.signal(syscall.SIGKILL)
		e.check(err)
	}
	for _, s := range e.servers {
		e.check(s.kill())
	}
}

// Stop ends a server with SIGTERM and returns when its process is gone.
func (e *Ensemble) Stop(sid int) {
	e.t.Helper()
	e.check(e.servers[sid-1].stop())
}

// Restart starts a server that does not run; it does not wait until it serves.
func (e *Ensemble) Restart(sid int) {
	e.t.Helper()
	e.check(e.servers[sid-1].start())
}

// RestartAll starts the servers that do not run, and waits until all serve.
func (e *Ensemble) RestartAll() {
	e.t.Helper()
	for _, s := range e.servers {
		s.mu.Lock()
		runs := s.cmd != nil
		s.mu.Unlock()
		if !runs {
			e.Restart(s.sid)
		}
	}
	e.WaitAll()
}

// Pause stops a server's process where it is, until Resume.
func (e *Ensemble) Pause(sid int) {
	e.t.Helper()
	_, err := e.servers[sid-1].signal(syscall.SIGSTOP)
	e.check(err)
}

// Resume lets a paused server go on.
func (e *Ensemble) Resume(sid int) {
	e.t.Helper()
	_, err := e.servers[sid-1].signal(syscall.SIGCONT)
	e.check(err)
}

// byZxid orders statuses, the newest last.
func byZxid(a, b fourletter.Status) int { return cmp.Compare(a.Zxid, b.Zxid) }

// WaitLevel waits until all servers that run have applied the same transactions,
// which they do only while nobody writes.
func (e *Ensemble) WaitLevel() {
	e.t.Helper()
	Eventually(e.t, "all servers to have the same last zxid", func() bool {
		var all []fourletter.Status
		for _, s := range e.servers {
			if s.responsive() {
				all = append(all, s.status())
			}
		}
		ok := !slices.ContainsFunc(all, func(s fourletter.Status) bool { return s.State != fourletter.Serving })
		return ok && len(all) > 0 && slices.MinFunc(all, byZxid).Zxid == slices.MaxFunc(all, byZxid).Zxid
	})
}
