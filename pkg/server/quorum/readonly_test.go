package quorum

import (
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// TestReadOnly lets servers look for a leader in vain, and then find one.
func TestReadOnly(t *testing.T) {
	e := newEnsemble(t, 3, 1)
	for _, sid := range []zab.Sid{3, 4} { // an observer as well
		e.servers[sid].cfg.ReadOnly = true
		e.servers[sid].cfg.ReadOnlyWait = 100 * time.Millisecond
	}
	readOnly := func(sid zab.Sid) bool {
		return view(e.servers[sid].memory, func() bool { return e.servers[sid].term.ReadOnly })
	}
	e.start(3, 4)
	for _, sid := range []zab.Sid{3, 4} {
		waitFor(t, "reads are served", func() bool { return readOnly(sid) })
		if e.servers[sid].serving() {
			t.Errorf("server %d serves without a leader", sid)
		}
	}
	e.start(2)
	e.write(e.leader(), 10, "x")
	for _, sid := range []zab.Sid{2, 3, 4} {
		waitFor(t, "everything is served", e.servers[sid].serving)
		if readOnly(sid) {
			t.Errorf("server %d serves reads only", sid)
		}
	}
	e.halt(e.servers[2])
	e.start(1) // 3 may lead at once, or look for a while
	e.write(e.leader(), 10, "y")
	e.halt(e.servers[1])
	waitFor(t, "reads are served again", func() bool { return readOnly(3) })
}

// TestReadOnlyOff is what a server does that was not told to serve reads.
func TestReadOnlyOff(t *testing.T) {
	p := &Peer{cfg: Config{ReadOnlyWait: time.Second}}
	p.offerReads(time.Now().Add(time.Hour))
	if p.readOnly {
		t.Error("reads are served")
	}
	for _, c := range []struct {
		tick, wait, want time.Duration
	}{{200 * time.Millisecond, 0, 2 * time.Second}, {3 * time.Second, 0, 3 * time.Second}, {3 * time.Second, 1, 1}} {
		if got := (Config{TickTime: c.tick, ReadOnlyWait: c.wait}).withDefaults().ReadOnlyWait; got != c.want {
			t.Errorf("with ticks of %s: %s, want %s", c.tick, got, c.want)
		}
	}
}
