package quorum

import (
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// Status is a view of a peer for words and metrics; it is at most a tick old.
type Status struct {
	zab.Status
	Self         zab.Sid
	ElectionTime time.Duration // what the last election took; 0 before the first ended
	LeadingSince time.Time     // when this server began to serve as the leader; zero when it does not

	// Of a leader; what waits is counted now, sizes since the server started.
	PendingSyncs               int
	LastProposal               int // bytes of data; -1 before the first, as in mntr
	MinProposal, MaxProposal   int
	SyncedFollowers, Followers int // connected voters, and other learners that registered as followers
	SyncedObservers, Observers int
	QuorumSize                 int // voters in the ensemble
}

// sizes keeps the last, least and greatest of some sizes.
type sizes struct{ count, last, min, max int }

func (s *sizes) add(n int) {
	if s.count == 0 {
		s.min = n
	}
	s.count++
	s.last, s.min, s.max = n, min(s.min, n), max(s.max, n)
}

// Status returns a view of the peer. It may be called at any time by any goroutine;
// what it points to must not be changed.
func (p *Peer) Status() Status { return *p.status.Load() }

// publish renews what Status returns.
func (p *Peer) publish() {
	s := Status{
		Status: p.zab.Status(), Self: p.cfg.Self, ElectionTime: p.counts.electionTime,
		PendingSyncs: len(p.syncs), LastProposal: -1, MinProposal: -1, MaxProposal: -1,
	}
	s.LeadingSince = p.counts.servingSince
	if c := p.counts.proposalSizes; c.count > 0 {
		s.LastProposal, s.MinProposal, s.MaxProposal = c.last, c.min, c.max
	}
	s.QuorumSize = len(s.Members.Voters)
	for _, l := range s.Learners {
		all, synced := &s.Followers, &s.SyncedFollowers
		if l.Observer {
			all, synced = &s.Observers, &s.SyncedObservers
		}
		*all++
		if l.Synced {
			*synced++
		}
	}
	p.status.Store(&s)
}
