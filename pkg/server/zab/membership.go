package zab

import (
	"fmt"
	"maps"
	"slices"
)

// A Membership is one version of who is in the ensemble. While one is proposed
// and not yet committed two are in force: whatever is decided then needs a quorum
// of either. Values are shared and must not be changed.
//
// Source: QuorumPeer.java (setLastSeenQuorumVerifier, processReconfig), Leader.java
// (getDesignatedLeader); Shraer et al., "Dynamic Reconfiguration of Primary/Backup
// Clusters", USENIX ATC 2012.
type Membership struct {
	Ensemble
	// Version is the zxid of the transaction that made it; (epoch, 0) where a leader
	// gave a number to a configuration that never changed; 0 for one without number.
	Version Zxid
	// Addresses tells where each server leads. They are compared and not looked into:
	// a leader whose own changes hands over.
	Addresses map[Sid]string
	// Text is for the driver: what servers tell each other about it.
	Text string
}

// String tells version and servers.
func (m *Membership) String() string {
	return fmt.Sprintf("version %s: voters %v, observers %v", m.Version, m.Voters, m.Observers)
}

// same reports whether two memberships differ in no more than the version.
func (m *Membership) same(o *Membership) bool {
	return slices.Equal(m.Voters, o.Voters) && slices.Equal(m.Observers, o.Observers) &&
		maps.Equal(m.Groups, o.Groups) && maps.Equal(m.Weights, o.Weights) && maps.Equal(m.Addresses, o.Addresses)
}

// mayElect reports whether a server's vote has a part in decisions.
func (m *Membership) mayElect(sid Sid) bool { return m.IsVoter(sid) && m.weight(sid) > 0 }

// hasQuorum reports whether the servers for which in holds are a quorum of every
// membership in force.
func (p *Peer) hasQuorum(in func(Sid) bool) bool {
	return p.members.HasQuorum(in) && !slices.ContainsFunc(p.next, func(m *Membership) bool { return !m.HasQuorum(in) })
}

// hasQuorumFor is hasQuorum for a proposal: a membership counts from the proposal on
// that makes it.
func (p *Peer) hasQuorumFor(z Zxid, in func(Sid) bool) bool {
	return p.members.HasQuorum(in) && !slices.ContainsFunc(p.next, func(m *Membership) bool { return z >= m.Version && !m.HasQuorum(in) })
}

// votes reports whether a server's vote counts in a membership in force.
func (p *Peer) votes(sid Sid) bool {
	return p.members.IsVoter(sid) || slices.ContainsFunc(p.next, func(m *Membership) bool { return m.IsVoter(sid) })
}

// voters are the servers whose vote counts, in a fixed order.
func (p *Peer) voters() []Sid {
	if len(p.next) == 0 {
		return p.members.Voters
	}
	all := slices.Clone(p.members.Voters)
	for _, m := range p.next {
		all = append(all, m.Voters...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// isObserver reports whether we take no part in quorums by our own membership. A
// server that is in none, because it is to join or has left, follows without a vote.
func (p *Peer) isObserver() bool { return p.members.IsObserver(p.cfg.Self) }

// newest is the membership last heard of, committed or not.
func (p *Peer) newest() *Membership {
	if n := len(p.next); n > 0 {
		return p.next[n-1]
	}
	return p.members
}

// see takes note of a membership that is proposed, or that a snapshot holds. One noted
// before stays: nobody proposes a second before the first is committed, so that the
// first counts even when the second comes to nothing.
func (p *Peer) see(m *Membership) {
	if !p.cfg.Reconfig || m == nil || m.Version <= p.newest().Version {
		return
	}
	p.next = append(p.next, m)
	p.out.seen(m)
}

// forget drops a proposed membership that no longer is in our history: a leader
// whose history is without it took over, so that it was never committed.
func (p *Peer) forget() {
	p.next = slices.DeleteFunc(p.next, func(m *Membership) bool { return m.Version.Counter() != 0 && m.Version > p.history.logged })
}

// activate puts a committed membership in force and reports whether it gives us
// another kind of role.
func (p *Peer) activate(m *Membership) (changed bool) {
	if !p.cfg.Reconfig || m == nil || m.Version <= p.members.Version {
		return false
	}
	was := p.isObserver()
	p.members = m
	p.next = slices.DeleteFunc(p.next, func(o *Membership) bool { return o.Version <= m.Version })
	p.out.activate(m)
	return p.isObserver() != was
}

// CheckReconfig says why a membership cannot be proposed now, or nil: it takes a
// quorum of it that is connected and in sync, and no other under way. Errors:
// [ErrNotLeader], [ErrReconfig], [ErrNoQuorum].
func (p *Peer) CheckReconfig(e Ensemble) error {
	switch {
	case p.NextZxid() == 0:
		return ErrNotLeader
	case !p.cfg.Reconfig:
		return fmt.Errorf("%w: it is turned off", ErrReconfig)
	case len(p.next) > 0:
		return fmt.Errorf("%w: version %s is not committed yet", ErrReconfig, p.newest().Version)
	}
	if !e.HasQuorum(func(sid Sid) bool { return sid == p.cfg.Self || p.follows(sid) }) {
		return ErrNoQuorum
	}
	if err := e.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrReconfig, err)
	}
	return nil
}

// follows reports whether a learner is in sync and acknowledges proposals.
func (p *Peer) follows(sid Sid) bool {
	l := p.leading.learner(sid)
	return l != nil && !l.observer && l.stage >= synced && !p.members.IsObserver(sid) // or it is about to leave
}

// designate names who is to lead once the membership m, made by z, is in force:
// ourselves if nothing about us changes, else the voter that has acknowledged most
// (Leader.java, getDesignatedLeader).
func (p *Peer) designate(m *Membership, z Zxid) Sid {
	if m.IsVoter(p.cfg.Self) && m.Addresses[p.cfg.Self] == p.members.Addresses[p.cfg.Self] {
		return p.cfg.Self
	}
	best, acked := Sid(None), Zxid(0)
	for _, l := range p.leading.learners {
		if m.IsVoter(l.sid) && m.weight(l.sid) != 0 && l.receives() && l.acked >= z && l.acked > acked {
			best, acked = l.sid, l.acked
		}
	}
	return best
}

// handOver ends our leadership, or a follower's time under a leader, in favour of
// a leader that a new membership designates. There is no election; discovery
// and synchronisation make sure of the rest as always.
func (p *Peer) handOver(to Sid) {
	round, epoch := p.round, p.place.Epoch
	if to == None || p.isObserver() {
		p.look()
		return
	}
	p.retire()
	p.vote = Vote{Leader: to, Zxid: p.history.logged, PeerEpoch: epoch, Round: round}
	if to != p.cfg.Self {
		p.follow(to)
		return
	}
	electors := map[Sid]bool{}
	for _, sid := range p.voters() {
		electors[sid] = true
	}
	p.lead(electors)
}

// giveWay ends our leadership: for an heir, or because it is not to be.
func (p *Peer) giveWay() {
	if heir := p.leading.heir; heir != nil {
		p.handOver(*heir)
		return
	}
	p.look()
}

// number gives a version to a membership that has none, as a leader does that may
// change it (Leader.java, lead).
func (p *Peer) number(epoch int64) {
	if !p.cfg.Reconfig || p.newest().Version != 0 {
		return
	}
	m := *p.members
	m.Version = MakeZxid(epoch, 0)
	p.see(&m)
}
