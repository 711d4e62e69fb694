package pipeline

import (
	"slices"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/watch"
)

// A body appends the rest of a reply behind its header.
type body func([]byte) []byte

// answer executes a read and queues its reply. Pipeline.mu is held, for
// reading at least, so that no change, and no event of one, comes between.
//
// Source: FinalRequestProcessor.java.
func (c *Conn) answer(w *waiting) {
	switch {
	case w.early:
		c.reply(w, w.refused, 0, nil)
		return
	case w.refused == proto.ErrSessionMoved:
		c.Close() // without an answer: the client is somewhere else
		return
	case w.refused != proto.OK:
		c.reply(w, w.refused, c.p.tree.LastZxid(), nil)
		return
	}
	d := jute.NewDecoder(w.body)
	var reply body
	var err error
	if nullPath(w.body) && needsPath(w.Op) {
		err = proto.ErrMarshalling // a NullPointerException there
	} else {
		reply, err = c.execute(w.Op, d)
	}
	if err == nil && d.Err() != nil {
		err = d.Err()
	}
	c.reply(w, codeOf(err), c.p.tree.LastZxid(), reply)
	if w.Op == proto.OpCloseSession { // of a local session
		c.term.local.Remove(c.session.Load())
		c.Close()
	}
	if c.closed.Load() { // perhaps while this left a watch
		c.p.watches.RemoveWatcher(c)
	}
}

// needsPath tells the reads that do not take the null string for a path.
func needsPath(op proto.Op) bool {
	switch op {
	case proto.OpExists, proto.OpGetData, proto.OpGetACL, proto.OpGetChildren, proto.OpGetChildren2, proto.OpGetAllChildrenNumber:
		return true
	}
	return false
}

func (c *Conn) execute(op proto.Op, d *jute.Decoder) (body, error) {
	switch op {
	case proto.OpPing, proto.OpCloseSession:
		return nil, nil
	case proto.OpExists:
		return c.exists(d)
	case proto.OpGetData:
		return c.getData(d)
	case proto.OpGetChildren, proto.OpGetChildren2:
		return c.getChildren(op, d)
	case proto.OpGetACL:
		return c.getACL(d)
	case proto.OpMultiRead:
		return c.multiRead(d)
	case proto.OpSetWatches, proto.OpSetWatches2:
		return nil, c.setWatches(op, d)
	case proto.OpAddWatch:
		return c.addWatch(d)
	case proto.OpCheckWatches, proto.OpRemoveWatches:
		return nil, c.removeWatches(op, d)
	case proto.OpGetEphemerals:
		return c.getEphemerals(d)
	case proto.OpGetAllChildrenNumber:
		return c.getAllChildrenNumber(d)
	case proto.OpWhoAmI:
		return c.whoAmI()
	}
	return nil, proto.ErrUnimplemented
}

// readable returns the znode at path if the client may read it.
func (c *Conn) readable(path string) (*tree.Node, error) {
	n, ok := c.p.tree.Get(path)
	if !ok {
		return nil, proto.ErrNoNode
	}
	return n, c.p.cfg.Auth.Check(n.ACL(), proto.PermRead, c.ids())
}

func decodePathWatch(d *jute.Decoder) (proto.PathWatch, error) {
	var r proto.PathWatch
	r.Decode(d)
	return r, d.Err()
}

// exists leaves its watch on a path without a znode as well: it fires when
// the znode is created.
func (c *Conn) exists(d *jute.Decoder) (body, error) {
	r, err := decodePathWatch(d)
	if err != nil {
		return nil, err
	}
	if hasNUL(r.Path) {
		return nil, proto.ErrBadArguments
	}
	n, err := c.readable(r.Path)
	if r.Watch && (err == nil || err == proto.ErrNoNode) {
		c.p.watches.Add(r.Path, c, watch.Data)
	}
	if err != nil {
		return nil, err
	}
	c.p.readBytes(r.Path, 0)
	stat := n.Stat()
	return stat.Append, nil
}

func (c *Conn) getData(d *jute.Decoder) (body, error) {
	r, err := decodePathWatch(d)
	if err != nil {
		return nil, err
	}
	n, err := c.readable(r.Path)
	if err != nil {
		return nil, err
	}
	if r.Watch {
		c.p.watches.Add(r.Path, c, watch.Data)
	}
	c.p.readBytes(r.Path, len(n.Data()))
	return func(b []byte) []byte { return n.Stat().Append(jute.AppendBuffer(b, n.Data())) }, nil
}

func (c *Conn) getChildren(op proto.Op, d *jute.Decoder) (body, error) {
	r, err := decodePathWatch(d)
	if err != nil {
		return nil, err
	}
	n, err := c.readable(r.Path)
	if err != nil {
		return nil, err
	}
	if r.Watch {
		c.p.watches.Add(r.Path, c, watch.Child)
	}
	return func(b []byte) []byte {
		b = appendChildren(b, n)
		if op == proto.OpGetChildren2 {
			b = n.Stat().Append(b)
		}
		return b
	}, nil
}

func appendChildren(b []byte, n *tree.Node) []byte {
	return jute.AppendStrings(b, n.ChildNames(make([]string, 0, n.NumChildren())))
}

// getACL needs READ or ADMIN; who has not ADMIN does not see digests.
func (c *Conn) getACL(d *jute.Decoder) (body, error) {
	path := d.String()
	if d.Err() != nil {
		return nil, d.Err()
	}
	n, ok := c.p.tree.Get(path)
	if !ok {
		return nil, proto.ErrNoNode
	}
	acl, ids, policy := n.ACL(), c.ids(), c.p.cfg.Auth
	if err := policy.Check(acl, proto.PermRead|proto.PermAdmin, ids); err != nil {
		return nil, err
	}
	if !policy.Allowed(acl, proto.PermAdmin, ids) {
		acl = auth.Mask(acl)
	}
	return func(b []byte) []byte { return n.Stat().Append(proto.AppendACLs(b, acl)) }, nil
}

// multiRead answers each part by itself: a failure of one leaves the others, but
// a write among them fails all, and the end of the list is still sent. Parts that
// would make the answer longer than maxMultiRead fail as well: a request of a
// megabyte could ask for one znode of a megabyte fifty thousand times.
func (c *Conn) multiRead(d *jute.Decoder) (body, error) {
	ops := proto.DecodeMulti(d)
	if d.Err() != nil {
		return nil, d.Err()
	}
	for _, op := range ops {
		if _, ok := op.Body.(*proto.PathWatch); !ok {
			return func(b []byte) []byte { return proto.AppendMultiHeader(b, -1, true, -1) }, proto.ErrMarshalling
		}
	}
	const header, longest = 9, 13 // a part's header, and an error with its header
	nodes, codes, size := make([]*tree.Node, len(ops)), make([]proto.Code, len(ops)), header
	for i, op := range ops {
		n, err := c.readable(op.Body.(*proto.PathWatch).Path)
		if err == nil && size > c.p.maxMultiRead() {
			err = proto.ErrSystem
		}
		if nodes[i], codes[i] = n, codeOf(err); err != nil {
			size += longest
			continue
		}
		size += header + partSize(op.Op, n)
	}
	return func(b []byte) []byte {
		b = slices.Grow(b, size)
		for i, op := range ops {
			switch n := nodes[i]; {
			case codes[i] != proto.OK:
				b = appendMultiError(b, codes[i])
			case op.Op == proto.OpGetData:
				b = proto.AppendMultiHeader(b, op.Op, false, proto.OK)
				b = n.Stat().Append(jute.AppendBuffer(b, n.Data()))
			default:
				b = appendChildren(proto.AppendMultiHeader(b, op.Op, false, proto.OK), n)
			}
		}
		return proto.AppendMultiHeader(b, -1, true, -1)
	}, nil
}

// maxMultiRead is how many bytes the answer to a multiRead may have, but for its
// last parts.
func (p *Pipeline) maxMultiRead() int { return int(p.memory.limit / 4) }

// partSize is how many bytes a part of a multiRead's answer takes.
func partSize(op proto.Op, n *tree.Node) int {
	if op == proto.OpGetData {
		return 4 + len(n.Data()) + proto.StatSize
	}
	size := 4
	for _, name := range n.ChildNames(make([]string, 0, n.NumChildren())) {
		size += 4 + len(name)
	}
	return size
}

func appendMultiError(b []byte, code proto.Code) []byte {
	return jute.AppendInt(proto.AppendMultiHeader(b, proto.OpError, false, code), int32(code))
}

// getEphemerals lists the session's own ephemerals below a prefix.
func (c *Conn) getEphemerals(d *jute.Decoder) (body, error) {
	prefix := d.String()
	if d.Err() != nil {
		return nil, d.Err()
	}
	if strings.TrimSpace(prefix) == "" || prefix == "/" {
		prefix = ""
	}
	found := []string{}
	for _, path := range c.p.tree.Ephemerals(c.session.Load()) {
		if strings.HasPrefix(path, prefix) {
			found = append(found, path)
		}
	}
	return func(b []byte) []byte { return jute.AppendStrings(b, found) }, nil
}

func (c *Conn) getAllChildrenNumber(d *jute.Decoder) (body, error) {
	path := d.String()
	if d.Err() != nil {
		return nil, d.Err()
	}
	if _, err := c.readable(path); err != nil {
		return nil, err
	}
	n := int32(c.p.tree.AllChildrenNumber(path))
	return func(b []byte) []byte { return jute.AppendInt(b, n) }, nil
}

// whoAmI lists the connection's identities; of a digest only the user.
func (c *Conn) whoAmI() (body, error) {
	ids := c.ids()
	return func(b []byte) []byte {
		b = jute.AppendInt(b, int32(len(ids)))
		for _, id := range ids {
			b = jute.AppendString(jute.AppendString(b, id.Scheme), c.p.cfg.Auth.User(id))
		}
		return b
	}, nil
}
