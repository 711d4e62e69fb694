package quorum

import (
	"context"
	"errors"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// A soloRestore is another state on its way in.
type soloRestore struct {
	staged Staged
	zxid   zab.Zxid
	mark   uint64 // of the disk's job; 0 until everything proposed before is committed
	done   chan soloRestored
}

type soloRestored struct {
	zxid zab.Zxid
	err  error
}

// ErrRestoring is why a second restore has to wait.
var ErrRestoring = errors.New("another state is being restored")

// Restore puts a state, as [Machine.Receive] makes it, in place of what the
// server has. The machine's term ends, what was proposed is committed, the state
// becomes durable, and another term begins. The state is given the next zxid, or
// least if that is higher; Restore returns which. When the disk fails the server
// stops, as after any failure of it.
func (s *Solo) Restore(ctx context.Context, staged Staged, least zab.Zxid) (zab.Zxid, error) {
	r := &soloRestore{staged: staged, zxid: least, done: make(chan soloRestored, 1)}
	if !s.inbox.put(func() { s.beginRestore(r) }) {
		return 0, errors.New("the server is ending")
	}
	select {
	case out := <-r.done:
		return out.zxid, out.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *Solo) beginRestore(r *soloRestore) {
	switch {
	case s.failure != nil:
		r.done <- soloRestored{err: s.failure}
	case s.restore != nil:
		r.done <- soloRestored{err: ErrRestoring}
	default:
		s.idle()
		r.zxid = max(r.zxid, s.last+1)
		s.restore = r
		s.restoreOn(s.mark)
	}
}

// restoreOn goes on with a restore when the disk has done what it was waiting
// for.
func (s *Solo) restoreOn(mark uint64) {
	r := s.restore
	switch {
	case r == nil || len(s.pending) > 0:
	case r.mark == 0:
		s.mark++
		r.mark = s.mark
		s.disk.put(diskJob{mark: r.mark, install: &r.zxid, staged: r.staged})
	case mark >= r.mark:
		s.restore, s.last, s.epoch = nil, r.zxid, r.zxid.Epoch()
		s.log.Info("restored another state", "zxid", r.zxid.String())
		s.lead()
		r.done <- soloRestored{zxid: r.zxid}
	}
}
