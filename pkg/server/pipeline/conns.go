package pipeline

import (
	"slices"
	"sync"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// connTable finds the connections of a session on this server: the one that
// serves it, and earlier ones whose writes are still under way.
type connTable struct {
	mu     sync.Mutex
	all    map[*Conn]struct{}
	byID   map[int64]*Conn
	before map[int64][]*Conn // oldest first
}

func (t *connTable) init() {
	t.all = make(map[*Conn]struct{})
	t.byID = make(map[int64]*Conn)
	t.before = make(map[int64][]*Conn)
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
	if was != nil && was != c {
		t.keep(session, was)
	}
	t.byID[session] = c
	return was
}

// keep remembers a connection that is replaced or gone while its writes are
// under way.
func (t *connTable) keep(session int64, c *Conn) {
	if c.unanswered() {
		t.before[session] = append(t.before[session], c)
	}
}

// remove forgets a connection that has ended. It tells whether its writes under
// way are still waited for.
func (t *connTable) remove(c *Conn, session int64) (kept bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, c)
	if t.byID[session] == c {
		delete(t.byID, session)
		t.keep(session, c)
	}
	return slices.Contains(t.before[session], c)
}

// forget drops what was kept of earlier connections, whose term has ended.
func (t *connTable) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, list := range t.before {
		for _, c := range list {
			c.forget()
		}
	}
	clear(t.before)
}

// applied hands a transaction to the connection that asked for it: a session's
// requests come to the leader, and their transactions back, in the order of
// its connections.
func (t *connTable) applied(x *txn.Txn, res *treeResult) {
	t.mu.Lock()
	before, c := t.before[x.ClientID], t.byID[x.ClientID]
	t.mu.Unlock()
	taken := false
	for _, earlier := range before {
		if taken = earlier.applied(x, res); taken {
			t.prune(x.ClientID, earlier)
			break
		}
	}
	if c == nil {
		return
	}
	if !taken {
		c.applied(x, res)
	}
	if x.Type == proto.OpCloseSession {
		c.Close()
	}
}

// prune forgets an earlier connection when nothing is owed to it any more.
func (t *connTable) prune(session int64, c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.unanswered() {
		return
	}
	left := slices.DeleteFunc(slices.Clone(t.before[session]), func(o *Conn) bool { return o == c })
	if t.before[session] = left; len(left) == 0 {
		delete(t.before, session)
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
