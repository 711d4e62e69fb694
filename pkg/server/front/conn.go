package front

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/pipeline"
)

// Limits of what is queued to a client that does not read, in bytes: above
// the first its requests wait, above the second it is disconnected (events
// and large replies can get there).
const (
	softQueue = 1 << 20
	hardQueue = 256 << 20
)

const (
	readBuffer   = 4 << 10
	writeTimeout = 60 * time.Second
)

// A conn is one client's TCP connection. One goroutine reads from it and one
// writes to it.
type conn struct {
	s  *Server
	nc net.Conn
	ip netip.Addr
	pc *pipeline.Conn

	mu      sync.Mutex
	changed sync.Cond // something to write, or written, or closing
	buf     []byte    // frames to be written
	closing bool      // write what is queued, then close
	failed  bool      // nothing can be written any more
}

func newConn(s *Server, nc net.Conn, ip netip.Addr) *conn {
	c := &conn{s: s, nc: nc, ip: ip}
	c.changed.L = &c.mu
	return c
}

// run serves the connection until it ends.
func (c *conn) run(ctx context.Context) {
	defer c.s.unregister(c)
	defer c.nc.Close()
	r := bufio.NewReaderSize(c.nc, readBuffer)
	c.setDeadline(c.s.cfg.SilentTimeout)
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return
	}
	if answer, ok := c.s.cfg.Word(string(head[:])); ok {
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, _ = c.nc.Write(answer)
		return
	}
	c.pc = c.s.p.NewConn(c, c.nc.RemoteAddr().String(), c.ip.String())
	defer c.pc.Close()
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.writeLoop()
	}()
	err := c.serve(ctx, r, head)
	c.pc.Close()
	<-written
	c.logEnd(err)
}

// logEnd tells why a connection ended, when a client's fault or a limit did it.
func (c *conn) logEnd(err error) {
	log := c.s.cfg.Logger
	var ne net.Error
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		log.Debug("client gone", "client", c.nc.RemoteAddr().String())
	case errors.As(err, &ne) && ne.Timeout():
		log.Info("client was silent for its session timeout", "client", c.nc.RemoteAddr().String(), "session", fmt.Sprintf("0x%x", uint64(c.pc.Session())))
	default:
		log.Info("connection closed", "client", c.nc.RemoteAddr().String(), "why", err)
	}
}

func (c *conn) setDeadline(d time.Duration) {
	if d > 0 {
		_ = c.nc.SetReadDeadline(time.Now().Add(d))
	}
}

// serve reads the handshake and then request after request.
func (c *conn) serve(ctx context.Context, r *bufio.Reader, head [4]byte) error {
	frame, err := c.readBody(r, head)
	if err != nil {
		return err
	}
	if err := c.pc.Connect(ctx, frame); err != nil {
		return err
	}
	for {
		if err := c.pause(); err != nil {
			return err
		}
		c.setDeadline(c.pc.SessionTimeout())
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		frame, err := c.readBody(r, head)
		if err != nil {
			return err
		}
		if err := c.pc.Request(frame); err != nil {
			return err
		}
	}
}

func (c *conn) readBody(r *bufio.Reader, head [4]byte) ([]byte, error) {
	n := int32(binary.BigEndian.Uint32(head[:]))
	if n < 0 || int(n) > c.s.cfg.MaxFrame {
		return nil, fmt.Errorf("%w: a frame of %d bytes, at most %d are allowed (jute.maxbuffer)", jute.ErrMalformed, n, c.s.cfg.MaxFrame)
	}
	if int(n) <= readBuffer {
		frame := make([]byte, n)
		_, err := io.ReadFull(r, frame)
		return frame, err
	}
	// Memory for a large frame is taken as its bytes arrive.
	frame, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(frame) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	return frame, err
}

// pause holds the connection back while the server has too many requests
// under way, or the client does not read its answers.
func (c *conn) pause() error {
	if limit := c.s.cfg.OutstandingLimit; limit > 0 && c.s.p.Stats().Outstanding() > int64(limit) {
		c.pc.WaitAnswered()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.buf) > softQueue && !c.closing && !c.failed {
		c.changed.Wait()
	}
	if c.failed || c.closing {
		return net.ErrClosed
	}
	return nil
}

// Frame implements [pipeline.Output].
func (c *conn) Frame(f func([]byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.failed {
		return
	}
	at := len(c.buf)
	c.buf = f(append(c.buf, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(c.buf[at:], uint32(len(c.buf)-at-4))
	if len(c.buf) > hardQueue {
		c.fail()
		return
	}
	if at == 0 {
		c.changed.Broadcast()
	}
}

// Close implements [pipeline.Output].
func (c *conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	c.changed.Broadcast()
}

// fail gives the connection up; c.mu is held.
func (c *conn) fail() {
	c.failed = true
	c.buf = nil
	_ = c.nc.Close()
	c.changed.Broadcast()
}

// writeLoop writes what is queued, all there is at once.
func (c *conn) writeLoop() {
	var spare []byte
	for {
		c.mu.Lock()
		for len(c.buf) == 0 && !c.closing && !c.failed {
			c.changed.Wait()
		}
		if c.failed || len(c.buf) == 0 {
			c.mu.Unlock()
			_ = c.nc.Close() // wakes the reader
			return
		}
		out := c.buf
		c.buf = spare[:0]
		c.mu.Unlock()
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := c.nc.Write(out)
		if spare = out; cap(spare) > softQueue {
			spare = nil // one large reply does not keep its memory
		}
		c.mu.Lock()
		if err != nil {
			c.fail()
		}
		c.changed.Broadcast()
		c.mu.Unlock()
	}
}
