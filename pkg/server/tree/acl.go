package tree

import (
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// openACL is the id of world:anyone with all permissions, which snapshots do
// not list (ReferenceCountedACLCache.OPEN_UNSAFE_ACL_ID).
const openACL int64 = -1

// aclEntry is one distinct ACL; znodes point to it. id and list never change,
// so snapshots may read them; refs belongs to the tree's writer.
type aclEntry struct {
	id   int64
	list []proto.ACL
	refs int
}

func (e *aclEntry) key() longKey { return longKey(e.id) }

// longKey is a key of tables by number: ACL ids, session ids.
type longKey int64

func (k longKey) hash() uint64 {
	return mix(mix(uint64(k)^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93), 0xa0761d6478bd642f)
}

// aclTable holds each distinct ACL once, with an id as in snapshots and with
// how many znodes use it.
type aclTable struct {
	open  *aclEntry
	byID  *pmap[longKey, *aclEntry] // all but open; shared with snapshots
	byACL map[string]*aclEntry      // by encoding; without open and closed
	last  int64                     // highest id given out
	// closed stands for the ACL of a znode whose id the snapshot did not list:
	// nobody but the super user may do anything until a create transaction
	// repairs it. nil while there was none.
	closed *aclEntry
}

func newACLTable() aclTable {
	return aclTable{
		open:  &aclEntry{id: openACL, list: proto.WorldAnyone()},
		byACL: make(map[string]*aclEntry),
	}
}

// use finds or makes the entry of list and counts one more user. A nil list
// is the open ACL. The table keeps list.
func (t *aclTable) use(epoch uint32, list []proto.ACL) *aclEntry {
	if isOpen(list) {
		t.open.refs++
		return t.open
	}
	k := string(proto.AppendACLs(nil, list))
	e := t.byACL[k]
	if e == nil {
		t.last++
		e = &aclEntry{id: t.last, list: list}
		t.insert(epoch, e)
		t.byACL[k] = e
	}
	e.refs++
	return e
}

func (t *aclTable) insert(epoch uint32, e *aclEntry) {
	t.byID = t.byID.own(epoch)
	t.byID.add(epoch, e)
}

// useClosed is use for a znode whose ACL is unknown.
func (t *aclTable) useClosed(epoch uint32) *aclEntry {
	if t.closed == nil || t.closed.refs == 0 {
		t.last++
		t.closed = &aclEntry{id: t.last, list: []proto.ACL{{ID: proto.ID{Scheme: "world", ID: "anyone"}}}}
		t.insert(epoch, t.closed)
	}
	t.closed.refs++
	return t.closed
}

// drop counts one user less and forgets an ACL without users.
func (t *aclTable) drop(epoch uint32, e *aclEntry) {
	if e.refs--; e.refs == 0 {
		t.forget(epoch, e)
	}
}

func (t *aclTable) forget(epoch uint32, e *aclEntry) {
	if e == t.open {
		return
	}
	t.byID = t.byID.own(epoch)
	t.byID.remove(epoch, e.key())
	if e != t.closed {
		delete(t.byACL, string(proto.AppendACLs(nil, e.list)))
	}
}

// purge forgets the ACLs of a snapshot's table that no znode used.
func (t *aclTable) purge(epoch uint32) {
	var unused []*aclEntry
	t.byID.each(func(e *aclEntry) bool {
		if e.refs == 0 {
			unused = append(unused, e)
		}
		return true
	})
	for _, e := range unused {
		t.forget(epoch, e)
	}
}

// load takes an entry of a snapshot's table and returns what stands for its
// id: the same ACL may be listed twice.
func (t *aclTable) load(epoch uint32, id int64, list []proto.ACL) *aclEntry {
	t.last = max(t.last, id)
	if isOpen(list) {
		return t.open
	}
	k := string(proto.AppendACLs(nil, list))
	e := t.byACL[k]
	if e == nil {
		e = &aclEntry{id: id, list: list}
		t.insert(epoch, e)
		t.byACL[k] = e
	}
	return e
}

func isOpen(list []proto.ACL) bool {
	return list == nil || len(list) == 1 &&
		list[0] == proto.ACL{Perms: proto.PermAll, ID: proto.ID{Scheme: "world", ID: "anyone"}}
}
