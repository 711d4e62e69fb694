package session

import "sync"

// Local keeps the sessions that only this server knows: made without a
// transaction, expired here, gone when the server leaves its role. One that is
// to own an ephemeral znode is upgraded, which makes it known to all.
//
// O is as for [Tracker]. It is safe for concurrent use.
//
// Source: LocalSessionTracker.java, UpgradeableSessionTracker.java.
type Local[O comparable] struct {
	*Tracker[O]

	mu        sync.Mutex
	upgrading map[int64]struct{} // local no more; the transaction is under way
}

// NewLocal returns a Local without sessions; tick is in ms and above 0.
func NewLocal[O comparable](tick int64) *Local[O] {
	return &Local[O]{Tracker: NewTracker[O](tick), upgrading: make(map[int64]struct{})}
}

// Upgrade ends that a session is local, unless it is closing, and returns the
// timeout (ms) with which it was made. Before it ends, track is called with
// that timeout, so that the session is always known to someone. It is false
// for a session that is not local: another caller was first.
func (l *Local[O]) Upgrade(id int64, track func(timeout int32)) (timeout int32, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if timeout, ok = l.made(id); !ok {
		return 0, false
	}
	l.upgrading[id] = struct{}{}
	track(timeout)
	l.Remove(id)
	return timeout, true
}

// Upgrading says whether the transaction that makes a session global is under
// way.
func (l *Local[O]) Upgrading(id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.upgrading[id]
	return ok
}

// Committed notes that a session is global now, however that came about.
func (l *Local[O]) Committed(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.upgrading, id)
	l.Remove(id)
}
