package quorum

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// BenchmarkPropose orders transactions of 100 bytes through three servers whose
// disks are memory; up to 1000 are under way.
func BenchmarkPropose(b *testing.B) {
	e := newEnsemble(b, 3, 0)
	for _, s := range e.servers {
		s.cfg.Logger = slog.New(slog.DiscardHandler)
		s.count = true
	}
	e.start(e.all()...)
	leader := e.leader()
	data := bytes.Repeat([]byte("x"), 100)
	window := make(chan struct{}, 1000)
	leader.mu.Lock()
	leader.committed = func(ps []zab.Proposal) {
		for range ps {
			<-window
		}
	}
	leader.mu.Unlock()
	for b.Loop() {
		window <- struct{}{}
		leader.propose(data)
	}
}
