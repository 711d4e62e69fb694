package session

import "sync"

// Touches collects the sessions that a learner heard of since it last told
// its leader. The zero value is ready; it is safe for concurrent use.
type Touches struct {
	mu    sync.Mutex
	heard map[int64]int32
}

// Touch notes a session and its timeout in ms.
func (t *Touches) Touch(id int64, timeout int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.heard == nil {
		t.heard = make(map[int64]int32)
	}
	t.heard[id] = timeout
}

// Forget drops a session that was closed.
func (t *Touches) Forget(id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.heard, id)
}

// Drain returns what was noted since the last Drain, appended to dst in no
// particular order, and forgets it.
func (t *Touches) Drain(dst []Touched) []Touched {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, timeout := range t.heard {
		dst = append(dst, Touched{id, timeout})
	}
	clear(t.heard)
	return dst
}

// Touched is a session that was heard of; Timeout is in ms.
type Touched struct {
	Session int64
	Timeout int32
}
