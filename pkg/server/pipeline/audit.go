package pipeline

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/audit"
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// audited tells of a client's write that has become a transaction, of this server's
// clients only: each server tells of its own (AuditHelper.java, addAuditLog).
func (c *Conn) audited(w *waiting, t *txn.Txn, res *treeResult) {
	a := c.p.cfg.Audit
	if a == nil {
		return
	}
	e := audit.Event{Session: audit.SessionText(c.session.Load()), User: c.users(), IP: hostOnly(c.remote), Result: audit.Success}
	failed := t.Type == proto.OpError
	if failed || res.Code != proto.OK {
		e.Result = audit.Failure
	}
	switch w.Op {
	case proto.OpMulti:
		c.auditedMulti(e, w, res, failed)
		return
	case proto.OpReconfig:
		e.Operation, e.Znode = audit.Reconfig, res.Path
	default:
		if !fillEvent(&e, w, res, failed) {
			return
		}
	}
	a.Write(e)
}

// fillEvent names operation and znode of a single write; false for those that
// are not told. A failed one has no znode but the request's.
func fillEvent(e *audit.Event, w *waiting, res *treeResult, failed bool) bool {
	op, err := decodeWrite(w.Op, jute.NewDecoder(w.body))
	if err != nil {
		return false
	}
	path := ""
	switch r := op.Body.(type) {
	case *proto.CreateRequest:
		e.Operation, path, e.ZnodeType = audit.Create, r.Path, modeName(r.Flags)
		if e.ZnodeType == "" {
			return false // no CreateMode: Apache meets an exception here
		}
	case *proto.PathVersion:
		if w.Op == proto.OpCheck {
			return false
		}
		e.Operation, path = audit.Delete, r.Path
	case *proto.SetDataRequest:
		e.Operation, path = audit.SetData, r.Path
	case *proto.SetACLRequest:
		e.Operation, path, e.ACL = audit.SetACL, r.Path, aclText(r.ACL)
	}
	if e.Znode = res.Path; failed {
		e.Znode = path
	}
	return true
}

// auditedMulti tells of each part that changed something, or once of all that
// failed.
func (c *Conn) auditedMulti(e audit.Event, w *waiting, res *treeResult, failed bool) {
	if failed || slices.ContainsFunc(res.Parts, func(r treeResult) bool { return r.Type == proto.OpError }) {
		e.Operation, e.Result = audit.Multi, audit.Failure
		c.p.cfg.Audit.Write(e)
		return
	}
	modes := map[string]string{}
	for _, op := range proto.DecodeMulti(jute.NewDecoder(w.body)) {
		if r, ok := op.Body.(*proto.CreateRequest); ok && op.Op != proto.OpCreateTTL {
			modes[r.Path] = modeName(r.Flags) // a sequential znode is called otherwise, and has none
		}
	}
	for i := range res.Parts {
		part := e
		part.Znode = res.Parts[i].Path
		switch res.Parts[i].Type {
		case proto.OpCreate, proto.OpCreate2, proto.OpCreateTTL, proto.OpCreateContainer:
			part.Operation, part.ZnodeType = audit.Create, modes[part.Znode]
		case proto.OpDelete, proto.OpDeleteContainer:
			part.Operation = audit.Delete
		case proto.OpSetData:
			part.Operation = audit.SetData
		default:
			continue
		}
		c.p.cfg.Audit.Write(part)
	}
}

// auditClosed tells of the ephemerals that go with a session, on every server
// (DataTree.java, deleteNodes).
func (p *Pipeline) auditClosed(t *txn.Txn, res *treeResult) {
	if p.cfg.Audit == nil || t.Type != proto.OpCloseSession {
		return
	}
	e := audit.Event{
		Session: audit.SessionText(t.ClientID), User: p.cfg.AuditUser, Operation: audit.EphemeralDeleted, Result: audit.Success,
	}
	last := ""
	for _, ev := range res.Events {
		if ev.Type == proto.EventDeleted && ev.Path != last { // told twice: to two kinds of watchers
			e.Znode, last = ev.Path, ev.Path
			p.cfg.Audit.Write(e)
		}
	}
}

// users are the names of the connection's identities, as whoAmI tells them.
func (c *Conn) users() string {
	var names []string
	for _, id := range c.ids() {
		if name := c.p.cfg.Auth.User(id); strings.TrimSpace(name) != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

func hostOnly(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// modeName is CreateMode's name of a create's flags in small letters; "" for none.
func modeName(flags int32) string {
	switch flags {
	case proto.ModePersistent:
		return "persistent"
	case proto.ModeEphemeral:
		return "ephemeral"
	case proto.ModePersistentSequential:
		return "persistent_sequential"
	case proto.ModeEphemeralSequential:
		return "ephemeral_sequential"
	case proto.ModeContainer:
		return "container"
	case proto.ModePersistentTTL:
		return "persistent_with_ttl"
	case proto.ModePersistentSequentialTTL:
		return "persistent_sequential_with_ttl"
	}
	return ""
}

// aclText is a request's ACL as ZKUtil.java writes it: entries one behind the other.
func aclText(acl []proto.ACL) string {
	var b strings.Builder
	for _, e := range acl {
		fmt.Fprintf(&b, "%s:%s:", e.ID.Scheme, e.ID.ID)
		for _, p := range []struct {
			bit    int32
			letter byte
		}{{proto.PermCreate, 'c'}, {proto.PermDelete, 'd'}, {proto.PermRead, 'r'}, {proto.PermWrite, 'w'}, {proto.PermAdmin, 'a'}} {
			if e.Perms&p.bit != 0 {
				b.WriteByte(p.letter)
			}
		}
	}
	return b.String()
}
