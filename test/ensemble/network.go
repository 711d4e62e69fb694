package ensemble

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// Ports of every server. Addresses differ, so ports need not.
const (
	clientPort   = 2181
	quorumPort   = 2888
	electionPort = 3888
	claimPort    = 2180
)

// A subnet is the first three bytes of a loopback network that belongs to one
// ensemble alone.
type subnet string

// claimSubnet finds a network that no other test of this machine uses; the claim
// is held by a listener and ends with the test.
func claimSubnet(t testing.TB) subnet {
	t.Helper()
	const tries = 100
	var err error
	for range tries {
		s := subnet(fmt.Sprintf("127.%d.%d", 1+rand.IntN(254), rand.IntN(256)))
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("%s.254:%d", s, claimPort)); err == nil {
			t.Cleanup(func() { _ = l.Close() })
			return s
		}
	}
	t.Fatalf("no free loopback network found: %v", err)
	return ""
}

// host is the address of server to as server from sees it.
func (s subnet) host(from, to int) string {
	if from == to {
		return fmt.Sprintf("%s.%d", s, to)
	}
	return fmt.Sprintf("%s.%d", s, 10*from+to)
}

// A network is the relays between all pairs of servers.
type network struct {
	gates  map[[2]int]*gate // what goes from one server to another
	relays map[[2]int][]*relay
	syncs  syncs
}

// newNetwork makes relays between all servers. Those to a quorum port wait as long
// as patience for a server that is not there yet.
func newNetwork(s subnet, servers int, patience time.Duration) (*network, error) {
	n := &network{gates: make(map[[2]int]*gate), relays: make(map[[2]int][]*relay)}
	n.pairs(servers, func(from, to int) { n.gates[[2]int{from, to}] = newGate() })
	var failed error
	n.pairs(servers, func(from, to int) {
		for _, port := range []int{quorumPort, electionPort} {
			r := &relay{target: fmt.Sprintf("%s:%d", s.host(to, to), port), forward: n.gates[[2]int{from, to}], backward: n.gates[[2]int{to, from}]}
			if port == quorumPort {
				r.patience, r.spy = patience, func() func([]byte) { return n.syncs.watch(to, from) }
			}
			if err := r.listen(fmt.Sprintf("%s:%d", s.host(from, to), port)); err != nil {
				failed = err
				continue
			}
			n.relays[[2]int{from, to}] = append(n.relays[[2]int{from, to}], r)
		}
	})
	if failed != nil {
		n.close()
	}
	return n, failed
}

func (n *network) pairs(servers int, do func(from, to int)) {
	for from := 1; from <= servers; from++ {
		for to := 1; to <= servers; to++ {
			if from != to {
				do(from, to)
			}
		}
	}
}

func (n *network) heal() {
	for _, g := range n.gates {
		g.set(true)
	}
}

func (n *network) close() {
	n.heal()
	for _, relays := range n.relays {
		for _, r := range relays {
			r.close()
		}
	}
}

// OneWay loses what server from sends to server to, from now on; the other
// direction works. Connections stay.
func (e *Ensemble) OneWay(from, to int) {
	e.net.gates[[2]int{from, to}].set(false)
	e.endDirect(from, to)
	e.endDirect(to, from)
}

// Cut loses everything between two servers. Connections stay, as they do when a
// cable is pulled.
func (e *Ensemble) Cut(a, b int) {
	e.OneWay(a, b)
	e.OneWay(b, a)
}

// Mend ends what Cut and OneWay did between two servers. What was held back arrives
// now, late, unless the connections were Reset.
func (e *Ensemble) Mend(a, b int) {
	e.net.gates[[2]int{a, b}].set(true)
	e.net.gates[[2]int{b, a}].set(true)
}

// Isolate cuts a server off from all others; its clients still reach it.
func (e *Ensemble) Isolate(sid int) { e.Partition([]int{sid}) }

// Partition cuts the servers of one side off from all that are not of it.
func (e *Ensemble) Partition(side []int) {
	in := make(map[int]bool)
	for _, sid := range side {
		in[sid] = true
	}
	e.net.pairs(len(e.servers), func(from, to int) {
		if in[from] != in[to] {
			e.OneWay(from, to)
		}
	})
}

// Reset breaks all connections between two servers; new ones may be made.
func (e *Ensemble) Reset(a, b int) {
	for _, pair := range [][2]int{{a, b}, {b, a}} {
		for _, r := range e.net.relays[pair] {
			r.reset()
		}
	}
}

// Heal ends every Cut, OneWay, Isolate and Partition. What was held back arrives
// now, late.
func (e *Ensemble) Heal() { e.net.heal() }
