package pipeline

import (
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// A prepItem is work for the prepare goroutine: a write or sync, or the begin
// or end of a term in which this server leads.
type prepItem struct {
	begin *leading
	end   bool
	write write
	conn  *Conn // for a sync of a client connected here
	since int64 // when it was queued, in ns on the pipeline's clock
}

// leading is what the prepare goroutine keeps for a term.
type leading struct {
	epoch int64
	prep  *preparer
}

func (p *Pipeline) newPreparer(t *term) *leading {
	prep := &preparer{
		auth: p.cfg.Auth, quotas: p.newQuotas(), sessions: t.sessions, local: t.local, self: p.cfg.Self,
		kinds: p.kinds(), digests: p.cfg.Digests, noPaths: p.cfg.NoClosePaths,
		now: func() int64 { return time.Now().UnixMilli() }, monotonic: p.monotonic, next: int64(t.Next),
	}
	prep.changes.byPath = make(map[string]*change)
	return &leading{epoch: t.Epoch, prep: prep}
}

func (p *Pipeline) prepareLoop() {
	var items []prepItem
	var cur *leading
	for {
		var ok bool
		if items, ok = p.writes.take(items); !ok {
			return
		}
		p.m.PrepQueueSize.Observe(int64(len(items)))
		for len(items) > 0 {
			switch it := &items[0]; {
			case it.begin != nil:
				cur = it.begin
				p.mu.RLock()
				cur.prep.changes.digest = p.tree.Digest()
				p.mu.RUnlock()
				items = items[1:]
			case it.end:
				cur = nil
				items = items[1:]
			case cur == nil:
				items = items[1:] // of a term that has ended
			default:
				items = items[p.prepareBatch(cur, items):]
			}
		}
	}
}

// txnRoom is how many bytes most transactions take beside what their requests
// hold: header, digest, and the counters that replace those of the request.
const txnRoom = txn.HeaderSize + 32

// prepareBatch handles the writes at the front of items and returns how many.
func (p *Pipeline) prepareBatch(cur *leading, items []prepItem) int {
	var out []zab.Proposal
	n, start := 0, time.Since(p.start)
	p.mu.RLock()
	cur.prep.changes.tree = p.tree
	cur.prep.changes.settle(p.tree.LastZxid())
	var unreadable *prepItem
	for n < len(items) && n < applyBatch && items[n].batched() {
		t := cur.prep.prepare(&items[n].write)
		if t == nil {
			unreadable = &items[n]
			n++
			break
		}
		out = append(out, zab.Proposal{Zxid: zab.Zxid(t.Zxid), Data: t.Append(make([]byte, 0, len(items[n].write.Body)+txnRoom))})
		n++
	}
	p.mu.RUnlock()
	p.countPrepared(items[:n], start)
	if len(out) > 0 {
		p.order.Propose(cur.epoch, out)
	}
	if unreadable != nil {
		p.refuseUnreadable(cur, unreadable)
		return n
	}
	if n == len(items) || items[n].begin != nil || items[n].end {
		return n
	}
	switch items[n].write.Op {
	case proto.OpSync:
		p.orderSync(cur, &items[n])
		n++
	case proto.OpReconfig:
		p.prepareReconfig(cur, &items[n])
		n++
	}
	return n
}

// refuseUnreadable answers a write that makes no transaction, in its turn.
func (p *Pipeline) refuseUnreadable(cur *leading, it *prepItem) {
	conn, xid := it.conn, it.write.Cxid
	p.order.Sync(cur.epoch, p.cfg.Self, func() { p.whenApplied(func() { conn.refuseWrite(xid, proto.ErrMarshalling) }) })
}

// batched tells whether an item is a write that needs nobody but the preparer.
func (it *prepItem) batched() bool {
	return it.begin == nil && !it.end && it.write.Op != proto.OpSync && it.write.Op != proto.OpReconfig
}

// orderSync asks the order to tell when everything proposed so far has been
// committed.
func (p *Pipeline) orderSync(cur *leading, it *prepItem) {
	if it.conn == nil {
		p.order.Sync(cur.epoch, it.write.from, nil)
		return
	}
	s := pendingSync{conn: it.conn, xid: it.write.Cxid}
	p.order.Sync(cur.epoch, p.cfg.Self, func() { p.completeSync(s) })
}

// completeSync answers a sync once what was committed before it is applied.
func (p *Pipeline) completeSync(s pendingSync) { p.whenApplied(func() { s.conn.synced(s.xid) }) }

// whenApplied calls f, as applied is called, once what is committed is applied.
func (p *Pipeline) whenApplied(f func()) {
	p.applying.put(applyItem{run: func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		f()
	}})
}

// Request implements [quorum.Machine].
func (p *Pipeline) Request(from zab.Sid, r quorum.Request) {
	p.queueWrite(prepItem{write: write{Request: r, from: from}})
}

// Revalidate implements [quorum.Machine].
func (p *Pipeline) Revalidate(from zab.Sid, id int64, timeout int32) bool {
	cur := p.term.Load()
	return cur != nil && cur.leading() && p.revalidate(cur, from, id, timeout)
}

func (p *Pipeline) revalidate(cur *term, from zab.Sid, id int64, timeout int32) bool {
	return cur.sessions.Touch(id, timeout, p.monotonic()) && cur.sessions.SetOwner(id, from) == nil
}

// Touch implements [quorum.Machine].
func (p *Pipeline) Touch(from zab.Sid, sessions []quorum.Touch) {
	cur := p.term.Load()
	if cur == nil || !cur.leading() {
		return
	}
	now := p.monotonic()
	for _, s := range sessions {
		cur.sessions.TouchBy(from, s.Session, s.Timeout, now)
	}
}

// Touched implements [quorum.Machine].
func (p *Pipeline) Touched() []quorum.Touch {
	heard := p.touched.Drain(nil)
	out := make([]quorum.Touch, 0, len(heard))
	for _, t := range heard {
		out = append(out, quorum.Touch(t))
	}
	return out
}

// Synced implements [quorum.Machine].
func (p *Pipeline) Synced() {
	cur := p.term.Load()
	if cur == nil {
		return
	}
	if s, ok := cur.syncs.pop(); ok {
		p.completeSync(s)
	}
}

// Revalidated implements [quorum.Machine].
func (p *Pipeline) Revalidated(id int64, valid bool) {
	if c := p.conns.get(id); c != nil {
		c.revalidated(valid)
	}
}

// closeSession ends a session by the leader's own decision.
func (p *Pipeline) closeSession(id int64) {
	p.queueWrite(prepItem{write: write{from: p.cfg.Self, Request: quorum.Request{Session: id, Op: proto.OpCloseSession}}})
}

// expiryPause is how often sessions are looked through: a quarter of the time
// between two of their expiries.
func (p *Pipeline) expiryPause() time.Duration { return max(p.cfg.TickTime/4, 10*time.Millisecond) }

// expireLoop closes the sessions that were silent for their timeout.
func (p *Pipeline) expireLoop(cur *term) {
	tick := time.NewTicker(p.expiryPause())
	defer tick.Stop()
	for {
		select {
		case <-cur.stop:
			return
		case <-tick.C:
		}
		_ = cur.do(func() { // an ended term expires nothing
			for _, id := range cur.sessions.Expired(p.monotonic()) {
				p.log.Info("session expired", "session", sessionText(id))
				p.m.SessionsExpired.Inc()
				p.closeSession(id)
			}
		})
	}
}

// containerLoop removes empty containers and TTL znodes whose time is over
// (ContainerManager.java).
func (p *Pipeline) containerLoop(cur *term) {
	if p.cfg.ContainerCheck <= 0 {
		return
	}
	tick := time.NewTicker(p.cfg.ContainerCheck)
	defer tick.Stop()
	for {
		select {
		case <-cur.stop:
			return
		case <-tick.C:
		}
		p.mu.RLock()
		paths := p.tree.ContainerCandidates(time.Now().UnixMilli(), p.cfg.ContainerMaxNeverUsed.Milliseconds())
		p.mu.RUnlock()
		if n := p.containersAtOnce(); n > 0 && len(paths) > n {
			paths = paths[:n]
		}
		_ = cur.do(func() { // nor does it delete
			for _, path := range paths {
				p.queueWrite(prepItem{write: write{from: p.cfg.Self, Request: quorum.Request{
					Op: proto.OpDeleteContainer, Body: jute.AppendString(nil, path)}}})
			}
		})
	}
}

// containersAtOnce is how many containers may go in one look at them.
func (p *Pipeline) containersAtOnce() int {
	perMinute := time.Duration(p.cfg.ContainersPerMinute)
	if perMinute <= 0 {
		return 0
	}
	return int(max(perMinute*p.cfg.ContainerCheck/time.Minute, 1))
}
