package front

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/pipeline"
)

// Limits of what is queued to a client that does not read, in bytes: above
// the first its requests wait; whoever has more than the second when another
// frame comes (events and large replies can get there) is disconnected.
const (
	softQueue = 1 << 20
	hardQueue = 128 << 20
)

const (
	readBuffer   = 4 << 10
	keepBuffer   = 16 << 10  // a larger buffer is not kept between writes
	writePiece   = 256 << 10 // what has to be taken by the client in writeTimeout
	writeTimeout = 60 * time.Second
	wordLinger   = time.Second // how long what a client sends behind a word is waited for
)

// What a connection has turned out to be.
const (
	stageSilent int32 = iota // nothing came yet
	stageAsking              // it sent a word
	stageTold                // and was answered
	stageClient              // it began a handshake
)

// A conn is one client's TCP connection. One goroutine reads from it, and
// writes the replies that it caused; another writes while there is more.
type conn struct {
	s      *Server
	raw    net.Conn  // TCP
	nc     net.Conn  // what is read and written: raw, or secure
	secure *tls.Conn // nil without TLS
	ip     netip.Addr
	pc     *pipeline.Conn

	stage atomic.Int32 // one of the stages

	mu           sync.Mutex
	changed      sync.Cond // something was written, or closing, or failed
	buf          []byte    // frames to be written
	spare        []byte    // for the next ones
	sending      int       // bytes being written, which are no longer in buf
	counted      int64     // of buf and sending, in Server.queued
	countedSince time.Time // when it became more than 0
	held         bool      // the reader will flush
	writing      bool      // somebody flushes
	closing      bool      // write what is queued, then close
	failed       bool      // nothing can be written any more
	resume       func()    // to be called when the client is not behind any more; nil for none
}

func newConn(s *Server, nc net.Conn, ip netip.Addr) *conn {
	c := &conn{s: s, raw: nc, nc: nc, ip: ip}
	c.changed.L = &c.mu
	return c
}

// run serves the connection until it ends.
func (c *conn) run(ctx context.Context) {
	defer c.s.unregister(c)
	defer func() { _ = c.nc.Close() }()
	r, err := c.open(ctx)
	if err != nil {
		c.logOpen(err)
		return
	}
	c.setDeadline(c.s.cfg.SilentTimeout)
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		c.countEnd(err)
		return
	}
	if c.s.cfg.IsWord(string(head[:])) {
		c.stage.Store(stageAsking)
		if answer := c.s.cfg.Word(string(head[:]), r); answer != nil {
			c.answerWord(r, answer)
		}
		return
	}
	c.stage.Store(stageClient)
	c.pc = c.s.p.NewConn(c, pipeline.Client{Remote: c.nc.RemoteAddr().String(), IP: c.ip.String(), Certificates: c.certificates(), Secure: c.secure != nil})
	err = c.serve(ctx, r, head)
	c.pc.Close()
	c.pc.Unreserve()
	c.drained()
	c.logEnd(err)
}

// answerWord writes an answer and reads what the client may send behind its
// word, such as a newline: closed with unread bytes TCP would take the answer
// away from it.
func (c *conn) answerWord(r io.Reader, answer []byte) {
	_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.nc.Write(answer)
	c.s.answered(c)
	if err != nil {
		return
	}
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		c.setDeadline(wordLinger)
		_, _ = io.Copy(io.Discard, io.LimitReader(r, readBuffer))
	}
}

// logEnd tells why a connection ended, when a client's fault or a limit did it.
func (c *conn) logEnd(err error) {
	log := c.s.cfg.Logger
	switch ours, silent := c.countEnd(err); {
	case silent:
		log.Info("client was silent for its session timeout", "client", c.nc.RemoteAddr().String(), "session", fmt.Sprintf("0x%x", uint64(c.pc.Session())))
	case ours:
		log.Info("connection closed", "client", c.nc.RemoteAddr().String(), "why", err)
	default:
		log.Debug("client gone", "client", c.nc.RemoteAddr().String())
	}
}

// countEnd counts a connection that ended with err. It tells whether the server
// has a reason of its own, and whether that is the client's silence.
func (c *conn) countEnd(err error) (ours, silent bool) {
	guards := c.s.p.Stats().Guards
	var ne net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		guards.ConnectionsDropped.Add(1)
		return false, false
	case err == nil, errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return false, false
	case errors.As(err, &ne) && ne.Timeout():
		guards.ConnectionsExpired.Add(1)
		return true, true
	}
	return true, false
}

func (c *conn) setDeadline(d time.Duration) {
	if d > 0 {
		_ = c.nc.SetReadDeadline(time.Now().Add(d))
	}
}

// serve reads the handshake and then request after request.
func (c *conn) serve(ctx context.Context, r *bufio.Reader, head [4]byte) error {
	frame, err := c.readBody(r, head, nil)
	if err != nil {
		return err
	}
	c.s.p.Metrics().BytesReceived.Add(int64(len(head) + len(frame)))
	if err := c.pc.Connect(ctx, frame); err != nil {
		return err
	}
	c.release()
	var buf []byte
	for {
		if !wholeFrame(r) {
			c.release()
		}
		if err := c.pause(); err != nil {
			return err
		}
		c.setDeadline(c.pc.SessionTimeout())
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		if buf, err = c.readBody(r, head, buf); err != nil {
			return err
		}
		c.hold()
		c.s.p.Metrics().BytesReceived.Add(int64(len(head) + len(buf)))
		if err := c.pc.Request(buf); err != nil {
			return err
		}
		if len(buf) > c.s.reserveAbove {
			buf = nil // it is the pipeline's
		}
	}
}

// wholeFrame tells whether the next request can be read without waiting; then
// its reply may leave together with those before.
func wholeFrame(r *bufio.Reader) bool {
	if r.Buffered() < 4 {
		return false
	}
	head, err := r.Peek(4)
	return err == nil && uint64(r.Buffered()-4) >= uint64(binary.BigEndian.Uint32(head))
}

// readBody reads the rest of a frame, into buf if there is room.
func (c *conn) readBody(r *bufio.Reader, head [4]byte, buf []byte) ([]byte, error) {
	n := int32(binary.BigEndian.Uint32(head[:]))
	if n < 0 || int(n) > c.s.cfg.MaxFrame {
		return nil, fmt.Errorf("%w: a frame of %d bytes, at most %d are allowed (jute.maxbuffer)", jute.ErrMalformed, n, c.s.cfg.MaxFrame)
	}
	if int(n) > c.s.reserveAbove {
		return c.readLarge(r, int(n))
	}
	if cap(buf) < int(n) {
		buf = make([]byte, max(int(n), 256))
	}
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}

// readLarge reads a frame whose memory has to be reserved. It is taken as its
// bytes arrive.
func (c *conn) readLarge(r io.Reader, n int) ([]byte, error) {
	if err := c.pc.Reserve(n, func() { _ = c.nc.Close() }); err != nil {
		return nil, err
	}
	c.setDeadline(cmp.Or(c.pc.SessionTimeout(), c.s.cfg.SilentTimeout)) // it may have waited
	frame := make([]byte, min(n, 4*readBuffer))
	for have := 0; ; {
		if _, err := io.ReadFull(r, frame[have:]); err != nil {
			return nil, err
		}
		if have = len(frame); have == n {
			return frame, nil
		}
		more := make([]byte, min(n, 4*have))
		copy(more, frame)
		frame = more
	}
}

// pause holds the connection back while the server has too many requests
// under way, or the client does not read its answers.
func (c *conn) pause() error {
	if limit := c.s.cfg.OutstandingLimit; limit > 0 && c.s.p.Crowded(limit) {
		c.release()
		c.pc.WaitAnswered(limit)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.behind() && !c.closing && !c.failed {
		c.held = false
		c.kick()
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
	if at > hardQueue {
		c.s.p.Stats().Guards.SlowReadersClosed.Add(1)
		c.fail()
		return
	}
	c.buf = f(append(c.buf, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(c.buf[at:], uint32(len(c.buf)-at-4))
	if len(c.buf) > countQueued {
		c.count()
	}
	c.kick()
}

// Close implements [pipeline.Output].
func (c *conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing, c.held = true, false
	c.kick()
	c.changed.Broadcast()
}

// kick starts a writer if one is needed; c.mu is held.
func (c *conn) kick() {
	if c.writing || c.held || c.failed || len(c.buf) == 0 && !c.closing {
		return
	}
	c.writing = true
	go func() {
		for c.write() {
		}
	}()
}

// hold leaves it to the reader to write, until it calls release.
func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

// release writes what is queued, unless somebody does already. What is queued
// meanwhile is left to a writer, so that the reader can read again.
func (c *conn) release() {
	c.mu.Lock()
	c.held = false
	if c.writing || c.failed || len(c.buf) == 0 {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.mu.Unlock()
	if c.write() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.writing = false
		c.kick()
	}
}

// write writes all that is queued. It is called with writing set, clears it
// when nothing is left and says whether something is.
func (c *conn) write() (more bool) {
	c.mu.Lock()
	out := c.buf
	c.buf, c.spare, c.sending = c.spare, nil, len(out)
	c.mu.Unlock()
	err := c.send(out)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sending = 0
	if c.counted > 0 {
		c.count()
	}
	if cap(out) <= keepBuffer {
		c.spare = out[:0]
	}
	if err != nil {
		c.fail()
	}
	c.changed.Broadcast()
	if c.resume != nil && !c.behind() {
		go c.resume()
		c.resume = nil
	}
	if len(c.buf) > 0 && !c.failed {
		return true
	}
	c.writing = false
	if c.closing || c.failed {
		c.hangUp() // wakes the reader
	}
	return false
}

// send writes b, each piece in the time for one.
func (c *conn) send(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writePiece)
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// fail gives the connection up; c.mu is held.
func (c *conn) fail() {
	c.failed = true
	c.buf, c.sending = nil, 0
	c.count()
	_ = c.raw.Close()
	c.changed.Broadcast()
}

// drained returns when what was queued before Close has been written, or
// cannot be. Nothing is written after it, whoever still holds the connection:
// its session's end may be applied later and close it once more.
func (c *conn) drained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.changed.Wait()
	}
	c.failed, c.buf = true, nil
	c.count()
}
