package zab

import "slices"

// syncPlan is how a learner is brought to the leader's committed state.
type syncPlan struct {
	mode SyncMode
	zxid Zxid       // of the DIFF, TRUNC or SNAP packet
	send []Proposal // then proposed and committed, one after the other
	log  *CatchUp   // how the log may stand in for a snapshot; nil if it cannot
}

// plan decides how a learner whose log ends at last is synchronised, by the rules
// of LearnerHandler.java (syncFollower, queueCommittedProposals).
func (h *history) plan(last Zxid) syncPlan {
	oldest, newest := h.committed, h.committed
	if len(h.window.items) > 0 {
		oldest = h.window.items[0].Zxid
	}
	newEpoch := last.Counter() == 0 // a former leader of Apache's that had proposed nothing says so
	switch {
	case h.forceSnap:
		return h.planSnap()
	case last == newest:
		return syncPlan{mode: SyncDiff, zxid: last}
	case last > newest && !newEpoch:
		return syncPlan{mode: SyncTrunc, zxid: newest}
	case last >= oldest && last < newest:
		return h.planFromWindow(last, newEpoch)
	case h.fromLog && last > 0 && last < oldest:
		return h.planFromLog(last)
	default:
		return h.planSnap()
	}
}

// planFromWindow is plan for a learner whose last zxid lies within the window. If
// it is none of the leader's it is of an epoch's tail that was cut off, and what
// follows is of a later epoch: a TRUNC must not go back across that boundary, so
// it is a snapshot. (Apache's TRUNC within an epoch cannot occur without gaps.)
func (h *history) planFromWindow(last Zxid, newEpoch bool) syncPlan {
	i, found := h.window.search(last)
	if found {
		i++
	} else if !newEpoch {
		return h.planSnap()
	}
	return syncPlan{mode: SyncDiff, zxid: h.committed, send: h.window.items[i:]}
}

// planFromLog is plan for a learner whose last zxid lies before the window.
func (h *history) planFromLog(last Zxid) syncPlan {
	plan := h.planSnap()
	plan.log = &CatchUp{After: last, Through: h.committed, Tail: slices.Clone(h.window.items)}
	if len(plan.log.Tail) > 0 {
		plan.log.Through = plan.log.Tail[0].Zxid
	}
	return plan
}

func (h *history) planSnap() syncPlan { return syncPlan{mode: SyncSnap, zxid: h.committed} }
