package fourletter

import (
	"fmt"
	"strings"
)

// Verdict is how well an ensemble does.
type Verdict int

// Healthy: every server does its part. Degraded: clients are served, but
// something is wrong. Down: no client is served.
const (
	Healthy Verdict = iota
	Degraded
	Down
)

// String gives the verdict in words.
func (v Verdict) String() string { return [...]string{"healthy", "degraded", "not serving"}[v] }

// ExitStatus is what a command that found the verdict exits with: 0, 3 or 4.
func (v Verdict) ExitStatus() int { return [...]int{0, 3, 4}[v] }

// Member is a server with its distance to the leader.
type Member struct {
	Status
	Leader bool // the one leader of the ensemble
	// LagKnown tells whether Lag means something: there is a leader, and this
	// server serves in the leader's epoch.
	LagKnown bool
	// Lag is how many transactions the leader was ahead. The servers are not asked
	// in one instant, so it can be below zero.
	Lag int64
	// OtherEpoch: the last transaction here is of another epoch than the leader's,
	// which has made one in its own.
	OtherEpoch bool
}

// Ensemble is what the statuses of its servers mean together.
type Ensemble struct {
	Members []Member // in the order asked
	Leader  int      // index into Members; -1: none answered
	Verdict Verdict
	// Reasons says why the verdict is not Healthy, the gravest first; clauses
	// without a full stop.
	Reasons []string
}

// Evaluate judges an ensemble. Voters is how many participants it has; 0 when
// that is not known, which takes every server that is no observer for one.
func Evaluate(servers []Status, voters int) Ensemble {
	e := Ensemble{Leader: -1, Members: make([]Member, len(servers))}
	for i, s := range servers {
		e.Members[i].Status = s
	}
	if voters <= 0 {
		voters = e.count(func(m Member) bool { return m.Role != ModeObserver })
	}
	e.judgeLeader(voters)
	e.measure()
	e.judgeMembers()
	if len(e.Reasons) > 0 && e.Verdict == Healthy {
		e.Verdict = Degraded
	}
	return e
}

func (e *Ensemble) count(is func(Member) bool) int {
	n := 0
	for _, m := range e.Members {
		if is(m) {
			n++
		}
	}
	return n
}

func (e *Ensemble) reason(format string, args ...any) {
	e.Reasons = append(e.Reasons, fmt.Sprintf(format, args...))
}

// names lists the addresses of the members that are so.
func (e *Ensemble) names(is func(Member) bool) string {
	var names []string
	for _, m := range e.Members {
		if is(m) {
			names = append(names, m.Address)
		}
	}
	return strings.Join(names, ", ")
}

func hasRole(role string) func(Member) bool {
	return func(m Member) bool { return m.State == Serving && m.Role == role }
}

// judgeLeader finds the leader and whether the ensemble serves at all.
func (e *Ensemble) judgeLeader(voters int) {
	leaders := e.count(hasRole(ModeLeader))
	learners := e.count(hasRole(ModeFollower)) + e.count(hasRole(ModeObserver))
	e.pickLeader()
	switch {
	case len(e.Members) == 1 && hasRole(ModeStandalone)(e.Members[0]):
	case leaders > 1:
		e.reason("%d servers call themselves leader: %s", leaders, e.names(hasRole(ModeLeader)))
		e.judgeQuorum(voters)
	case leaders == 1:
		e.judgeQuorum(voters)
	case learners > 0:
		e.reason("no leader answered, but %s follow one", e.names(func(m Member) bool {
			return hasRole(ModeFollower)(m) || hasRole(ModeObserver)(m)
		}))
	case len(e.Members) == 0:
		e.Verdict = Down
		e.reason("no servers to ask")
	default:
		e.Verdict = Down
		e.reason("no leader: %d of %d servers answered, and none leads or follows", e.count(answered), len(e.Members))
	}
}

func answered(m Member) bool { return m.State != Unreachable }

// pickLeader takes the leader of the highest epoch; an older one has not yet
// noticed that it is deposed.
func (e *Ensemble) pickLeader() {
	for i, m := range e.Members {
		if hasRole(ModeLeader)(m) && (e.Leader < 0 || m.Zxid > e.Members[e.Leader].Zxid) {
			e.Leader = i
		}
	}
	if e.Leader >= 0 {
		e.Members[e.Leader].Leader = true
	}
}

// judgeQuorum asks whether the leader still has a majority of the voters.
func (e *Ensemble) judgeQuorum(voters int) {
	leader := e.Members[e.Leader]
	majority := voters/2 + 1
	if leader.SyncedFollowers != Unknown && int(leader.SyncedFollowers)+1 < majority {
		e.Verdict = Down
		e.reason("the leader %s has %d synchronised followers, and %d of %d voters make a quorum",
			leader.Address, leader.SyncedFollowers, majority, voters)
		return
	}
	seen := 1 + e.count(hasRole(ModeFollower))
	if seen < majority {
		e.reason("only %d of %d voters answered as leader or follower, fewer than the quorum of %d", seen, voters, majority)
	}
}

// measure sets each member's distance to the leader.
func (e *Ensemble) measure() {
	if e.Leader < 0 {
		return
	}
	lead := e.Members[e.Leader].Zxid
	for i := range e.Members {
		m := &e.Members[i]
		if m.State != Serving || m.Role == ModeStandalone {
			continue
		}
		same := m.Zxid.Epoch() == lead.Epoch()
		// Until the first write of an epoch followers of Apache's tell the last
		// zxid of the one before.
		m.OtherEpoch = !same && (lead.Counter() != 0 || m.Zxid > lead)
		if m.LagKnown = same; same {
			m.Lag = int64(lead.Counter()) - int64(m.Zxid.Counter())
		}
	}
}

// judgeMembers says what is wrong with single servers.
func (e *Ensemble) judgeMembers() {
	for _, m := range e.Members {
		switch {
		case m.State == Unreachable:
			e.reason("%s is unreachable", m.Address)
		case m.State == NotServing:
			e.reason("%s answers but is not serving", m.Address)
		case m.State == Mute:
			e.reason("%s answers but its whitelist allows neither srvr nor stat", m.Address)
		case m.Role == ModeStandalone && len(e.Members) > 1:
			e.reason("%s runs standalone, outside the ensemble", m.Address)
		case m.ReadOnly || m.Role == ModeReadOnly:
			e.reason("%s is read-only, it has no quorum", m.Address)
		case m.OtherEpoch:
			e.reason("%s is in epoch %d, the leader in epoch %d", m.Address, m.Zxid.Epoch(), e.Members[e.Leader].Zxid.Epoch())
		}
	}
}
