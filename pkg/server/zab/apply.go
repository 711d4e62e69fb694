package zab

import "fmt"

// tail is the last proposal received from the leader, or else logged.
func (p *Peer) tail() Zxid {
	if q := p.following.queue; len(q) > 0 {
		return q[len(q)-1].Zxid
	}
	return p.history.logged
}

// accept reports whether a proposal is the next one; one that we have is not, and
// is no fault. A gap is never accepted, nor is, once in service, another epoch.
func (p *Peer) accept(in Packet) (bool, error) {
	f, tail := p.following, p.tail()
	switch {
	case f.stage < catchingUp:
		return false, p.leave("%s %s before DIFF, TRUNC or SNAP", in.Kind, in.Zxid)
	case in.Zxid <= tail:
		return false, nil
	case !tail.precedes(in.Zxid) || in.Zxid.Epoch() > f.epoch || f.stage == inService && in.Zxid.Epoch() != f.epoch:
		return false, p.leave("%s %s cannot follow %s in epoch %d", in.Kind, in.Zxid, tail, f.epoch)
	}
	return true, nil
}

// onPropose takes a proposal: during synchronisation aside, later to the log.
func (p *Peer) onPropose(in Packet) error {
	f := p.following
	if f.stage == inService && p.isObserver() {
		return fmt.Errorf("%w: PROPOSAL %s sent to an observer: ignored", ErrProtocol, in.Zxid)
	}
	if ok, err := p.accept(in); !ok {
		return err
	}
	pr := Proposal{in.Zxid, in.Data, in.Members}
	p.see(in.Members)
	if f.stage == inService {
		p.logAndAck(pr)
	} else {
		f.queue = append(f.queue, pr)
	}
	return nil
}

// logAndAck logs a proposal and acknowledges it when it is on disk.
func (p *Peer) logAndAck(pr Proposal) {
	p.log(pr)
	leader := p.following.leader
	p.whenDurable(func() { p.send(leader, Packet{Kind: Ack, Zxid: pr.Zxid}) })
}

// onCommit applies the oldest uncommitted proposal, which must be the one meant.
func (p *Peer) onCommit(in Packet) error {
	f := p.following
	if f.stage < catchingUp {
		return p.leave("COMMIT %s before DIFF, TRUNC or SNAP", in.Zxid)
	}
	done, open := p.history.committed, p.history.pending
	if f.stage != inService {
		open = f.queue[f.ready:]
		if f.ready > 0 {
			done = f.queue[f.ready-1].Zxid
		}
	}
	switch {
	case in.Zxid <= done:
		return nil // a repetition
	case len(open) == 0 || open[0].Zxid != in.Zxid:
		return p.leave("COMMIT %s does not match what follows %s", in.Zxid, done)
	}
	members := open[0].Members
	if f.stage == inService {
		p.commitNext()
	} else {
		f.ready++
	}
	if in.Kind == CommitAndActivate {
		p.obey(in, members)
	}
	return nil
}

// obey puts a committed membership in force, and follows whom it designates.
func (p *Peer) obey(in Packet, m *Membership) {
	changed := p.activate(m)
	switch {
	case !p.cfg.Reconfig:
	case p.following.stage == inService && in.Leader != p.following.leader && p.votes(in.Leader):
		p.handOver(in.Leader)
	case changed || in.Leader != p.following.leader:
		p.look()
	}
}

// onInform takes a committed proposal: an observer logs and applies it.
func (p *Peer) onInform(in Packet) error {
	f := p.following
	if !p.isObserver() {
		return p.leave("INFORM %s sent to a follower", in.Zxid)
	}
	if ok, err := p.accept(in); !ok {
		return err
	}
	pr := Proposal{in.Zxid, in.Data, in.Members}
	p.see(in.Members)
	switch {
	case f.stage == inService:
		p.log(pr)
		p.commitNext()
	case f.ready < len(f.queue):
		return p.leave("INFORM %s while %s is not committed", in.Zxid, f.queue[f.ready].Zxid)
	default:
		f.queue, f.ready = append(f.queue, pr), f.ready+1
	}
	if in.Kind == InformAndActivate {
		p.obey(in, in.Members)
	}
	return nil
}
