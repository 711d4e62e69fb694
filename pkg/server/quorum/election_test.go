package quorum

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// electionPeer is a test's hand-made server beside an election under test.
type electionUnderTest struct {
	t        *testing.T
	members  []Member
	election *election
	got      chan zab.Packet
}

// openElectionTest opens the election port of server self of three.
func openElectionTest(t *testing.T, self zab.Sid, change ...func(*Config)) *electionUnderTest {
	t.Helper()
	u := &electionUnderTest{t: t, got: make(chan zab.Packet, 100)}
	network := subnet()
	for sid := zab.Sid(1); sid <= 3; sid++ {
		u.members = append(u.members, Member{Sid: sid,
			Quorum:   []string{fmt.Sprintf("%s%d:%d", network, sid, quorumPort)},
			Election: []string{fmt.Sprintf("%s%d:%d", network, sid, electionPort)}})
	}
	cfg := Config{Self: self, Members: u.members, TickTime: time.Second, InitLimit: 10, SyncLimit: 5, Logger: slog.New(slog.NewTextHandler(testLog{t}, nil))}
	for _, do := range change {
		do(&cfg)
	}
	e, err := openElection(t.Context(), cfg.withDefaults(), newDirectory(cfg.Self, cfg.Members), func() zab.Zxid { return 0 }, func(p zab.Packet) bool { u.got <- p; return true })
	if err != nil {
		t.Fatal(err)
	}
	u.election = e
	t.Cleanup(e.close)
	return u
}

// listen opens the election port of another server.
func (u *electionUnderTest) listen(sid zab.Sid) net.Listener {
	u.t.Helper()
	l, err := net.Listen("tcp", u.members[sid-1].Election[0])
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { l.Close() })
	return l
}

// accepted takes the next connection and its greeting.
func (u *electionUnderTest) accepted(l net.Listener) (net.Conn, greeting) {
	u.t.Helper()
	conn, err := l.Accept()
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	g, err := readGreeting(conn)
	if err != nil {
		u.t.Fatal(err)
	}
	return conn, g
}

// dial connects to the election under test and introduces the caller.
func (u *electionUnderTest) dial(g greeting) net.Conn {
	u.t.Helper()
	conn, err := net.Dial("tcp", u.members[u.election.cfg.Self-1].Election[0])
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(g.append(nil)); err != nil {
		u.t.Fatal(err)
	}
	return conn
}

// vote is a notification that can be told from others by its round.
func vote(to zab.Sid, round int64) zab.Packet {
	return zab.Packet{Kind: zab.Notification, To: to, Vote: zab.Vote{Leader: 1, Round: round, PeerEpoch: 1}, Version: 2}
}

// expectVote reads one notification.
func (u *electionUnderTest) expectVote(conn net.Conn, round int64) {
	u.t.Helper()
	b, err := takeBuffer(conn)
	if err != nil {
		u.t.Fatal(err)
	}
	if p, _, err := parseNotification(b); err != nil || p.Vote.Round != round {
		u.t.Fatalf("got %+v, %v, want round %d", p, err, round)
	}
}

func (u *electionUnderTest) expectClosed(conn net.Conn) {
	u.t.Helper()
	if n, err := io.Copy(io.Discard, conn); err != nil || n != 0 {
		u.t.Fatalf("%d bytes and %v, want the connection closed", n, err)
	}
}

func (u *electionUnderTest) expectDelivered(from zab.Sid, round int64) {
	u.t.Helper()
	select {
	case p := <-u.got:
		if p.From != from || p.Vote.Round != round {
			u.t.Fatalf("delivered %+v, want round %d from %d", p, round, from)
		}
	case <-time.After(patience):
		u.t.Fatal("nothing is delivered")
	}
}

// To a smaller sid we dial and keep the connection; on the next one the last
// message comes again.
func TestElectionDialsSmallerSid(t *testing.T) {
	u := openElectionTest(t, 2)
	l := u.listen(1)
	u.election.send(vote(1, 1))
	conn, g := u.accepted(l)
	if g.sid != 2 || len(g.addresses) != 1 || g.addresses[0] != u.members[1].Election[0] {
		t.Errorf("greeting %+v", g)
	}
	u.expectVote(conn, 1)
	if _, err := conn.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(2, 5), ""))); err != nil {
		t.Fatal(err)
	}
	u.expectDelivered(1, 5)
	u.election.send(vote(1, 2))
	u.expectVote(conn, 2)

	u.dial(greeting{sid: 1}) // it has restarted
	again, _ := u.accepted(l)
	u.expectVote(again, 2)
	u.expectClosed(conn)
}

// To a larger sid we dial only to be dialled back.
func TestElectionIsDialledByLargerSid(t *testing.T) {
	u := openElectionTest(t, 2)
	l := u.listen(3)
	u.election.send(vote(3, 1))
	conn, g := u.accepted(l)
	if g.sid != 2 {
		t.Errorf("greeting %+v", g)
	}
	u.expectClosed(conn)
	back := u.dial(greeting{3, []string{u.members[2].Election[0]}})
	u.expectVote(back, 1)
	if _, err := back.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(2, 7), "version=0"))); err != nil {
		t.Fatal(err)
	}
	u.expectDelivered(3, 7)
	newer := u.dial(greeting{sid: 3})
	u.expectVote(newer, 1)
	u.expectClosed(back)
}

// While a server cannot be reached only the newest message waits for it.
func TestElectionKeepsTheNewestMessage(t *testing.T) {
	u := openElectionTest(t, 2)
	for round := range int64(10) {
		u.election.send(vote(3, round))
	}
	conn := u.dial(greeting{sid: 3})
	u.expectVote(conn, 9)
}

// Servers that are not in the configuration, numbered or not, can talk to us.
func TestElectionStrangers(t *testing.T) {
	u := openElectionTest(t, 2)
	for i, sid := range []int64{9, anonymousSid, anonymousSid} {
		conn := u.dial(greeting{sid: sid})
		from := zab.Sid(sid)
		if sid == anonymousSid {
			from = zab.Sid(-i)
		}
		if _, err := conn.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(2, int64(i)), ""))); err != nil {
			t.Fatal(err)
		}
		u.expectDelivered(from, int64(i))
		u.election.send(vote(from, int64(i)))
		u.expectVote(conn, int64(i))
	}
	l := u.listen(1) // any address will do for one that says where it is
	conn := u.dial(greeting{0, []string{l.Addr().String()}})
	u.expectClosed(conn)
	back, g := u.accepted(l)
	if g.sid != 2 {
		t.Errorf("greeting %+v", g)
	}
	if _, err := back.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(2, 3), ""))); err != nil {
		t.Fatal(err)
	}
	u.expectDelivered(0, 3)
	u.election.mu.Lock()
	for sid := zab.Sid(100); u.election.correspondent(sid) != nil; sid++ {
		if sid > 100+maxStrangers {
			t.Fatal("there is no bound on unknown servers")
		}
	}
	u.election.mu.Unlock()
}

// A state that we do not know of is passed over; what comes behind it counts.
func TestElectionPassesOverUnknownState(t *testing.T) {
	u := openElectionTest(t, 2)
	conn := u.dial(greeting{sid: 3})
	odd := vote(2, 1)
	odd.Role = 9
	var b []byte
	for _, p := range []zab.Packet{odd, vote(2, 2)} {
		b = jute.AppendBuffer(b, appendNotification(nil, p, ""))
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	u.expectDelivered(3, 2)
}

// A server whose own address is a wildcard introduces itself in the old form, for
// others to use what they are configured with.
func TestElectionGreetsWithoutWildcard(t *testing.T) {
	e := &election{cfg: Config{Self: 1}, directory: newDirectory(1, []Member{{Sid: 1, Election: []string{"0.0.0.0:3888"}}})}
	if got := e.greeting().append(nil); !bytes.Equal(got, []byte{0, 0, 0, 0, 0, 0, 0, 1}) {
		t.Errorf("greeting %x", got)
	}
}
