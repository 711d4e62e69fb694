package watch

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Table is one of the two tables of watches.
type Table uint8

// The tables.
const (
	Data  Table = iota // left by exists and getData
	Child              // left by getChildren and getChildren2
)

// mode is a set of the ways in which one watcher watches one path.
type mode uint8

const (
	standard mode = 1 << iota
	persistent
	recursive
	anyMode = standard | persistent | recursive
)

// Kind says which watches to look for or to remove (Watcher.WatcherType).
type Kind int32

// The kinds that clients send with checkWatches and removeWatches.
const (
	KindChildren            Kind = 1 // standard, in the child table
	KindData                Kind = 2 // standard, in the data table
	KindAny                 Kind = 3 // whatever there is
	KindPersistent          Kind = 4
	KindPersistentRecursive Kind = 5
)

// Valid says whether k is one of the kinds.
func (k Kind) Valid() bool { return k >= KindChildren && k <= KindPersistentRecursive }

// modes returns what k means in each table.
func (k Kind) modes() (data, child mode) {
	switch k {
	case KindChildren:
		return 0, standard
	case KindData:
		return standard, 0
	case KindAny:
		return anyMode, anyMode
	case KindPersistent:
		return persistent, persistent
	case KindPersistentRecursive:
		return recursive, 0
	}
	return 0, 0
}

// shards is how many locks the paths are spread over.
const shards = 64

// Manager holds the watches of a server; W stands for a client connection. It
// is safe for concurrent use. Methods that concern one path lock only a small
// share of all paths.
type Manager[W comparable] struct {
	seed      maphash.Seed
	shards    [shards]shard[W]
	watches   [2]atomic.Int64 // by table
	recursive atomic.Int64    // watches that are (also) recursive
}

// shard holds the watches of the paths that hash to it.
type shard[W comparable] struct {
	mu     sync.Mutex
	tables [2]map[string]*entry[W]
	held   map[W]*[2]map[string]struct{} // paths that a watcher watches, by table
}

// New returns a Manager without watches.
func New[W comparable]() *Manager[W] {
	m := &Manager[W]{seed: maphash.MakeSeed()}
	for i := range m.shards {
		s := &m.shards[i]
		s.tables = [2]map[string]*entry[W]{make(map[string]*entry[W]), make(map[string]*entry[W])}
		s.held = make(map[W]*[2]map[string]struct{})
	}
	return m
}

func (m *Manager[W]) shard(path string) *shard[W] {
	return &m.shards[maphash.String(m.seed, path)%shards]
}

// Add leaves a standard watch. Adding one that is there changes nothing.
func (m *Manager[W]) Add(path string, w W, t Table) {
	s := m.shard(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.add(s, path, w, t, standard)
}

// AddPersistent leaves a persistent watch, or a persistent recursive one.
func (m *Manager[W]) AddPersistent(path string, w W, deep bool) {
	s := m.shard(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if deep {
		m.add(s, path, w, Data, recursive)
		return
	}
	m.add(s, path, w, Data, persistent)
	m.add(s, path, w, Child, persistent)
}

func (m *Manager[W]) add(s *shard[W], path string, w W, t Table, how mode) {
	e := s.tables[t][path]
	if e == nil {
		path = strings.Clone(path) // not to keep the request that it is part of
		e = &entry[W]{path: path}
		s.tables[t][path] = e
	}
	had := e.add(w, how)
	if had == 0 {
		m.watches[t].Add(1)
		s.hold(w, t, e.path)
	}
	if how == recursive && had&recursive == 0 {
		m.recursive.Add(1)
	}
}

// hold enters a path in the list of what w watches.
func (s *shard[W]) hold(w W, t Table, path string) {
	h := s.held[w]
	if h == nil {
		h = new([2]map[string]struct{})
		s.held[w] = h
	}
	if h[t] == nil {
		h[t] = make(map[string]struct{})
	}
	h[t][path] = struct{}{}
}

// release is the opposite of hold.
func (s *shard[W]) release(w W, t Table, path string) {
	h := s.held[w]
	delete(h[t], path)
	if len(h[Data]) == 0 && len(h[Child]) == 0 {
		delete(s.held, w)
	}
}

// Remove takes away w's watches of a kind on path and says whether there were
// any.
func (m *Manager[W]) Remove(path string, w W, k Kind) bool {
	s := m.shard(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	data, child := k.modes()
	inData := m.drop(s, path, w, Data, data)
	inChild := m.drop(s, path, w, Child, child)
	return inData || inChild
}

func (m *Manager[W]) drop(s *shard[W], path string, w W, t Table, how mode) bool {
	e := s.tables[t][path]
	if e == nil {
		return false
	}
	had := e.remove(w, how)
	m.dropped(s, e, w, t, had, how)
	return had&how != 0
}

// dropped does what is left to do after an entry lost modes of a watcher that
// had some.
func (m *Manager[W]) dropped(s *shard[W], e *entry[W], w W, t Table, had, how mode) {
	if had&how&recursive != 0 {
		m.recursive.Add(-1)
	}
	if had != 0 && had&^how == 0 {
		m.watches[t].Add(-1)
		s.release(w, t, e.path)
	}
	if len(e.list) == 0 {
		delete(s.tables[t], e.path)
	}
}

// Contains says whether w has a watch of a kind on path itself.
func (m *Manager[W]) Contains(path string, w W, k Kind) bool {
	s := m.shard(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	data, child := k.modes()
	return s.tables[Data][path].modes(w)&data != 0 || s.tables[Child][path].modes(w)&child != 0
}

// RemoveWatcher takes away all watches of a connection that is gone. It takes
// time for these only, however many others there are.
func (m *Manager[W]) RemoveWatcher(w W) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		if h := s.held[w]; h != nil {
			for t, paths := range h {
				for path := range paths {
					m.drop(s, path, w, Table(t), anyMode)
				}
			}
		}
		s.mu.Unlock()
	}
}

// Trigger finds who is to be told of an event, forgets the standard watches
// that did it, and calls deliver for each: in one order for the same history,
// at most once for each table (see the package comment). deliver is called
// without a lock held and may use the Manager. Events are to be triggered one
// after the other.
func (m *Manager[W]) Trigger(typ proto.EventType, path string, deliver func(w W)) {
	var told []W
	if typ != proto.EventChildrenChanged {
		told = m.fireData(path)
		for _, w := range told {
			deliver(w)
		}
	}
	if typ != proto.EventChildrenChanged && typ != proto.EventDeleted {
		return
	}
	also := m.fire(path, Child)
	if len(also) == 0 {
		return
	}
	skip := newSet(told)
	for _, w := range also {
		if !skip.has(w) {
			deliver(w)
		}
	}
}

// fireData triggers the data table at path and, for recursive watches, above.
func (m *Manager[W]) fireData(path string) []W {
	told := m.fire(path, Data)
	if m.recursive.Load() == 0 {
		return told
	}
	seen := newSet(told)
	for path != "/" && path != "" {
		if path = path[:strings.LastIndexByte(path, '/')+1]; len(path) > 1 {
			path = path[:len(path)-1]
		}
		for _, w := range m.recursiveAt(path) {
			if !seen.has(w) {
				seen.add(w)
				told = append(told, w)
			}
		}
	}
	return told
}

// fire triggers one table at one path.
func (m *Manager[W]) fire(path string, t Table) []W {
	s := m.shard(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.tables[t][path]
	if e == nil {
		return nil
	}
	told := make([]W, len(e.list))
	kept := e.list[:0]
	for i, x := range e.list {
		told[i] = x.w
		switch {
		case x.how&^standard != 0:
			x.how &^= standard
			kept = append(kept, x)
		default:
			m.watches[t].Add(-1)
			s.release(x.w, t, e.path)
		}
	}
	if e.reset(kept); len(kept) == 0 {
		delete(s.tables[t], e.path)
	}
	return told
}

func (m *Manager[W]) recursiveAt(path string) []W {
	s := m.shard(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.tables[Data][path]
	if e == nil {
		return nil
	}
	var list []W
	for _, x := range e.list {
		if x.how&recursive != 0 {
			list = append(list, x.w)
		}
	}
	return list
}
