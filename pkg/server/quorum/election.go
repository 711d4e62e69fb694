package quorum

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// election holds the connections of the election port (QuorumCnxManager.java).
// There is one for each pair of servers and the larger sid dials it: a smaller one
// that wants to talk dials, introduces itself and hangs up, which makes the larger
// one dial back. Only the newest message to a server waits to be sent, and the
// last one sent is repeated on a fresh connection.
type election struct {
	cfg     Config
	log     *slog.Logger
	deliver func(zab.Packet) bool // hands a notification on; false when nobody listens any more
	inForce func() zab.Zxid       // version of the membership in force
	*directory

	ctx       context.Context
	stop      context.CancelFunc
	running   sync.WaitGroup
	listeners []net.Listener
	lobby     lobby // accepted connections that have yet to introduce themselves

	complaints complaints

	mu        sync.Mutex
	others    map[zab.Sid]*correspondent
	anonymous zab.Sid // last number given to an observer without one
}

const (
	maxGreetings = 128 // connections that may be introducing themselves at a time, on each port
	maxStrangers = 64  // connected servers that are not in the configuration

	bindPause = time.Second // between tries to open the election port
)

// openElection binds our election port and starts to accept. It retries a port
// that is in use, BindTries times.
func openElection(ctx context.Context, cfg Config, d *directory, inForce func() zab.Zxid, deliver func(zab.Packet) bool) (*election, error) {
	e := &election{
		cfg: cfg, log: cfg.Logger.With("port", "election"), deliver: deliver, directory: d, inForce: inForce,
		others: map[zab.Sid]*correspondent{},
	}
	for try := 1; ; try++ {
		var err error
		if e.listeners, err = listenOnAll(ctx, d.member(cfg.Self).Election, cfg.ListenOnAllIPs); err == nil {
			break
		}
		if try == cfg.BindTries {
			return nil, fmt.Errorf("open the election port after %d tries: %w", try, err)
		}
		e.log.Warn("cannot open the election port, trying again", "err", err)
		if !pause(ctx, bindPause) {
			return nil, ctx.Err()
		}
	}
	e.ctx, e.stop = context.WithCancel(ctx)
	for _, l := range e.listeners {
		e.running.Go(func() { accept(e.ctx, l, e.accepted) })
	}
	return e, nil
}

// close ends all connections and waits for the goroutines.
func (e *election) close() {
	e.stop()
	e.mu.Lock()
	closeAll(e.listeners)
	for _, c := range e.others {
		if c.conn != nil {
			c.conn.close()
		}
	}
	e.mu.Unlock()
	e.running.Wait()
}

// send lets a notification wait for the next moment it can be sent to its
// receiver, in place of an older one, and sees to it that there is a connection.
func (e *election) send(p zab.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.correspondent(p.To)
	if c == nil {
		return
	}
	c.pending = appendNotification(nil, p, withVersion(p.Members))
	if c.conn != nil {
		c.conn.wakeUp()
		return
	}
	e.dial(c)
}

// correspondent returns what is kept of a server, or nil if it is unknown and
// there are too many unknown ones. The caller holds mu.
func (e *election) correspondent(sid zab.Sid) *correspondent {
	c := e.others[sid]
	if c == nil {
		if e.member(sid) == nil && e.strangers() >= maxStrangers {
			return nil
		}
		c = &correspondent{sid: sid}
		e.others[sid] = c
	}
	return c
}

func (e *election) strangers() int {
	n := 0
	for sid := range e.others {
		if e.member(sid) == nil {
			n++
		}
	}
	return n
}

// forget lets go of a server that is not in the configuration and not connected.
// The caller holds mu.
func (e *election) forget(c *correspondent) {
	if c.conn == nil && !c.dialling && e.member(c.sid) == nil {
		delete(e.others, c.sid)
	}
}

// dial starts to connect to a server unless that is under way. The caller holds mu.
func (e *election) dial(c *correspondent) {
	if c.dialling || e.ctx.Err() != nil {
		return
	}
	// What a server says of itself may be true on its own host only, and may not
	// come from it, so what we are configured with goes first.
	addresses := c.announced
	if m := e.member(c.sid); m != nil && len(usableAddresses(m.Election)) > 0 {
		addresses = m.Election
	}
	c.dialling = true
	e.running.Go(func() { e.connect(c, addresses) })
}

// connect dials a server and introduces us; only a connection to a smaller sid is kept.
func (e *election) connect(c *correspondent, addresses []string) {
	conn, err := dialAny(e.ctx, e.cfg.CnxTimeout, addresses, e.cfg.TLS)
	if err == nil {
		if err = e.introduce(conn); err != nil {
			_ = conn.Close()
		}
	}
	e.mu.Lock()
	c.dialling = false
	keep := err == nil && c.sid < e.cfg.Self && c.conn == nil
	if !keep {
		e.forget(c)
	}
	e.mu.Unlock()
	switch {
	case err != nil:
		e.log.Log(e.ctx, e.complaints.unreached(c.sid, err), "cannot reach server", "sid", c.sid, "addresses", addresses, "err", err)
	case keep:
		e.adopt(c, conn)
	default:
		_ = conn.Close()
	}
}

// introduce tells who we are, and proves it if we are to.
func (e *election) introduce(conn net.Conn) error {
	defer closeWith(e.ctx, conn)()
	_ = conn.SetDeadline(time.Now().Add(e.cfg.CnxTimeout))
	if _, err := conn.Write(e.greeting().append(nil)); err != nil {
		return err
	}
	return e.cfg.SASL.login(conn)
}

// greeting is how we introduce ourselves. A wildcard is no address to be dialled.
func (e *election) greeting() greeting {
	return greeting{sid: int64(e.cfg.Self), addresses: usableAddresses(e.member(e.cfg.Self).Election)}
}

// accepted takes an incoming connection. It does not wait.
func (e *election) accepted(conn net.Conn) {
	e.lobby.enter(conn)
	e.running.Go(func() { e.introduced(conn) })
}

// introduced reads who dialled and decides what becomes of the connection.
func (e *election) introduced(raw net.Conn) {
	conn, g, err := e.meet(raw)
	e.lobby.leave(raw)
	if err != nil {
		level := slog.LevelDebug
		if errors.Is(err, errAuth) || errors.Is(err, errTLS) {
			level = e.complaints.level(hostOf(raw.RemoteAddr()))
		}
		e.log.Log(e.ctx, level, "connection refused", "from", raw.RemoteAddr().String(), "err", err)
		_ = raw.Close()
		return
	}
	if c := e.place(g); c != nil {
		e.adopt(c, conn)
		return
	}
	_ = conn.Close()
}

// meet waits for who has connected to say who it is, and to prove it if it has
// to, but not longer than the election is open.
func (e *election) meet(raw net.Conn) (net.Conn, greeting, error) {
	defer closeWith(e.ctx, raw)()
	limit := time.Now().Add(e.cfg.syncTimeout())
	conn, err := e.cfg.TLS.accept(e.ctx, raw, e.cfg.syncTimeout())
	if err != nil {
		return nil, greeting{}, err
	}
	_ = conn.SetDeadline(limit)
	g, err := readGreeting(conn)
	switch {
	case err != nil:
		return nil, greeting{}, err
	case g.sid == int64(e.cfg.Self):
		e.log.Warn("another server has our myid", "from", conn.RemoteAddr().String(), "myid", g.sid)
		return nil, greeting{}, fmt.Errorf("it says that it is server %d, as we are", g.sid)
	case e.cfg.SASL == nil:
		return conn, g, nil
	}
	in := bufio.NewReader(conn)
	user, err := e.cfg.SASL.authenticate(conn, in)
	return &peeked{conn, in}, g, e.judge(raw.RemoteAddr(), g.sid, user, err)
}

// judge lets go on who has authenticated, and others if that is not required.
func (e *election) judge(from net.Addr, sid int64, user string, err error) error {
	switch {
	case err == nil:
		e.log.Debug("server authenticated", "sid", sid, "from", from.String(), "user", user)
	case e.cfg.SASL.Require:
		return fmt.Errorf("it says that it is server %d: %w", sid, err)
	default:
		e.log.Log(e.ctx, e.complaints.level(hostOf(from)), "connection taken without authentication, as quorum.auth.serverRequireSasl is not true",
			"sid", sid, "from", from.String(), "err", err)
	}
	return nil
}

// place returns whose connection a greeting belongs to, or nil if it is not to be
// kept: one from a smaller sid asks us to dial.
func (e *election) place(g greeting) *correspondent {
	e.mu.Lock()
	defer e.mu.Unlock()
	sid := zab.Sid(g.sid)
	anonymous := g.sid == anonymousSid
	if anonymous {
		e.anonymous--
		sid = e.anonymous
	}
	c := e.correspondent(sid)
	if c == nil {
		return nil
	}
	if len(g.addresses) > 0 {
		c.announced = g.addresses
	}
	if sid > e.cfg.Self || anonymous {
		return c
	}
	if c.conn != nil {
		c.conn.close()
		c.conn = nil
	}
	e.dial(c)
	return nil
}

// adopt makes conn the connection with a server, in place of a former one, and
// reads it to its end.
func (e *election) adopt(c *correspondent, conn net.Conn) {
	_ = conn.SetDeadline(time.Time{})
	fresh := newElectionConn(conn)
	e.mu.Lock()
	if e.ctx.Err() != nil {
		e.mu.Unlock()
		fresh.close()
		return
	}
	if c.conn != nil {
		c.conn.close()
	}
	e.others[c.sid] = c
	c.conn = fresh
	if c.pending == nil {
		c.pending = c.last
	}
	e.running.Go(func() { e.write(c, fresh) })
	e.mu.Unlock()
	e.log.Debug("connected", "sid", c.sid, "remote", conn.RemoteAddr().String())

	err := e.read(c, fresh)
	fresh.close()
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.conn == fresh {
		c.conn = nil
		e.forget(c)
		e.log.Debug("connection ended", "sid", c.sid, "err", err)
	}
}
