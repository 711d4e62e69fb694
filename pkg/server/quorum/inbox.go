package quorum

import "sync"

// inbox holds what other goroutines want the loop to do, in the order it came.
// All methods may be called by any goroutine.
type inbox struct {
	wake chan struct{} // has a value when there may be something to take

	mu     sync.Mutex
	room   *sync.Cond // a slow loop makes those wait that may: the readers of links
	events []func()
	closed bool
}

// inboxRoom is how many events may wait before readers of links do.
const inboxRoom = 8192

func newInbox() *inbox {
	b := &inbox{wake: make(chan struct{}, 1)}
	b.room = sync.NewCond(&b.mu)
	return b
}

// put adds an event without waiting; it is false when the loop has ended.
func (b *inbox) put(event func()) bool { return b.add(event, false) }

// putWhenRoom adds an event as soon as there is room; it is false when the loop
// has ended.
func (b *inbox) putWhenRoom(event func()) bool { return b.add(event, true) }

func (b *inbox) add(event func(), wait bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for wait && !b.closed && len(b.events) >= inboxRoom {
		b.room.Wait()
	}
	if b.closed {
		return false
	}
	b.events = append(b.events, event)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// take hands over all events.
func (b *inbox) take() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events = nil
	b.room.Broadcast()
	return events
}

// close refuses all further events and drops those not taken.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.events = true, nil
	b.room.Broadcast()
}
