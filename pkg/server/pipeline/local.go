package pipeline

import (
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
)

// checkSession says whether the session may write. With local sessions one
// that is unknown may be another server's.
//
// Source: LeaderSessionTracker.java (checkSession).
func (p *preparer) checkSession(w *write) error {
	if p.local != nil {
		if known := p.sessions.Known(w.Session); p.local.Known(w.Session) {
			// While it is being upgraded it is both.
			if err := p.local.CheckOwner(w.Session, w.from); err != nil || !known {
				return err
			}
		} else if !known && w.Session>>56 != int64(p.self) {
			return nil
		}
	}
	return p.sessions.CheckOwner(w.Session, w.from)
}

// checkCreator says whether the session may create such a znode: an ephemeral
// one needs a session that all servers know (PrepRequestProcessor.java,
// validateCreateRequest).
func (p *preparer) checkCreator(m createMode, w *write) error {
	switch {
	case !m.ephemeral:
		return p.checkSession(w)
	case w.barred:
		return proto.ErrEphemeralOnLocal
	}
	return p.sessions.CheckOwner(w.Session, w.from)
}

// upgrade makes a local session one that all servers know, ahead of a request
// that creates an ephemeral znode, or notes why the request will fail.
//
// Source: QuorumZooKeeperServer.java (checkUpgradeSession).
func (c *Conn) upgrade(w *waiting) error {
	cur, id := c.term, c.session.Load()
	if !cur.local.Known(id) || !createsEphemeral(w) {
		return nil
	}
	if !c.p.cfg.LocalUpgrade {
		w.barred = true
		return nil
	}
	timeout, ok := cur.local.Upgrade(id, func(timeout int32) {
		if cur.leading() {
			cur.sessions.Add(id, timeout, c.p.monotonic())
		}
	})
	if !ok {
		return nil
	}
	c.p.log.Info("a local session becomes a global one", "session", sessionText(id))
	return c.submit(write{Request: quorum.Request{Session: id, Op: proto.OpCreateSession, Body: jute.AppendInt(nil, timeout)}})
}

// createsEphemeral looks for ephemeral znodes in a create or multi. What cannot
// be read fails later.
func createsEphemeral(w *waiting) bool {
	var ops []proto.MultiOp
	d := jute.NewDecoder(w.body)
	switch w.Op {
	case proto.OpCreate, proto.OpCreate2:
		if op, err := decodeWrite(w.Op, d); err == nil {
			ops = append(ops, op)
		}
	case proto.OpMulti:
		ops, _ = decodeMulti(d)
	}
	for _, op := range ops {
		r, ok := op.Body.(*proto.CreateRequest)
		if !ok || op.Op != proto.OpCreate && op.Op != proto.OpCreate2 {
			continue
		}
		if m, err := parseMode(r.Flags); err == nil && m.ephemeral {
			return true
		}
	}
	return false
}

// expireLocalLoop ends the local sessions that were silent for their timeout.
func (p *Pipeline) expireLocalLoop(cur *term) {
	tick := time.NewTicker(p.expiryPause())
	defer tick.Stop()
	for {
		select {
		case <-cur.stop:
			return
		case <-tick.C:
		}
		for _, id := range cur.local.Expired(p.monotonic()) {
			p.log.Info("local session expired", "session", sessionText(id))
			p.m.SessionsExpired.Inc()
			cur.local.Remove(id)
			if c := p.conns.get(id); c != nil && c.term == cur {
				c.Close()
			}
		}
	}
}
