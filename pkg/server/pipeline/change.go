package pipeline

import (
	"math"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// A change is a znode as it will be once the proposals under way apply.
type change struct {
	zxid     int64 // proposal that makes it so
	path     string
	deleted  bool
	stored   tree.Persisted
	data     []byte
	acl      []proto.ACL
	children int32
	digest   uint64
}

// changes is the tree as it will be once every outstanding proposal has been
// applied: the applied tree with the outstanding changes laid over it. Only
// the prepare goroutine uses it, and it reads the tree only inside a batch,
// while that goroutine holds the tree's read lock.
//
// Source: PrepRequestProcessor.java (getRecordForPath, ChangeRecord,
// rollbackPendingChanges).
type changes struct {
	tree    *tree.Tree
	byPath  map[string]*change
	order   []*change // in the order made, oldest first
	covered []*change // what each change since the newest mark replaced in byPath
	digest  uint64    // of the whole tree as it will be
}

// settle forgets what has been applied by now.
func (c *changes) settle(applied int64) {
	n := 0
	for n < len(c.order) && c.order[n].zxid <= applied {
		if o := c.order[n]; c.byPath[o.path] == o {
			delete(c.byPath, o.path)
		}
		c.order[n] = nil
		n++
	}
	c.order = c.order[n:]
	if len(c.order) == 0 {
		c.order = nil // let the applied ones go
	}
}

// get returns the znode at path as it will be, or [proto.ErrNoNode]. The
// result must not be written to; see edit.
func (c *changes) get(path string) (*change, error) {
	if ch := c.byPath[path]; ch != nil {
		if ch.deleted {
			return nil, proto.ErrNoNode
		}
		return ch, nil
	}
	n, ok := c.tree.Get(path)
	if !ok {
		return nil, proto.ErrNoNode
	}
	return &change{
		path: path, stored: n.Persisted(), data: n.Data(), acl: n.ACL(), children: int32(n.NumChildren()), digest: n.Digest(),
	}, nil
}

// put records a change made by the proposal zxid.
func (c *changes) put(zxid int64, was, now *change) {
	now.zxid = zxid
	if was != nil {
		c.digest -= was.digest
	}
	now.digest = 0
	if !now.deleted {
		now.digest = now.nodeDigest()
		c.digest += now.digest
	}
	c.covered = append(c.covered, c.byPath[now.path])
	c.byPath[now.path] = now
	c.order = append(c.order, now)
}

// edit records a copy of was as changed by f.
func (c *changes) edit(zxid int64, was *change, f func(*change)) *change {
	now := *was
	f(&now)
	c.put(zxid, was, &now)
	return &now
}

// A mark is a point to which undo goes back. Only the newest mark counts.
type mark struct {
	n      int
	digest uint64
}

// mark starts a group of changes that may have to be undone together.
func (c *changes) mark() mark {
	c.covered = c.covered[:0]
	return mark{n: len(c.order), digest: c.digest}
}

// undo takes back everything that was put since m.
func (c *changes) undo(m mark) {
	for i := len(c.order) - 1; i >= m.n; i-- {
		path := c.order[i].path
		if was := c.covered[i-m.n]; was != nil {
			c.byPath[path] = was
		} else {
			delete(c.byPath, path)
		}
	}
	c.order = c.order[:m.n]
	c.digest = m.digest
}

func (ch *change) nodeDigest() uint64 { return tree.NodeDigest(ch.path, ch.data, ch.stored) }

// owner is the stored ephemeralOwner: a session, or a mark of containers and TTL znodes.
func (ch *change) owner() int64 { return ch.stored.Owner }

// nextVersion is the version after a change; it wraps as Java's int does.
func nextVersion(v int32) int32 {
	if v == math.MaxInt32 {
		return math.MinInt32
	}
	return v + 1
}

// checkVersion compares the version a client expects, -1 for any.
func checkVersion(have, want int32) error {
	if want != -1 && want != have {
		return proto.ErrBadVersion
	}
	return nil
}
