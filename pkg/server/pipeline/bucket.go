package pipeline

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// ConnThrottle limits how fast sessions may be asked for: each takes tokens
// from a bucket that fills with time, and is refused when there are too few. In
// front of the bucket a share of them, by chance, can be refused: it grows while
// the bucket is empty and shrinks while it is full, so that those who ask last
// are not always the ones who get nothing.
//
// Source: BlueThrottle.java.
type ConnThrottle struct {
	// Tokens is the size of the bucket; 0 is no limit at all.
	Tokens int
	// FillTime (whole ms, at least 1) brings FillCount tokens.
	FillTime  time.Duration
	FillCount int
	// FreezeTime (whole ms) is how long the share stays as it is, at least; -1 ms
	// is without a share.
	FreezeTime time.Duration
	// DropIncrease and DropDecrease are the steps of the share (0 to 1). It
	// shrinks while at most DecreaseRatio of the tokens are gone.
	DropIncrease, DropDecrease, DecreaseRatio float64
	// WeightEnabled makes sessions take GlobalWeight, LocalWeight or RenewWeight
	// tokens (new and global, new and local, taken up again) instead of one; the
	// bucket's size and filling are then in global sessions.
	WeightEnabled                          bool
	GlobalWeight, LocalWeight, RenewWeight int
}

// weighed puts the weights in order (the static block of BlueThrottle.java).
func (c ConnThrottle) weighed() ConnThrottle {
	local := c.LocalWeight
	fix := func(w *int, otherwise int) {
		switch {
		case *w <= 0:
			*w = otherwise
		case *w < local:
			*w = local
		}
	}
	fix(&c.GlobalWeight, 3)
	fix(&c.RenewWeight, 2)
	fix(&c.LocalWeight, 1)
	if c.WeightEnabled {
		c.Tokens *= c.GlobalWeight
		c.FillCount *= c.GlobalWeight
	}
	return c
}

// A bucket is a ConnThrottle at work.
type bucket struct {
	ConnThrottle
	now    func() int64   // ms
	chance func() float64 // 0 to 1

	mu     sync.Mutex
	tokens int
	filled int64   // when tokens were last brought
	froze  int64   // when the share last changed
	share  float64 // of those who ask, refused by chance
}

// newBucket returns a full bucket, or nil when there is no limit.
func newBucket(c ConnThrottle, now func() int64) *bucket {
	if c = c.weighed(); c.Tokens <= 0 {
		return nil
	}
	c.FillTime = max(c.FillTime, time.Millisecond)
	return &bucket{ConnThrottle: c, now: now, chance: rand.Float64, tokens: c.Tokens, filled: now(), froze: now()}
}

// cost is how many tokens a session takes.
func (b *bucket) cost(renew, local bool) int {
	switch {
	case !b.WeightEnabled:
		return 1
	case renew:
		return b.RenewWeight
	case local:
		return b.LocalWeight
	}
	return b.GlobalWeight
}

// take takes n tokens, unless there are too few or chance is against it.
func (b *bucket) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.fill(now)
	if b.FreezeTime != -time.Millisecond && !b.lucky(now) {
		return false
	}
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}

func (b *bucket) fill(now int64) {
	passed, every := now-b.filled, b.FillTime.Milliseconds()
	if passed <= every {
		return
	}
	b.filled = now
	if missing := int64(b.Tokens - b.tokens); passed > math.MaxInt64/int64(max(b.FillCount, 1)) || passed*int64(b.FillCount)/every >= missing {
		b.tokens = b.Tokens
		return
	}
	b.tokens += int(passed * int64(b.FillCount) / every)
}

// lucky adapts the share, when its time has come, and throws the dice.
func (b *bucket) lucky(now int64) bool {
	if gone := b.Tokens - b.tokens; now-b.froze > b.FreezeTime.Milliseconds() {
		switch {
		case gone == b.Tokens && b.share < 1:
			b.share = min(b.share+b.DropIncrease, 1)
		case gone <= int(math.Floor(float64(b.Tokens)*b.DecreaseRatio+0.5)) && b.share > 0:
			b.share = max(b.share-b.DropDecrease, 0)
		}
		b.froze = now
	}
	return b.chance() >= b.share
}

// deficit is how many tokens are missing.
func (b *bucket) deficit() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Tokens - b.tokens
}

// DropProbability is the share of new connections that are refused by chance,
// 0 to 1 (connection_drop_probability).
func (p *Pipeline) DropProbability() float64 {
	b := p.bucket
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.share
}

// admit lets a session be asked for, or says why not.
func (p *Pipeline) admit(renew, local bool) error {
	if b := p.bucket; b != nil {
		if !b.take(b.cost(renew, p.cfg.LocalSessions)) {
			p.stats.Guards.ConnectionsRejected.Add(1)
			return errThrottled
		}
		p.stats.Guards.TokenDeficit.Observe(int64(b.deficit()))
	} else {
		p.stats.Guards.TokenDeficit.Observe(0)
	}
	p.stats.Guards.ConnectionRequests.Add(1)
	return nil
}
