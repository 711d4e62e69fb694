package tree

import (
	"bufio"
	"io"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Snapshot is a tree at one zxid. It is safe for concurrent use and needs no
// lock, however the tree goes on. It keeps what it shows in memory.
type Snapshot struct {
	zxid     int64
	digest   uint64
	root     *Node
	nodes    int
	sessions *pmap[longKey, session]
	acls     *pmap[longKey, *aclEntry]
}

// Snapshot returns the tree as it is now, in constant time. Readers may call
// it too.
func (t *Tree) Snapshot() *Snapshot {
	t.epoch.Add(1)
	return &Snapshot{
		zxid: t.lastZxid, digest: t.digest.sum, root: t.root, nodes: t.nodes,
		sessions: t.sessions, acls: t.acls.byID,
	}
}

// Zxid is the last transaction in the snapshot.
func (s *Snapshot) Zxid() int64 { return s.zxid }

// Digest is [Tree.Digest] at that point.
func (s *Snapshot) Digest() uint64 { return s.digest }

// NodeCount is [Tree.NodeCount] at that point.
func (s *Snapshot) NodeCount() int { return s.nodes + 1 }

// Walk calls visit for the root (path "/") and every other znode, parents
// before their children, until it returns false.
func (s *Snapshot) Walk(visit func(path string, n *Node) bool) {
	w := walker{visit: func(path []byte, n *Node) bool { return visit(orRoot(string(path)), n) }}
	w.walk(s.root)
}

// walker visits znodes depth first. path is that of the znode visited, "" for
// the root; visit must not keep it.
type walker struct {
	path  []byte
	visit func(path []byte, n *Node) bool
}

func (w *walker) walk(n *Node) bool {
	if !w.visit(w.path, n) {
		return false
	}
	if n.kids.len() == 0 {
		return true
	}
	at, more := len(w.path), true
	n.kids.each(func(c *Node) bool {
		w.path = append(append(w.path[:at], '/'), c.name...)
		more = w.walk(c)
		return more
	})
	return more
}

// WriteTo writes the stream that a leader sends to a learner and that is the
// larger part of a snapshot file (SerializeUtils.serializeSnapshot):
//
//	int count | count x {long session, int timeout}
//	int count | count x {long id, vector<ACL>}
//	ustring path | znode, for each, parents first; the root's path is ""
//	ustring "/"
//
// where a znode is buffer data, long ACL id, and StatPersisted. It gathers
// small writes.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	e := encoder{w: bufio.NewWriterSize(w, 1<<16)}
	e.int(s.sessions.len())
	s.sessions.each(func(x session) bool {
		e.buf = jute.AppendInt(jute.AppendLong(e.buf, x.id), x.timeout)
		return e.flush()
	})
	e.int(s.acls.len())
	s.acls.each(func(a *aclEntry) bool {
		e.buf = proto.AppendACLs(jute.AppendLong(e.buf, a.id), a.list)
		return e.flush()
	})
	nodes := walker{visit: func(path []byte, n *Node) bool {
		e.buf = append(jute.AppendInt(e.buf, int32(len(path))), path...)
		e.buf = jute.AppendBuffer(e.buf, n.data)
		e.buf = appendStored(e.buf, n)
		return e.flush()
	}}
	nodes.walk(s.root)
	e.buf = jute.AppendString(e.buf, "/")
	if e.flush() {
		e.err = e.w.Flush()
	}
	return e.n, e.err
}

// appendStored writes the fixed-size part of a znode: ACL id, StatPersisted.
func appendStored(b []byte, n *Node) []byte {
	b = jute.AppendLong(b, n.acl.id)
	b = jute.AppendLong(b, n.czxid)
	b = jute.AppendLong(b, n.mzxid)
	b = jute.AppendLong(b, n.ctime)
	b = jute.AppendLong(b, n.mtime)
	b = jute.AppendInt(b, n.version)
	b = jute.AppendInt(b, n.cversion)
	b = jute.AppendInt(b, n.aversion)
	b = jute.AppendLong(b, n.owner)
	return jute.AppendLong(b, n.pzxid)
}

const storedSize = 8 + 60

// encoder writes record by record; n counts bytes, err is the first error.
type encoder struct {
	w   *bufio.Writer
	buf []byte
	n   int64
	err error
}

func (e *encoder) int(v int) {
	e.buf = jute.AppendInt(e.buf, int32(v))
	e.flush()
}

// flush hands on what is in buf and says whether to go on.
func (e *encoder) flush() bool {
	if e.err != nil {
		return false
	}
	n, err := e.w.Write(e.buf)
	e.n += int64(n)
	e.err, e.buf = err, e.buf[:0]
	return err == nil
}
