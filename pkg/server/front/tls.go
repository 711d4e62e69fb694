package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// TLS is how a client port protects its connections.
type TLS struct {
	// Accept does the server's part of the handshake; ctx bounds it. It does not
	// close the connection.
	Accept func(ctx context.Context, raw net.Conn) (*tls.Conn, error)
	// Unify takes plain connections on the same port (client.portUnification).
	Unify bool
	// DetectTimeout is how long the first bytes of a connection may take (ssl.handshakeDetectionTimeoutMillis); 0 leaves it to SilentTimeout.
	DetectTimeout time.Duration
	// MaxHandshakes is how many may be under way at a time; whoever comes then is
	// closed (netty.server.outstandingHandshake.limit). Less than 1: no limit.
	MaxHandshakes int
}

// errNotTLS means that a client does not begin a TLS handshake.
var errNotTLS = errors.New("it speaks no TLS, and this port takes nothing else")

// errHandshakes means that the limit on handshakes under way is reached.
var errHandshakes = errors.New("too many TLS handshakes are under way (netty.server.outstandingHandshake.limit)")

// Handshakes is how many TLS handshakes are under way.
func (s *Server) Handshakes() int64 { return s.handshakes.Load() }

// open makes the connection ready for its first frame, and gives what to read
// it from. It is called in the connection's own goroutine, where a handshake
// keeps nobody else waiting.
func (c *conn) open(ctx context.Context) (*bufio.Reader, error) {
	t := c.s.cfg.TLS
	r := bufio.NewReaderSize(c.raw, readBuffer)
	if t == nil {
		return r, nil
	}
	c.setDeadline(firstOf(t.DetectTimeout, c.s.cfg.SilentTimeout))
	secure, err := speaksTLS(r)
	switch {
	case err != nil:
		return nil, err
	case secure:
		return c.handshake(ctx, &peeked{c.raw, r})
	case t.Unify:
		return r, nil
	}
	// Whoever took the port for the plain one learns it at once.
	c.s.p.Stats().Guards.HandshakesFailed.Add(1)
	return nil, errNotTLS
}

func firstOf(a, b time.Duration) time.Duration {
	if a > 0 {
		return a
	}
	return b
}

// handshake makes the connection one of TLS.
func (c *conn) handshake(ctx context.Context, raw net.Conn) (*bufio.Reader, error) {
	t, guards := c.s.cfg.TLS, c.s.p.Stats().Guards
	if n := c.s.handshakes.Add(1); t.MaxHandshakes > 0 && n > int64(t.MaxHandshakes) {
		c.s.handshakes.Add(-1)
		guards.HandshakesRefused.Add(1)
		return nil, errHandshakes
	}
	defer c.s.handshakes.Add(-1)
	_ = c.raw.SetReadDeadline(time.Time{})
	if limit := c.s.cfg.SilentTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	secure, err := t.Accept(ctx, raw)
	if err != nil {
		guards.HandshakesFailed.Add(1)
		return nil, err
	}
	c.s.mu.Lock()
	c.nc, c.secure = secure, secure
	c.s.mu.Unlock()
	return bufio.NewReaderSize(secure, readBuffer), nil
}

// certificates is the verified chain of a TLS client.
func (c *conn) certificates() []*x509.Certificate {
	if c.secure == nil {
		return nil
	}
	if chains := c.secure.ConnectionState().VerifiedChains; len(chains) > 0 {
		return chains[0]
	}
	return nil
}

// logOpen tells why a connection did not get as far as its first frame.
func (c *conn) logOpen(err error) {
	c.countEnd(err)
	var ne net.Error
	log, client := c.s.cfg.Logger, c.raw.RemoteAddr().String()
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		log.Info("connection closed", "client", client, "why", fmt.Sprintf("its TLS handshake took too long: %v", err))
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		log.Debug("client gone", "client", client)
	default:
		log.Info("connection closed", "client", client, "why", err)
	}
}

// hangUp closes the connection behind what has been written to it. c.mu is
// held: telling a TLS client that nothing more comes may have to wait for it,
// and is left to a goroutine.
func (c *conn) hangUp() {
	if c.secure == nil || c.failed {
		_ = c.raw.Close()
		return
	}
	c.s.wg.Go(func() { _ = c.secure.Close() })
}
