package zab

import (
	"cmp"
	"slices"
)

// learner is the leader's view of one learner, or rather of its link: when the
// learner comes back by another, it starts anew.
type learner struct {
	sid      Sid
	observer bool
	stage    learnerStage
	last     Zxid    // what its log ended with when it joined
	held     *Packet // its ACKEPOCH, which has to wait for what others tell, see mayBind
	current  int64   // its currentEpoch then; -1: it did not say
	counts   bool    // it has accepted our epoch as a new one
	sync     SyncMode
	silent   int // ticks since it was last heard

	acked    Zxid // last proposal it acknowledged
	sent     Zxid // last proposal it was sent
	owed     Zxid // a proposal it has yet to acknowledge; 0: none
	owedTime int  // ticks since that was sent
}

// learnerStage is how far a learner has come (LearnerHandler.java).
type learnerStage uint8

const (
	registered learnerStage = iota // FOLLOWERINFO came
	informed                       // LEADERINFO sent
	confirmed                      // ACKEPOCH came
	syncing                        // DIFF, TRUNC or SNAP, and NEWLEADER sent; takes part in broadcast
	synced                         // ACK of NEWLEADER came
	served                         // UPTODATE sent
)

// learner returns the learner of that sid, or nil.
func (l *leading) learner(sid Sid) *learner {
	for _, f := range l.learners {
		if f.sid == sid {
			return f
		}
	}
	return nil
}

// add admits a learner; it replaces what was known of the sid.
func (l *leading) add(f *learner) {
	l.remove(f.sid)
	l.learners = append(l.learners, f)
	slices.SortFunc(l.learners, func(a, b *learner) int { return cmp.Compare(a.sid, b.sid) })
}

func (l *leading) remove(sid Sid) {
	l.learners = slices.DeleteFunc(l.learners, func(f *learner) bool { return f.sid == sid })
}

// receives reports whether live proposals go to the learner.
func (f *learner) receives() bool { return f.stage >= syncing && !f.observer }

// proposed notes that a proposal was sent, to watch how long its ACK takes.
func (f *learner) proposed(z Zxid) {
	f.sent = z
	if f.owed == 0 {
		f.owed, f.owedTime = z, 0
	}
}

// acknowledged notes an ACK. Learners log in order, so it covers all before it.
// If some are still owed the newest of them is watched next.
func (f *learner) acknowledged(z Zxid) {
	f.acked = max(f.acked, z)
	switch {
	case f.acked >= f.sent:
		f.owed = 0
	case f.acked >= f.owed:
		f.owed, f.owedTime = f.sent, 0
	}
}
