package checker

import (
	"net"
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/test/ensemble"
)

// A cluster is the servers that a test works on, by sid from 1 on. What waits ends
// the test when it waits in vain.
type cluster interface {
	Len() int
	Addrs() []string // host:port for clients, by sid
	// Dial connects to one of Addrs.
	Dial(network, address string, timeout time.Duration) (net.Conn, error)
	Status(sid int) fourletter.Status
	WaitLeader(not ...int) int
	WaitAll()   // until all serve
	WaitLevel() // until all have applied the same
}

// processes are the servers of this machine.
type processes struct{ *ensemble.Ensemble }

func (processes) Dial(network, address string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout(network, address, timeout)
}
