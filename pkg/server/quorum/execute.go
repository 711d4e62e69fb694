package quorum

import (
	"slices"
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// execute does what one Ready asks for, in the order that zab.Ready tells.
func (p *Peer) execute(r zab.Ready) {
	if r.Role != nil && !r.Role.Serving {
		p.enter(*r.Role)
	}
	if r.Seen != nil || r.Activate != nil {
		p.takeMembers(r.Seen, r.Activate)
	}
	if r.NeedsDisk() {
		p.toDisk(r)
	}
	p.commit(r.Commit)
	for _, out := range r.Send {
		switch out.Kind {
		case zab.Commit, zab.Inform, zab.CommitAndActivate, zab.InformAndActivate:
			p.answerSyncs(out.To, out.Zxid)
		}
		p.send(out)
	}
	for _, sid := range r.Hangup {
		p.hangup(sid)
	}
	if r.Dial != nil {
		p.dialLeader(*r.Dial)
	}
	if r.Role != nil && r.Role.Serving {
		p.enter(*r.Role)
	}
}

// commit gives the machine what is committed. The answer to a sync goes between
// what was proposed before it and what was proposed after: a client that asks for
// a sync, a write and a read without waiting is not to read what it wrote later.
func (p *Peer) commit(ps []zab.Proposal) {
	for len(ps) > 0 {
		part := ps[:p.untilSync(ps)]
		if len(part) > 0 {
			p.whenBased(func() { p.machine.Commit(part) })
			p.applied = part[len(part)-1].Zxid
			p.committed(part)
		}
		if ps = ps[len(part):]; len(ps) > 0 {
			p.answerSyncs(p.cfg.Self, ps[0].Zxid)
		}
	}
}

// untilSync is how many of the proposals came before the oldest sync of a client of
// this server.
func (p *Peer) untilSync(ps []zab.Proposal) int {
	for _, s := range p.syncs {
		if s.from != p.cfg.Self {
			continue
		}
		if i := slices.IndexFunc(ps, func(pr zab.Proposal) bool { return pr.Zxid > s.after }); i >= 0 {
			return i
		}
		break
	}
	return len(ps)
}

// toDisk queues a Ready's work for the disk.
func (p *Peer) toDisk(r zab.Ready) {
	job := diskJob{mark: r.Mark, truncate: r.Truncate, install: r.Install, proposals: r.Append, epochs: r.Epochs, members: p.keep(r)}
	if r.Install != nil {
		job.staged, p.staged = p.staged, nil
	}
	if r.Truncate != nil || r.Install != nil {
		p.rebasing = r.Mark
	}
	p.disk.put(job)
}

// enter takes up a role: it opens or closes the quorum port and tells the machine.
func (p *Peer) enter(place zab.RoleChange) {
	now := time.Now()
	switch {
	case place.Role == zab.Looking:
		p.counts.lookingSince = now
		p.closeLinks()
	case p.place.Role == zab.Looking:
		p.counts.electionTime = now.Sub(p.counts.lookingSince)
	}
	if place.Role == zab.Leading && p.acceptor == nil {
		p.acceptor = p.openAcceptor()
	}
	p.countJoins(place)
	p.entered(place, now)
	p.place, p.readOnly = place, false
	term := Term{RoleChange: place}
	if place.Role == zab.Leading && place.Serving {
		term.Next = p.zab.NextZxid()
	}
	p.log.Info("role", "role", place.Role.String(), "phase", place.Phase.String(), "leader", leaderText(place.Leader),
		"epoch", place.Epoch, "serving", place.Serving)
	p.whenBased(func() { p.machine.Term(term) })
	p.publish()
}

// countJoins counts how often in a row we left a leader before we served under it.
func (p *Peer) countJoins(next zab.RoleChange) {
	learner := p.place.Role == zab.Following || p.place.Role == zab.Observing
	switch {
	case next.Serving:
		p.vain = 0
	case next.Role == zab.Looking && learner && !p.place.Serving:
		p.vain++
	}
}

// leaderText is a leader's sid for a log line.
func leaderText(sid zab.Sid) any {
	if sid == zab.None {
		return "none"
	}
	return int64(sid)
}

// send passes a packet on to the port it belongs to.
func (p *Peer) send(out zab.Packet) {
	if out.Kind == zab.Notification {
		p.election.send(out)
		return
	}
	l := p.links[out.To]
	if l == nil {
		return // the link ended meanwhile; zab has been told
	}
	if out.Kind == zab.Ping && p.place.Role != zab.Leading {
		out.Data = appendTouches(p.machine.Touched())
	}
	item := outItem{packet: fromZab(out)}
	if item.catchUp = p.catchUp(l, out.Log); item.catchUp == nil {
		p.countSync(out.Kind)
	}
	if out.Kind == zab.Snap {
		item.snapshot = p.takeSnapshot()
		l.sending.Store(true)
	}
	p.queue(l, item)
	switch {
	case out.Kind == zab.NewLeader:
		l.synced = true
	case out.Kind == zab.Ack && p.place.Role != zab.Leading:
		l.conn.timeout.Store(int64(p.cfg.syncTimeout()))
	case out.Kind == zab.UpToDate:
		l.conn.timeout.Store(int64(p.cfg.syncTimeout()))
	}
}

// queue lets an item wait for a link's writer. What the synchronisation itself
// needs is bounded by zab's window; the rest is bounded here.
func (p *Peer) queue(l *link, item outItem) {
	bound := 0
	if l.synced {
		bound = p.cfg.QueueBytes
	}
	if l.sending.Load() {
		bound *= 8
	}
	if !l.out.put(item, bound) {
		p.drop(l, errTooSlow)
	}
}

// takeSnapshot asks the machine for a snapshot of what has been committed so far.
func (p *Peer) takeSnapshot() <-chan snapshotResult {
	result := make(chan snapshotResult, 1)
	p.whenBased(func() {
		s, err := p.machine.Snapshot()
		result <- snapshotResult{s, err}
	})
	return result
}
