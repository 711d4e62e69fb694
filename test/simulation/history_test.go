package simulation

import (
	"fmt"

	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// history is what all servers together have promised.
type history struct {
	order    []zab.Proposal // what is committed, in order
	leaders  map[int64]zab.Sid
	proposed map[zab.Zxid]string // every transaction that was ever proposed
	digests  map[zab.Zxid]uint64 // of the tree after it

	initial *zab.Membership              // that the run began with
	members map[zab.Zxid]*zab.Membership // that a transaction makes
	judged  int                          // how much of order was looked at for changes of members
}

func newHistory() history {
	return history{
		leaders: map[int64]zab.Sid{}, proposed: map[zab.Zxid]string{}, members: map[zab.Zxid]*zab.Membership{},
		digests: map[zab.Zxid]uint64{0: tree.New(tree.Options{}).Digest()},
	}
}

// propose notes a transaction that follows another: a zxid is given to one of them, ever.
// One that only says that a request failed leaves the tree as it is.
func (h *history) propose(p zab.Proposal, after zab.Zxid) error {
	if old, ok := h.proposed[p.Zxid]; ok && old != string(p.Data) {
		return fmt.Errorf("two transactions are %s", p.Zxid)
	}
	t, err := txn.Decode(p.Data)
	if err != nil {
		return fmt.Errorf("proposal %s: %w", p.Zxid, err)
	}
	h.proposed[p.Zxid], h.digests[p.Zxid] = string(p.Data), h.digests[after]
	if t.Digest != nil {
		h.digests[p.Zxid] = t.Digest.Tree
	}
	return h.note(p)
}

func (h *history) has(z int64) bool { return z <= int64(lastOf(h.order)) }

func lastOf(h []zab.Proposal) zab.Zxid {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1].Zxid
}

// upTo is the part of h that ends at z at the latest.
func upTo(h []zab.Proposal, z zab.Zxid) []zab.Proposal {
	for i, p := range h {
		if p.Zxid > z {
			return h[:i:i]
		}
	}
	return h[:len(h):len(h)]
}

func same(a, b zab.Proposal) bool { return a.Zxid == b.Zxid && string(a.Data) == string(b.Data) }

// isPrefix compares the zxids of all of a, and the newest of its transactions as a
// whole: what a zxid stands for was compared when it was logged.
func isPrefix(a, b []zab.Proposal) bool {
	if len(a) > len(b) {
		return false
	}
	for i, p := range a {
		if p.Zxid != b[i].Zxid || i >= len(a)-8 && !same(p, b[i]) {
			return false
		}
	}
	return true
}
