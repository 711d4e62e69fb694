package zab

import (
	"errors"
	"fmt"
)

// Config is what a Peer starts from. Durations are counted in ticks, the calls of
// [Peer.Tick]; a zero means the default, which suits a tick of 20 ms.
type Config struct {
	Self     Sid
	Ensemble Ensemble // Self must be in it, unless Reconfig

	// Membership that can change (reconfigEnabled). Without Reconfig the ensemble is
	// for ever what Ensemble says, and what others tell about it does not count.
	Reconfig  bool
	Version   Zxid // see Membership, for this and the next two
	Addresses map[Sid]string
	Text      string
	Next      *Membership // proposed, maybe committed: the newest one in the log or the tree, if newer than Version

	// What the disk holds. The driver has applied everything up to LastZxid,
	// committed or not: it counts as history.
	Epochs Epochs
	// Rejoin tells that the history is lost: what this server acknowledged may be
	// missing from LastZxid. It neither votes nor leads, and follows only a leader
	// that a quorum of the others follows, until it has acknowledged a NEWLEADER,
	// with which it has the leader's history. Epochs.Current is 0 until then.
	Rejoin   bool
	LastZxid Zxid       // last logged, or the snapshot's if that is newer
	Window   []Proposal // the newest part of the history without a gap, ending at LastZxid; empty if that is none of the log's

	WindowCount int // committed proposals kept for learners that lag; default 500, fewer make snapshots frequent
	WindowBytes int // bound on the bytes of these; 0 is none. The newest is always kept

	// FromLog tells that the driver can read the log again: the Snap packet of a
	// learner before the window comes with a CatchUp.
	FromLog bool
	// ForceSnap gives every learner a snapshot (forceSnapshotSync).
	ForceSnap bool

	// EpochSize is how many transactions a leader orders before it gives way to another
	// epoch; default 2^32-2, which is all that a zxid's counter can number. Fewer is for tests.
	EpochSize uint32

	FinalizeWait int // how long a winning vote waits for a better one; default 10 (200 ms)
	NotifyMin    int // first pause before an unanswered vote is repeated; default 10 (200 ms)
	NotifyMax    int // the pause doubles up to this; default 250 (5 s; Apache: 60 s)
	TickTime     int // the server's tickTime: pings each half, quorum check each whole; default 100 (2 s), at least 2
	InitLimit    int // bound on each step of joining, and of gathering a quorum; default 10 TickTimes
	SyncLimit    int // bound on silence, and on an unanswered proposal, once in sync; default 5 TickTimes
	DialRetry    int // pause between attempts to reach the leader; default 5 (100 ms)
	DialTries    int // attempts before the leader is given up; default 10

	// Jitter returns a number in [0, n); it spreads the repetition of votes.
	// Default: always 0.
	Jitter func(n int) int
}

// withDefaults fills in what the caller left zero.
func (c Config) withDefaults() Config {
	fill := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	fill(&c.WindowCount, 500)
	fill(&c.FinalizeWait, 10)
	fill(&c.NotifyMin, 10)
	fill(&c.NotifyMax, max(250, c.NotifyMin))
	fill(&c.TickTime, 100)
	fill(&c.InitLimit, 10*c.TickTime)
	fill(&c.SyncLimit, 5*c.TickTime)
	fill(&c.DialRetry, 5)
	fill(&c.DialTries, 10)
	if c.EpochSize == 0 {
		c.EpochSize = maxCounter - 1
	}
	if c.Jitter == nil {
		c.Jitter = func(int) int { return 0 }
	}
	return c
}

// validate reports every fault of a Config with defaults.
func (c Config) validate() error {
	var faults []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if err := c.Ensemble.validate(); err != nil {
		faults = append(faults, err)
	}
	require(c.Reconfig || c.Ensemble.IsVoter(c.Self) || c.Ensemble.IsObserver(c.Self), "server %d is not in the ensemble it should join", c.Self)
	require(c.WindowCount > 0 && c.WindowBytes >= 0, "window of %d proposals, %d bytes: must be positive", c.WindowCount, c.WindowBytes)
	require(c.EpochSize < maxCounter, "EpochSize %d: a counter has %d numbers", c.EpochSize, uint32(maxCounter-1))
	require(c.TickTime >= 2, "TickTime %d: at least 2 ticks", c.TickTime)
	require(c.FinalizeWait > 0 && c.NotifyMin > 0 && c.NotifyMax >= c.NotifyMin && c.DialRetry > 0 && c.DialTries > 0,
		"FinalizeWait %d, NotifyMin %d, NotifyMax %d, DialRetry %d, DialTries %d: must be positive, NotifyMax not below NotifyMin",
		c.FinalizeWait, c.NotifyMin, c.NotifyMax, c.DialRetry, c.DialTries)
	require(c.InitLimit >= c.TickTime && c.SyncLimit >= c.TickTime, "InitLimit %d, SyncLimit %d: at least one TickTime (%d)",
		c.InitLimit, c.SyncLimit, c.TickTime)
	faults = append(faults, c.validateData())
	return errors.Join(faults...)
}

// validateData checks the epochs and the window against the history. That the
// log is ahead of currentEpoch is no fault, see [Peer.adoptLoggedEpoch].
func (c Config) validateData() error {
	e := c.Epochs
	switch {
	case c.LastZxid < 0 || e.Accepted < 0 || e.Current < 0:
		return fmt.Errorf("%w: last zxid %s, acceptedEpoch %d, currentEpoch %d: none may be negative", ErrEpochs, c.LastZxid, e.Accepted, e.Current)
	case e.Accepted < e.Current:
		return fmt.Errorf("%w: acceptedEpoch %d is below currentEpoch %d: restore the acceptedEpoch file", ErrEpochs, e.Accepted, e.Current)
	case c.LastZxid.Epoch() > e.Accepted:
		return fmt.Errorf("%w: the log ends at %s, above acceptedEpoch %d: restore the epoch files, or empty the data directory for the leader to refill",
			ErrEpochs, c.LastZxid, e.Accepted)
	}
	last := Zxid(-1)
	for i, p := range c.Window {
		if i > 0 && !last.precedes(p.Zxid) {
			return fmt.Errorf("window: %s cannot follow %s", p.Zxid, last)
		}
		last = p.Zxid
	}
	if len(c.Window) > 0 && last != c.LastZxid {
		return fmt.Errorf("window ends at %s, the history at %s", last, c.LastZxid)
	}
	return nil
}
