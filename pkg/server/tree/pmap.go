package tree

import (
	"math/bits"
	"slices"
)

// hashKey is a key of a [pmap]. Its hash must not depend on the process, so
// that iteration order, and with it snapshots, are the same everywhere.
type hashKey interface {
	comparable
	hash() uint64
}

// keyed is an element of a [pmap]; it knows its own key.
type keyed[K hashKey] interface{ key() K }

const (
	smallMax  = 8 // elements that a pmap keeps in a plain list
	pageBits  = 5 // bits of the hash that one level of the trie looks at
	pageMask  = 1<<pageBits - 1
	hashWidth = 64
)

// pmap is a set of elements found by key: a list while it is small, then a
// compressed hash trie (the layout of CHAMP, Steindorfer and Vinju 2015).
// Changing methods take the current epoch. They change in place what that
// epoch made, and copy before the first change what is older, so that whoever
// holds a pmap of an older epoch keeps seeing it as it was.
//
// The zero value is empty. Before a change the pmap itself must be own'ed.
type pmap[K hashKey, T keyed[K]] struct {
	epoch uint32
	n     int32
	list  []T      // all elements, when root is nil
	root  *page[T] // otherwise
}

// page is one level of the trie. Bit i of elemMap says that the elements
// whose next hash bits are i are one element, found in elems; bit i of pageMap
// that they are in a page of their own, found in subs. Below the last bits of
// the hash both maps are unused and elems is a plain list.
type page[T any] struct {
	epoch   uint32
	elemMap uint32
	pageMap uint32
	elems   []T
	subs    []*page[T]
}

// len is the number of elements; m may be nil.
func (m *pmap[K, T]) len() int {
	if m == nil {
		return 0
	}
	return int(m.n)
}

// own returns a pmap that epoch may change: m itself or a copy. m may be nil.
func (m *pmap[K, T]) own(epoch uint32) *pmap[K, T] {
	switch {
	case m == nil:
		return &pmap[K, T]{epoch: epoch}
	case m.epoch == epoch:
		return m
	}
	return &pmap[K, T]{epoch: epoch, n: m.n, list: slices.Clone(m.list), root: m.root}
}

// get finds the element of key k; m may be nil.
func (m *pmap[K, T]) get(k K) (T, bool) {
	var none T
	if m == nil {
		return none, false
	}
	if m.root == nil {
		for _, e := range m.list {
			if e.key() == k {
				return e, true
			}
		}
		return none, false
	}
	h := k.hash()
	p := m.root
	for shift := 0; shift < hashWidth; shift += pageBits {
		bit := bitOf(h, shift)
		switch {
		case p.elemMap&bit != 0:
			if e := p.elems[rank(p.elemMap, bit)]; e.key() == k {
				return e, true
			}
			return none, false
		case p.pageMap&bit == 0:
			return none, false
		}
		p = p.subs[rank(p.pageMap, bit)]
	}
	for _, e := range p.elems {
		if e.key() == k {
			return e, true
		}
	}
	return none, false
}

// slot returns where the element of key k is kept, for the caller to replace
// it by another of the same key; nil when there is none.
func (m *pmap[K, T]) slot(epoch uint32, k K) *T {
	if m.root == nil {
		return find(m.list, k)
	}
	h := k.hash()
	at := &m.root
	for shift := 0; shift < hashWidth; shift += pageBits {
		p := ownPage(at, epoch)
		bit := bitOf(h, shift)
		switch {
		case p.elemMap&bit != 0:
			return find(p.elems[rank(p.elemMap, bit):][:1], k)
		case p.pageMap&bit == 0:
			return nil
		}
		at = &p.subs[rank(p.pageMap, bit)]
	}
	return find(ownPage(at, epoch).elems, k)
}

// add puts in an element whose key is not there yet.
func (m *pmap[K, T]) add(epoch uint32, e T) {
	m.n++
	if m.root == nil && len(m.list) < smallMax {
		m.list = append(m.list, e)
		return
	}
	if m.root == nil {
		m.root = &page[T]{epoch: epoch}
		for _, old := range m.list {
			addTo(&m.root, epoch, old, old.key().hash(), 0)
		}
		m.list = nil
	}
	addTo(&m.root, epoch, e, e.key().hash(), 0)
}

// remove takes out the element of key k and says whether there was one.
func (m *pmap[K, T]) remove(epoch uint32, k K) bool {
	if m.root == nil {
		i := slices.IndexFunc(m.list, func(e T) bool { return e.key() == k })
		if i < 0 {
			return false
		}
		m.list = slices.Delete(m.list, i, i+1)
		m.n--
		return true
	}
	if _, ok := m.get(k); !ok { // so that a miss copies nothing
		return false
	}
	removeFrom(&m.root, epoch, k, k.hash(), 0)
	if m.n--; m.n <= smallMax/2 {
		list := make([]T, 0, m.n)
		m.root.each(func(e T) bool { list = append(list, e); return true })
		m.list, m.root = list, nil
	}
	return true
}

// each calls yield for every element until it returns false. m may be nil.
// The order depends only on what was added and removed, and when.
func (m *pmap[K, T]) each(yield func(T) bool) {
	if m == nil {
		return
	}
	for _, e := range m.list {
		if !yield(e) {
			return
		}
	}
	if m.root != nil {
		m.root.each(yield)
	}
}

func (p *page[T]) each(yield func(T) bool) bool {
	for _, e := range p.elems {
		if !yield(e) {
			return false
		}
	}
	for _, s := range p.subs {
		if !s.each(yield) {
			return false
		}
	}
	return true
}

// ownPage makes the page at *at one that epoch may change.
func ownPage[T any](at **page[T], epoch uint32) *page[T] {
	if p := *at; p.epoch != epoch {
		*at = &page[T]{
			epoch: epoch, elemMap: p.elemMap, pageMap: p.pageMap,
			elems: slices.Clone(p.elems), subs: slices.Clone(p.subs),
		}
	}
	return *at
}

func addTo[K hashKey, T keyed[K]](at **page[T], epoch uint32, e T, h uint64, shift int) {
	p := ownPage(at, epoch)
	if shift >= hashWidth {
		p.elems = append(p.elems, e)
		return
	}
	bit := bitOf(h, shift)
	switch {
	case p.pageMap&bit != 0:
		addTo(&p.subs[rank(p.pageMap, bit)], epoch, e, h, shift+pageBits)
	case p.elemMap&bit == 0:
		p.elems = slices.Insert(p.elems, rank(p.elemMap, bit), e)
		p.elemMap |= bit
	default: // two elements share these bits: push both one level down
		i := rank(p.elemMap, bit)
		old := p.elems[i]
		p.elems = slices.Delete(p.elems, i, i+1)
		p.elemMap &^= bit
		sub := &page[T]{epoch: epoch}
		addTo(&sub, epoch, old, old.key().hash(), shift+pageBits)
		addTo(&sub, epoch, e, h, shift+pageBits)
		p.subs = slices.Insert(p.subs, rank(p.pageMap, bit), sub)
		p.pageMap |= bit
	}
}

// removeFrom takes out an element that is there. A page that is left with one
// element and nothing below gives it back to the page above.
func removeFrom[K hashKey, T keyed[K]](at **page[T], epoch uint32, k K, h uint64, shift int) {
	p := ownPage(at, epoch)
	if shift >= hashWidth {
		p.elems = slices.DeleteFunc(p.elems, func(e T) bool { return e.key() == k })
		return
	}
	bit := bitOf(h, shift)
	if p.elemMap&bit != 0 {
		i := rank(p.elemMap, bit)
		p.elems = slices.Delete(p.elems, i, i+1)
		p.elemMap &^= bit
		return
	}
	i := rank(p.pageMap, bit)
	removeFrom(&p.subs[i], epoch, k, h, shift+pageBits)
	if sub := p.subs[i]; len(sub.subs) == 0 && len(sub.elems) == 1 {
		p.subs = slices.Delete(p.subs, i, i+1)
		p.pageMap &^= bit
		p.elems = slices.Insert(p.elems, rank(p.elemMap, bit), sub.elems[0])
		p.elemMap |= bit
	}
}

func find[K hashKey, T keyed[K]](list []T, k K) *T {
	for i := range list {
		if list[i].key() == k {
			return &list[i]
		}
	}
	return nil
}

func bitOf(h uint64, shift int) uint32 { return 1 << (h >> shift & pageMask) }

// rank is how many bits of m lie below bit.
func rank(m, bit uint32) int { return bits.OnesCount32(m & (bit - 1)) }

// mix multiplies and folds; the constants of the callers are odd and random.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
