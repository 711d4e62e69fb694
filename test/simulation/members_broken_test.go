package simulation

import (
	"fmt"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/membership"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// changeTo is a transaction that makes these servers the voters.
func changeTo(z zab.Zxid, voters ...zab.Sid) zab.Proposal {
	var text string
	for _, sid := range voters {
		text += fmt.Sprintf("server.%d=10.0.0.%d:2888:3888:participant;0.0.0.0:2181\n", sid, sid)
	}
	text += fmt.Sprintf("version=%x", int64(z))
	t := txn.Txn{Header: txn.Header{Zxid: int64(z), Type: proto.OpReconfig}, Body: &txn.SetData{Path: tree.ConfigPath, Data: []byte(text), Version: -1}}
	return zab.Proposal{Zxid: z, Data: t.Append(nil)}
}

// TestMembershipPromisesCanBreak shows the checks of memberships what is right and wrong:
// 1, 2 and 3 are the voters, and 1.2 makes 3, 4 and 5 that.
func TestMembershipPromisesCanBreak(t *testing.T) {
	change := changeTo(z2, 3, 4, 5)
	begun := func(t *testing.T) *history {
		h := historyOf(z1)
		h.initial = &zab.Membership{Ensemble: zab.Ensemble{Voters: []zab.Sid{1, 2, 3}}}
		if err := h.note(change); err != nil {
			t.Fatal(err)
		}
		h.order = append(h.order, change)
		return &h
	}
	on := func(sids ...zab.Sid) func(zab.Sid, []zab.Proposal) bool {
		return func(sid zab.Sid, order []zab.Proposal) bool {
			for _, s := range sids {
				if s == sid {
					return lastOf(order) <= z2
				}
			}
			return false
		}
	}
	for _, c := range []struct {
		name  string
		check func(h *history) error
		want  string
	}{
		{"a change on quorums of both", func(h *history) error { return h.changed(on(1, 3, 4)) }, ""},
		{"a change on a quorum of the old only", func(h *history) error { return h.changed(on(1, 2, 3)) }, "the change of members"},
		{"a change on a quorum of the new only", func(h *history) error { return h.changed(on(3, 4, 5)) }, "the change of members"},
		{"what follows is the new members' affair", func(h *history) error {
			return h.durable(h.inForce().HasQuorum, on(4, 5))
		}, ""},
		{"the old members are not enough for what follows", func(h *history) error {
			return h.durable(h.inForce().HasQuorum, on(1, 2, 3))
		}, "not on a quorum's disks"},
		{"a leader with a vote", func(h *history) error { return h.entitled(4) }, ""},
		{"a leader that was removed", func(h *history) error { return h.entitled(1) }, "1 leads, and has no vote"},
	} {
		t.Run(c.name, func(t *testing.T) { wants(t, c.check(begun(t)), c.want) })
	}
	if m, err := membership.Parse(string(begun(t).members[z2].Text)); err != nil || len(m.Members) != 3 {
		t.Errorf("the text of a change: %v, %v", m, err)
	}
}
