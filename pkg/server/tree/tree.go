package tree

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Paths of the znodes that every tree has.
const (
	SystemPath = "/zookeeper"
	QuotaPath  = "/zookeeper/quota"
	ConfigPath = "/zookeeper/config"
)

// Tree is the replicated state. See the package comment for concurrency.
type Tree struct {
	opts     Options
	epoch    atomic.Uint32 // raised by Snapshot, which readers may call
	root     *Node
	lastZxid int64
	acls     aclTable
	sessions *pmap[longKey, session]

	digest    digester
	digestLog []ZxidDigest // see noteDigest
	nodes     int          // with the root
	dataSize  int64        // see DataSize

	ephemerals     map[int64]paths // by session
	ephemeralCount int
	containers     paths
	ttls           paths
	quotas         paths // znodes that have a limit
}

// paths is a set of paths.
type paths map[string]struct{}

// session is an entry of the session table; timeout is in ms.
type session struct {
	id      int64
	timeout int32
}

func (s session) key() longKey { return longKey(s.id) }

// New returns the tree of a server that has seen no transaction: the root,
// /zookeeper, /zookeeper/quota and /zookeeper/config.
func New(o Options) *Tree {
	t := newTree(o)
	t.ensureSystem()
	return t
}

// Options are those that the tree was made with.
func (t *Tree) Options() Options { return t.opts }

func newTree(o Options) *Tree {
	t := &Tree{
		opts: o, acls: newACLTable(), nodes: 1,
		ephemerals: make(map[int64]paths), containers: make(paths), ttls: make(paths), quotas: make(paths),
	}
	t.root = &Node{acl: t.acls.use(0, nil), data: []byte{}}
	t.root.digest = t.digest.of("", t.root)
	t.digest.sum = uint64(t.root.digest)
	return t
}

// ensureSystem makes the system znodes that are not there (addConfigNode and
// the constructor of DataTree.java).
func (t *Tree) ensureSystem() {
	for _, path := range []string{SystemPath, QuotaPath} {
		if _, ok := t.Get(path); !ok {
			t.attach(path, &Node{data: []byte{}}, nil)
		}
	}
	if _, ok := t.Get(ConfigPath); !ok {
		readable := []proto.ACL{{Perms: proto.PermRead, ID: proto.ID{Scheme: "world", ID: "anyone"}}}
		t.attach(ConfigPath, &Node{data: []byte{}, aversion: -1}, readable)
	}
}

// Get finds the znode at path; both "" and "/" are the root. It does not
// allocate.
func (t *Tree) Get(path string) (*Node, bool) {
	n := t.root
	for rest := path; rest != "" && path != "/"; {
		name, after, ok := cut(rest)
		if !ok {
			return nil, false
		}
		if n, ok = n.kids.get(name); !ok {
			return nil, false
		}
		rest = after
	}
	return n, true
}

// cut takes the first component off a path that starts with a slash.
func cut(path string) (name nodeName, rest string, ok bool) {
	if path[0] != '/' {
		return "", "", false
	}
	path = path[1:]
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return nodeName(path[:i]), path[i:], i > 0
	}
	return nodeName(path), "", path != ""
}

// split divides a path into its parent ("" for the root) and the last name.
// It is false for paths that no znode can be created at.
func split(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 || path == "/" {
		return "", "", false
	}
	parent, name = path[:i], path[i+1:]
	return parent, name, name != "" && parent != "/"
}

// edit finds the znode at path for a change: it and the way to it are of the
// current epoch afterwards. It is nil when there is none.
func (t *Tree) edit(path string) *Node {
	epoch := t.epoch.Load()
	n := ownNode(&t.root, epoch)
	for rest := path; rest != "" && path != "/"; {
		name, after, ok := cut(rest)
		if !ok || n.kids == nil {
			return nil
		}
		n.kids = n.kids.own(epoch)
		slot := n.kids.slot(epoch, name)
		if slot == nil {
			return nil
		}
		n, rest = ownNode(slot, epoch), after
	}
	return n
}

func ownNode(at **Node, epoch uint32) *Node {
	if (*at).epoch != epoch {
		n := **at
		n.epoch = epoch
		*at = &n
	}
	return *at
}

// attach puts n in the tree at path, whose parent is there and whose own place
// is free, and counts it in. It reports whether that held.
func (t *Tree) attach(path string, n *Node, acl []proto.ACL) bool {
	parentPath, name, ok := split(path)
	if !ok {
		return false
	}
	parent := t.edit(parentPath)
	if parent == nil {
		return false
	}
	if _, ok := parent.kids.get(nodeName(name)); ok {
		return false
	}
	t.attachTo(parent, path, name, n, t.acls.use(t.epoch.Load(), acl))
	return true
}

// attachTo is attach under a parent that edit returned; acl's use is counted.
func (t *Tree) attachTo(parent *Node, path, name string, n *Node, acl *aclEntry) {
	epoch := t.epoch.Load()
	n.name = nodeName(strings.Clone(name)) // not to keep the whole path
	n.epoch, n.kind, n.acl = epoch, t.opts.KindOf(n.owner), acl
	parent.kids = parent.kids.own(epoch)
	parent.kids.add(epoch, n)
	t.nodes++
	t.dataSize += int64(len(path) + len(n.data))
	t.index(path, n)
	t.rehash(path, n)
}

// detach takes the child name, whose path is given, from a parent that edit
// returned, with everything below it. The result is nil when there is none.
func (t *Tree) detach(parent *Node, path, name string) *Node {
	n, ok := parent.kids.get(nodeName(name))
	if !ok {
		return nil
	}
	epoch := t.epoch.Load()
	parent.kids = parent.kids.own(epoch)
	parent.kids.remove(epoch, n.name)
	t.discount(path, n)
	return n
}

// discount takes a znode that left the tree, and those below, out of the
// tables. Validated deletes leave nothing below; replay over a snapshot that
// is ahead of the log may.
func (t *Tree) discount(path string, n *Node) {
	n.kids.each(func(c *Node) bool { t.discount(path+"/"+string(c.name), c); return true })
	t.acls.drop(t.epoch.Load(), n.acl)
	t.nodes--
	t.dataSize -= int64(len(path) + len(n.data))
	t.digest.sum -= uint64(n.digest)
	t.unindex(path, n)
}

func (t *Tree) index(path string, n *Node) {
	switch n.kind {
	case Ephemeral:
		set := t.ephemerals[n.owner]
		if set == nil {
			set = make(paths)
			t.ephemerals[n.owner] = set
		}
		set[path] = struct{}{}
		t.ephemeralCount++
	case Container:
		t.containers[path] = struct{}{}
	case TTL:
		t.ttls[path] = struct{}{}
	}
}

func (t *Tree) unindex(path string, n *Node) {
	switch n.kind {
	case Ephemeral:
		set := t.ephemerals[n.owner]
		delete(set, path)
		if len(set) == 0 {
			delete(t.ephemerals, n.owner)
		}
		t.ephemeralCount--
	case Container:
		delete(t.containers, path)
	case TTL:
		delete(t.ttls, path)
	}
}

// LastZxid is the zxid of the newest transaction applied.
func (t *Tree) LastZxid() int64 { return t.lastZxid }

// SetLastZxid says which zxid the tree stands for: after reading a snapshot,
// and at the start of an epoch.
func (t *Tree) SetLastZxid(zxid int64) { t.lastZxid = zxid }

// NodeCount is the number of znodes as Apache reports it: one more than there
// are paths, because DataTree.java has the root in its table twice.
func (t *Tree) NodeCount() int { return t.nodes + 1 }

// DataSize is the length in bytes of all paths and data together, as in
// zk_approximate_data_size.
func (t *Tree) DataSize() int64 { return t.dataSize + int64(len("/")+len(t.root.data)) }

// Digest is the sum of the znodes' digests (AdHash.java).
func (t *Tree) Digest() uint64 { return t.digest.sum }

// EphemeralCount is how many ephemerals there are.
func (t *Tree) EphemeralCount() int { return t.ephemeralCount }

// Ephemerals returns the paths of a session's ephemerals, sorted.
func (t *Tree) Ephemerals(session int64) []string { return t.ephemerals[session].sorted() }

// SessionsWithEphemerals returns the sessions that own ephemerals, sorted.
func (t *Tree) SessionsWithEphemerals() []int64 {
	ids := make([]int64, 0, len(t.ephemerals))
	for id := range t.ephemerals {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// OrphanSessions returns the sessions that own ephemerals but are not in the
// session table, sorted. A server that is to serve alone or to lead closes
// them first (ZooKeeperServer.loadData).
func (t *Tree) OrphanSessions() []int64 {
	return slices.DeleteFunc(t.SessionsWithEphemerals(), func(id int64) bool {
		_, ok := t.SessionTimeout(id)
		return ok
	})
}

// KillSession deletes the ephemerals of a session, and the session, outside
// any transaction: what a starting leader does to [Tree.OrphanSessions] at its
// last zxid.
func (t *Tree) KillSession(id int64) {
	for _, path := range t.Ephemerals(id) {
		t.deleteNode(path, t.lastZxid)
	}
	t.removeSession(id)
}

// SessionCount is how many global sessions there are.
func (t *Tree) SessionCount() int { return t.sessions.len() }

// SessionTimeout is the timeout in ms of a global session; false when there is
// no such session.
func (t *Tree) SessionTimeout(id int64) (int32, bool) {
	s, ok := t.sessions.get(longKey(id))
	return s.timeout, ok
}

// Sessions calls yield with each global session and its timeout in ms, until
// it returns false. It can be ranged over.
func (t *Tree) Sessions(yield func(id int64, timeout int32) bool) {
	t.sessions.each(func(s session) bool { return yield(s.id, s.timeout) })
}

func (t *Tree) addSession(s session) {
	epoch := t.epoch.Load()
	t.sessions = t.sessions.own(epoch)
	if at := t.sessions.slot(epoch, s.key()); at != nil {
		*at = s
		return
	}
	t.sessions.add(epoch, s)
}

func (t *Tree) removeSession(id int64) {
	if _, ok := t.SessionTimeout(id); !ok {
		return
	}
	epoch := t.epoch.Load()
	t.sessions = t.sessions.own(epoch)
	t.sessions.remove(epoch, longKey(id))
}

// ClosedCount is how many znodes have no known ACL, because a snapshot lacked
// it: only the super user has access to them.
func (t *Tree) ClosedCount() int {
	if t.acls.closed == nil {
		return 0
	}
	return t.acls.closed.refs
}

// AllChildrenNumber counts the znodes below path; 0 when there is none at path.
func (t *Tree) AllChildrenNumber(path string) int {
	n, ok := t.Get(path)
	switch {
	case !ok:
		return 0
	case n == t.root:
		return t.nodes - 1
	}
	count, _ := usage(n)
	return int(count) - 1
}

// ContainerCandidates returns the containers and TTL znodes that are due for
// deletion at now (ms since the Unix epoch), sorted: containers that lost
// their last child, those that never had one for longer than neverUsed ms (0
// spares them), and TTL znodes without children that were not written for
// longer than they live (ContainerManager.java).
func (t *Tree) ContainerCandidates(now, neverUsed int64) []string {
	due := make(paths)
	for path := range t.containers {
		n, ok := t.Get(path)
		if !ok || n.NumChildren() > 0 {
			continue
		}
		if n.cversion > 0 || neverUsed > 0 && now-n.mtime > neverUsed {
			due[path] = struct{}{}
		}
	}
	for path := range t.ttls {
		n, ok := t.Get(path)
		if ok && n.NumChildren() == 0 && now-n.mtime > ttlOf(n.owner) {
			due[path] = struct{}{}
		}
	}
	return due.sorted()
}

// SetConfig puts the text of an ensemble's configuration in /zookeeper/config
// when a server starts in quorum mode: version is the configuration's, now is
// in ms since the Unix epoch (DataTree.initConfigInZKDatabase).
func (t *Tree) SetConfig(text []byte, version, now int64) {
	t.ensureSystem()
	t.setData(ConfigPath, text, -1, version, now)
}

func (p paths) sorted() []string {
	list := make([]string, 0, len(p))
	for path := range p {
		list = append(list, path)
	}
	slices.Sort(list)
	return list
}
