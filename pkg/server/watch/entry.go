package watch

// indexFrom is the number of watchers of one path from which on a map finds
// them; most paths have one.
const indexFrom = 16

// entry is who watches one path through one table, in the order they came.
type entry[W comparable] struct {
	path  string
	list  []watching[W]
	index map[W]int // place in list, when that is long
}

type watching[W comparable] struct {
	w   W
	how mode
}

func (e *entry[W]) find(w W) int {
	if e.index != nil {
		if i, ok := e.index[w]; ok {
			return i
		}
		return -1
	}
	for i := range e.list {
		if e.list[i].w == w {
			return i
		}
	}
	return -1
}

// modes is how w watches; e may be nil.
func (e *entry[W]) modes(w W) mode {
	if e == nil {
		return 0
	}
	if i := e.find(w); i >= 0 {
		return e.list[i].how
	}
	return 0
}

// add adds to how w watches and returns how it did before.
func (e *entry[W]) add(w W, how mode) mode {
	if i := e.find(w); i >= 0 {
		had := e.list[i].how
		e.list[i].how |= how
		return had
	}
	e.list = append(e.list, watching[W]{w, how})
	switch {
	case e.index != nil:
		e.index[w] = len(e.list) - 1
	case len(e.list) >= indexFrom:
		e.reindex()
	}
	return 0
}

// remove takes from how w watches and returns how it did before. The last of
// the list takes the place of one that does not watch any more.
func (e *entry[W]) remove(w W, how mode) mode {
	i := e.find(w)
	if i < 0 {
		return 0
	}
	had := e.list[i].how
	if e.list[i].how &^= how; e.list[i].how != 0 {
		return had
	}
	last := len(e.list) - 1
	e.list[i] = e.list[last]
	e.list[last] = watching[W]{}
	e.list = e.list[:last]
	if e.index != nil {
		delete(e.index, w)
		if i < last {
			e.index[e.list[i].w] = i
		}
	}
	return had
}

// reset makes kept, which shares e's list, the watchers.
func (e *entry[W]) reset(kept []watching[W]) {
	clear(e.list[len(kept):])
	e.list, e.index = kept, nil
	if len(kept) >= indexFrom {
		e.reindex()
	}
}

func (e *entry[W]) reindex() {
	e.index = make(map[W]int, len(e.list))
	for i, x := range e.list {
		e.index[x.w] = i
	}
}

// set finds watchers, in a list while it is short.
type set[W comparable] struct {
	list []W
	m    map[W]struct{}
}

func newSet[W comparable](list []W) set[W] {
	s := set[W]{list: list[:len(list):len(list)]}
	s.grown()
	return s
}

func (s *set[W]) grown() {
	if s.m != nil || len(s.list) < indexFrom {
		return
	}
	s.m = make(map[W]struct{}, len(s.list))
	for _, w := range s.list {
		s.m[w] = struct{}{}
	}
}

func (s *set[W]) has(w W) bool {
	if s.m != nil {
		_, ok := s.m[w]
		return ok
	}
	for _, x := range s.list {
		if x == w {
			return true
		}
	}
	return false
}

func (s *set[W]) add(w W) {
	if s.m != nil {
		s.m[w] = struct{}{}
		return
	}
	s.list = append(s.list, w)
	s.grown()
}
