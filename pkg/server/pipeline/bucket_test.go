package pipeline

import (
	"errors"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// testBucket is a bucket on a clock and a die in the test's hands.
func testBucket(c ConnThrottle) (b *bucket, clock *int64, die *float64) {
	clock, die = new(int64), new(float64)
	b = newBucket(c, func() int64 { return *clock })
	if b != nil {
		b.chance = func() float64 { return *die }
	}
	return b, clock, die
}

func (b *bucket) takes(t *testing.T, n int, want bool) {
	t.Helper()
	if got := b.take(n); got != want {
		t.Errorf("take(%d) with %d tokens: %t", n, b.tokens, got)
	}
}

const noShare = -time.Millisecond

func TestBucket(t *testing.T) {
	b, clock, _ := testBucket(ConnThrottle{Tokens: 3, FillTime: 10 * time.Millisecond, FillCount: 2, FreezeTime: noShare})
	b.takes(t, 2, true)
	b.takes(t, 2, false)
	b.takes(t, 1, true)
	b.takes(t, 1, false)
	*clock = 10 // not more than the fill time
	b.takes(t, 1, false)
	*clock = 16 // 16*2/10
	b.takes(t, 3, true)
	*clock = 3 << 61 // no overflow
	b.takes(t, 3, true)
	b.takes(t, 1, false)
	if b.deficit() != 3 {
		t.Errorf("deficit %d", b.deficit())
	}
	if b, _, _ := testBucket(ConnThrottle{}); b != nil {
		t.Error("a bucket without tokens")
	}
}

func TestBucketShare(t *testing.T) {
	b, clock, die := testBucket(ConnThrottle{
		Tokens: 2, FillTime: 100 * time.Millisecond, FillCount: 2, FreezeTime: 10 * time.Millisecond,
		DropIncrease: 0.75, DropDecrease: 0.5, DecreaseRatio: 0.5,
	})
	share := func(want float64) {
		t.Helper()
		if b.share != want {
			t.Errorf("at %d the share is %g, want %g", *clock, b.share, want)
		}
	}
	*die = 0.99
	b.takes(t, 2, true)
	share(0)
	*clock = 11
	b.takes(t, 1, false)
	share(0.75)
	*clock = 12 // frozen
	b.takes(t, 1, false)
	share(0.75)
	*clock = 22
	b.takes(t, 1, false)
	share(1)
	*clock = 33 // the greatest
	b.takes(t, 1, false)
	share(1)
	*clock = 101
	b.takes(t, 1, true) // filled; none is gone, so the share shrinks
	share(0.5)
	*die = 0.4
	b.takes(t, 1, false) // by chance
	*clock = 112         // one of two gone: still shrinks
	*die = 0
	b.takes(t, 1, true)
	share(0)
}

func TestBucketWeights(t *testing.T) {
	for _, x := range []struct {
		in                     ConnThrottle
		tokens, global, lo, re int
	}{
		{ConnThrottle{Tokens: 2, GlobalWeight: 3, LocalWeight: 1, RenewWeight: 2}, 2, 1, 1, 1},
		{ConnThrottle{Tokens: 2, WeightEnabled: true, GlobalWeight: 3, LocalWeight: 1, RenewWeight: 2}, 6, 3, 1, 2},
		{ConnThrottle{Tokens: 2, WeightEnabled: true, GlobalWeight: 3, LocalWeight: 5, RenewWeight: 2}, 10, 5, 5, 5},
		{ConnThrottle{Tokens: 2, WeightEnabled: true, GlobalWeight: -1, LocalWeight: 0, RenewWeight: 0}, 6, 3, 1, 2},
	} {
		b, _, _ := testBucket(x.in)
		if b.tokens != x.tokens || b.cost(false, false) != x.global || b.cost(false, true) != x.lo || b.cost(true, false) != x.re || b.cost(true, true) != x.re {
			t.Errorf("%+v: %d tokens, costs %d %d %d", x.in, b.tokens, b.cost(false, false), b.cost(false, true), b.cost(true, false))
		}
	}
}

// TestConnThrottle asks for more sessions than there are tokens.
func TestConnThrottle(t *testing.T) {
	f := leader(t, func(c *Config) {
		c.ConnThrottle = ConnThrottle{Tokens: 2, FillTime: time.Hour, FillCount: 1, FreezeTime: noShare}
	})
	c := f.connect()
	c.must(proto.OpCreate, create("/a", 0))
	f.reconnect(c)
	late := f.dial()
	if err := late.shake(0, nil, 0); !errors.Is(err, errThrottled) {
		t.Errorf("a third session: %v", err)
	}
	late.none() // closed without an answer
	g := f.p.Stats().Guards
	if r, v, x := g.ConnectionRequests.Load(), g.ConnectionRevalidations.Load(), g.ConnectionsRejected.Load(); r != 2 || v != 1 || x != 1 {
		t.Errorf("%d asked, %d of them again, %d refused", r, v, x)
	}
	if d := &g.TokenDeficit; d.Max() != 2 || d.Count() != 2 {
		t.Errorf("a deficit of %d, %d times", d.Max(), d.Count())
	}
	if p := f.p.DropProbability(); p != 0 {
		t.Errorf("share %g", p)
	}
}
