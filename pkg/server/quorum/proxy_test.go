package quorum

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// proxy stands between two servers on one port, so that a test can cut them apart.
type proxy struct {
	t      testing.TB
	listen string
	target string

	mu       sync.Mutex
	l        net.Listener
	conns    map[net.Conn]bool
	forward  *gate // dialler to target
	backward *gate
	pace     time.Duration // a pause after each piece of up to 32 KiB
	running  sync.WaitGroup
}

// gate lets bytes through while it is open; behind a closed one they wait, as
// packets do that the network loses.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while open
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	close(g.opened)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
		g.opened = make(chan struct{})
	default:
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
	default:
		close(g.opened)
	}
}

func (g *gate) wait() chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}

func newProxy(t testing.TB, listen, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, listen: listen, target: target, conns: map[net.Conn]bool{}, forward: newGate(), backward: newGate()}
	p.heal()
	t.Cleanup(func() {
		p.cut()
		p.forward.open()
		p.backward.open()
		p.running.Wait()
	})
	return p
}

// heal lets connections through again.
func (p *proxy) heal() {
	p.t.Helper()
	p.forward.open()
	p.backward.open()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l != nil {
		return
	}
	l, err := net.Listen("tcp", p.listen)
	if err != nil {
		p.t.Fatal(err)
	}
	p.l = l
	p.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(conn) })
		}
	})
}

// cut ends all connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l != nil {
		_ = p.l.Close()
		p.l = nil
	}
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// setPace slows down the connections made from now on.
func (p *proxy) setPace(pace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = pace
}

// freeze lets nothing through but keeps connections: each end believes the other
// to be there.
func (p *proxy) freeze() {
	p.forward.shut()
	p.backward.shut()
}

// keep remembers a connection; it is false after a cut.
func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = true
	return p.l != nil
}

func (p *proxy) drop(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	_ = conn.Close()
}

func (p *proxy) serve(near net.Conn) {
	defer p.drop(near)
	if !p.keep(near) {
		return
	}
	<-p.forward.wait()
	far, err := net.DialTimeout("tcp", p.target, time.Second)
	if err != nil {
		return
	}
	defer p.drop(far)
	if !p.keep(far) {
		return
	}
	p.mu.Lock()
	pace := p.pace
	p.mu.Unlock()
	var both sync.WaitGroup
	copyThrough := func(to, from net.Conn, g *gate) {
		defer to.Close()
		defer from.Close()
		_, _ = io.Copy(gated{to, g, pace}, from)
	}
	both.Go(func() { copyThrough(far, near, p.forward) })
	both.Go(func() { copyThrough(near, far, p.backward) })
	both.Wait()
}

type gated struct {
	net.Conn
	gate *gate
	pace time.Duration
}

func (g gated) Write(b []byte) (int, error) {
	<-g.gate.wait()
	if g.pace > 0 {
		<-time.After(g.pace)
	}
	return g.Conn.Write(b)
}

// mesh puts a proxy between every two servers, for both ports. Server i reaches j by
// mesh[i][j].
type mesh map[zab.Sid]map[zab.Sid][]*proxy

func (e *ensemble) mesh() mesh {
	e.t.Helper()
	m := mesh{}
	for _, from := range e.members {
		network := subnet()
		m[from.Sid] = map[zab.Sid][]*proxy{}
		members := append([]Member(nil), e.members...)
		for i, to := range e.members {
			if to.Sid == from.Sid {
				continue
			}
			quorum := fmt.Sprintf("%s%d:%d", network, to.Sid, quorumPort)
			election := fmt.Sprintf("%s%d:%d", network, to.Sid, electionPort)
			m[from.Sid][to.Sid] = []*proxy{newProxy(e.t, quorum, to.Quorum[0]), newProxy(e.t, election, to.Election[0])}
			members[i].Quorum, members[i].Election = []string{quorum}, []string{election}
		}
		e.servers[from.Sid].cfg.Members = members
	}
	return m
}

// between does something to all proxies between a server and the others.
func (m mesh) between(sid zab.Sid, do func(*proxy)) {
	for from, targets := range m {
		for to, proxies := range targets {
			if from == sid || to == sid {
				for _, p := range proxies {
					do(p)
				}
			}
		}
	}
}
