package pipeline

import (
	"fmt"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

func hasNUL(path string) bool { return strings.IndexByte(path, 0) >= 0 }

// A createMode is what a create's flags mean.
type createMode struct {
	ephemeral, sequential, container, ttl bool
}

// ofOp is the mode that counts: only the operation createContainer makes
// containers, and it makes nothing else (PrepRequestProcessor.java,
// pRequest2TxnCreate).
func (m createMode) ofOp(op proto.Op) createMode {
	m.container = op == proto.OpCreateContainer
	m.ephemeral = m.ephemeral && !m.container
	return m
}

func parseMode(flags int32) (createMode, error) {
	switch flags {
	case proto.ModePersistent:
		return createMode{}, nil
	case proto.ModeEphemeral:
		return createMode{ephemeral: true}, nil
	case proto.ModePersistentSequential:
		return createMode{sequential: true}, nil
	case proto.ModeEphemeralSequential:
		return createMode{ephemeral: true, sequential: true}, nil
	case proto.ModeContainer:
		return createMode{container: true}, nil
	case proto.ModePersistentTTL:
		return createMode{ttl: true}, nil
	case proto.ModePersistentSequentialTTL:
		return createMode{ttl: true, sequential: true}, nil
	}
	return createMode{}, fmt.Errorf("%w: create flags %d", proto.ErrBadArguments, flags)
}

// checkTTL says whether the time to live fits the mode. TTL znodes need
// extendedTypesEnabled; createTTL for another mode is fine with a negative one
// (EphemeralType.java, validateTTL).
func (p *preparer) checkTTL(m createMode, op proto.Op, ttl int64) error {
	if !m.ttl {
		if op == proto.OpCreateTTL && ttl >= 0 {
			return fmt.Errorf("%w: a TTL for a znode that takes none", proto.ErrBadArguments)
		}
		return nil
	}
	if !p.kinds.ExtendedTypes {
		return proto.ErrUnimplemented
	}
	if op != proto.OpCreateTTL || ttl <= 0 || ttl > tree.MaxTTL {
		return fmt.Errorf("%w: TTL %d ms is outside 1..%d", proto.ErrBadArguments, ttl, int64(tree.MaxTTL))
	}
	return nil
}

func (p *preparer) create(op proto.Op, r *proto.CreateRequest, w *write, t *txn.Txn) (txn.Body, error) {
	m, err := parseMode(r.Flags)
	if err != nil {
		return nil, err
	}
	if err := p.checkTTL(m, op, r.TTL); err != nil {
		return nil, err
	}
	if err := p.checkCreator(m, w); err != nil {
		return nil, err
	}
	m = m.ofOp(op)
	parent, ok := parentOf(r.Path)
	if !ok || hasNUL(r.Path) {
		return nil, fmt.Errorf("%w: path %q", proto.ErrBadArguments, r.Path)
	}
	acl, err := p.auth.Fix(r.ACL, w.Auth)
	if err != nil {
		return nil, err
	}
	up, err := p.changes.get(parent)
	if err != nil {
		return nil, err
	}
	if err := p.auth.Check(up.acl, proto.PermCreate, w.Auth); err != nil {
		return nil, err
	}
	path := r.Path
	if m.sequential {
		path = fmt.Sprintf("%s%010d", path, up.stored.Cversion)
	}
	if err := p.checkNewPath(path, up); err != nil {
		return nil, err
	}
	if err := p.quotas.create(p.changes.tree, path, len(r.Data)); err != nil {
		return nil, err
	}
	return p.add(up, path, acl, r, m, t, w.Session), nil
}

func (p *preparer) checkNewPath(path string, up *change) error {
	if err := validatePath(path); err != nil {
		return fmt.Errorf("%w: %w", proto.ErrBadArguments, err)
	}
	if _, err := p.changes.get(treePath(path)); err == nil {
		return proto.ErrNodeExists
	}
	if p.kinds.KindOf(up.owner()) == tree.Ephemeral {
		return proto.ErrNoChildrenEphemeral
	}
	return nil
}

// add records the new znode and makes its transaction.
func (p *preparer) add(up *change, path string, acl []proto.ACL, r *proto.CreateRequest, m createMode, t *txn.Txn, session int64) txn.Body {
	cversion := nextVersion(up.stored.Cversion)
	p.changes.edit(t.Zxid, up, func(c *change) {
		c.children++
		if cversion > c.stored.Cversion { // else it has wrapped, and the tree keeps the greatest
			c.stored.Cversion, c.stored.Pzxid = cversion, t.Zxid
		}
	})
	var owner int64
	switch {
	case m.ephemeral:
		owner = session
	case m.container:
		owner = tree.ContainerOwner
	case m.ttl:
		owner, _ = tree.TTLOwner(r.TTL) // checkTTL knows that it is in range
	}
	p.changes.put(t.Zxid, nil, &change{path: path, data: r.Data, acl: acl, stored: tree.Persisted{
		Czxid: t.Zxid, Mzxid: t.Zxid, Pzxid: t.Zxid, Ctime: t.Time, Mtime: t.Time, Owner: owner,
	}})
	switch {
	case m.container:
		t.Type = proto.OpCreateContainer
	case m.ttl:
		t.Type = proto.OpCreateTTL
	case t.Type == proto.OpCreateContainer || t.Type == proto.OpCreateTTL:
		t.Type = proto.OpCreate2
	}
	return &txn.Create{Path: path, Data: r.Data, ACL: acl, Ephemeral: m.ephemeral, ParentCVersion: cversion, TTL: r.TTL}
}
