package quorum

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/zkctl/zkctl/pkg/server/portuse"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// dialAny connects to the first of the addresses that answers; all are tried at
// once, and with TLS if secure says so. Names are resolved anew.
func dialAny(ctx context.Context, timeout time.Duration, addresses []string, secure *TLS) (net.Conn, error) {
	if len(addresses) == 0 {
		return nil, errors.New("no address is known")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(addresses))
	for _, a := range addresses {
		go func() {
			d := net.Dialer{Control: dropDeadConnections}
			conn, err := d.DialContext(ctx, "tcp", a)
			if err == nil {
				conn, err = secure.connect(ctx, conn, a)
			}
			results <- result{conn, err}
		}()
	}
	var winner net.Conn
	var failures []error
	for range addresses {
		r := <-results
		switch {
		case r.err != nil:
			failures = append(failures, r.err)
		case winner != nil:
			_ = r.conn.Close()
		default:
			winner = r.conn
			cancel()
		}
	}
	if winner == nil {
		return nil, errors.Join(failures...)
	}
	return winner, nil
}

// listenOn opens a port. When another process holds it the error says which.
func listenOn(ctx context.Context, address string, allIPs bool) (net.Listener, error) {
	if allIPs {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		address = net.JoinHostPort("", port)
	}
	lc := net.ListenConfig{Control: dropDeadConnections}
	l, err := lc.Listen(ctx, "tcp", address)
	return l, portuse.Explain(err, address)
}

// listenOnAll opens every address, or none.
func listenOnAll(ctx context.Context, addresses []string, allIPs bool) ([]net.Listener, error) {
	var open []net.Listener
	for _, a := range addresses {
		l, err := listenOn(ctx, a, allIPs)
		if err != nil {
			closeAll(open)
			return nil, err
		}
		open = append(open, l)
		if allIPs && samePort(addresses) {
			break // one listener takes them all
		}
	}
	return open, nil
}

// samePort reports whether all addresses have the same port.
func samePort(addresses []string) bool {
	var first string
	for i, a := range addresses {
		_, port, err := net.SplitHostPort(a)
		if err != nil || i > 0 && port != first {
			return false
		}
		first = port
	}
	return true
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// accept hands every connection to serve until the listener is closed. A failure
// to accept, such as for want of file descriptors, is retried after a pause.
func accept(ctx context.Context, l net.Listener, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			serve(conn)
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			pause(ctx, 50*time.Millisecond)
		}
	}
}

// pause waits, and reports whether it was left to wait the whole time.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// dialAttempt is one try to connect to the leader.
type dialAttempt struct {
	sid    zab.Sid
	cancel func()
}

// dialLeader starts one attempt to connect to the leader; zab hears the outcome.
func (p *Peer) dialLeader(sid zab.Sid) {
	p.giveUpDialling()
	ctx, cancel := context.WithCancel(p.ctx)
	attempt := &dialAttempt{sid: sid, cancel: cancel}
	p.dialling = attempt
	var addresses []string
	if m := p.directory.member(sid); m != nil {
		addresses = m.Quorum
	}
	wait := dialPause(p.vain)
	p.running.Go(func() {
		pause(ctx, wait)
		conn, err := dialAny(ctx, min(p.cfg.CnxTimeout, p.cfg.initTimeout()), addresses, p.cfg.TLS)
		release := func() {}
		if err == nil {
			release = closeWith(p.ctx, conn)
			err = p.logIn(ctx, conn)
		}
		p.inbox.put(func() { p.dialled(attempt, conn, release, err) })
	})
}

// logIn authenticates us to the leader, unless the attempt is given up meanwhile.
func (p *Peer) logIn(ctx context.Context, conn net.Conn) error {
	if p.cfg.SASL == nil {
		return nil
	}
	defer closeWith(ctx, conn)()
	_ = conn.SetDeadline(time.Now().Add(min(p.cfg.CnxTimeout, p.cfg.initTimeout())))
	err := p.cfg.SASL.login(conn)
	_ = conn.SetDeadline(time.Time{})
	return err
}

// dialPause is how long to wait before the leader is dialled after so many vain
// attempts to join one: what failed twice, such as a snapshot that cannot be read,
// would otherwise fail a thousand times a second.
func dialPause(vain int) time.Duration {
	const first, longest = 20 * time.Millisecond, time.Second
	if vain < 2 {
		return 0
	}
	return min(longest, first<<min(vain-2, 10))
}

// giveUpDialling makes the outcome of the attempt under way, if any, not count.
func (p *Peer) giveUpDialling() {
	if p.dialling != nil {
		p.dialling.cancel()
		p.dialling = nil
	}
}

// dialled takes the outcome of an attempt, unless it has been given up.
func (p *Peer) dialled(attempt *dialAttempt, conn net.Conn, release func(), err error) {
	release()
	if p.dialling != attempt {
		if conn != nil {
			_ = conn.Close()
		}
		return
	}
	p.giveUpDialling()
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		p.log.Log(p.ctx, p.complaints.unreached(attempt.sid, err), "cannot reach the leader", "leader", attempt.sid, "err", err)
		p.zab.LinkDown(attempt.sid)
		return
	}
	p.startLink(newLink(attempt.sid, newTimedConn(conn, p.cfg.initTimeout()), nil))
	p.zab.LinkUp(attempt.sid)
}

// closeWith closes a connection that no link owns yet when ctx ends, until the
// returned function is called.
func closeWith(ctx context.Context, conn net.Conn) (release func()) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return func() { stop() }
}
