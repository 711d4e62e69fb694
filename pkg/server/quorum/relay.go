package quorum

import (
	"slices"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// relay takes what a packet says beside zab's part: requests, sessions, syncs.
func (p *Peer) relay(l *link, in packet) error {
	if p.place.Role == zab.Leading {
		return p.relayToLeader(l, in)
	}
	return p.relayToLearner(in)
}

// relayToLeader takes what a learner asks of the leader's machine.
func (p *Peer) relayToLeader(l *link, in packet) error {
	switch in.kind {
	case typeRequest:
		r, err := parseRequest(in)
		if err != nil {
			return err
		}
		if p.place.Serving {
			p.machine.Request(l.sid, r)
		}
	case typeRevalidate:
		session, timeout, err := parseRevalidate(in.data)
		if err != nil {
			return err
		}
		p.cfg.Metrics.Revalidate.Inc()
		valid := p.place.Serving && p.machine.Revalidate(l.sid, session, timeout)
		p.queue(l, outItem{packet: revalidatedPacket(session, valid)})
	case typePing:
		touches, err := parseTouches(in.data)
		if err != nil {
			return err
		}
		if p.place.Serving && len(touches) > 0 {
			p.machine.Touch(l.sid, touches)
		}
	}
	return nil
}

// relayToLearner takes the leader's answers. Those to syncs come behind the
// commits they wait for.
func (p *Peer) relayToLearner(in packet) error {
	switch in.kind {
	case typeSync:
		p.settle()
		p.whenBased(p.machine.Synced)
	case typeRevalidate:
		session, valid, err := parseRevalidated(in.data)
		if err != nil {
			return err
		}
		p.machine.Revalidated(session, valid)
	}
	return nil
}

// Propose orders transactions, see [Order].
func (p *Peer) Propose(epoch int64, ps []zab.Proposal) {
	p.inbox.put(func() { p.propose(epoch, ps) })
}

func (p *Peer) propose(epoch int64, ps []zab.Proposal) {
	if !p.leads(epoch) {
		return
	}
	for _, pr := range ps {
		var err error
		if pr.Members, err = p.cfg.Reconfig.MembersOf(pr.Data); err == nil {
			err = p.zab.Propose(pr)
		}
		switch {
		case err == nil:
			p.counts.proposalSizes.add(len(pr.Data))
			p.proposed(pr.Zxid)
		case p.zab.NextZxid() == 0: // we have stepped down
			p.log.Info("proposals dropped", "from", pr.Zxid.String(), "err", err)
			return
		default: // what the machine and the ensemble think they agreed on would differ
			p.fail(err)
			return
		}
	}
}

// leads reports whether the machine's term of that epoch is still on.
func (p *Peer) leads(epoch int64) bool {
	return p.place.Role == zab.Leading && p.place.Serving && p.place.Epoch == epoch
}

// pendingSync is a client's sync that the leader has not answered.
type pendingSync struct {
	after zab.Zxid // the last proposal when it came; answered once that is committed
	from  zab.Sid
	done  func()
}

// Sync answers once everything proposed so far is committed, see [Order].
func (p *Peer) Sync(epoch int64, from zab.Sid, done func()) {
	p.inbox.put(func() {
		if next := p.zab.NextZxid(); next != 0 && p.leads(epoch) {
			p.syncs = append(p.syncs, pendingSync{after: next - 1, from: from, done: done})
		}
	})
}

// answerSyncs answers, in order, the syncs of a server that came before a zxid was
// proposed. It is called when what they wait for has been committed, and before
// that server is told of the zxid: COMMITs and answers go in the order in which
// writes and syncs came (Leader.java, tryToCommit).
func (p *Peer) answerSyncs(of zab.Sid, before zab.Zxid) {
	p.syncs = slices.DeleteFunc(p.syncs, func(s pendingSync) bool {
		if s.from != of || s.after >= before {
			return false
		}
		p.answerSync(s)
		return true
	})
}

// answerCommitted answers the syncs for which everything is committed. It runs when
// all that zab asked for is done.
func (p *Peer) answerCommitted() {
	p.syncs = slices.DeleteFunc(p.syncs, func(s pendingSync) bool {
		if s.after.Counter() != 0 && s.after > p.applied {
			return false
		}
		p.answerSync(s)
		return true
	})
}

func (p *Peer) answerSync(s pendingSync) {
	if s.from != p.cfg.Self {
		if l := p.links[s.from]; l != nil {
			p.queue(l, outItem{packet: packet{kind: typeSync}})
		}
	}
	if s.done != nil {
		s.done()
	}
}

// Forward sends a client's request to the leader, see [Order].
func (p *Peer) Forward(r Request) {
	p.inbox.put(func() { p.toLeader(requestPacket(r)) })
}

// Revalidate asks the leader about a session, see [Order].
func (p *Peer) Revalidate(session int64, timeout int32) {
	p.inbox.put(func() { p.toLeader(revalidatePacket(session, timeout)) })
}

// toLeader queues a packet for the leader; without a link the term is over anyway.
func (p *Peer) toLeader(out packet) {
	if p.place.Role == zab.Leading || !p.place.Serving {
		return
	}
	if l := p.links[p.place.Leader]; l != nil {
		p.queue(l, outItem{packet: out})
	}
}
