package zab

import (
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// TestWeightlessVoterIsNeeded is about a change from groups, in which server 3 has no
// weight, to majorities, in which the vote of 3 is needed; all have logged it when they
// elect. Server 3 must not stand by its vote for itself, whatever it has logged behind.
func TestWeightlessVoterIsNeeded(t *testing.T) {
	for extra := range 3 {
		c := fastConfig(3, 0)
		c.Reconfig, c.Version = true, MakeZxid(1, 0)
		c.Ensemble.Groups = map[Sid]int64{1: 1, 2: 2, 3: 1}
		c.Ensemble.Weights = map[Sid]int64{1: 1, 2: 1, 3: 0}
		change := Proposal{Zxid: MakeZxid(1, 2), Data: []byte("change")}
		change.Members = &Membership{Version: change.Zxid, Ensemble: Ensemble{Voters: []Sid{1, 3}, Observers: []Sid{2}}}
		s := &simulation{world: newWorld(c), rnd: rand.New(rand.NewSource(1)), calm: true}
		for _, n := range s.nodes {
			n.epochs = Epochs{1, 1}
			n.disk = []Proposal{{Zxid: MakeZxid(1, 1), Data: []byte("first")}, change}
			if n.sid == 3 {
				for i := range extra {
					n.disk = append(n.disk, Proposal{Zxid: MakeZxid(1, uint32(3+i)), Data: []byte("of 3 alone")})
				}
			}
			n.start(10)
		}
		s.recover()
		if len(s.faults) > 0 {
			t.Errorf("%d transactions more on 3: %s", extra, strings.Join(s.faults, "\n"))
		}
	}
}

// TestMembershipsBeforeService: what a history says about who decides counts as soon
// as the history is ours, also when the leader is lost before it has told all.
func TestMembershipsBeforeService(t *testing.T) {
	made := func(z Zxid, voters ...Sid) *Membership {
		return &Membership{Version: z, Ensemble: Ensemble{Voters: voters}}
	}
	first, second := made(MakeZxid(5, 3), 1, 3, 4), made(MakeZxid(5, 4), 1, 4, 5)
	newLeader := Packet{Kind: NewLeader, From: 3, Zxid: MakeZxid(6, 0), Members: first}
	change := func(m *Membership) Packet { return Packet{Kind: Propose, From: 3, Zxid: m.Version, Members: m} }
	for _, c := range []struct {
		name string
		told []Packet
		want []Zxid // what has to decide beside the membership in force
	}{
		{"a snapshot that holds one", []Packet{{Kind: Snap, From: 3, Zxid: MakeZxid(5, 3), Members: first}}, []Zxid{first.Version}},
		{"a snapshot of before", []Packet{{Kind: Snap, From: 3, Zxid: MakeZxid(5, 2)}}, nil},
		{"a committed one that was not taken on", []Packet{{Kind: Diff, From: 3, Zxid: MakeZxid(5, 3)}, change(first), commit(first.Version)}, nil},
		{"a committed one", []Packet{{Kind: Diff, From: 3, Zxid: MakeZxid(5, 3)}, change(first), commit(first.Version), newLeader}, []Zxid{first.Version}},
		{"a committed one, and one that is not logged", []Packet{
			{Kind: Diff, From: 3, Zxid: MakeZxid(5, 3)}, change(first), commit(first.Version), newLeader, change(second),
		}, []Zxid{first.Version}},
		{"two", []Packet{
			{Kind: Diff, From: 3, Zxid: MakeZxid(5, 4)}, change(first), commit(first.Version), change(second), commit(second.Version), newLeader,
		}, []Zxid{first.Version, second.Version}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFollower(t, 1)
			f.cfg.Reconfig = true
			f.step(c.told...)
			f.LinkDown(3)
			f.settle()
			var got []Zxid
			for _, m := range f.next {
				got = append(got, m.Version)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("beside %s: %v, want %v", f.members, got, c.want)
			}
		})
	}
}
