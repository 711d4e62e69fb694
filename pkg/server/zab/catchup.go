package zab

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrNotFromLog says that the log cannot bring a learner up to date: it does not
// reach back far enough, has a gap, or is not the leader's own history.
var ErrNotFromLog = errors.New("not from the log")

// CatchUp goes with a Snap packet for a learner that lies before the window, and
// tells how the transaction log may stand in for the snapshot: a DIFF of the
// packet's zxid, then what the log has between After and the first of Tail, then
// Tail, each proposed and committed. What follows the packet is the same for both.
// Which of the two a learner gets is the driver's to decide; it sends from the log
// only what a [Walk] over all of it has found whole.
type CatchUp struct {
	After Zxid // last zxid in the learner's log
	// Through is where the log has done its part: the zxid of the first of Tail, or
	// without a Tail that of the packet.
	Through Zxid
	Tail    []Proposal // the window; its last is of the packet's zxid
}

// Walk looks at the records of a leader's log one by one, in the order in which
// they stand there, and picks those that a learner lacks
// (LearnerHandler.java, queueCommittedProposals). It ends with an error where
// Apache's would send a gap or a history that is not the leader's:
//
//   - The log must hold a record of After or before. One of After itself must be
//     there, unless After is the zero of an epoch. (Apache tells a learner whose
//     last zxid is not there to truncate, within the epoch only. With zxids that have
//     no gaps the next record is always of a later epoch; it gets a snapshot.)
//   - Within an epoch each zxid is the next one.
//   - Whether something is missing between two epochs zxids cannot tell, nor whether
//     the end of an earlier one is history or was replaced by another leader's. So an
//     epoch may change only behind the log's base.
//   - The record of Through must be there, and be the one that memory has.
type Walk struct {
	*CatchUp
	base Zxid
	prev Zxid // last record that was looked at
	any  bool // there was one
	done bool
}

// Walk begins a walk. Base is a zxid that is in the leader's history and from which
// its log goes on without a gap, because the leader replayed it from there.
func (c *CatchUp) Walk(base Zxid) *Walk { return &Walk{CatchUp: c, base: base} }

// Resume begins a walk at the first record behind After, as one from the start has
// found it.
func (c *CatchUp) Resume(base Zxid) *Walk {
	return &Walk{CatchUp: c, base: base, prev: c.After, any: true}
}

// Done reports whether everything up to Through has been seen.
func (w *Walk) Done() bool { return w.done }

// Take looks at the next record and reports whether the learner is to be sent it.
// It is not to be called when the walk is done. Errors wrap [ErrNotFromLog].
func (w *Walk) Take(p Proposal) (send bool, err error) {
	if p.Zxid <= w.After && w.prev <= w.After {
		w.prev, w.any = max(w.prev, p.Zxid), true
		return false, nil
	}
	if err := w.mayFollow(p.Zxid); err != nil {
		return false, err
	}
	w.prev = p.Zxid
	switch {
	case p.Zxid > w.Through:
		return false, fmt.Errorf("%w: it goes on with %s but lacks %s", ErrNotFromLog, p.Zxid, w.Through)
	case p.Zxid < w.Through:
		return true, nil
	}
	w.done = true
	if len(w.Tail) == 0 {
		return true, nil
	}
	if !bytes.Equal(p.Data, w.Tail[0].Data) {
		return false, fmt.Errorf("%w: its %s is not what was committed", ErrNotFromLog, p.Zxid)
	}
	return false, nil
}

// mayFollow checks that nothing is missing between the last record and the next.
func (w *Walk) mayFollow(next Zxid) error {
	last := w.prev
	switch {
	case !w.any:
		return fmt.Errorf("%w: it begins with %s, the learner's ends with %s", ErrNotFromLog, next, w.After)
	case last < w.After && w.After.Counter() != 0:
		return fmt.Errorf("%w: it has no %s, with which the learner's ends", ErrNotFromLog, w.After)
	case last < w.After: // an epoch's zero stands for no transaction
		last = w.After
	}
	switch {
	case !last.precedes(next):
		return fmt.Errorf("%w: %s follows %s", ErrNotFromLog, next, last)
	case next.Epoch() != last.Epoch() && last < w.base:
		return fmt.Errorf("%w: %s follows %s, and what led to %s is not known to be all of it", ErrNotFromLog, next, last, w.base)
	}
	return nil
}
