package front

import (
	"net"
	"net/netip"
	"testing"
)

// TestConnectionThatIsOver has a connection closed once more after its goroutine
// ended, as when the end of its session is applied later: nothing may be started
// for it, as Serve may have returned.
func TestConnectionThatIsOver(t *testing.T) {
	s, _ := start(t, nil)
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	c := newConn(s, near, netip.MustParseAddr("127.0.0.1"))
	c.drained()
	c.Frame(func(b []byte) []byte { return append(b, "late"...) })
	c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing || len(c.buf) > 0 {
		t.Errorf("a writer was started: %t, %d bytes wait for one", c.writing, len(c.buf))
	}
}
