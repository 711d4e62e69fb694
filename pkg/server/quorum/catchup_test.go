package quorum

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// memoryPast reads what a memory has synced.
type memoryPast struct {
	*memory
	base       zab.Zxid
	log        []zab.Proposal
	at, marked int
}

// Past implements History.
func (m *memory) Past(zab.Zxid) (Past, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &memoryPast{memory: m, base: m.baseZxid, log: slices.Clone(m.log)}
	if m.pastFile != nil {
		p.log = m.pastFile(p.log)
	}
	return p, nil
}

func (p *memoryPast) Base() zab.Zxid { return p.base }
func (p *memoryPast) Limit() int64   { return p.limit }
func (p *memoryPast) Mark()          { p.marked = p.at - 1 }
func (p *memoryPast) Rewind()        { p.at = p.marked }
func (p *memoryPast) Close() error   { return nil }

func (p *memoryPast) Next() (zab.Proposal, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	if p.at == len(p.log) {
		return zab.Proposal{}, io.EOF
	}
	pr := p.log[p.at]
	p.at++
	if p.pastRead != nil {
		if err := p.pastRead(p.reads, &pr); err != nil {
			return zab.Proposal{}, err
		}
	}
	return pr, nil
}

// lagging makes an ensemble whose learners 1 and 4 miss the 200 transactions that
// their leader has in its log, and 50 of them in memory.
func lagging(t *testing.T) (e *ensemble, leader *server) {
	e = newEnsemble(t, 3, 1)
	for _, s := range e.servers {
		s.cfg.WindowCount, s.fromLog = 50, true
	}
	e.start(e.all()...)
	e.leader()
	e.write(e.leader(), 20, "common")
	e.halt(e.servers[1])
	e.halt(e.servers[4])
	e.write(e.leader(), 200, "missed")
	return e, e.leader()
}

// join starts the lagging servers and checks how they were brought up to date.
func join(t *testing.T, e *ensemble, mode zab.SyncMode) {
	t.Helper()
	leader := e.leader()
	e.start(1, 4)
	e.write(e.leader(), 20, "after "+mode.String())
	installs := 0
	if mode == zab.SyncSnap {
		installs = 1
	}
	for _, sid := range []zab.Sid{1, 4} {
		s := e.servers[sid]
		waitFor(t, "the status tells", func() bool { return s.peer.Status().Sync == mode })
		if n := view(s.memory, func() int { return s.installs }); n != installs {
			t.Errorf("server %d installed %d snapshots, want %d", sid, n, installs)
		}
	}
	waitFor(t, "the leader's status tells", func() bool {
		of := leader.peer.Status().Learners
		return len(of) == 3 && !slices.ContainsFunc(of, func(l zab.LearnerStatus) bool { return l.Sid != 2 && l.Sid != 3 && l.Sync != mode })
	})
}

// TestDiffFromLog brings a follower and an observer up to date from the log, while
// more is written.
func TestDiffFromLog(t *testing.T) {
	e, leader := lagging(t)
	join(t, e, zab.SyncDiff)
	if n := view(leader.memory, func() int { return leader.reads }); n < 2*150 {
		t.Errorf("%d reads of the log, want each transaction read twice", n)
	}
}

// TestLogIsNoWay gives learners a snapshot when the log cannot serve, and the ensemble
// goes on.
func TestLogIsNoWay(t *testing.T) {
	cut := func(from, to int) func([]zab.Proposal) []zab.Proposal {
		return func(log []zab.Proposal) []zab.Proposal { return slices.Delete(log, from, to) }
	}
	cases := map[string]func(m *memory){
		"too much":           func(m *memory) { m.limit = 500 },
		"purged":             func(m *memory) { m.pastFile = cut(0, 40) },
		"a gap":              func(m *memory) { m.pastFile = cut(90, 91) },
		"the end is missing": func(m *memory) { m.pastFile = func(log []zab.Proposal) []zab.Proposal { return log[:100] } },
		"damaged": func(m *memory) {
			m.pastRead = func(int, *zab.Proposal) error { return errInjected }
		},
		"another history": func(m *memory) {
			m.pastRead = func(_ int, pr *zab.Proposal) error {
				pr.Data = []byte("never proposed")
				return nil
			}
		},
	}
	for name, spoil := range cases {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			e, leader := lagging(t)
			view(leader.memory, func() bool { spoil(leader.memory); return true })
			join(t, e, zab.SyncSnap)
		})
	}
}

// TestLogBreaksOnItsWay ends the link when the log cannot be read the second time as
// the first. The learner comes again and gets a snapshot.
func TestLogBreaksOnItsWay(t *testing.T) {
	e, leader := lagging(t)
	e.start(1) // the window moves only when something is written, so this one reads as much as the next
	e.leader()
	e.equal()
	e.halt(e.servers[1])
	once := view(leader.memory, func() int { return leader.reads })
	view(leader.memory, func() bool {
		leader.pastRead = func(n int, pr *zab.Proposal) error {
			if n == once+once*3/4 {
				return errInjected
			}
			return nil
		}
		return true
	})
	e.start(4)
	e.leader()
	e.equal()
	s := e.servers[4]
	waitFor(t, "it has a snapshot", func() bool { return s.peer.Status().Sync == zab.SyncSnap })
	if reads := view(leader.memory, func() int { return leader.reads }); reads != once+once*3/4 {
		t.Errorf("%d reads after the log failed", reads-once-once*3/4)
	}
}
