package quorum

import (
	"context"
	"errors"
	"fmt"
)

// Alive returns when the peer's loop has answered, and with an error when it
// has not until ctx ends.
func (p *Peer) Alive(ctx context.Context) error { return p.inbox.alive(ctx) }

// Alive returns when the loop has answered, and with an error when it has not
// until ctx ends.
func (s *Solo) Alive(ctx context.Context) error { return s.inbox.alive(ctx) }

// alive waits for the loop to come by.
func (b *inbox) alive(ctx context.Context) error {
	done := make(chan struct{})
	if !b.put(func() { close(done) }) {
		return errors.New("the consensus loop has ended")
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the consensus loop does not answer: %w", ctx.Err())
	}
}
