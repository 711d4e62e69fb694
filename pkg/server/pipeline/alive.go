package pipeline

import (
	"errors"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// touch notes that the session is in use. It is false when the session is known
// to have ended: then the request is dropped (ZooKeeperServer.java, touch;
// LearnerSessionTracker.java, touchSession). A leader asks here as well whether
// the session is served by this server, of what does not get to prepare.
func (c *Conn) touch(w *waiting) bool {
	p, cur := c.p, c.term
	id, timeout := c.session.Load(), int32(c.sessionTimeout.Load())
	if cur.local != nil && cur.local.Touch(id, timeout, p.monotonic()) {
		return true
	}
	if cur.leading() {
		err := cur.sessions.Use(id, timeout, p.monotonic(), p.cfg.Self)
		if errors.Is(err, proto.ErrSessionMoved) && (kindOf(w.Op) == readOp || w.Op == proto.OpSync) {
			w.refused = proto.ErrSessionMoved
		}
		return !errors.Is(err, proto.ErrSessionExpired)
	}
	if cur.local != nil && !p.global(id) && !cur.local.Upgrading(id) {
		return false
	}
	if !cur.ReadOnly {
		p.touched.Touch(id, timeout)
	}
	return true
}

// global tells whether a session is in the table that all servers have.
func (p *Pipeline) global(id int64) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, ok := p.tree.SessionTimeout(id)
	return ok
}

// screen picks out what this server answers by itself though it is of a kind
// that goes to the leader: the end of a local session and, without a leader,
// everything that does not just read (ReadOnlyRequestProcessor.java).
func (c *Conn) screen(w *waiting) {
	cur := c.term
	switch {
	case w.Op == proto.OpCloseSession && cur.local != nil && cur.local.Known(c.session.Load()):
		w.here = true
	case cur.ReadOnly && kindOf(w.Op) == writeOp:
		w.refused = proto.ErrNotReadOnly
	}
}
