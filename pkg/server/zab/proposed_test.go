package zab

import (
	"slices"
	"testing"
)

// proposingChange is a voter of 1, 2 and 3, or 4 that is to become one, whose log ends with the
// change to 3, 4 and 5.
func proposingChange(t *testing.T, self Sid) *bench {
	return newBench(t, self, func(c *Config) {
		c.Reconfig, c.Version = true, MakeZxid(1, 0)
		c.Ensemble = Ensemble{Voters: []Sid{1, 2, 3}}
		c.Next = &Membership{Version: MakeZxid(2, 4), Ensemble: Ensemble{Voters: []Sid{3, 4, 5}}}
		c.Epochs, c.LastZxid = Epochs{2, 2}, MakeZxid(2, 4)
	})
}

// TestProposedVoterStands: who is to become a voter may hold what was committed by the new
// membership alone. It leaves the election to those whom all know, until a leader that has
// less goes away at its sight; then it stands, once and for a while.
func TestProposedVoterStands(t *testing.T) {
	of := func(from Sid, zxid Zxid, round int64) Packet {
		return Packet{Kind: Notification, From: from, Role: Looking, Version: 2, Vote: Vote{Leader: from, Zxid: zxid, PeerEpoch: 2, Round: round}}
	}
	less, same, more := MakeZxid(2, 3), MakeZxid(2, 4), MakeZxid(2, 5)
	refused := func(b *bench, zxid Zxid) {
		b.Helper()
		v := Vote{Leader: 3, Zxid: zxid, PeerEpoch: 2, Round: b.round}
		for _, sid := range []Sid{1, 2, 3, 5} {
			b.step(Packet{Kind: Notification, From: sid, Role: Looking, Version: 2, Vote: v})
		}
		b.tick(3)
		if b.following == nil {
			b.Fatalf("follows nobody: %+v", b.currentVote())
		}
		b.LinkUp(3)
		b.step(Packet{Kind: LeaderInfo, From: 3, Epoch: 3, Zxid: MakeZxid(3, 0)})
		b.LinkDown(3)
		b.take()
	}
	b := proposingChange(t, 4)
	if v := b.currentVote(); v.Leader != None {
		t.Fatalf("it stands at once: %+v", v)
	}
	refused(b, same)
	if v := b.currentVote(); v.Leader != None {
		t.Fatalf("it stands against a leader that has as much: %+v", v)
	}
	refused(b, less)
	if v := b.currentVote(); v.Leader != 4 || v.Zxid != same {
		t.Fatalf("it does not stand: %+v", v)
	}
	b.step(of(1, less, b.round))
	if v := b.currentVote(); v.Leader != 4 {
		t.Errorf("it gives way to a shorter history: %+v", v)
	}
	b.step(of(2, same, b.round))
	if v := b.currentVote(); v.Leader != 2 {
		t.Errorf("it stands though an old voter has as much: %+v", v)
	}
	round := b.round
	b.tick(40)
	if v := b.currentVote(); v.Leader != None || b.round <= round {
		t.Errorf("it stands for ever: %+v", v)
	}

	b = proposingChange(t, 1)
	b.step(of(5, same, 1))
	if v := b.currentVote(); v.Leader != 1 {
		t.Errorf("an old voter gives way to a new one with as much: %+v", v)
	}
	b.step(of(5, more, 1))
	if v := b.currentVote(); v.Leader != 5 {
		t.Errorf("an old voter stands though a new one has more: %+v", v)
	}
}

// TestProposedVoterBinds: a leader does not lead, by the proposed membership's quorum, over
// what that may have committed by itself.
func TestProposedVoterBinds(t *testing.T) {
	told := func(sid Sid, epoch int64, zxid Zxid) *learner {
		return &learner{sid: sid, stage: confirmed, counts: true, current: epoch, last: zxid}
	}
	ahead := MakeZxid(2, 6)
	for _, c := range []struct {
		name   string
		sid    Sid
		others []*learner
		want   bool
	}{
		{name: "nobody's voter", sid: 7},
		{name: "a new voter; one is not heard", sid: 4, want: true},
		{name: "a new voter; the other has less", sid: 4, others: []*learner{told(5, 2, MakeZxid(2, 4))}},
		{name: "a new voter; the other has an older epoch", sid: 4, others: []*learner{told(5, 1, MakeZxid(1, 9))}},
		{name: "a new voter; the other has as much", sid: 4, others: []*learner{told(5, 2, ahead)}, want: true},
		{name: "a new voter; the other lost its history", sid: 4, others: []*learner{told(5, 0, 0)}, want: true},
		{name: "a new voter; the other has promised the epoch before", sid: 4, others: []*learner{told(5, -1, MakeZxid(2, 4))}, want: true},
		{name: "a new voter; an old one lacks the change", sid: 4, others: []*learner{told(1, 2, MakeZxid(2, 3))}, want: true},
		{name: "a new voter; enough old ones lack the change", sid: 4, others: []*learner{told(1, 2, MakeZxid(2, 3)), told(2, 1, MakeZxid(1, 7))}},
		{name: "a new voter; old ones have the change", sid: 4, others: []*learner{told(1, 2, MakeZxid(2, 4)), told(2, 2, MakeZxid(2, 4))}, want: true},
		{name: "a new voter; the other has told nothing yet", sid: 4, others: []*learner{{sid: 5, stage: informed}}, want: true},
	} {
		b := proposingChange(t, 3)
		l := &learner{sid: c.sid}
		b.leading = &leading{learners: append(c.others, l)}
		if got := b.mayBind(l, Packet{Epoch: 2, Zxid: ahead}); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
	b := proposingChange(t, 3)
	b.next[0].Weights = map[Sid]int64{4: 0}
	l := &learner{sid: 4}
	b.leading = &leading{learners: []*learner{l}}
	if b.mayBind(l, Packet{Epoch: 2, Zxid: ahead}) {
		t.Error("a new voter without weight binds")
	}
}

// TestProposedVoterWaits: an ACKEPOCH that may bind the leader waits for what others tell.
func TestProposedVoterWaits(t *testing.T) {
	b := proposingChange(t, 3)
	v := Vote{Leader: 3, Zxid: MakeZxid(2, 4), PeerEpoch: 2, Round: b.round}
	for _, sid := range []Sid{1, 2, 4, 5} {
		b.step(Packet{Kind: Notification, From: sid, Role: Looking, Version: 2, Vote: v})
	}
	b.tick(3)
	for _, sid := range []Sid{1, 4, 5} {
		b.step(Packet{Kind: FollowerInfo, From: sid, Epoch: 2})
	}
	synced := func() (to []Sid) {
		for _, p := range b.take() {
			if p.Kind == NewLeader {
				to = append(to, p.To)
			}
		}
		return to
	}
	ack := func(sid Sid, zxid Zxid) Packet { return Packet{Kind: AckEpoch, From: sid, Epoch: 2, Zxid: zxid} }
	b.step(ack(4, MakeZxid(2, 6)), ack(1, MakeZxid(2, 4)))
	if to := synced(); to != nil || b.role.Phase != Discovery {
		t.Fatalf("it goes on over what 4 has: %+v, to %v", b.role, to)
	}
	b.step(ack(5, MakeZxid(2, 4)))
	if to := synced(); !slices.Equal(to, []Sid{1, 4, 5}) {
		t.Errorf("5 lacks it, too, and it goes on with %v: %+v", to, b.role)
	}
}
