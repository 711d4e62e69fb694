package simulation

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

const logTrace = "%d: %d transactions from the log for %d"

// catchUp puts what a leader's log has for a learner in the place of the snapshot that
// comes next on a link, if it can stand in for it. As in package quorum the log is read
// long after the plan was made; a link that its leader closed has no reader any more.
func (w *world) catchUp(l *link) {
	plan, leader := l.toLearner[0].packet, w.server(l.leader)
	if plan == nil || plan.Log == nil || len(l.downAt) > 0 || leader.store == nil {
		return
	}
	proposals, err := leader.fromLog(plan.Log)
	if err != nil {
		w.trace("%d: a snapshot for %d: %v", l.leader, l.learner, err)
		return
	}
	own := upTo(leader.log, plan.Zxid)
	if own = own[len(upTo(own, plan.Log.After)):]; !slices.EqualFunc(own, proposals, same) {
		w.fault("%d sends %d transactions up to %s from its log, it has %d", l.leader, len(proposals), plan.Zxid, len(own))
	}
	w.trace(logTrace, l.leader, len(proposals), l.learner)
	items := []item{{packet: &zab.Packet{Kind: zab.Diff, From: plan.From, To: plan.To, Zxid: plan.Zxid}}}
	for _, p := range proposals {
		items = append(items,
			item{packet: &zab.Packet{Kind: zab.Propose, From: plan.From, To: plan.To, Zxid: p.Zxid, Data: p.Data, Members: p.Members}},
			item{packet: &zab.Packet{Kind: zab.Commit, From: plan.From, To: plan.To, Zxid: p.Zxid}})
	}
	l.toLearner = append(items, l.toLearner[1:]...)
	w.saw("sync: from the log")
	leader.peer.SentLog(l.learner)
}

// TestLearnersGetTheLog makes sure that seeds show learners before the window that get
// the log.
func TestLearnersGetTheLog(t *testing.T) {
	logs := 0
	for seed := int64(2); seed < 100 && logs < 3; seed++ {
		synctest.Test(t, func(*testing.T) {
			_ = simulate(seed, func(format string, _ ...any) {
				if format == logTrace {
					logs++
				}
			})
		})
	}
	if logs < 3 {
		t.Errorf("only %d learners got the log", logs)
	}
}

// fromLog walks through the log on the disk, twice as package quorum does.
func (s *server) fromLog(plan *zab.CatchUp) ([]zab.Proposal, error) {
	past, err := s.store.Past(int64(plan.After))
	if err != nil {
		return nil, err
	}
	defer past.Close()
	base := zab.Zxid(past.Base())
	marked := false
	for walk := plan.Walk(base); !walk.Done(); {
		r, err := past.Next()
		if err != nil {
			return nil, err
		}
		send, err := walk.Take(zab.Proposal{Zxid: zab.Zxid(r.Zxid), Data: r.Data})
		if err != nil {
			return nil, err
		}
		if !marked && (send || walk.Done()) {
			past.Mark()
			marked = true
		}
	}
	past.Rewind()
	var found []zab.Proposal
	for walk := plan.Resume(base); !walk.Done(); {
		r, err := past.Next()
		if err != nil {
			return nil, err
		}
		p := zab.Proposal{Zxid: zab.Zxid(r.Zxid), Data: append([]byte(nil), r.Data...)}
		send, err := walk.Take(p)
		if err != nil {
			return nil, err
		}
		if send {
			found = append(found, p)
		}
	}
	return append(found, plan.Tail...), nil
}
