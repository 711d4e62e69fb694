package pipeline

import "sync"

// connTable finds the connection of a session on this server.
type connTable struct {
	mu   sync.Mutex
	all  map[*Conn]struct{}
	byID map[int64]*Conn
}

func (t *connTable) init() {
	t.all = make(map[*Conn]struct{})
	t.byID = make(map[int64]*Conn)
}

func (t *connTable) get(session int64) *Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[session]
}

func (t *connTable) add(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all[c] = struct{}{}
}

// attach makes c the connection of its session and returns the one before.
func (t *connTable) attach(session int64, c *Conn) *Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.byID[session]
	t.byID[session] = c
	return was
}

func (t *connTable) remove(c *Conn, session int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, c)
	if t.byID[session] == c {
		delete(t.byID, session)
	}
}

func (t *connTable) list() []*Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*Conn, 0, len(t.all))
	for c := range t.all {
		out = append(out, c)
	}
	return out
}

func (t *connTable) closeAll() {
	for _, c := range t.list() {
		c.Close()
	}
}

func (t *connTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// fifo holds the clients' syncs that a learner has forwarded, oldest first:
// the leader's answers carry no name (Learner.java, pendingSyncs).
type fifo struct {
	mu    sync.Mutex
	items []pendingSync
}

type pendingSync struct {
	conn *Conn
	xid  int32
}

// push adds s and calls send before another can be added, so that the order
// here is the order in which the leader is asked.
func (f *fifo) push(s pendingSync, send func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items = append(f.items, s)
	send()
}

func (f *fifo) pop() (pendingSync, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.items) == 0 {
		return pendingSync{}, false
	}
	s := f.items[0]
	f.items = f.items[1:]
	return s, true
}

func (f *fifo) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items = nil
}
