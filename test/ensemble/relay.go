package ensemble

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A relay carries the connections that one server opens to a port of another.
// A closed gate in one direction holds the bytes back, as a network does that
// loses packets: both ends believe the connection to be there, and when it
// opens again the bytes arrive, as TCP sends them again.
type relay struct {
	listener net.Listener
	target   string
	forward  *gate // from who dials to target
	backward *gate
	patience time.Duration       // how long who dials is kept while nobody listens at target
	spy      func() func([]byte) // makes what sees the bytes of one connection that come back; or nil

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
	running sync.WaitGroup
}

// listen starts a relay at address. Its gates are those between the two servers,
// shared by all relays of the pair.
func (r *relay) listen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("relay to %s: %w", r.target, err)
	}
	r.listener, r.conns = l, make(map[net.Conn]struct{})
	r.running.Go(r.accept)
	return nil
}

func (r *relay) accept() {
	for {
		near, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			r.running.Go(func() { r.serve(near) })
		}
	}
}

// serve carries one connection, both ways, until either end closes it.
func (r *relay) serve(near net.Conn) {
	defer near.Close()
	if !r.keep(near) {
		return
	}
	defer r.drop(near)
	r.forward.wait()
	far, err := r.reach(near)
	if err != nil {
		return
	}
	defer far.Close()
	if !r.keep(far) {
		return
	}
	defer r.drop(far)
	var both sync.WaitGroup
	both.Go(func() { pump(gated{far, r.forward, nil}, near) })
	both.Go(func() {
		g := gated{near, r.backward, nil}
		if r.spy != nil {
			g.see = r.spy()
		}
		pump(g, far)
	})
	both.Wait()
}

// reach dials target, again while nobody listens there and patience lasts; what near
// has to say meanwhile is passed on then. A server that is refused tries again and
// so does one that waits here; one that is accepted and hung up on gives up.
func (r *relay) reach(near net.Conn) (net.Conn, error) {
	const most = 4 << 10
	var early []byte
	for deadline := time.Now().Add(r.patience); ; {
		far, err := net.DialTimeout("tcp", r.target, time.Second)
		if err == nil {
			_, err = far.Write(early)
			return far, errors.Join(err, near.SetReadDeadline(time.Time{}))
		}
		if !time.Now().Before(deadline) || len(early) > most {
			return nil, err
		}
		if err := near.SetReadDeadline(time.Now().Add(poll)); err != nil {
			return nil, err
		}
		b := make([]byte, most)
		n, err := near.Read(b)
		early = append(early, b[:n]...)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
	}
}

// pump copies from one end to the other as far as the gate lets it, the end of
// the stream included.
func pump(to gated, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.gate.wait()
	_ = to.Close()
	_ = from.Close()
}

type gated struct {
	net.Conn
	gate *gate
	see  func([]byte) // is shown what is written; or nil
}

func (g gated) Write(b []byte) (int, error) {
	g.gate.wait()
	if g.see != nil {
		g.see(b)
	}
	return g.Conn.Write(b)
}

// ReadFrom keeps io.Copy from going past Write.
func (g gated) ReadFrom(from io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{g}, from)
}

func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[c] = struct{}{}
	return !r.closed
}

func (r *relay) drop(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

// reset ends the connections there are; new ones may be made.
func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

// close ends the relay; its gates must be open or opened soon.
func (r *relay) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	_ = r.listener.Close()
	r.reset()
	r.running.Wait()
}

// A gate lets through while it is open.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	close(g.opened)
	return g
}

func (g *gate) isOpen() bool {
	select {
	case <-g.opened:
		return true
	default:
		return false
	}
}

// set opens or shuts the gate.
func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case open && !g.isOpen():
		close(g.opened)
	case !open && g.isOpen():
		g.opened = make(chan struct{})
	}
}

// wait returns when the gate is open.
func (g *gate) wait() {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	<-opened
}
