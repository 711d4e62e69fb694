package quorum

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// acceptor listens on the quorum port. There is one for each time we lead and none
// otherwise: that the port is closed is how learners see that a leader is not yet
// one (Leader.java).
type acceptor struct {
	ctx   context.Context
	stop  context.CancelFunc
	ended chan struct{} // closed when the listeners are

	lobby lobby // connections that have yet to register

	anonymous zab.Sid // last number given to an observer without one; used by the loop
}

// openAcceptor starts to listen. A port that is in use, such as by our own last
// acceptor a moment ago, is retried for as long as we lead.
func (p *Peer) openAcceptor() *acceptor {
	a := &acceptor{ended: make(chan struct{})}
	a.ctx, a.stop = context.WithCancel(p.ctx)
	p.running.Go(func() {
		defer close(a.ended)
		listeners := p.bindQuorumPort(a.ctx)
		for _, l := range listeners {
			p.running.Go(func() {
				accept(a.ctx, l, func(conn net.Conn) {
					a.lobby.enter(conn)
					p.running.Go(func() { p.greet(a, conn) })
				})
			})
		}
		<-a.ctx.Done()
		closeAll(listeners)
	})
	return a
}

// close stops listening and waits until the port is free.
func (a *acceptor) close() {
	a.stop()
	<-a.ended
}

// bindQuorumPort opens our quorum addresses; it returns none only if ctx ends.
func (p *Peer) bindQuorumPort(ctx context.Context) []net.Listener {
	const slowest = time.Second
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, slowest) {
		listeners, err := listenOnAll(ctx, p.directory.member(p.cfg.Self).Quorum, p.cfg.ListenOnAllIPs)
		switch {
		case err == nil:
			return listeners
		case ctx.Err() != nil:
			return nil
		}
		p.log.Warn("cannot open the quorum port to lead, trying again", "err", err)
		if !pause(ctx, wait) {
			return nil
		}
	}
}

// errSlow closes who takes too long to say who it is.
var errSlow = errors.New("it did not register within initLimit")

// greet waits for a learner to register on a fresh connection.
func (p *Peer) greet(a *acceptor, raw net.Conn) {
	release := closeWith(a.ctx, raw)
	overdue := time.AfterFunc(p.cfg.initTimeout(), func() { _ = raw.Close() })
	conn, in, err := p.secured(a, raw)
	var first packet
	if err == nil {
		first, err = readPacket(in, maxGreeting)
	}
	a.lobby.leave(raw)
	if !overdue.Stop() {
		err = errSlow
	}
	info, packet, err := parseRegistration(first, err)
	if err == nil {
		p.inbox.put(func() {
			release()
			p.admit(a, conn, in, info, packet)
		})
		return
	}
	release()
	if !benign(err) {
		p.log.Log(a.ctx, p.complaints.level(hostOf(raw.RemoteAddr())), "connection to the quorum port refused", "from", raw.RemoteAddr().String(), "err", err)
	}
	_ = raw.Close()
}

// secured does what protects the port, before the first packet.
func (p *Peer) secured(a *acceptor, raw net.Conn) (*timedConn, *bufio.Reader, error) {
	safe, err := p.cfg.TLS.accept(a.ctx, raw, p.cfg.initTimeout())
	if err != nil {
		return nil, nil, err
	}
	conn := newTimedConn(safe, p.cfg.initTimeout())
	in := bufio.NewReaderSize(conn, linkBuffer)
	if p.cfg.SASL == nil {
		return conn, in, nil
	}
	user, err := p.cfg.SASL.authenticate(conn, in)
	return conn, in, p.judge(raw.RemoteAddr(), user, err)
}

// judge lets go on who has authenticated, and others if that is not required.
func (p *Peer) judge(from net.Addr, user string, err error) error {
	switch {
	case err == nil:
		p.log.Info("server authenticated on the quorum port", "from", from.String(), "user", user)
	case p.cfg.SASL.Require:
		return err
	default:
		p.log.Log(p.ctx, p.complaints.level(hostOf(from)), "connection to the quorum port taken without authentication, as quorum.auth.serverRequireSasl is not true",
			"from", from.String(), "err", err)
	}
	return nil
}

// parseRegistration reads a learner's first packet. A learner without a number has
// sid -1.
func parseRegistration(first packet, err error) (learnerInfo, zab.Packet, error) {
	if err != nil {
		return learnerInfo{}, zab.Packet{}, err
	}
	if first.kind != typeFollowerInfo && first.kind != typeObserverInfo {
		return learnerInfo{}, zab.Packet{}, fmt.Errorf("%w: the first packet is of type %d, not FOLLOWERINFO or OBSERVERINFO", errWire, first.kind)
	}
	p, _, err := toZab(first)
	if err != nil {
		return learnerInfo{}, zab.Packet{}, err
	}
	info := learnerInfo{sid: -1, version: protocolVersion}
	if first.data != nil {
		if info, err = parseLearnerInfo(first.data); err != nil {
			return learnerInfo{}, zab.Packet{}, err
		}
	}
	if info.version < protocolVersion {
		return learnerInfo{}, zab.Packet{}, errOldLearner
	}
	return info, p, nil
}

// admit makes a registered connection a link, in place of an older one. It runs on
// the loop.
func (p *Peer) admit(a *acceptor, conn *timedConn, in *bufio.Reader, info learnerInfo, first zab.Packet) {
	if p.acceptor != a { // of a term that is over
		_ = conn.Close()
		return
	}
	sid := zab.Sid(info.sid)
	if sid < 0 {
		a.anonymous--
		sid = a.anonymous
	}
	if old := p.links[sid]; old != nil {
		p.log.Info("learner came back by another connection", "sid", sid)
		old.close()
	}
	if p.cfg.Reconfig != nil {
		first.Members = &zab.Membership{Version: zab.Zxid(info.configVersion)}
	}
	p.startLink(newLink(sid, conn, in), first)
}
