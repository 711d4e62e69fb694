package tree

import (
	"encoding/binary"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// nodeName is a znode's name in its parent.
type nodeName string

// hash reads eight bytes at a time; the last ones may overlap.
func (s nodeName) hash() uint64 {
	const k0, k1, k2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93, 0xa0761d6478bd642f
	h := uint64(len(s)) ^ k0
	for ; len(s) > 8; s = s[8:] {
		h = mix(h^word(s), k1)
	}
	return mix(mix(h^word(s), k2), k1)
}

// word is the first up to eight bytes of s, little endian.
func word(s nodeName) uint64 {
	var b [8]byte
	copy(b[:], s)
	return binary.LittleEndian.Uint64(b[:])
}

type children = pmap[nodeName, *Node]

// Node is one znode. Its methods only read.
type Node struct {
	name nodeName
	data []byte // nil and empty are different
	kids *children
	acl  *aclEntry

	czxid, mzxid, pzxid         int64
	ctime, mtime                int64
	owner                       int64
	version, cversion, aversion int32

	digest uint32 // 0 below /zookeeper
	epoch  uint32
	kind   Kind
}

func (n *Node) key() nodeName { return n.name }

// Persisted is what a snapshot holds of a znode beside data, ACL and name
// (StatPersisted). Times are milliseconds since the Unix epoch.
type Persisted struct {
	Czxid, Mzxid, Pzxid         int64
	Ctime, Mtime                int64
	Version, Cversion, Aversion int32 // Cversion counts creations of children only
	Owner                       int64 // raw: a session, a TTL, a container or 0
}

// Persisted returns the znode's stored values.
func (n *Node) Persisted() Persisted {
	return Persisted{
		Czxid: n.czxid, Mzxid: n.mzxid, Pzxid: n.pzxid, Ctime: n.ctime, Mtime: n.mtime,
		Version: n.version, Cversion: n.cversion, Aversion: n.aversion, Owner: n.owner,
	}
}

func (n *Node) setPersisted(p Persisted) {
	n.czxid, n.mzxid, n.pzxid, n.ctime, n.mtime = p.Czxid, p.Mzxid, p.Pzxid, p.Ctime, p.Mtime
	n.version, n.cversion, n.aversion, n.owner = p.Version, p.Cversion, p.Aversion, p.Owner
}

// Name is the last component of the znode's path, "" for the root.
func (n *Node) Name() string { return string(n.name) }

// Data is the znode's content, to be read only; nil when it was created with
// a null buffer.
func (n *Node) Data() []byte { return n.data }

// ACL is the znode's access control list, to be read only.
func (n *Node) ACL() []proto.ACL { return n.acl.list }

// Version counts changes of the data.
func (n *Node) Version() int32 { return n.version }

// StoredCVersion counts creations of children; sequence numbers come from it.
func (n *Node) StoredCVersion() int32 { return n.cversion }

// AVersion counts changes of the ACL.
func (n *Node) AVersion() int32 { return n.aversion }

// Czxid is the zxid of the znode's creation.
func (n *Node) Czxid() int64 { return n.czxid }

// Mzxid is the zxid of the last change of the data.
func (n *Node) Mzxid() int64 { return n.mzxid }

// Pzxid is the zxid of the last creation or deletion of a child.
func (n *Node) Pzxid() int64 { return n.pzxid }

// Ctime is when the znode was created, in ms since the Unix epoch.
func (n *Node) Ctime() int64 { return n.ctime }

// Mtime is when the data last changed, in ms since the Unix epoch.
func (n *Node) Mtime() int64 { return n.mtime }

// Owner is the stored ephemeralOwner: the session of an ephemeral, or what
// [KindOf] tells apart.
func (n *Node) Owner() int64 { return n.owner }

// Kind says what Owner means.
func (n *Node) Kind() Kind { return n.kind }

// NumChildren is how many children the znode has.
func (n *Node) NumChildren() int { return n.kids.len() }

// Digest is the znode's part of the tree's digest; 0 for znodes below
// /zookeeper, which differ from server to server.
func (n *Node) Digest() uint64 { return uint64(n.digest) }

// ChildNames appends the names of the children to dst, in no particular order.
func (n *Node) ChildNames(dst []string) []string {
	n.kids.each(func(c *Node) bool { dst = append(dst, string(c.name)); return true })
	return dst
}

// Stat is what clients are told: cversion counts deletions of children too,
// and only sessions are owners (DataNode.copyStat).
func (n *Node) Stat() proto.Stat {
	kids := int32(n.kids.len())
	s := proto.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Pzxid: n.pzxid, Ctime: n.ctime, Mtime: n.mtime,
		Version: n.version, Cversion: 2*n.cversion - kids, Aversion: n.aversion,
		DataLength: int32(len(n.data)), NumChildren: kids,
	}
	if n.kind == Ephemeral {
		s.EphemeralOwner = n.owner
	}
	return s
}
