package pipeline

// Backpressure is implemented by an [Output] that can be full, of answers that
// the client does not read.
type Backpressure interface {
	// Full tells whether answers should wait. If so, it calls resume, once, on a
	// goroutine of its own, when they need not any more.
	Full(resume func()) bool
}

// full tells whether reads in the queue have to wait for the output; then resume
// is on the way. c.mu is held.
func (c *Conn) full() bool {
	if c.stalled {
		return true
	}
	if c.pressure == nil || !c.pressure.Full(c.resume) {
		return false
	}
	// They wait for their own client: that is not to hold up the others.
	c.stalled = true
	c.p.answered(int64(len(c.queue)))
	return true
}

// unstall counts the queue again; c.mu is held.
func (c *Conn) unstall() {
	if c.stalled {
		c.stalled = false
		c.p.stats.outstanding.Add(int64(len(c.queue)))
	}
}

// resume answers what waited for the output. It excludes the connection's reader
// as the apply goroutine does, so that answers keep their order.
func (c *Conn) resume() {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.mu.Lock()
	c.unstall()
	c.mu.Unlock()
	c.advance()
}
