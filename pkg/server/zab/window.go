package zab

import (
	"cmp"
	"slices"
)

// window holds the newest committed proposals without a gap, so that a learner
// that lags a little need not be sent a snapshot (the committed log of
// ZKDatabase.java).
type window struct {
	items    []Proposal
	bytes    int
	maxCount int
	maxBytes int // 0: no bound
}

// add puts the newest committed proposal in and lets the oldest go.
func (w *window) add(p Proposal) {
	w.items = append(w.items, p)
	w.bytes += len(p.Data)
	for len(w.items) > w.maxCount || w.maxBytes > 0 && w.bytes > w.maxBytes && len(w.items) > 1 {
		w.bytes -= len(w.items[0].Data)
		w.items[0] = Proposal{}
		w.items = w.items[1:]
	}
}

// cut forgets everything after z.
func (w *window) cut(z Zxid) {
	i, found := w.search(z)
	if !found {
		w.clear() // what is left would end before z: a gap
		return
	}
	for _, p := range w.items[i+1:] {
		w.bytes -= len(p.Data)
	}
	w.items = slices.Delete(w.items, i+1, len(w.items))
}

func (w *window) clear() { w.items, w.bytes = nil, 0 }

// search returns the index of z, or of the first proposal after it.
func (w *window) search(z Zxid) (int, bool) {
	return slices.BinarySearchFunc(w.items, z, func(p Proposal, z Zxid) int { return cmp.Compare(p.Zxid, z) })
}
