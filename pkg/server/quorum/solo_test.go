package quorum

import (
	"context"
	"errors"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// startSolo runs a server that stands alone; the returned function stops it.
func startSolo(t *testing.T, m *memory) (s *Solo, stop func() error) {
	t.Helper()
	s = NewSolo(m.applied, m, m, nil, nil)
	m.order = s
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	t.Cleanup(cancel)
	return s, func() error {
		cancel()
		return <-result
	}
}

func TestSoloCommitsWhatIsOnDisk(t *testing.T) {
	m := newMemory(1)
	m.log = []zab.Proposal{{Zxid: zab.MakeZxid(2, 7), Data: []byte("old")}}
	m.recover()
	s, stop := startSolo(t, m)
	waitFor(t, "it serves", m.serving)
	if m.term.Next != zab.MakeZxid(2, 8) || m.term.Epoch != 2 || m.term.Role != zab.Leading {
		t.Errorf("term %+v", m.term)
	}
	hold := make(chan struct{})
	m.mu.Lock()
	m.holdSync = hold
	m.mu.Unlock()
	m.propose([]byte("a"))
	waitFor(t, "the disk is at it", func() bool { return view(m, func() bool { return m.held == 1 }) })
	for range 100 {
		m.propose([]byte("b"))
	}
	synced := make(chan zab.Zxid, 1)
	s.Sync(2, 1, func() { synced <- view(m, func() zab.Zxid { return m.applied }) })
	if applied := view(m, func() zab.Zxid { return m.applied }); applied != zab.MakeZxid(2, 7) {
		t.Errorf("%s is committed before it is synced", applied)
	}
	waitFor(t, "all wait for the disk", func() bool {
		s.disk.mu.Lock()
		defer s.disk.mu.Unlock()
		return len(s.disk.queue) == 100
	})
	close(hold)
	if applied := <-synced; applied != zab.MakeZxid(2, 108) {
		t.Errorf("at the sync %s was committed", applied)
	}
	if n := view(m, func() int { return m.syncs }); n != 2 {
		t.Errorf("%d syncs of the disk, want 2: those of the 100 that waited are one", n)
	}
	s.Sync(2, 1, func() { synced <- 0 })
	<-synced
	s.Propose(1, []zab.Proposal{{Zxid: 1}}) // of an ended term
	if err := stop(); err != nil || m.term.Serving {
		t.Errorf("stopped with %v, term %+v", err, m.term)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("Run may be called twice")
	}
}

func TestSoloStopsWhenTheDiskFails(t *testing.T) {
	m := newMemory(1)
	s, _ := startSolo(t, m)
	waitFor(t, "it serves", m.serving)
	m.mu.Lock()
	m.fail = errInjected
	m.mu.Unlock()
	m.propose([]byte("a"))
	waitFor(t, "the term ends", func() bool { return !m.serving() })
	if m.applied != 0 {
		t.Errorf("%s was committed, but is not on disk", m.applied)
	}
	_ = s
}

func TestSoloRefusesGaps(t *testing.T) {
	m := newMemory(1)
	s := NewSolo(0, m, m, nil, nil)
	s.Propose(0, []zab.Proposal{{Zxid: 2}})
	if err := s.Run(t.Context()); !errors.Is(err, zab.ErrZxid) {
		t.Errorf("Run: %v", err)
	}
}
