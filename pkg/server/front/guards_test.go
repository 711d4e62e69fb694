package front

import (
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// TestCounts ends connections in each way that is counted.
func TestCounts(t *testing.T) {
	s, p := start(t, func(c *Config) { c.SilentTimeout, c.MaxPerIP = 50*time.Millisecond, 1 })
	g := p.Stats().Guards
	alone := func() {
		eventually(t, "nobody is connected", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.conns) == 0 })
	}
	dial(t, s).gone("nothing said")
	alone()
	c := session(t, s, 100)
	dial(t, s).gone("the second of an address")
	c.gone("silence")
	alone()
	dropped := func(n int64) {
		eventually(t, "a client's end is counted", func() bool { return g.ConnectionsDropped.Load() == n })
	}
	dial(t, s).Close()
	dropped(1)
	alone()
	session(t, s, 10000).Close()
	dropped(2)
	alone()
	c = session(t, s, 10000)
	c.raw(c.request(proto.OpCloseSession, nil))
	c.reply(1)
	c.gone("closeSession")
	alone()
	if r, d, e := g.ConnectionsRejected.Load(), g.ConnectionsDropped.Load(), g.ConnectionsExpired.Load(); r != 1 || d != 2 || e != 2 {
		t.Errorf("%d rejected, %d dropped, %d expired", r, d, e)
	}
}

// TestLimitsArePerPort: each port counts its own connections, as Apache's
// factories do.
func TestLimitsArePerPort(t *testing.T) {
	one, p := start(t, func(c *Config) { c.MaxPerIP, c.MaxConns = 1, 1 })
	two, err := Listen(t.Context(), one.cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- two.Serve(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	session(t, one, 10000)
	session(t, two, 10000)
	dial(t, two).gone("the second at one port")
}
