package pipeline

import "sync"

// An inbox is an unbounded queue from many goroutines to one. The reader
// takes all there is at once, so that work is handled in batches. What limits
// its length is the front's limit on requests under way.
type inbox[T any] struct {
	mu     sync.Mutex
	some   sync.Cond
	items  []T
	closed bool
}

func newInbox[T any]() *inbox[T] {
	q := new(inbox[T])
	q.some.L = &q.mu
	return q
}

// put adds an item, unless the inbox is closed.
func (q *inbox[T]) put(item T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.items = append(q.items, item)
	if len(q.items) == 1 {
		q.some.Signal()
	}
	return true
}

// take waits for items and returns all of them; buf is used for the next
// ones. It returns false when the inbox is closed and empty.
func (q *inbox[T]) take(buf []T) ([]T, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.some.Wait()
	}
	if len(q.items) == 0 {
		return nil, false
	}
	items := q.items
	clear(buf)
	q.items = buf[:0]
	return items, true
}

// clear drops what is queued.
func (q *inbox[T]) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = nil
}

// close lets take return false once everything has been taken.
func (q *inbox[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.some.Broadcast()
}
