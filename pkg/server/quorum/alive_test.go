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
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for { // the first event may come by itself
			select {
			case <-b.wake:
			case <-quit:
				return
			}
			for _, event := range b.take() {
				event()
			}
		}
	}()
	if err := b.alive(context.Background()); err != nil {
		t.Errorf("a loop that works: %v", err)
	}
	close(quit)
	<-ended
	b.close()
	if b.alive(context.Background()) == nil {
		t.Error("a loop that has ended is alive")
	}
}
