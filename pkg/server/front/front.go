// Package front is the client port: it accepts connections, cuts their bytes
// into frames, answers four-letter words, and hands everything else to the
// pipeline. It guards the server against clients: too many connections of one
// address, frames over the limit, connections that never speak, readers that
// do not read, and more requests than the server can keep in memory.
//
// Source: NIOServerCnxn.java, NIOServerCnxnFactory.java.
package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zkctl/zkctl/pkg/server/pipeline"
	"github.com/zkctl/zkctl/pkg/server/portuse"
)

// Config is how a client port behaves.
type Config struct {
	// Addr is where to listen, "host:port"; an empty host means everywhere.
	Addr string
	// MaxPerIP is how many connections one address may have; 0 is no limit.
	MaxPerIP int
	// MaxConns is how many connections there may be in all; 0 is no limit.
	MaxConns int
	// MaxFrame is the longest request in bytes (jute.maxbuffer).
	MaxFrame int
	// SilentTimeout ends connections that do not finish the handshake.
	SilentTimeout time.Duration
	// OutstandingLimit is how many requests may be under way before
	// connections that wait for an answer are not read from
	// (globalOutstandingLimit).
	OutstandingLimit int
	// MaxQueued is how many bytes may be queued to clients that do not read, over
	// all connections. Default 256 MiB.
	MaxQueued int64
	// Backlog is how many connections may wait to be accepted
	// (clientPortListenBacklog); less than 1 leaves it to the system.
	Backlog int
	// KeepAlive lets TCP look after idle connections (clientTcpKeepAlive).
	KeepAlive bool
	// TLS protects the connections; nil leaves them plain.
	TLS *TLS
	// IsWord tells whether four bytes are a word and not the length of a
	// handshake.
	IsWord func(word string) bool
	// Word answers a four-letter word; what follows it can be read from more.
	// Without an answer, nil, the connection is closed.
	Word func(word string, more io.Reader) []byte
	// Logger takes what an operator should know.
	Logger *slog.Logger
}

// A Server is a listening client port.
type Server struct {
	cfg Config
	p   *pipeline.Pipeline
	wg  sync.WaitGroup

	handshakes atomic.Int64 // of TLS, under way

	queued       *queued
	reserveAbove int // see [pipeline.Conn.Reserve]

	mu    sync.Mutex
	ln    net.Listener
	over  bool          // ln is closed for good
	move  chan struct{} // closed when there is another ln; nil unless ln has been closed for that
	conns map[*conn]struct{}
	told  int // of these, those whose word has been answered
	perIP map[netip.Addr]int
}

// Listen opens the port. Serve must follow.
func Listen(ctx context.Context, cfg Config, p *pipeline.Pipeline) (*Server, error) {
	ln, err := listen(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Server{
		cfg: cfg, p: p, ln: ln, conns: make(map[*conn]struct{}), perIP: make(map[netip.Addr]int), reserveAbove: p.ReserveAbove(),
		queued: newQueued(cfg.MaxQueued),
	}, nil
}

func listen(ctx context.Context, cfg Config) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	if cfg.KeepAlive {
		lc.KeepAlive = 0 // Go's default interval
	}
	ln, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err == nil && cfg.Backlog > 0 {
		err = setBacklog(ln, cfg.Backlog)
	}
	if err != nil {
		return nil, fmt.Errorf("client port %s: %w", cfg.Addr, portuse.Explain(err, cfg.Addr))
	}
	return ln, nil
}

// setBacklog changes the queue of a listening socket: listen(2) may be called
// again for that.
func setBacklog(ln net.Listener, n int) error {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var lerr error
	err = raw.Control(func(fd uintptr) { lerr = syscall.Listen(int(fd), n) })
	return errors.Join(err, lerr)
}

// Addr is where the port listens.
func (s *Server) Addr() net.Addr { return s.listener().Addr() }

// Close gives back the port of a Server that is not going to serve.
func (s *Server) Close() error { return s.listener().Close() }

// Serve accepts connections until ctx ends; then it closes all of them and
// returns when their goroutines have ended.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	unhook := context.AfterFunc(ctx, func() {
		s.leave()
		s.closeAll()
	})
	defer unhook()
	s.wg.Go(func() { s.relieve(ctx) })
	err := s.accept(ctx)
	cancel()
	s.closeAll()
	s.wg.Wait()
	return err
}

func (s *Server) accept(ctx context.Context) error {
	const pause = 50 * time.Millisecond
	for {
		ln := s.listener()
		nc, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed) && s.moved(ctx, ln):
			continue
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("client port: %w", err)
		case err != nil: // such as no file descriptors left: others go on
			s.cfg.Logger.Warn("a client could not be accepted", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			continue
		}
		s.admit(ctx, nc)
	}
}

// admit starts a connection, or closes it when there are too many.
func (s *Server) admit(ctx context.Context, nc net.Conn) {
	ip := addrOf(nc)
	c := newConn(s, nc, ip)
	if why := s.register(c); why != "" {
		s.p.Stats().Guards.ConnectionsRejected.Add(1)
		s.cfg.Logger.Warn("connection refused", "client", nc.RemoteAddr().String(), "why", why)
		_ = nc.Close()
		return
	}
	s.wg.Go(func() { c.run(ctx) })
}

func (s *Server) register(c *conn) (refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cfg.MaxConns > 0 && len(s.conns) >= s.cfg.MaxConns:
		return fmt.Sprintf("%d connections in all (maxCnxns)", s.cfg.MaxConns)
	case s.cfg.MaxPerIP > 0 && s.perIP[c.ip] >= s.cfg.MaxPerIP:
		return fmt.Sprintf("%d connections from this address (maxClientCnxns)", s.cfg.MaxPerIP)
	}
	s.conns[c] = struct{}{}
	s.perIP[c.ip]++
	return ""
}

func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[c]; !ok {
		return
	}
	delete(s.conns, c)
	if c.stage.Load() == stageTold {
		s.told--
	}
	if s.perIP[c.ip]--; s.perIP[c.ip] <= 0 {
		delete(s.perIP, c.ip)
	}
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.raw.Close()
	}
}

// Count is how many connections there are, whatever they turn out to be; one
// whose word has been answered is none any more.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) - s.told
}

// answered notes that a connection's word has been.
func (s *Server) answered(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[c]; ok {
		s.told++
	}
	c.stage.Store(stageTold)
}

// A Stranger is a connection that is no client, or not yet.
type Stranger struct {
	Remote string // "ip:port"
	Asking bool   // it sent a word; else nothing came from it
}

// Strangers lists the connections that the pipeline does not know.
func (s *Server) Strangers() []Stranger {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Stranger
	for c := range s.conns {
		if stage := c.stage.Load(); stage == stageSilent || stage == stageAsking {
			out = append(out, Stranger{Remote: c.nc.RemoteAddr().String(), Asking: stage == stageAsking})
		}
	}
	return out
}

func addrOf(nc net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
