package quorum

import (
	"errors"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// startLink registers a link and starts its goroutines. First is a packet that
// came by it already; without one the link is the one we dialled to our leader.
func (p *Peer) startLink(l *link, first ...zab.Packet) {
	p.links[l.sid] = l
	l.conn.moved = func() {
		p.inbox.put(func() {
			if p.links[l.sid] == l {
				p.zab.Heard(l.sid)
			}
		})
	}
	if p.place.Role == zab.Leading {
		key := sidKey(l.sid)
		l.queued = func(n int) { p.cfg.Metrics.LearnerQueue.Observe(key, int64(n)) }
	}
	ended := func(err error) { p.inbox.put(func() { p.drop(l, err) }) }
	p.running.Go(func() { ended(l.write(p.ctx)) })
	p.running.Go(func() { ended(p.read(l)) })
	for _, in := range first {
		p.step(l, in)
	}
}

// read hands the packets of a link to the loop until it ends.
func (p *Peer) read(l *link) error {
	for {
		in, err := readPacket(l.in, p.cfg.MaxPacket)
		if err != nil {
			return err
		}
		l.received.Add(1)
		if in.kind == typeRequest {
			l.requests.Add(1)
		}
		var with received
		switch in.kind {
		case typeSnap:
			if with.staged, err = l.readSnapshot(p.machine); err != nil {
				return err
			}
		case typeTrunc:
			with.unable = !p.machine.CanTruncate(zab.Zxid(in.zxid))
		}
		if !p.inbox.putWhenRoom(func() { p.receive(l, in, with) }) {
			discard(with.staged)
			return nil
		}
	}
}

// received is what a packet's reader found out while the loop went on.
type received struct {
	staged Staged // SNAP: what followed it
	unable bool   // TRUNC: the disk does not lead to its zxid
}

// receive takes a packet of the quorum port.
func (p *Peer) receive(l *link, in packet, with received) {
	staged := with.staged
	if p.links[l.sid] != l {
		discard(staged)
		return
	}
	if err := p.relay(l, in); err != nil {
		p.drop(l, err)
		return
	}
	message, ok, err := toZab(in)
	switch {
	case err != nil:
		p.drop(l, err)
		return
	case !ok:
		return
	}
	if err := p.addMembers(&message, in, staged); err != nil {
		p.drop(l, err)
		return
	}
	message.Unable = with.unable
	p.staged = staged
	p.step(l, message)
	if staged != nil {
		p.settle()
		discard(p.staged) // unless it is being installed
		p.staged = nil
	}
}

// step hands a packet to zab.
func (p *Peer) step(l *link, in zab.Packet) {
	in.From, in.To = l.sid, p.cfg.Self
	p.received(in)
	err := p.zab.Step(in)
	if err == nil {
		return
	}
	p.log.Warn("packet refused", "from", l.sid, "packet", in.Kind.String(), "zxid", in.Zxid.String(), "err", err)
	if errors.Is(err, zab.ErrCloseLink) && p.links[l.sid] == l {
		p.hangup(l.sid)
	}
}

// closeLinks ends everything on the quorum port, and what depends on it.
func (p *Peer) closeLinks() {
	if p.acceptor != nil {
		p.acceptor.close()
		p.acceptor = nil
	}
	p.giveUpDialling()
	for sid := range p.links {
		p.hangup(sid)
	}
	p.syncs = nil
}

// hangup closes the link to a server, or gives up dialling it. Zab is not told.
func (p *Peer) hangup(sid zab.Sid) {
	if d := p.dialling; d != nil && d.sid == sid {
		p.giveUpDialling()
	}
	if l := p.links[sid]; l != nil {
		delete(p.links, sid)
		l.close()
	}
}

// drop closes a link for a reason of ours or of its other end, and tells zab.
func (p *Peer) drop(l *link, err error) {
	if p.links[l.sid] != l {
		return
	}
	delete(p.links, l.sid)
	l.close()
	if benign(err) {
		p.log.Info("link ended", "with", l.sid)
	} else {
		p.log.Warn("link ended", "with", l.sid, "err", err)
	}
	p.zab.LinkDown(l.sid)
}

// errTooSlow says why a learner was dropped.
var errTooSlow = errors.New("it does not keep up: too much waits to be sent to it")
