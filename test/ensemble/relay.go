package ensemble

import (
	"errors"
	"fmt"
	"io"
	"net"
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

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
	running sync.WaitGroup
}

// newRelay listens at address; forward and backward are the gates between the
// two servers, shared by all relays of the pair.
func newRelay(address, target string, forward, backward *gate) (*relay, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", target, err)
	}
	r := &relay{listener: l, target: target, forward: forward, backward: backward, conns: make(map[net.Conn]struct{})}
	r.running.Go(r.accept)
	return r, nil
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
	far, err := net.DialTimeout("tcp", r.target, time.Second)
	if err != nil {
		return
	}
	defer far.Close()
	if !r.keep(far) {
		return
	}
	defer r.drop(far)
	var both sync.WaitGroup
	both.Go(func() { pump(far, near, r.forward) })
	both.Go(func() { pump(near, far, r.backward) })
	both.Wait()
}

// pump copies from one end to the other as far as the gate lets it, the end of
// the stream included.
func pump(to, from net.Conn, g *gate) {
	_, _ = io.Copy(gated{to, g}, from)
	g.wait()
	_ = to.Close()
	_ = from.Close()
}

type gated struct {
	io.Writer
	gate *gate
}

func (g gated) Write(b []byte) (int, error) {
	g.gate.wait()
	return g.Writer.Write(b)
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
