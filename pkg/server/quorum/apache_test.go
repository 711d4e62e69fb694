package quorum

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// The tests of this file are those that bugs of Apache ZooKeeper asked for which no
// other test would have caught; docs/reliability.md lists them all.

// A message that cannot be read ends its connection; the next connection of that
// server is heard like any other (ZOOKEEPER-3769).
func TestElectionOutlivesBadMessages(t *testing.T) {
	u := openElectionTest(t, 2)
	good := appendNotification(nil, vote(2, 1), "")
	for i, bad := range [][]byte{
		jute.AppendBuffer(nil, good[:27]), jute.AppendBuffer(nil, good[:39]), jute.AppendBuffer(nil, good[:41]),
		jute.AppendInt(nil, 0), jute.AppendInt(nil, -1), jute.AppendInt(nil, maxFrame+1), {0, 0},
	} {
		conn := u.dial(greeting{sid: 3})
		if _, err := conn.Write(bad); err != nil {
			t.Fatal(err)
		}
		if len(bad) < 4 {
			_ = conn.Close()
		} else {
			u.expectClosed(conn)
		}
		again := u.dial(greeting{sid: 3})
		round := int64(100 + i)
		if _, err := again.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(2, round), ""))); err != nil {
			t.Fatal(err)
		}
		u.expectDelivered(3, round)
		_ = again.Close()
	}
}

// nameServer answers every question for an address with the present one; while there
// is none it knows no names.
func nameServer(t *testing.T) (present *atomic.Pointer[net.IP]) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	present = &atomic.Pointer[net.IP]{}
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(answer(b[:n], present.Load()), from)
		}
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = conn.Close()
	})
	return present
}

// answer makes a DNS message of a question (RFC 1035): no such name, or the address
// for a question of type A.
func answer(question []byte, ip *net.IP) []byte {
	end := 12
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5 // the root's length, type, class
	out := slices.Clone(question[:end])
	out[2], out[3] = 0x81, 0x80 // an answer, recursion wanted and had
	binary.BigEndian.PutUint16(out[6:], 0)
	binary.BigEndian.PutUint32(out[8:], 0)
	switch {
	case ip == nil:
		out[3] |= 3
	case binary.BigEndian.Uint16(question[end-4:]) == 1:
		out[7] = 1
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, ip.To4()...)
	}
	return out
}

// Names are looked up when they are needed: who could not be found, or was found
// elsewhere, before is dialled where he is now, and our own port opens as soon as our
// name is known (ZOOKEEPER-4728).
func TestNamesAreLookedUpAnew(t *testing.T) {
	present := nameServer(t)
	network := subnet()
	_, err := listenOnAll(t.Context(), []string{"zk1.example:13888"}, false)
	if err == nil {
		t.Fatal("a name that nobody knows is listened on")
	}
	for i := range 2 {
		ip := net.ParseIP(fmt.Sprintf("%s%d", network, i+1))
		present.Store(&ip)
		open, err := listenOnAll(t.Context(), []string{"zk1.example:13888"}, false)
		if err != nil || open[0].Addr().String() != ip.String()+":13888" {
			t.Fatal(open, err)
		}
		conn, err := dialAny(t.Context(), patience, []string{"zk1.example:13888"}, nil)
		if err != nil || conn.RemoteAddr().String() != ip.String()+":13888" {
			t.Fatal(conn, err)
		}
		_ = conn.Close()
		closeAll(open)
	}
}

// What was committed is given to the machine before it is told to serve: no client
// sees less than the leader had said was committed.
func TestServesWhatWasCommitted(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	m := &orderedMachine{memory: newMemory(1)}
	p, err := NewPeer(e.servers[1].cfg, m, m)
	if err != nil {
		t.Fatal(err)
	}
	p.ctx = t.Context()
	p.execute(zab.Ready{Mark: 1, Commit: []zab.Proposal{{Zxid: zab.MakeZxid(1, 1)}},
		Role: &zab.RoleChange{Role: zab.Following, Phase: zab.Broadcast, Leader: 3, Epoch: 1, Serving: true}})
	if got := strings.Join(m.calls, " "); got != "commit serve" {
		t.Errorf("the machine was told: %s", got)
	}
}

// orderedMachine notes in which order it is told what.
type orderedMachine struct {
	*memory
	calls []string
}

func (m *orderedMachine) Commit(ps []zab.Proposal) {
	m.calls = append(m.calls, "commit")
	m.memory.Commit(ps)
}

func (m *orderedMachine) Term(t Term) {
	if t.Serving {
		m.calls = append(m.calls, "serve")
	}
	m.memory.Term(t)
}

// Connections that come to nothing leave no socket behind, on either side
// (ZOOKEEPER-4736).
func TestVainDialsLeaveNothing(t *testing.T) {
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("open files are seen in /proc only")
		}
		return len(list)
	}
	u := openElectionTest(t, 2, func(c *Config) { c.CnxTimeout = patience })
	l := u.listen(3)
	before := open()
	for i := range 20 {
		u.election.send(vote(3, int64(i))) // a larger sid: dialled to be dialled back
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience / 5))
		if _, err := readGreeting(bufio.NewReader(conn)); err != nil {
			t.Fatal(err)
		}
		u.expectClosed(conn)
		_ = conn.Close()
		waitFor(t, "it can be dialled again", func() bool {
			u.election.mu.Lock()
			defer u.election.mu.Unlock()
			return !u.election.others[3].dialling
		})
	}
	for range 20 {
		conn := u.dial(greeting{sid: int64(u.election.cfg.Self)}) // refused
		_ = conn.SetDeadline(time.Now().Add(patience / 5))
		u.expectClosed(conn)
		_ = conn.Close()
	}
	waitFor(t, "all sockets are closed", func() bool { return open() <= before })
}
