package quorum

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

func TestElectReplicateSurviveLeaderCrash(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	e.start(e.all()...)
	first := e.leader()
	e.write(first, 100, "first")
	e.halt(first)
	second := e.leader()
	e.write(second, 100, "second")
	e.start(first.self)
	e.leader()
	e.equal()
	e.write(second, 100, "third")
}

func TestOneVoterIsAnEnsemble(t *testing.T) {
	e := newEnsemble(t, 1, 0)
	e.start(1)
	e.write(e.leader(), 10, "x")
}

func TestFiveAndTwoObservers(t *testing.T) {
	e := newEnsemble(t, 5, 2)
	e.start(e.all()...)
	leader := e.leader()
	e.write(leader, 50, "a")
	for _, sid := range []zab.Sid{6, 7} {
		if role := view(e.servers[sid].memory, func() zab.Role { return e.servers[sid].term.Role }); role != zab.Observing {
			t.Errorf("server %d is %s", sid, role)
		}
	}
	e.halt(leader)
	e.write(e.leader(), 50, "b")
	second := e.leader()
	waitFor(t, "five voters, three followers and two observers in the status", func() bool {
		s := second.peer.Status() // of the last tick
		return s.QuorumSize == 5 && s.SyncedFollowers == 3 && s.SyncedObservers == 2
	})
}

func TestLateJoiners(t *testing.T) {
	e := newEnsemble(t, 3, 1)
	for _, s := range e.servers {
		s.cfg.WindowCount = 50
		s.bulk = 3 << 20
	}
	e.start(2, 3)
	leader := e.leader()
	e.write(leader, 200, "before")
	e.start(1, 4)
	e.leader()
	e.equal()
	for _, sid := range []zab.Sid{1, 4} {
		s := e.servers[sid]
		if n := view(s.memory, func() int { return s.installs }); n != 1 {
			t.Errorf("server %d installed %d snapshots, want 1", sid, n)
		}
		waitFor(t, "the status tells", func() bool { return s.peer.Status().Sync == zab.SyncSnap })
		e.halt(s)
	}
	e.write(leader, 30, "missed")
	e.start(1, 4)
	e.leader()
	e.equal()
	for _, sid := range []zab.Sid{1, 4} {
		if n := view(e.servers[sid].memory, func() int { return e.servers[sid].installs }); n != 1 {
			t.Errorf("server %d installed %d snapshots, want still 1", sid, n)
		}
		waitFor(t, "the status tells", func() bool { return e.servers[sid].peer.Status().Sync == zab.SyncDiff })
	}
}

// A leader that is cut off with proposals of its own takes them back: by TRUNC, or
// by SNAP if the new epoch has transactions already.
func TestTakeBack(t *testing.T) {
	t.Run("TRUNC", func(t *testing.T) { testTakeBack(t, false) })
	t.Run("SNAP", func(t *testing.T) { testTakeBack(t, true) })
}

func testTakeBack(t *testing.T, further bool) {
	e := newEnsemble(t, 3, 0)
	net := e.mesh()
	e.start(e.all()...)
	old := e.leader()
	e.write(old, 10, "kept")
	net.between(old.self, (*proxy).cut)
	for i := range 5 {
		old.propose(fmt.Appendf(nil, "lost-%d", i))
	}
	waitFor(t, "the old leader has its proposals on disk", func() bool {
		return view(old.memory, func() bool { return len(old.log) == 15 })
	})
	var leader *server
	waitFor(t, "another leads", func() bool {
		for _, s := range e.followers(old) {
			if view(s.memory, func() bool { return s.term.Role == zab.Leading && s.term.Serving }) {
				leader = s
			}
		}
		return leader != nil && !old.serving()
	})
	if further {
		leader.propose([]byte("new"))
		waitFor(t, "it is committed", func() bool { return strings.Contains(leader.contents(), "=new") })
	}
	net.between(old.self, (*proxy).heal)
	e.write(e.leader(), 5, "new")
	if text := old.contents(); strings.Contains(text, "lost") || !strings.Contains(text, "new-4") {
		t.Errorf("the old leader holds\n%s", text)
	}
	cuts, installs := 1, 0
	if further {
		cuts, installs = 0, 1
	}
	if old.cuts != cuts || old.installs != installs {
		t.Errorf("it truncated %d times and installed %d snapshots, want %d and %d", old.cuts, old.installs, cuts, installs)
	}
}

// Cut off in any way, the leader steps down, the others go on, and all agree again.
func TestPartitions(t *testing.T) {
	ways := map[string]func(*proxy){
		"cut":            (*proxy).cut,
		"half-open":      (*proxy).freeze,
		"one way there":  func(p *proxy) { p.forward.shut() },
		"one way answer": func(p *proxy) { p.backward.shut() },
	}
	for name, part := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnsemble(t, 3, 0)
			for _, s := range e.servers {
				s.cfg.SyncLimit, s.cfg.InitLimit = 3, 5
			}
			net := e.mesh()
			e.start(e.all()...)
			old := e.leader()
			e.write(old, 10, "before")
			net.between(old.self, part)
			waitFor(t, "the leader steps down and another leads", func() bool {
				for _, s := range e.followers(old) {
					if view(s.memory, func() bool { return s.term.Role == zab.Leading && s.term.Serving }) {
						return !old.serving()
					}
				}
				return false
			})
			net.between(old.self, (*proxy).heal)
			e.write(e.leader(), 10, "after")
		})
	}
}

// Whatever arrives on the ports ends its own connection only.
func TestGarbage(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	e.start(e.all()...)
	leader := e.leader()
	before := leader.terms
	member := e.members[leader.self-1]
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 4096)
	_, _ = random.Read(noise)
	hello := greeting{sid: 77}.append(nil)
	election := map[string][]byte{
		"noise": noise, "http": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "noise after greeting": append(bytes.Clone(hello), noise...),
		"frame too long":       jute.AppendInt(bytes.Clone(hello), maxFrame+1),
		"frame empty":          jute.AppendInt(bytes.Clone(hello), 0),
		"notification short":   jute.AppendBuffer(bytes.Clone(hello), noise[:27]),
		"our own sid":          greeting{sid: int64(leader.self)}.append(nil),
		"notification garbled": jute.AppendBuffer(bytes.Clone(hello), append(make([]byte, 36), 0, 0, 0, 2, 127, 0, 0, 0)),
	}
	register := fromZab(zab.Packet{Kind: zab.FollowerInfo, From: 78}).append(nil)
	quorum := map[string][]byte{
		"noise": noise, "http": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "ping first": packet{kind: typePing}.append(nil),
		"long":                    jute.AppendInt(make([]byte, 12), 1<<30),
		"noise after registering": append(bytes.Clone(register), noise...),
		"bad ACKEPOCH":            append(bytes.Clone(register), packet{kind: typeAckEpoch, data: noise[:3]}.append(nil)...),
		"bad REQUEST":             append(bytes.Clone(register), packet{kind: typeRequest, data: noise[:3]}.append(nil)...),
		"bad PING":                append(bytes.Clone(register), packet{kind: typePing, data: noise[:3]}.append(nil)...),
		"too old":                 packet{kind: typeFollowerInfo, data: make([]byte, 8)}.append(nil),
		"epoch out of range":      packet{kind: typeFollowerInfo, zxid: -1, data: learnerInfo{sid: 78, version: protocolVersion}.append(nil)}.append(nil),
	}
	for address, inputs := range map[string]map[string][]byte{member.Election[0]: election, member.Quorum[0]: quorum} {
		for name, input := range inputs {
			if err := sendAndWaitForEnd(address, input); err != nil {
				t.Errorf("%s to %s: %v", name, address, err)
			}
		}
	}
	e.write(leader, 10, "after")
	if leader.terms != before {
		t.Errorf("the leader's role changed")
	}
}

// sendAndWaitForEnd sends bytes and waits until the other side closes.
func sendAndWaitForEnd(address string, b []byte) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(b); err != nil {
		return nil // closed already
	}
	_, err = io.Copy(io.Discard, conn)
	if errors.Is(err, context.DeadlineExceeded) || err != nil && strings.Contains(err.Error(), "timeout") {
		return errors.New("the connection was not closed")
	}
	return nil
}

// fakeLearner registers with a leader and takes part as far as DIFF or SNAP.
func fakeLearner(t *testing.T, address string, sid zab.Sid, kind zab.Kind) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	say := func(p zab.Packet) {
		p.From = sid
		if _, err := conn.Write(fromZab(p).append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	say(zab.Packet{Kind: kind})
	info := expectPacket(t, r, typeLeaderInfo)
	say(zab.Packet{Kind: zab.AckEpoch, Epoch: 0})
	for in := expectPacket(t, r, 0); in.kind != typeNewLeader; in = expectPacket(t, r, 0) {
		if in.kind == typeSnap {
			if _, err := readTree(r); err != nil {
				t.Fatal(err)
			}
			if end, err := readString(r, 100); end != snapshotEnd {
				t.Fatal(end, err)
			}
		}
	}
	say(zab.Packet{Kind: zab.Ack, Zxid: zab.Zxid(info.zxid)})
	expectPacket(t, r, typeUpToDate)
	say(zab.Packet{Kind: zab.Ack, Zxid: zab.Zxid(info.zxid)})
	return conn, r
}

// expectPacket reads until a packet of that type, or any if it is 0, passing over
// PINGs and proposals.
func expectPacket(t *testing.T, r *bufio.Reader, kind packetType) packet {
	t.Helper()
	for {
		p, err := readPacket(r, 1<<24)
		if err != nil {
			t.Fatalf("waiting for type %d: %v", kind, err)
		}
		if p.kind == kind || kind == 0 {
			return p
		}
	}
}

// A learner that stops reading is dropped when too much waits for it; the others
// do not notice.
func TestSlowLearnerIsDropped(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	for _, s := range e.servers {
		s.cfg.QueueBytes = 1 << 20
		s.cfg.SyncLimit = 1000 // it is not for silence that it goes
		s.cfg.InitLimit = 1000
	}
	e.start(e.all()...)
	leader := e.leader()
	e.write(leader, 1, "x")
	fakeLearner(t, e.members[leader.self-1].Quorum[0], 9, zab.ObserverInfo)
	waitFor(t, "it counts as an observer", func() bool { return leader.peer.Status().SyncedObservers == 1 })
	big := bytes.Repeat([]byte("x"), 256<<10)
	waitFor(t, "it is dropped", func() bool {
		before := view(leader.memory, func() zab.Zxid { return leader.applied })
		z := leader.propose(big)
		waitFor(t, "the others go on", func() bool {
			return view(leader.memory, func() bool { return leader.applied >= z && z > before })
		})
		return leader.peer.Status().Observers == 0
	})
	if s := leader.peer.Status(); s.MaxProposal != len(big) || s.LastProposal != len(big) || s.MinProposal != len("x-0") {
		t.Errorf("sizes of proposals %d, %d, %d", s.LastProposal, s.MinProposal, s.MaxProposal)
	}
	e.equal()
}

// SYNC comes behind all COMMITs it waits for, and in order.
func TestRequestsOfLearners(t *testing.T) {
	e := newEnsemble(t, 3, 1)
	e.start(e.all()...)
	leader := e.leader()
	for _, s := range e.followers(leader) {
		for i := range 20 {
			s.peer.Forward(Request{Session: int64(s.self), Cxid: int32(i), Op: proto.OpCreate, Body: fmt.Appendf(nil, "%d-%d", s.self, i)})
			s.peer.Forward(Request{Session: int64(s.self), Op: proto.OpSync})
		}
		waitFor(t, "all syncs are answered", func() bool {
			return view(s.memory, func() bool {
				return s.synced == 20
			})
		})
		if !strings.Contains(s.contents(), fmt.Sprintf("=%d-19\n", s.self)) {
			t.Errorf("server %d: the last sync is answered before the write ahead of it", s.self)
		}
		s.peer.Revalidate(42, 1000)
		s.peer.Revalidate(43, 1000)
		s.mu.Lock()
		s.touched = []Touch{{int64(s.self), 100}}
		s.mu.Unlock()
		waitFor(t, "the leader answers and is told", func() bool {
			return view(s.memory, func() bool { return len(s.valid) == 2 && s.valid[42] && !s.valid[43] }) &&
				view(leader.memory, func() bool {
					return strings.Contains(fmt.Sprint(leader.heard), fmt.Sprintf("{%d 100}", s.self))
				})
		})
	}
	e.equal()
	done := make(chan bool, 1)
	z := leader.propose([]byte("own"))
	leader.peer.Sync(1, leader.self, func() { done <- view(leader.memory, func() bool { return leader.applied >= z }) })
	if !<-done {
		t.Error("the leader's own sync is answered before its write is committed")
	}
}

// Proposals of an ended term are dropped; a gap in this one stops the server.
func TestProposalsOutOfOrder(t *testing.T) {
	e := newEnsemble(t, 1, 0)
	e.start(1)
	s := e.leader()
	s.peer.Propose(7, []zab.Proposal{{Zxid: zab.MakeZxid(7, 1)}})
	e.write(s, 1, "x")
	s.peer.Propose(1, []zab.Proposal{{Zxid: zab.MakeZxid(1, 9)}})
	if err := <-s.result; !errors.Is(err, zab.ErrZxid) {
		t.Errorf("stopped with %v", err)
	}
	s.running = false
}

// A server whose disk fails stops and acknowledges nothing more.
func TestDiskFailure(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	e.start(e.all()...)
	leader := e.leader()
	follower := e.followers(leader)[0]
	follower.mu.Lock()
	follower.fail = errInjected
	follower.mu.Unlock()
	leader.propose([]byte("x"))
	if err := <-follower.result; !errors.Is(err, errInjected) {
		t.Errorf("stopped with %v", err)
	}
	follower.running = false
	if follower.serving() {
		t.Error("the machine was not told")
	}
	e.write(leader, 10, "y")
}

// While a sync is under way everything else goes on, and what came meanwhile is
// one sync.
func TestGroupCommit(t *testing.T) {
	e := newEnsemble(t, 1, 0)
	e.start(1)
	s := e.leader()
	hold := make(chan struct{})
	s.mu.Lock()
	s.holdSync = hold
	before := s.syncs
	s.mu.Unlock()
	s.propose([]byte("first"))
	waitFor(t, "the disk is at it", func() bool { return view(s.memory, func() bool { return s.held == 1 }) })
	for i := range 500 {
		s.propose(fmt.Appendf(nil, "%d", i))
	}
	last := make(chan struct{})
	s.peer.Sync(1, 1, func() { close(last) })
	waitFor(t, "the loop has taken them", func() bool { return s.peer.Status().PendingSyncs == 1 })
	close(hold)
	<-last
	if n := view(s.memory, func() int { return s.syncs }) - before; n != 2 {
		t.Errorf("%d syncs, want 2", n)
	}
}

func TestElectionPortInUse(t *testing.T) {
	e := newEnsemble(t, 1, 0)
	l, err := net.Listen("tcp", e.members[0].Election[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := e.servers[1]
	s.cfg.BindTries = 1
	e.start(1)
	err = <-s.result
	s.running = false
	if err == nil || !strings.Contains(err.Error(), e.members[0].Election[0]) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v", err)
	}
	if runtime.GOOS == "linux" && !strings.Contains(err.Error(), "held by process ") {
		t.Errorf("error %v does not name the holder", err)
	}
}

// A leader that cannot have its port at first leads when it is free.
func TestQuorumPortInUse(t *testing.T) {
	e := newEnsemble(t, 1, 0)
	l, err := net.Listen("tcp", e.members[0].Quorum[0])
	if err != nil {
		t.Fatal(err)
	}
	e.start(1)
	e.leader()
	_ = l.Close()
	waitFor(t, "it listens", func() bool {
		conn, err := net.Dial("tcp", e.members[0].Quorum[0])
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// Followers do not listen on the quorum port: learners could take them for leaders.
func TestOnlyLeadersListenOnQuorumPort(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	e.start(e.all()...)
	leader := e.leader()
	for _, m := range e.members {
		conn, err := net.Dial("tcp", m.Quorum[0])
		if (err == nil) != (m.Sid == leader.self) {
			t.Errorf("server %d, leader %d: dial %v", m.Sid, leader.self, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// When Run returns nothing of it is left, whatever it was at.
func TestNothingLeftAtStop(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		e := newEnsemble(t, 3, 1)
		e.start(1)
		waitFor(t, "it is looking", func() bool { return e.servers[1].peer.Status().Role == zab.Looking })
		e.halt(e.servers[1])
		e.start(e.all()...)
		leader := e.leader()
		e.write(leader, 10, "x")
		for _, s := range e.servers {
			e.halt(s)
			if s.serving() {
				t.Errorf("server %d was not told the end of its term", s.self)
			}
		}
	}
	waitFor(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

func TestConfigFaults(t *testing.T) {
	m := newMemory(1)
	_, err := NewPeer(Config{Self: 1, Members: []Member{{Sid: 1, Quorum: []string{"host"}}}}, m, m)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"server 1", "tickTime", "initLimit", "syncLimit", "no election address", `"host" must be host:port`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not tell of %q: %v", want, err)
		}
	}
	good := Config{Self: 2, Members: []Member{{Sid: 1, Quorum: []string{"h:1"}, Election: []string{"h:2"}}}, TickTime: time.Second, InitLimit: 1, SyncLimit: 1}
	if _, err := NewPeer(good, m, m); err == nil || !strings.Contains(err.Error(), "not in the ensemble") {
		t.Errorf("a server that is no member: %v", err)
	}
}

func TestConfigText(t *testing.T) {
	got := configText([]Member{
		{Sid: 1, Quorum: []string{"a:2888", "b:2889"}, Election: []string{"a:3888", "b:3889"}},
		{Sid: 2, Quorum: []string{"[::1]:2888"}, Election: []string{"[::1]:3888"}, Observer: true},
	})
	want := "server.1=a:2888:3888|b:2889:3889:participant\nserver.2=[::1]:2888:3888:observer\nversion=0"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
