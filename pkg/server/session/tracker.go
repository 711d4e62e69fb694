package session

import (
	"cmp"
	"slices"
	"sync"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Tracker says when sessions expire and through whom they are served. Time is
// cut into buckets of a tick: a session expires at the end of the tick in
// which its timeout runs out, together with all others of that tick
// (ExpiryQueue.java). It is safe for concurrent use.
//
// O names who serves a session: a learner, or a mark for one's own
// connections. Its zero value is nobody.
type Tracker[O comparable] struct {
	tick int64

	mu       sync.Mutex
	sessions map[int64]*tracked[O]
	buckets  map[int64]*tracked[O] // by time of expiry; heads of lists
	next     int64                 // no bucket lies before; 0 while none was made
}

// tracked is a session; prev and next hang it in its bucket.
type tracked[O comparable] struct {
	id         int64
	made       int32 // timeout with which it was added
	timeout    int32
	closing    bool
	owner      O
	expiry     int64 // its bucket; 0 when it is in none
	prev, next *tracked[O]
}

// NewTracker returns a Tracker without sessions; tick is in ms and above 0.
func NewTracker[O comparable](tick int64) *Tracker[O] {
	return &Tracker[O]{
		tick:     max(tick, 1),
		sessions: make(map[int64]*tracked[O]), buckets: make(map[int64]*tracked[O]),
	}
}

// Add starts to track a session with a full timeout (ms) from now on, unless
// it is tracked already; then it is touched.
func (t *Tracker[O]) Add(id int64, timeout int32, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil {
		s = &tracked[O]{id: id, made: timeout}
		t.sessions[id] = s
	}
	if !s.closing {
		t.touch(s, timeout, now)
	}
}

// Touch notes that a session's client was heard of, and takes over timeout
// (ms). It is false, and does nothing, for a session that is unknown or
// closing.
func (t *Tracker[O]) Touch(id int64, timeout int32, now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil || s.closing {
		return false
	}
	t.touch(s, timeout, now)
	return true
}

// TouchBy is Touch by one of those through whom sessions are served. It is false,
// too, when another serves the session now: what the former one heard was before.
func (t *Tracker[O]) TouchBy(owner O, id int64, timeout int32, now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	var nobody O
	s := t.sessions[id]
	if s == nil || s.closing || s.owner != nobody && s.owner != owner {
		return false
	}
	t.touch(s, timeout, now)
	return true
}

func (t *Tracker[O]) touch(s *tracked[O], timeout int32, now int64) {
	s.timeout = timeout
	expiry := t.roundUp(now + int64(timeout))
	if expiry == s.expiry {
		return
	}
	t.unlink(s)
	s.expiry = expiry
	if head := t.buckets[expiry]; head != nil {
		s.next, head.prev = head, s
	}
	t.buckets[expiry] = s
	if t.next == 0 || expiry < t.next {
		t.next = expiry
	}
}

// roundUp is the end of the tick that at falls in, never at itself.
func (t *Tracker[O]) roundUp(at int64) int64 { return (at/t.tick + 1) * t.tick }

// unlink takes a session out of its bucket.
func (t *Tracker[O]) unlink(s *tracked[O]) {
	switch {
	case s.expiry == 0:
		return
	case s.prev != nil:
		s.prev.next = s.next
	case s.next != nil:
		t.buckets[s.expiry] = s.next
	default:
		delete(t.buckets, s.expiry)
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next, s.expiry = nil, nil, 0
}

// SetClosing marks a session whose end is under way: requests for it fail and
// it can neither be touched nor expire. It is false for an unknown session.
func (t *Tracker[O]) SetClosing(id int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil {
		return false
	}
	s.closing = true
	t.unlink(s)
	return true
}

// Remove forgets a session.
func (t *Tracker[O]) Remove(id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sessions[id]; s != nil {
		t.unlink(s)
		delete(t.sessions, id)
	}
}

// Expired returns the sessions whose time had run out at now, sorted, and
// marks them as closing.
func (t *Tracker[O]) Expired(now int64) []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next == 0 || t.next > now {
		return nil
	}
	var ids []int64
	next := int64(0)
	for expiry := range t.buckets {
		if expiry > now && (next == 0 || expiry < next) {
			next = expiry
		}
	}
	for expiry, s := range t.buckets {
		for expiry <= now && s != nil {
			ids = append(ids, s.id)
			after := s.next
			s.closing = true
			t.unlink(s)
			s = after
		}
	}
	t.next = next
	slices.Sort(ids)
	return ids
}

// Next is when [Tracker.Expired] may have something to tell; false when no
// session can expire.
func (t *Tracker[O]) Next() (int64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next, t.next != 0
}

// SetOwner says through whom the session is served from now on: its client
// has connected there. The error is [proto.ErrSessionExpired] for a session
// that is unknown or closing.
func (t *Tracker[O]) SetOwner(id int64, owner O) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil || s.closing {
		return proto.ErrSessionExpired
	}
	s.owner = owner
	return nil
}

// CheckOwner says whether a request for the session may come through owner;
// the first one makes it the owner. The error is [proto.ErrSessionExpired] for
// a session that is unknown or closing and [proto.ErrSessionMoved] when
// another serves it.
func (t *Tracker[O]) CheckOwner(id int64, owner O) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil || s.closing {
		return proto.ErrSessionExpired
	}
	return s.check(owner)
}

func (s *tracked[O]) check(owner O) error {
	var nobody O
	if s.owner == nobody {
		s.owner = owner
	}
	if s.owner != owner {
		return proto.ErrSessionMoved
	}
	return nil
}

// Use is [Tracker.Touch] and [Tracker.CheckOwner] at once. A session that has
// moved is touched as well.
func (t *Tracker[O]) Use(id int64, timeout int32, now int64, owner O) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil || s.closing {
		return proto.ErrSessionExpired
	}
	t.touch(s, timeout, now)
	return s.check(owner)
}

// Alive says whether a session is known and not closing.
func (t *Tracker[O]) Alive(id int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	return s != nil && !s.closing
}

// Known says whether a session is tracked, closing or not.
func (t *Tracker[O]) Known(id int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sessions[id] != nil
}

// made is the timeout (ms) with which a session that is alive was added.
func (t *Tracker[O]) made(id int64) (timeout int32, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil || s.closing {
		return 0, false
	}
	return s.made, true
}

// Len is how many sessions are tracked, closing ones included.
func (t *Tracker[O]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sessions)
}

// Bucket is the sessions, sorted, that expire at the same time: At is in ms of
// the clock that is handed in.
type Bucket struct {
	At  int64
	IDs []int64
}

// Buckets shows when which sessions expire, soonest first; for the word dump.
func (t *Tracker[O]) Buckets() []Bucket {
	t.mu.Lock()
	list := make([]Bucket, 0, len(t.buckets))
	for at, s := range t.buckets {
		b := Bucket{At: at}
		for ; s != nil; s = s.next {
			b.IDs = append(b.IDs, s.id)
		}
		list = append(list, b)
	}
	t.mu.Unlock()
	for _, b := range list {
		slices.Sort(b.IDs)
	}
	slices.SortFunc(list, func(a, b Bucket) int { return cmp.Compare(a.At, b.At) })
	return list
}
