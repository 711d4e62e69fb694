package simulation

import (
	"errors"
	"slices"

	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

var _ quorum.Order = (*server)(nil)

// Propose implements [quorum.Order].
func (s *server) Propose(epoch int64, ps []zab.Proposal) {
	s.put(func() {
		for _, p := range ps {
			if !s.leads(epoch) || s.peer.NextZxid() == 0 {
				return
			}
			after := p.Zxid - 1
			if after.Counter() == 0 {
				after = lastOf(s.log)
			}
			if err := s.history.propose(p, after); err != nil {
				s.fault("%v", err)
			}
			p.Members, _ = s.reconfig.MembersOf(p.Data)
			s.trace("%d proposes %s", s.sid, p.Zxid)
			switch err := s.peer.Propose(p); {
			case errors.Is(err, zab.ErrEpochFull):
				s.trace("  %v", err)
				s.saw("epoch: full")
			case err != nil:
				s.fault("%d proposes %s: %v", s.sid, p.Zxid, err)
			}
		}
	})
}

func (s *server) leads(epoch int64) bool {
	return s.place.Role == zab.Leading && s.place.Serving && s.place.Epoch == epoch
}

// Sync implements [quorum.Order].
func (s *server) Sync(epoch int64, from zab.Sid, done func()) {
	s.put(func() {
		if next := s.peer.NextZxid(); next != 0 && s.leads(epoch) {
			s.syncs = append(s.syncs, pendingSync{next - 1, from, done})
		}
	})
}

// Forward implements [quorum.Order].
func (s *server) Forward(r quorum.Request) { s.put(func() { s.toLeader(item{request: &r}) }) }

// Revalidate implements [quorum.Order].
func (s *server) Revalidate(session int64, timeout int32) {
	s.put(func() { s.toLeader(item{revalidate: &revalidation{session: session, timeout: timeout}}) })
}

func (s *server) toLeader(it item) {
	if s.place.Role != zab.Leading && s.place.Serving {
		s.queue(s.place.Leader, it)
	}
}

func (s *server) answerSyncs(of zab.Sid, before zab.Zxid) {
	s.answerIf(func(p pendingSync) bool { return p.from == of && p.after < before })
}

func (s *server) answerCommitted() {
	s.answerIf(func(p pendingSync) bool { return p.after.Counter() == 0 || p.after <= s.applied })
}

func (s *server) answerIf(due func(pendingSync) bool) {
	s.syncs = slices.DeleteFunc(s.syncs, func(p pendingSync) bool {
		if !due(p) {
			return false
		}
		if p.from != s.sid {
			s.queue(p.from, item{sync: true})
		}
		if p.done != nil {
			p.done()
		}
		return true
	})
}

// relayed takes what a learner asks beside zab's part.
func (s *server) relayed(from zab.Sid, it item) {
	if s.place.Role != zab.Leading || !s.place.Serving {
		return
	}
	switch {
	case it.request != nil:
		s.pipe.Request(from, *it.request)
	case it.revalidate != nil:
		v := *it.revalidate
		v.valid = s.pipe.Revalidate(from, v.session, v.timeout)
		s.queue(from, item{revalidate: &v})
	case len(it.touches) > 0:
		s.pipe.Touch(from, it.touches)
	}
}

// answered takes what the leader answers.
func (s *server) answered(it item) {
	switch {
	case it.sync:
		s.whenBased(s.pipe.Synced)
	case it.revalidate != nil:
		s.pipe.Revalidated(it.revalidate.session, it.revalidate.valid)
	}
}
