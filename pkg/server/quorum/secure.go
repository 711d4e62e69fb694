package quorum

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// TLS is how connections between servers are protected, on both ports
// (UnifiedServerSocket.java, QuorumX509Util.java).
type TLS struct {
	// Accept and Connect do the handshake with who has connected, and with a server
	// that is meant to be host. ctx bounds them; they do not close the connection.
	Accept  func(ctx context.Context, raw net.Conn) (*tls.Conn, error)
	Connect func(ctx context.Context, raw net.Conn, host string) (*tls.Conn, error)

	Dial  bool // connect with TLS (sslQuorum)
	Plain bool // take connections without TLS, too (portUnification)

	DetectTimeout time.Duration // for the first bytes (ssl.quorum.handshakeDetectionTimeoutMillis); 0 leaves it to the port's own
}

// errTLS is what every refusal for want of TLS, or of a good certificate, wraps.
var errTLS = errors.New("no TLS")

// peeked is a connection of which some bytes have been read ahead.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

// Read implements [net.Conn].
func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// secureConn closes at once: crypto/tls would say goodbye first, and wait for a
// peer that does not read.
type secureConn struct{ *tls.Conn }

// Close implements [net.Conn].
func (c secureConn) Close() error { return c.NetConn().Close() }

// connect does our part of the handshake with the server at address, which is
// host:port, if we use TLS. After an error raw is closed.
func (t *TLS) connect(ctx context.Context, raw net.Conn, address string) (net.Conn, error) {
	if t == nil || !t.Dial {
		return raw, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err == nil {
		var conn *tls.Conn
		if conn, err = t.Connect(ctx, raw, host); err == nil {
			return secureConn{conn}, nil
		}
	}
	_ = raw.Close()
	return nil, fmt.Errorf("%w with %s: %w", errTLS, address, err)
}

// accept does the handshake with who has connected, or lets it go on without where
// that is allowed. It sets deadlines, and lasts no longer than timeout.
func (t *TLS) accept(ctx context.Context, raw net.Conn, timeout time.Duration) (net.Conn, error) {
	if t == nil {
		return raw, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	first := timeout
	if t.DetectTimeout > 0 {
		first = min(first, t.DetectTimeout)
	}
	_ = raw.SetDeadline(time.Now().Add(first))
	ahead := &peeked{raw, bufio.NewReader(raw)}
	head, err := ahead.r.Peek(3)
	_ = raw.SetDeadline(time.Time{})
	switch {
	case err != nil:
		return nil, err
	case beginsTLS(head):
		conn, err := t.Accept(ctx, ahead)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errTLS, err)
		}
		return secureConn{conn}, nil
	case t.Plain:
		return ahead, nil
	}
	return nil, fmt.Errorf("%w: it speaks plainly, and portUnification is not true here", errTLS)
}

// beginsTLS tells it from what else servers begin with: a record of type
// handshake (22) and major version 3.
func beginsTLS(head []byte) bool { return head[0] == 22 && head[1] == 3 && head[2] <= 4 }

// A lobby holds the connections that have yet to say who they are. It never turns
// anybody away: when it is full, the host that takes most of the room loses its
// oldest connection, so that whoever connects in order to block others blocks himself.
type lobby struct {
	mu      sync.Mutex
	waiting []net.Conn // oldest first
}

// enter takes a connection in, until leave.
func (l *lobby) enter(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= maxGreetings {
		_ = l.remove(l.crowd()).Close()
	}
	l.waiting = append(l.waiting, conn)
}

// leave is called when it is known who a connection is, or when it is closed.
func (l *lobby) leave(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.waiting {
		if c == conn {
			l.remove(i)
			return
		}
	}
}

func (l *lobby) remove(i int) net.Conn {
	conn := l.waiting[i]
	copy(l.waiting[i:], l.waiting[i+1:])
	l.waiting[len(l.waiting)-1] = nil
	l.waiting = l.waiting[:len(l.waiting)-1]
	return conn
}

// crowd is the place of the oldest connection of the host that has most.
func (l *lobby) crowd() int {
	count, oldest := map[string]int{}, map[string]int{}
	most := ""
	for i, c := range l.waiting {
		host := hostOf(c.RemoteAddr())
		if count[host]++; count[host] == 1 {
			oldest[host] = i
		}
		if count[host] > count[most] {
			most = host
		}
	}
	return oldest[most]
}

// hostOf is an address without its port.
func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// complaints keeps a log readable when somebody tries again and again: each
// host is warned of once in a while, and at level debug otherwise.
type complaints struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const (
	complainEvery = 10 * time.Second
	maxComplaints = 256 // hosts that are remembered
)

// level is what to log the next complaint about somebody with.
func (c *complaints) level(about string) slog.Level {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if at, known := c.last[about]; known && now.Sub(at) < complainEvery {
		return slog.LevelDebug
	}
	if c.last == nil || len(c.last) >= maxComplaints {
		c.last = map[string]time.Time{}
	}
	c.last[about] = now
	return slog.LevelWarn
}

// unreached is the level for a server that could not be reached: that it is down is
// nothing new, that it and we do not trust each other is for an operator.
func (c *complaints) unreached(sid zab.Sid, err error) slog.Level {
	if errors.Is(err, errAuth) || errors.Is(err, errTLS) {
		return c.level(sidKey(sid))
	}
	return slog.LevelDebug
}
