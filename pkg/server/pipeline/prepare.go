package pipeline

import (
	"errors"
	"fmt"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// A write is a request on its way into the leader's prepare step.
type write struct {
	quorum.Request
	from   zab.Sid       // the server whose client asks
	here   bool          // the client is connected to this server, and can be answered without a transaction
	barred bool          // it may make no ephemeral znode
	plan   *reconfigPlan // of a reconfig, else nil
}

// A preparer validates writes against the tree as it will be and turns each
// into a transaction. A write that fails validation becomes an error
// transaction: it takes a zxid as well.
//
// Source: PrepRequestProcessor.java.
type preparer struct {
	changes   changes
	auth      *auth.Policy
	quotas    quotas
	sessions  *tracker
	local     *localTracker // of this server; nil when there are none anywhere
	self      zab.Sid
	kinds     tree.Options // which owners mark containers and TTL znodes
	monotonic func() int64 // ms on the clock of sessions
	now       func() int64 // wall clock, ms since the Unix epoch
	next      int64        // zxid of the next transaction
	digests   bool         // put the tree's digest into transactions
	noPaths   bool         // leave the paths out of closeSession transactions
}

// errUnreadable marks a body that is not the operation's record.
var errUnreadable = errors.New("the request cannot be read")

// prepare makes the next transaction out of w. It is nil, and no zxid is taken,
// when the request of a client here is not what its operation takes: Apache's
// server answers [proto.ErrMarshalling] before it has made anything of it. In an
// ensemble that leaves it without a transaction that the other servers wait
// for, so that they never answer; their clients get an error transaction here.
func (p *preparer) prepare(w *write) *txn.Txn {
	t := &txn.Txn{Header: txn.Header{ClientID: w.Session, Cxid: w.Cxid, Zxid: p.next, Time: p.now(), Type: w.Op}}
	p.next++
	m := p.changes.mark()
	body, err := p.body(w, t)
	if err != nil {
		p.changes.undo(m)
		if w.here && errors.Is(err, errUnreadable) {
			p.next--
			return nil
		}
		t.Type, t.Body = proto.OpError, &txn.Error{Code: codeOf(err)}
		return t
	}
	t.Body = body
	if p.digests {
		t.Digest = &txn.Digest{Version: txn.DigestVersion, Tree: p.changes.digest}
	}
	return t
}

// codeOf is the code that a client is told for err.
func codeOf(err error) proto.Code {
	var code proto.Code
	switch {
	case err == nil:
		return proto.OK
	case errors.As(err, &code):
		return code
	case errors.Is(err, jute.ErrMalformed), errors.Is(err, errUnreadable):
		return proto.ErrMarshalling
	}
	return proto.ErrSystem
}

func (p *preparer) body(w *write, t *txn.Txn) (txn.Body, error) {
	d := jute.NewDecoder(w.Body)
	switch w.Op {
	case proto.OpCreateSession:
		timeout := d.Int()
		if d.Err() != nil {
			return nil, d.Err()
		}
		p.sessions.Add(w.Session, timeout, p.monotonic())
		if err := p.sessions.SetOwner(w.Session, w.from); err != nil {
			return nil, err
		}
		return &txn.CreateSession{Timeout: timeout}, nil
	case proto.OpCloseSession:
		return p.closeSession(w, t)
	case proto.OpMulti:
		return p.multi(w, t, d)
	case proto.OpReconfig:
		return p.reconfig(w, t)
	case proto.OpDeleteContainer:
		path := d.String()
		if d.Err() != nil || nullPath(w.Body) {
			return nil, errUnreadable
		}
		return p.deleteContainer(path, t)
	}
	op, err := decodeWrite(w.Op, d)
	if err != nil {
		return nil, err
	}
	switch w.Op {
	case proto.OpSetData, proto.OpSetACL: // these find out themselves
	default:
		if nullPath(w.Body) {
			return nil, proto.ErrMarshalling // a NullPointerException there
		}
	}
	return p.operation(op, w, t)
}

// nullPath tells whether a request begins with the null string.
func nullPath(body []byte) bool {
	return len(body) >= 4 && body[0]&body[1]&body[2]&body[3] == 0xff
}

// decodeWrite reads the record of a single write. A check is none: followers of
// Apache's pass one on that a client sends outside a multi, and no server of theirs
// could read the transaction (ZOOKEEPER-2623).
func decodeWrite(op proto.Op, d *jute.Decoder) (proto.MultiOp, error) {
	var body any
	switch op {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		r := new(proto.CreateRequest)
		r.Decode(d, op)
		body = r
	case proto.OpDelete:
		r := new(proto.PathVersion)
		r.Decode(d)
		body = r
	case proto.OpSetData:
		r := new(proto.SetDataRequest)
		r.Decode(d)
		body = r
	case proto.OpSetACL:
		r := new(proto.SetACLRequest)
		r.Decode(d)
		body = r
	default:
		return proto.MultiOp{}, proto.ErrUnimplemented
	}
	if d.Err() != nil {
		return proto.MultiOp{}, fmt.Errorf("%w: %w", errUnreadable, d.Err())
	}
	return proto.MultiOp{Op: op, Body: body}, nil
}

// operation validates one write and records what it will change. It sets
// t.Type where the transaction's type differs from the request's.
func (p *preparer) operation(op proto.MultiOp, w *write, t *txn.Txn) (txn.Body, error) {
	if r, ok := op.Body.(*proto.CreateRequest); ok { // it looks at something else before the session
		return p.create(op.Op, r, w, t)
	}
	if err := p.checkSession(w); err != nil {
		return nil, err
	}
	switch r := op.Body.(type) {
	case *proto.SetDataRequest:
		return p.setData(r, w, t)
	case *proto.SetACLRequest:
		return p.setACL(r, w, t)
	case *proto.PathVersion:
		if op.Op == proto.OpCheck {
			return p.check(r, w)
		}
		return p.delete(r, w, t)
	}
	return nil, proto.ErrUnimplemented
}

// znode returns the znode at path, whose path must be valid.
func (p *preparer) znode(path string) (*change, error) {
	if err := validatePath(path); err != nil {
		return nil, fmt.Errorf("%w: %w", proto.ErrBadArguments, err)
	}
	return p.changes.get(treePath(path))
}

// treePath is the name under which changes and digests know a path.
func treePath(path string) string {
	if path == "/" {
		return ""
	}
	return path
}

func (p *preparer) setData(r *proto.SetDataRequest, w *write, t *txn.Txn) (txn.Body, error) {
	n, err := p.znode(r.Path)
	if err != nil {
		return nil, err
	}
	if err := p.auth.Check(n.acl, proto.PermWrite, w.Auth); err != nil {
		return nil, err
	}
	if err := p.quotas.set(p.changes.tree, r.Path, len(r.Data)-len(n.data)); err != nil {
		return nil, err
	}
	if err := checkVersion(n.stored.Version, r.Version); err != nil {
		return nil, err
	}
	now := p.changes.edit(t.Zxid, n, func(c *change) {
		c.data = r.Data
		c.stored.Version = nextVersion(c.stored.Version)
		c.stored.Mzxid, c.stored.Mtime = t.Zxid, t.Time
	})
	return &txn.SetData{Path: r.Path, Data: r.Data, Version: now.stored.Version}, nil
}

func (p *preparer) setACL(r *proto.SetACLRequest, w *write, t *txn.Txn) (txn.Body, error) {
	if err := validatePath(r.Path); err != nil {
		return nil, fmt.Errorf("%w: %w", proto.ErrBadArguments, err)
	}
	acl, err := p.auth.Fix(r.ACL, w.Auth)
	if err != nil {
		return nil, err
	}
	n, err := p.changes.get(treePath(r.Path))
	if err != nil {
		return nil, err
	}
	if err := p.auth.Check(n.acl, proto.PermAdmin, w.Auth); err != nil {
		return nil, err
	}
	if err := checkVersion(n.stored.Aversion, r.Version); err != nil {
		return nil, err
	}
	now := p.changes.edit(t.Zxid, n, func(c *change) {
		c.acl = acl
		c.stored.Aversion = nextVersion(c.stored.Aversion)
	})
	return &txn.SetACL{Path: r.Path, ACL: acl, Version: now.stored.Aversion}, nil
}

func (p *preparer) check(r *proto.PathVersion, w *write) (txn.Body, error) {
	n, err := p.znode(r.Path)
	if err != nil {
		return nil, err
	}
	if err := p.auth.Check(n.acl, proto.PermRead, w.Auth); err != nil {
		return nil, err
	}
	if err := checkVersion(n.stored.Version, r.Version); err != nil {
		return nil, err
	}
	return &txn.Check{Path: r.Path, Version: nextVersion(n.stored.Version)}, nil
}

// multi prepares all operations or none. When one fails, those before it keep
// their records, it and those after it become errors, and nothing changes.
func (p *preparer) multi(w *write, t *txn.Txn, d *jute.Decoder) (txn.Body, error) {
	ops, err := decodeMulti(d)
	if err != nil {
		return nil, err
	}
	m := p.changes.mark()
	var failed bool
	body := &txn.Multi{Parts: make([]txn.Part, 0, len(ops))}
	for _, op := range ops {
		part := txn.Part{Type: proto.OpError, Body: &txn.Error{Code: proto.ErrRuntimeInconsistency}}
		if !failed {
			sub := &txn.Txn{Header: t.Header}
			sub.Type = op.Op
			b, err := p.operation(op, w, sub)
			if err != nil {
				failed = true
				part.Body = &txn.Error{Code: codeOf(err)}
			} else {
				part = txn.Part{Type: sub.Type, Body: b}
			}
		}
		body.Parts = append(body.Parts, part)
	}
	if failed {
		p.changes.undo(m)
	}
	return body, nil
}

// decodeMulti reads the operations of a multi. Reads and create flags that do
// not exist make the whole request unreadable (MultiOperationRecord.java).
func decodeMulti(d *jute.Decoder) ([]proto.MultiOp, error) {
	ops := proto.DecodeMulti(d)
	if d.Err() != nil {
		return nil, d.Err()
	}
	for i := range ops {
		switch r := ops[i].Body.(type) {
		case *proto.PathWatch:
			return nil, fmt.Errorf("%w: %v inside a multi", proto.ErrMarshalling, ops[i].Op)
		case *proto.CreateRequest:
			op, err := createInMulti(ops[i].Op, r)
			if err != nil {
				return nil, err
			}
			ops[i].Op = op
		}
	}
	return ops, nil
}

// createInMulti is the operation that a create inside a multi stands for. There
// the flags decide, not the operation code (Op.java).
func createInMulti(op proto.Op, r *proto.CreateRequest) (proto.Op, error) {
	m, err := parseMode(r.Flags)
	switch {
	case r.ACL == nil:
		return op, fmt.Errorf("%w: no ACL inside a multi", errUnreadable)
	case err != nil:
		return op, fmt.Errorf("%w: create flags %d inside a multi", proto.ErrMarshalling, r.Flags)
	case m.ttl && op != proto.OpCreateTTL:
		return op, fmt.Errorf("%w: create flags %d without a TTL inside a multi", proto.ErrMarshalling, r.Flags)
	case m.container:
		return proto.OpCreateContainer, nil
	case !m.ttl && op == proto.OpCreateTTL:
		r.TTL = 0
		return proto.OpCreate, nil
	}
	return op, nil
}

// closeSession collects the ephemerals that go with the session, those of
// proposals under way included.
func (p *preparer) closeSession(w *write, t *txn.Txn) (txn.Body, error) {
	p.sessions.SetClosing(w.Session)
	paths := p.changes.ephemerals(w.Session, p.kinds)
	for _, path := range paths {
		if n, err := p.changes.get(path); err == nil {
			p.remove(n, t)
		}
	}
	if p.noPaths {
		return new(txn.CloseSession), nil
	}
	return &txn.CloseSession{Paths: paths, HasPaths: true}, nil
}

// ephemerals lists the znodes that session will own, sorted by creation.
func (c *changes) ephemerals(session int64, kinds tree.Options) []string {
	paths := []string{}
	if kinds.KindOf(session) != tree.Ephemeral {
		return paths // such as 0, which owns all persistent znodes
	}
	for _, path := range c.tree.Ephemerals(session) {
		if _, changed := c.byPath[path]; !changed {
			paths = append(paths, path)
		}
	}
	for _, ch := range c.order {
		if c.byPath[ch.path] == ch && !ch.deleted && ch.owner() == session {
			paths = append(paths, ch.path)
		}
	}
	return paths
}

// remove records that n goes and that its parent knows.
func (p *preparer) remove(n *change, t *txn.Txn) {
	parent, _ := parentOf(n.path)
	if up, err := p.changes.get(parent); err == nil {
		p.changes.edit(t.Zxid, up, func(c *change) {
			c.children--
			c.stored.Pzxid = max(c.stored.Pzxid, t.Zxid)
		})
	}
	p.changes.edit(t.Zxid, n, func(c *change) { c.deleted = true })
}

func (p *preparer) delete(r *proto.PathVersion, w *write, t *txn.Txn) (txn.Body, error) {
	parent, ok := parentOf(r.Path)
	if !ok || hasNUL(r.Path) || isSpecial(r.Path) {
		return nil, fmt.Errorf("%w: %q cannot be deleted", proto.ErrBadArguments, r.Path)
	}
	up, err := p.changes.get(parent)
	if err != nil {
		return nil, err
	}
	if err := p.auth.Check(up.acl, proto.PermDelete, w.Auth); err != nil {
		return nil, err
	}
	n, err := p.changes.get(treePath(r.Path))
	if err != nil {
		return nil, err
	}
	if err := checkVersion(n.stored.Version, r.Version); err != nil {
		return nil, err
	}
	if n.children > 0 {
		return nil, proto.ErrNotEmpty
	}
	p.remove(n, t)
	return &txn.Delete{Path: r.Path}, nil
}

func (p *preparer) deleteContainer(path string, t *txn.Txn) (txn.Body, error) {
	if _, ok := parentOf(path); !ok || hasNUL(path) || isSpecial(path) {
		return nil, fmt.Errorf("%w: %q cannot be deleted", proto.ErrBadArguments, path)
	}
	n, err := p.changes.get(path)
	if err != nil {
		return nil, err
	}
	if n.children > 0 {
		return nil, proto.ErrNotEmpty
	}
	if p.kinds.KindOf(n.owner()) == tree.Ephemeral {
		return nil, proto.ErrBadVersion
	}
	p.remove(n, t)
	return &txn.Delete{Path: path}, nil
}
