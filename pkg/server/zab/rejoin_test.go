package zab

import "testing"

// TestVoteReturnsWithTheHistory: a server that rejoined votes again when the leader's
// history is on its disk, also when that leader was lost in the meantime. Two of three
// servers would wait for it for ever.
func TestVoteReturnsWithTheHistory(t *testing.T) {
	b := newBench(t, 1, func(c *Config) { c.Rejoin, c.Epochs = true, Epochs{Accepted: 5} })
	for from, role := range map[Sid]Role{2: Following, 3: Leading} {
		v := voteOf(from, 3)
		v.Role = role
		if err := b.Step(v); err != nil {
			t.Fatal(err)
		}
	}
	b.LinkUp(3)
	b.step(Packet{Kind: LeaderInfo, From: 3, Epoch: 6, Zxid: MakeZxid(6, 0)}, Packet{Kind: Diff, From: 3})
	if err := b.Step(Packet{Kind: NewLeader, From: 3, Zxid: MakeZxid(6, 0)}); err != nil {
		t.Fatal(err)
	}
	b.done(false)
	b.LinkDown(3)
	if b.done(false); !b.mute {
		t.Error("it votes before its disk has the history")
	}
	b.Durable(b.out.taken)
	if b.mute || b.election == nil || b.election.proposal.Leader != 1 {
		t.Errorf("mute %t, election %+v", b.mute, b.election)
	}
}
