package zab

import "fmt"

// NextZxid returns the zxid the next proposal must have; 0 when the peer does not
// lead and serve.
func (p *Peer) NextZxid() Zxid {
	lead := p.leading
	if lead == nil || lead.stage != established || lead.heir != nil {
		return 0
	}
	return max(p.history.logged, MakeZxid(lead.epoch, 0)) + 1
}

// Propose orders a transaction: it is logged here and on the followers and
// committed when a quorum, this server being part of it or not, has it on disk.
// The zxid must be NextZxid, and of one that changes the membership [Peer.CheckReconfig]
// has been asked. Errors: [ErrNotLeader]; [ErrZxid]; [ErrReconfig]; [ErrEpochFull],
// when the peer gives up leadership instead.
func (p *Peer) Propose(pr Proposal) error {
	lead := p.leading
	next := p.NextZxid()
	switch {
	case next == 0:
		return fmt.Errorf("propose %s: %w", pr.Zxid, ErrNotLeader)
	case pr.Zxid != next:
		return fmt.Errorf("propose %s: %w %s", pr.Zxid, ErrZxid, next)
	case pr.Members != nil && p.cfg.Reconfig && (pr.Members.Version != pr.Zxid || len(p.next) > 0):
		return fmt.Errorf("propose %s: %w: another is under way, or the version is not the zxid", pr.Zxid, ErrReconfig)
	case next.Counter() > p.cfg.EpochSize:
		p.look()
		return fmt.Errorf("propose %s: %w", pr.Zxid, ErrEpochFull)
	}
	p.see(pr.Members)
	p.log(pr)
	for _, l := range lead.learners {
		if l.receives() {
			p.sendProposal(l, pr)
		}
	}
	p.whenDurable(func() {
		lead.acked = pr.Zxid
		p.commitAcked()
	})
	return nil
}

func (p *Peer) sendProposal(l *learner, pr Proposal) {
	l.proposed(pr.Zxid)
	p.send(l.sid, Packet{Kind: Propose, Zxid: pr.Zxid, Data: pr.Data, Members: pr.Members})
}

// onAck takes the acknowledgement of a proposal, or of NEWLEADER.
func (p *Peer) onAck(l *learner, in Packet) error {
	switch {
	case l.stage < syncing:
		return p.drop(l, "ACK of %s before it was sent anything", in.Zxid)
	case in.Zxid == MakeZxid(p.leading.epoch, 0):
		p.onNewLeaderAck(l)
		return nil
	case in.Zxid.Counter() == 0 || in.Zxid <= 0 || in.Zxid > max(l.sent, l.last, p.history.committed):
		return p.drop(l, "ACK of %s, which it was not sent", in.Zxid)
	}
	l.acknowledged(in.Zxid)
	p.commitAcked()
	return nil
}

// commitAcked commits, in order, what a quorum has on disk. The ACK of a learner
// that has yet to take on this epoch's history does not count.
func (p *Peer) commitAcked() {
	lead := p.leading
	for lead.stage == established && lead.heir == nil && len(p.history.pending) > 0 {
		z := p.history.pending[0].Zxid
		if !p.hasQuorumFor(z, func(sid Sid) bool {
			if sid == p.cfg.Self {
				return lead.acked >= z
			}
			l := lead.learner(sid)
			return l != nil && l.stage >= synced && l.acked >= z
		}) {
			return
		}
		if pr := p.commitNext(); pr.Members == nil {
			p.publish(pr)
		} else {
			p.reconfigure(pr)
		}
	}
}

// reconfigure puts a committed membership in force here and tells the learners to
// do the same. When it designates another leader nothing more is committed: our time
// is over when that one has left us, or a little later.
func (p *Peer) reconfigure(pr Proposal) {
	designated := p.designate(pr.Members, pr.Zxid)
	for _, l := range p.leading.learners {
		out := Packet{Kind: CommitAndActivate, Zxid: pr.Zxid, Leader: designated}
		if l.observer {
			out = Packet{Kind: InformAndActivate, Zxid: pr.Zxid, Data: pr.Data, Leader: designated, Members: pr.Members}
		}
		if l.stage >= syncing {
			p.send(l.sid, out)
		}
	}
	p.activate(pr.Members)
	if designated != p.cfg.Self {
		p.leading.heir, p.leading.wait = &designated, p.cfg.TickTime
	}
}

// publish tells the learners that a proposal is committed.
func (p *Peer) publish(pr Proposal) {
	for _, l := range p.leading.learners {
		switch {
		case l.stage < syncing:
		case l.observer:
			p.send(l.sid, Packet{Kind: Inform, Zxid: pr.Zxid, Data: pr.Data})
		default:
			p.send(l.sid, Packet{Kind: Commit, Zxid: pr.Zxid})
		}
	}
}
