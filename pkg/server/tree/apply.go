package tree

import (
	"bytes"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// Result is what became of a transaction.
type Result struct {
	Zxid int64
	Type proto.Op   // of a part of a failed multi: OpError
	Code proto.Code // OK, the code of an error transaction, or why it did not apply
	Path string
	Stat proto.Stat // of the znode after create*, setData, reconfig and setACL
	// Parts are the results of a multi, one each. When the multi failed they
	// hold what the client is told: OK before the failing part, its code there,
	// RUNTIMEINCONSISTENCY behind it.
	Parts []Result
	// Events are for watchers, in the order in which they are to be told.
	Events []Event
}

// Event is something that watchers of a path may be told. Deletions of a
// znode concern those who watch its data and those who watch its children.
type Event struct {
	Type proto.EventType
	Path string
	ACL  []proto.ACL // of the znode at Path: whoever may not read it is not told
}

// Apply changes the tree by one transaction. Like a Java server it takes what
// it gets: a change that is not possible, as happens when a log is replayed
// over a newer snapshot, leaves the tree alone and is told in the Result.
// Transactions come in zxid order; x is not kept, its ACLs are.
func (t *Tree) Apply(x *txn.Txn) Result {
	r := t.apply(&x.Header, x.Body)
	t.lastZxid = max(t.lastZxid, x.Zxid)
	t.noteDigest(x.Zxid)
	return r
}

func (t *Tree) apply(h *txn.Header, body txn.Body) Result {
	r := Result{Zxid: h.Zxid, Type: h.Type}
	switch b := body.(type) {
	case *txn.Create:
		t.applyCreate(h, b, &r)
	case *txn.Delete:
		r.Path = b.Path
		r.Events, r.Code = t.deleteNode(b.Path, h.Zxid)
	case *txn.SetData:
		r.Path = b.Path
		if n := t.setData(b.Path, b.Data, b.Version, h.Zxid, h.Time); n != nil {
			r.Stat = n.Stat()
			r.Events = []Event{{proto.EventDataChanged, b.Path, n.ACL()}}
		} else {
			r.Code = proto.ErrNoNode
		}
	case *txn.SetACL:
		t.applySetACL(b, &r)
	case *txn.Check:
		r.Path = b.Path
	case *txn.Multi:
		t.applyMulti(h, b, &r)
	case *txn.CreateSession:
		t.addSession(session{h.ClientID, b.Timeout})
	case *txn.CloseSession:
		t.applyCloseSession(h, b, &r)
	case *txn.Error:
		r.Code = b.Code
	default:
		r.Code = proto.ErrUnimplemented
	}
	return r
}

func (t *Tree) applyCreate(h *txn.Header, c *txn.Create, r *Result) {
	r.Path = c.Path
	owner, ok := int64(0), true
	switch {
	case h.Type == proto.OpCreateContainer:
		owner = ContainerOwner
	case h.Type == proto.OpCreateTTL:
		owner, ok = TTLOwner(c.TTL)
	case c.Ephemeral:
		owner = h.ClientID
	}
	parentPath, name, valid := split(c.Path)
	switch {
	case c.Path == "" || c.Path == "/":
		r.Code = proto.ErrNodeExists
		return
	case !ok || !valid:
		r.Code = proto.ErrBadArguments
		return
	}
	parent := t.edit(parentPath)
	if parent == nil {
		r.Code = proto.ErrNoNode
		return
	}
	if n, ok := parent.kids.get(nodeName(name)); ok {
		r.Code = proto.ErrNodeExists
		t.repairACL(c.Path, n, c.ACL)
		if h.Type == proto.OpCreate {
			t.raise(parentPath, parent, c.ParentCVersion, h.Zxid)
		}
		return
	}
	t.raise(parentPath, parent, c.ParentCVersion, h.Zxid)
	n := &Node{
		data: bytes.Clone(c.Data), owner: owner,
		czxid: h.Zxid, mzxid: h.Zxid, pzxid: h.Zxid, ctime: h.Time, mtime: h.Time,
	}
	t.attachTo(parent, c.Path, name, n, t.acls.use(t.epoch.Load(), c.ACL))
	t.quotaCreated(c.Path, parentPath, name, len(n.data))
	r.Stat = n.Stat()
	r.Events = []Event{
		{proto.EventCreated, c.Path, n.ACL()},
		{proto.EventChildrenChanged, orRoot(parentPath), parent.ACL()},
	}
}

// raise counts a creation in the parent, unless the parent is ahead of it
// (DataTree.setCversionPzxid). -1 stands for one more than it has.
func (t *Tree) raise(path string, parent *Node, cversion int32, zxid int64) {
	if cversion == -1 {
		cversion = parent.cversion + 1
	}
	if cversion > parent.cversion {
		parent.cversion, parent.pzxid = cversion, zxid
		t.rehash(path, parent)
	}
}

// repairACL gives a znode that came from a snapshot without its ACL the one
// of its create transaction (ZOOKEEPER-4846).
func (t *Tree) repairACL(path string, n *Node, acl []proto.ACL) {
	if n.acl == t.acls.closed {
		t.changeACL(t.edit(path), acl)
	}
}

func (t *Tree) changeACL(n *Node, acl []proto.ACL) {
	epoch, old := t.epoch.Load(), n.acl
	n.acl = t.acls.use(epoch, acl)
	t.acls.drop(epoch, old)
}

// deleteNode removes a znode. The parent is brought up to date even when the
// znode is gone already: a fuzzy snapshot may hold a newer parent's children.
func (t *Tree) deleteNode(path string, zxid int64) ([]Event, proto.Code) {
	parentPath, name, ok := split(path)
	if !ok {
		return nil, proto.ErrNoNode
	}
	parent := t.edit(parentPath)
	if parent == nil {
		return nil, proto.ErrNoNode
	}
	if zxid > parent.pzxid {
		parent.pzxid = zxid
		t.rehash(parentPath, parent)
	}
	n := t.detach(parent, path, name)
	if n == nil {
		return nil, proto.ErrNoNode
	}
	t.quotaDeleted(path, parentPath, name, n)
	return []Event{
		{proto.EventDeleted, path, n.ACL()},
		{proto.EventChildrenChanged, orRoot(parentPath), parent.ACL()},
	}, proto.OK
}

// setData returns the changed znode, nil when there is none.
func (t *Tree) setData(path string, data []byte, version int32, zxid, now int64) *Node {
	n := t.edit(path)
	if n == nil {
		return nil
	}
	grown := len(data) - len(n.data)
	n.data, n.version, n.mzxid, n.mtime = bytes.Clone(data), version, zxid, now
	t.dataSize += int64(grown)
	t.rehash(path, n)
	t.quotaChanged(path, int64(grown), 0)
	return n
}

func (t *Tree) applySetACL(b *txn.SetACL, r *Result) {
	r.Path = b.Path
	n := t.edit(b.Path)
	if n == nil {
		r.Code = proto.ErrNoNode
		return
	}
	t.changeACL(n, b.ACL)
	n.aversion = b.Version
	t.rehash(b.Path, n)
	r.Stat = n.Stat()
}

func (t *Tree) applyMulti(h *txn.Header, m *txn.Multi, r *Result) {
	failed := -1
	for i, p := range m.Parts {
		if p.Type == proto.OpError {
			failed = i
			break
		}
	}
	r.Parts = make([]Result, len(m.Parts))
	for i, p := range m.Parts {
		sub := *h
		sub.Type = p.Type
		part := &r.Parts[i]
		switch e, isError := p.Body.(*txn.Error); {
		case failed < 0:
			*part = t.apply(&sub, p.Body)
		case isError:
			*part = Result{Zxid: h.Zxid, Type: proto.OpError, Code: e.Code}
		case i < failed:
			*part = Result{Zxid: h.Zxid, Type: proto.OpError}
		default:
			*part = Result{Zxid: h.Zxid, Type: proto.OpError, Code: proto.ErrRuntimeInconsistency}
		}
		if r.Code == proto.OK {
			r.Code = part.Code
		}
		r.Events = append(r.Events, part.Events...)
		part.Events = nil
	}
}

// applyCloseSession deletes what the transaction lists, then what else the
// session owns here.
func (t *Tree) applyCloseSession(h *txn.Header, c *txn.CloseSession, r *Result) {
	for _, path := range c.Paths {
		events, _ := t.deleteNode(path, h.Zxid)
		r.Events = append(r.Events, events...)
	}
	for _, path := range t.Ephemerals(h.ClientID) {
		events, _ := t.deleteNode(path, h.Zxid)
		r.Events = append(r.Events, events...)
	}
	t.removeSession(h.ClientID)
}

func orRoot(path string) string {
	if path == "" {
		return "/"
	}
	return path
}
