package quorum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// Solo orders the transactions of a server that stands alone: what is on its disk
// is committed. It implements [Order]. Create it with [NewSolo] and run it once.
type Solo struct {
	machine Machine
	log     *slog.Logger
	inbox   *inbox
	disk    *disk
	started atomic.Bool

	// Used by the loop only.
	last    zab.Zxid // proposed
	epoch   int64
	mark    uint64
	pending []soloBatch // proposed and not committed
	restore *soloRestore
	failure error
}

// soloBatch is what was proposed at once, and the syncs behind it.
type soloBatch struct {
	mark      uint64
	proposals []zab.Proposal
	syncs     []func()
}

// NewSolo prepares a server that stands alone, whose history ends at last. A nil
// logger discards, nil metrics are nobody's.
func NewSolo(last zab.Zxid, log Log, machine Machine, logger *slog.Logger, m *metrics.Metrics) *Solo {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Solo{machine: machine, log: logger, inbox: newInbox(), last: last, epoch: last.Epoch()}
	s.disk = newDisk(log, machine, metrics.Or(m),
		func(mark uint64) { s.inbox.put(func() { s.durable(mark) }) },
		func(err error) { s.inbox.put(func() { s.failure = err }) })
	return s
}

// Run leads, alone, until ctx ends or the disk fails. The machine has been told
// the end of its term when it returns. It may be called once.
func (s *Solo) Run(ctx context.Context) error {
	if s.started.Swap(true) {
		return errors.New("quorum: Run was called before")
	}
	var running sync.WaitGroup
	running.Go(s.disk.run)
	s.log.Info("role", "role", "standalone", "zxid", s.last.String())
	s.lead()
	s.loop(ctx)
	s.inbox.close()
	s.disk.close()
	running.Wait()
	s.idle()
	if s.failure != nil {
		return fmt.Errorf("standalone server stopped: %w", s.failure)
	}
	return nil
}

// lead opens the machine to clients, and idle closes it.
func (s *Solo) lead() {
	s.machine.Term(Term{
		RoleChange: zab.RoleChange{Role: zab.Leading, Phase: zab.Broadcast, Epoch: s.epoch, Serving: true},
		Next:       s.last + 1,
	})
}

func (s *Solo) idle() {
	s.machine.Term(Term{RoleChange: zab.RoleChange{Role: zab.Looking, Phase: zab.Election, Leader: zab.None}})
}

func (s *Solo) loop(ctx context.Context) {
	for s.failure == nil {
		select {
		case <-ctx.Done():
			return
		case <-s.inbox.wake:
		}
		for _, event := range s.inbox.take() {
			event()
		}
	}
}

// Propose orders transactions, see [Order].
func (s *Solo) Propose(epoch int64, ps []zab.Proposal) {
	s.inbox.put(func() {
		if s.failure != nil || epoch != s.epoch || s.restore != nil || len(ps) == 0 {
			return
		}
		for _, p := range ps {
			if p.Zxid != s.last+1 {
				s.failure = fmt.Errorf("propose %s: %w %s", p.Zxid, zab.ErrZxid, s.last+1)
				return
			}
			s.last = p.Zxid
		}
		s.mark++
		s.pending = append(s.pending, soloBatch{mark: s.mark, proposals: ps})
		s.disk.put(diskJob{mark: s.mark, proposals: ps})
	})
}

// durable commits what is on disk.
func (s *Solo) durable(mark uint64) {
	for len(s.pending) > 0 && s.pending[0].mark <= mark {
		batch := s.pending[0]
		s.pending[0] = soloBatch{}
		s.pending = s.pending[1:]
		s.machine.Commit(batch.proposals)
		for _, done := range batch.syncs {
			done()
		}
	}
	s.restoreOn(mark)
}

// Sync answers once everything proposed so far is committed, see [Order].
func (s *Solo) Sync(epoch int64, _ zab.Sid, done func()) {
	s.inbox.put(func() {
		switch {
		case epoch != s.epoch || done == nil:
		case len(s.pending) == 0:
			done()
		default:
			last := &s.pending[len(s.pending)-1]
			last.syncs = append(last.syncs, done)
		}
	})
}

// CheckReconfig refuses: a server that stands alone has no ensemble.
func (s *Solo) CheckReconfig(int64, string) error { return zab.ErrReconfig }

// Forward does nothing: there is no other server.
func (s *Solo) Forward(Request) {}

// Revalidate does nothing: there is no other server.
func (s *Solo) Revalidate(int64, int32) {}
