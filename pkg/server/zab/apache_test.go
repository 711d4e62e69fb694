package zab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The tests of this file are those that bugs of Apache ZooKeeper asked for and that
// no transcript shows, most of them since only a leader of Apache's says such
// things in such an order; docs/reliability.md lists them all.

// done is what the Readys since ask for, in a line each; the disk has done nothing
// of it unless it is quick.
func (b *bench) done(quick bool) string {
	var lines []string
	for b.HasReady() {
		r := b.Ready()
		if r.Truncate != nil {
			lines = append(lines, "truncate "+dotted(*r.Truncate))
		}
		if r.Install != nil {
			lines = append(lines, "install "+dotted(*r.Install))
		}
		for _, pr := range r.Append {
			lines = append(lines, "append "+dotted(pr.Zxid))
		}
		if r.Epochs != nil {
			lines = append(lines, fmt.Sprintf("epochs %d %d", r.Epochs.Accepted, r.Epochs.Current))
		}
		for _, pr := range r.Commit {
			lines = append(lines, "commit "+dotted(pr.Zxid))
		}
		for _, p := range r.Send {
			if p.Kind != Notification {
				lines = append(lines, fmt.Sprintf("send %s %s", p.Kind, dotted(p.Zxid)))
			}
		}
		if r.Role != nil && r.Role.Serving {
			lines = append(lines, "serve")
		}
		if quick {
			b.Durable(r.Mark)
		}
	}
	return strings.Join(lines, ", ")
}

// expect hands in packets of leader 3 and compares what is to be done.
func (b *bench) expect(quick bool, want string, list ...Packet) {
	b.Helper()
	for _, p := range list {
		p.From = 3
		if err := b.Step(p); err != nil {
			b.Fatalf("%s: %v", show(p), err)
		}
	}
	if got := b.done(quick); got != want {
		b.Errorf("to be done: %s\nwant: %s", got, want)
	}
}

func proposal(z Zxid) Packet { return Packet{Kind: Propose, From: 3, Zxid: z} }
func commit(z Zxid) Packet   { return Packet{Kind: Commit, From: 3, Zxid: z} }

// TestJoinInOrder: a leader of Apache's sends what is not committed yet before
// NEWLEADER, too. What is committed by then is logged and applied, then currentEpoch
// is written, and only when the disk has all of that it is acknowledged
// (ZOOKEEPER-3911, 4643, 4646, 4785, 3023); the rest keeps its turn (4394, 4685),
// and is passed on without a hole when the follower leads later (4925).
func TestJoinInOrder(t *testing.T) {
	z := MakeZxid
	b := newFollower(t, 1)
	b.expect(false, "append 6.1, epochs 6 6, commit 6.1",
		Packet{Kind: Diff, Zxid: z(6, 1)}, proposal(z(6, 1)), commit(z(6, 1)), proposal(z(6, 2)), proposal(z(6, 3)),
		Packet{Kind: NewLeader, Zxid: z(6, 0)})
	b.Durable(b.out.taken)
	b.expect(false, "send ACK 6.0")
	b.expect(false, "", commit(z(6, 2)))
	b.expect(false, "append 6.2, append 6.3, commit 6.2, send ACK 6.0, serve", Packet{Kind: UpToDate, Zxid: -1})
	b.expect(false, "append 6.4, commit 6.3", proposal(z(6, 4)), commit(z(6, 3)))
	b.Durable(b.out.taken)
	b.expect(true, "send ACK 6.2, send ACK 6.3, send ACK 6.4")

	b.LinkDown(3)
	own := Vote{Leader: 1, Zxid: z(6, 4), PeerEpoch: 6, Round: b.round}
	b.step(Packet{Kind: Notification, From: 2, Vote: own}, Packet{Kind: Notification, From: 3, Vote: own},
		Packet{Kind: FollowerInfo, From: 2, Epoch: 6}, Packet{Kind: AckEpoch, From: 2, Zxid: z(5, 2), Epoch: 5})
	var got []string
	for _, p := range b.take() {
		if p.Kind == Propose {
			got = append(got, dotted(p.Zxid))
		}
	}
	if want := []string{"6.1", "6.2", "6.3", "6.4"}; !slices.Equal(got, want) {
		t.Errorf("as a leader it sends %v, want %v", got, want)
	}
}

// TestInterruptedSync: when the link breaks before NEWLEADER the peer has what the
// disk will have, and says so next time: not what the DIFF announced
// (ZOOKEEPER-2355), nor what came behind a TRUNC or SNAP (ZOOKEEPER-5094, 3642).
func TestInterruptedSync(t *testing.T) {
	z := MakeZxid
	more := []Packet{proposal(z(6, 1)), commit(z(6, 1)), proposal(z(6, 2)), commit(z(6, 2))}
	for _, c := range []struct {
		first Packet
		does  string
		has   Zxid
	}{
		{Packet{Kind: Diff, Zxid: z(6, 2)}, "", z(5, 2)},
		{Packet{Kind: Trunc, Zxid: z(5, 1)}, "truncate 5.1", z(5, 1)},
		{Packet{Kind: Snap, Zxid: z(6, 0)}, "install 6.0", z(6, 0)},
	} {
		for n := range len(more) + 1 {
			b := newFollower(t, 1)
			b.expect(false, c.does, append([]Packet{c.first}, more[:n]...)...)
			b.LinkDown(3)
			if st := b.Status(); st.LastLogged != c.has || st.LastCommitted != c.has {
				t.Errorf("%s and %d packets: logged %s, committed %s, want %s", c.first.Kind, n, st.LastLogged, st.LastCommitted, c.has)
			}
			b.take()
			b.step(voteOf(2, 3), voteOf(3, 3))
			b.LinkUp(3)
			b.step(Packet{Kind: LeaderInfo, From: 3, Epoch: 7, Zxid: z(7, 0)})
			i := slices.IndexFunc(b.sent, func(p Packet) bool { return p.Kind == AckEpoch })
			if i < 0 || b.sent[i].Zxid != c.has {
				t.Errorf("%s and %d packets: sent next time %v", c.first.Kind, n, b.sent)
			}
		}
	}
}

// TestSlowDiskBetweenRoles: what a role had asked of the disk is still done when it
// has ended, in order, and counts as ours; but nothing that was to be said then is
// said to the next leader, and that one hears of our history when the disk has it
// (ZOOKEEPER-4712, 2845).
func TestSlowDiskBetweenRoles(t *testing.T) {
	z := MakeZxid
	b := serveFollower(t, 1)
	b.expect(false, "append 6.1, append 6.2", proposal(z(6, 1)), proposal(z(6, 2)))
	slow := b.out.taken
	b.LinkDown(3)
	if got := b.done(false); got != "commit 6.1, commit 6.2" {
		t.Errorf("at the end of the role: %s", got)
	}
	for _, v := range []Packet{voteOf(2, 2), voteOf(3, 2)} {
		v.Vote.PeerEpoch = 6
		if err := b.Step(v); err != nil {
			t.Fatal(err)
		}
	}
	b.LinkUp(2)
	if err := b.Step(Packet{Kind: LeaderInfo, From: 2, Epoch: 7, Zxid: z(7, 0)}); err != nil {
		t.Fatal(err)
	}
	if got := b.done(false); got != "epochs 7 6, send FOLLOWERINFO 6.0" {
		t.Errorf("before the disk has it: %s", got)
	}
	b.Durable(slow)
	if got := b.done(false); got != "" {
		t.Errorf("before the disk has the epoch: %s", got)
	}
	b.Durable(b.out.taken)
	if got := b.done(false); got != "send ACKEPOCH 6.2" {
		t.Errorf("when the disk has it: %s", got)
	}
}

// TestFixedMembership: with reconfiguration turned off nothing that is on the disk,
// in the log or told by others changes who decides (ZOOKEEPER-3829, 3814, 3830,
// 3842: the ensemble of before counted on after a rolling change of zoo.cfg).
func TestFixedMembership(t *testing.T) {
	five := &Membership{Ensemble: Ensemble{Voters: []Sid{1, 2, 3, 4, 5}}, Version: MakeZxid(1, 1)}
	b := newBench(t, 3, func(c *Config) { c.Next = five })
	own := Vote{Leader: 3, Round: 1}
	b.step(Packet{Kind: Notification, From: 1, Vote: own, Members: five}, Packet{Kind: Notification, From: 2, Vote: own, Members: five})
	b.step(Packet{Kind: FollowerInfo, From: 2, Members: five}, Packet{Kind: AckEpoch, From: 2}, Packet{Kind: Ack, From: 2, Zxid: MakeZxid(1, 0)})
	if !b.role.Serving {
		t.Fatalf("two of three do not serve: %+v", b.role)
	}
	if err := b.Propose(Proposal{Zxid: b.NextZxid(), Members: five}); err != nil {
		t.Fatal(err)
	}
	b.step(Packet{Kind: Ack, From: 2, Zxid: MakeZxid(1, 1)})
	if st := b.Status(); st.LastCommitted != MakeZxid(1, 1) {
		t.Errorf("two of three commit nothing: %s", st.LastCommitted)
	}
	f := newFollower(t, 1)
	f.step(Packet{Kind: Diff, From: 3, Zxid: MakeZxid(5, 2)}, Packet{Kind: NewLeader, From: 3, Zxid: MakeZxid(6, 0), Members: five},
		Packet{Kind: UpToDate, From: 3, Zxid: -1})
	if len(f.next) > 0 || len(f.members.Voters) != 3 || !f.role.Serving {
		t.Errorf("a follower takes on %v, %v", f.next, f.members)
	}
}

// TestCounterRunsOut: the last zxid of an epoch is never given out; the leader steps
// down before, and whoever leads next goes on with the first of a new epoch
// (ZOOKEEPER-1277).
func TestCounterRunsOut(t *testing.T) {
	b := newEstablished(t)
	last := MakeZxid(1, maxCounter-1)
	b.history.logged, b.history.committed = last-1, last-1
	if err := b.Propose(Proposal{Zxid: last}); err != nil {
		t.Fatal(err)
	}
	b.step(Packet{Kind: Ack, From: 2, Zxid: last})
	if err := b.Propose(Proposal{Zxid: last + 1}); !errors.Is(err, ErrEpochFull) {
		t.Fatal(err)
	}
	if b.settle(); b.role.Role != Looking || b.Status().LastCommitted != last {
		t.Fatalf("%+v, committed %s", b.role, b.Status().LastCommitted)
	}
	own := Vote{Leader: 3, Zxid: last, PeerEpoch: 1, Round: b.round}
	b.step(Packet{Kind: Notification, From: 1, Vote: own}, Packet{Kind: Notification, From: 2, Vote: own},
		Packet{Kind: FollowerInfo, From: 2, Epoch: 1}, Packet{Kind: AckEpoch, From: 2, Zxid: last, Epoch: 1}, Packet{Kind: Ack, From: 2, Zxid: MakeZxid(2, 0)})
	if !b.role.Serving || b.NextZxid() != MakeZxid(2, 1) {
		t.Fatalf("%+v, next is %s", b.role, b.NextZxid())
	}
	if err := b.Propose(Proposal{Zxid: MakeZxid(2, 1)}); err != nil {
		t.Fatal(err)
	}
}
