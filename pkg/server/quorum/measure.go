package quorum

import (
	"strconv"
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// measures is what the loop remembers to measure with.
type measures struct {
	idleSince    time.Time // since when clients are not served; zero while they are
	joiningSince time.Time // when this learner's synchronisation began
	servingSince time.Time // when this leader began to serve
	proposals    [4096]proposedAt
}

// proposedAt is when the leader proposed a transaction.
type proposedAt struct {
	zxid zab.Zxid
	at   time.Time
}

func (m *measures) slot(z zab.Zxid) *proposedAt {
	return &m.proposals[int(z.Counter())%len(m.proposals)]
}

// since is how long ago a transaction was proposed, in ms; false when that is
// not known any more, or was never in this term.
func (m *measures) since(z zab.Zxid) (ms int64, ok bool) {
	if s := m.slot(z); s.zxid == z {
		return time.Since(s.at).Milliseconds(), true
	}
	return 0, false
}

// proposed counts a proposal of this leader.
func (p *Peer) proposed(z zab.Zxid) {
	p.cfg.Metrics.Proposals.Inc()
	*p.counts.slot(z) = proposedAt{z, time.Now()}
}

// committed counts what this leader has committed.
func (p *Peer) committed(ps []zab.Proposal) {
	if p.place.Role != zab.Leading {
		return
	}
	p.cfg.Metrics.Commits.Add(int64(len(ps)))
	for _, pr := range ps {
		if ms, ok := p.counts.since(pr.Zxid); ok {
			p.cfg.Metrics.QuorumAckLatency.Observe(ms)
		}
	}
}

// received counts a packet of the quorum port.
func (p *Peer) received(in zab.Packet) {
	m := p.cfg.Metrics
	switch in.Kind {
	case zab.Propose:
		m.LearnerProposals.Inc()
	case zab.Commit:
		m.LearnerCommits.Inc()
	case zab.Inform: // both at once
		m.LearnerProposals.Inc()
		m.LearnerCommits.Inc()
	case zab.Ack:
		if ms, ok := p.counts.since(in.Zxid); ok && p.place.Role == zab.Leading {
			m.AckLatency.Observe(sidKey(in.From), ms)
		}
	}
}

// countSync counts how a learner is brought up to date (LearnerHandler.java).
func (p *Peer) countSync(kind zab.Kind) {
	switch kind {
	case zab.Diff, zab.Trunc:
		p.cfg.Metrics.DiffSyncs.Inc()
	case zab.Snap:
		p.cfg.Metrics.SnapSyncs.Inc()
	}
}

// entered measures the way from one place to the next, which the peer is about
// to take.
func (p *Peer) entered(next zab.RoleChange, now time.Time) {
	m, c := p.cfg.Metrics, &p.counts.measures
	switch {
	case next.Role == zab.Looking:
		m.Looking.Inc()
	case p.place.Role == zab.Looking:
		m.ElectionTime.Observe(p.counts.electionTime.Milliseconds())
	}
	if next.Phase == zab.Synchronization && p.place.Phase != zab.Synchronization {
		c.joiningSince = now
	}
	switch {
	case next.Serving && !p.place.Serving:
		p.measureServing(next, now)
	case !next.Serving && p.place.Serving:
		c.idleSince, c.servingSince = now, time.Time{}
	}
}

// measureServing measures what it took until clients are served.
func (p *Peer) measureServing(next zab.RoleChange, now time.Time) {
	m, c := p.cfg.Metrics, &p.counts.measures
	idle := now.Sub(c.idleSince).Milliseconds()
	m.UnavailableTime.Observe(idle)
	c.idleSince = time.Time{}
	joining := now.Sub(c.joiningSince).Milliseconds()
	switch next.Role {
	case zab.Leading:
		m.LeaderUnavailable.Observe(idle)
		c.servingSince = now
	case zab.Following:
		m.FollowerSyncTime.Observe(joining)
	case zab.Observing:
		m.ObserverSyncTime.Observe(joining)
	}
}

// sidKey is a server in the key of a set.
func sidKey(sid zab.Sid) string { return strconv.FormatInt(int64(sid), 10) }
