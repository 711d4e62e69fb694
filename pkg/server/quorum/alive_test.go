package quorum

import (
	"context"
	"errors"
	"testing"
)

func TestAlive(t *testing.T) {
	b := newInbox()
	stuck, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.alive(stuck); !errors.Is(err, context.Canceled) {
		t.Errorf("a loop that does nothing: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-b.wake
		for _, event := range b.take() {
			event()
		}
	}()
	if err := b.alive(context.Background()); err != nil {
		t.Errorf("a loop that works: %v", err)
	}
	<-ended
	b.close()
	if b.alive(context.Background()) == nil {
		t.Error("a loop that has ended is alive")
	}
}
