package txn

import (
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Create makes a znode. It is the body of create, create2, createContainer
// and createTTL.
type Create struct {
	Path      string
	Data      []byte // nil and empty are different and both kept
	ACL       []proto.ACL
	Ephemeral bool // only create and create2 carry it
	// ParentCVersion is the parent's stored cversion after this create, or -1
	// (one more than it has) in logs from before ZooKeeper 3.4.
	ParentCVersion int32
	TTL            int64 // ms; only createTTL carries it
}

func (c *Create) appendTo(b []byte, op proto.Op) []byte {
	b = jute.AppendString(b, c.Path)
	b = jute.AppendBuffer(b, c.Data)
	b = proto.AppendACLs(b, c.ACL)
	if op == proto.OpCreate || op == proto.OpCreate2 {
		b = jute.AppendBool(b, c.Ephemeral)
	}
	b = jute.AppendInt(b, c.ParentCVersion)
	if op == proto.OpCreateTTL {
		b = jute.AppendLong(b, c.TTL)
	}
	return b
}

func (c *Create) decode(d *jute.Decoder, op proto.Op) {
	c.Path, c.Data, c.ACL = d.String(), d.Buffer(), proto.DecodeACLs(d)
	if op == proto.OpCreate || op == proto.OpCreate2 {
		c.Ephemeral = d.Bool()
	}
	if op == proto.OpCreate && d.Err() == nil && d.Len() < 4 {
		c.ParentCVersion = -1 // the form of before 3.4 (CreateTxnV0)
		return
	}
	c.ParentCVersion = d.Int()
	if op == proto.OpCreateTTL {
		c.TTL = d.Long()
	}
}

// Delete removes a znode: delete and deleteContainer.
type Delete struct{ Path string }

func (x *Delete) appendTo(b []byte, _ proto.Op) []byte { return jute.AppendString(b, x.Path) }
func (x *Delete) decode(d *jute.Decoder, _ proto.Op)   { x.Path = d.String() }

// SetData replaces a znode's data: setData and reconfig.
type SetData struct {
	Path    string
	Data    []byte
	Version int32 // the new version
}

func (s *SetData) appendTo(b []byte, _ proto.Op) []byte {
	return jute.AppendInt(jute.AppendBuffer(jute.AppendString(b, s.Path), s.Data), s.Version)
}

func (s *SetData) decode(d *jute.Decoder, _ proto.Op) {
	s.Path, s.Data, s.Version = d.String(), d.Buffer(), d.Int()
}

// SetACL replaces a znode's ACL.
type SetACL struct {
	Path    string
	ACL     []proto.ACL
	Version int32 // the new aversion
}

func (s *SetACL) appendTo(b []byte, _ proto.Op) []byte {
	return jute.AppendInt(proto.AppendACLs(jute.AppendString(b, s.Path), s.ACL), s.Version)
}

func (s *SetACL) decode(d *jute.Decoder, _ proto.Op) {
	s.Path, s.ACL, s.Version = d.String(), proto.DecodeACLs(d), d.Int()
}

// Check changes nothing. It belongs inside a [Multi]; a leader of Apache's before
// 3.9.3 makes one outside, too, which its own servers cannot read (ZOOKEEPER-2623).
type Check struct {
	Path    string
	Version int32
}

func (c *Check) appendTo(b []byte, _ proto.Op) []byte {
	return jute.AppendInt(jute.AppendString(b, c.Path), c.Version)
}

func (c *Check) decode(d *jute.Decoder, _ proto.Op) { c.Path, c.Version = d.String(), d.Int() }

// CreateSession makes a global session known to every server.
type CreateSession struct {
	Timeout int32 // ms
}

func (c *CreateSession) appendTo(b []byte, _ proto.Op) []byte { return jute.AppendInt(b, c.Timeout) }
func (c *CreateSession) decode(d *jute.Decoder, _ proto.Op)   { c.Timeout = d.Int() }

// CloseSession ends a session and deletes its ephemerals. Before ZooKeeper
// 3.6 it had no body: HasPaths is false then, and each server deletes what
// its own tree holds of the session.
type CloseSession struct {
	Paths    []string
	HasPaths bool
}

func (c *CloseSession) appendTo(b []byte, _ proto.Op) []byte {
	if !c.HasPaths {
		return b
	}
	if c.Paths == nil {
		return jute.AppendInt(b, 0)
	}
	return jute.AppendStrings(b, c.Paths)
}

func (c *CloseSession) decode(d *jute.Decoder, _ proto.Op) {
	// A body of 12 bytes that starts with the digest's version is the digest
	// of a writer with closeSessionTxn.enabled=false, not two paths: two
	// paths that short would be empty.
	if d.Len() == 0 || d.Len() == digestSize && isDigest(*d) {
		return
	}
	c.Paths, c.HasPaths = d.Strings(), true
}

// isDigest looks at a copy of the decoder, so that nothing is consumed.
func isDigest(d jute.Decoder) bool { return d.Int() == DigestVersion }

// Error stands for a request that failed validation. It takes a zxid and a
// log record like any other transaction and changes nothing.
type Error struct{ Code proto.Code }

func (e *Error) appendTo(b []byte, _ proto.Op) []byte { return jute.AppendInt(b, int32(e.Code)) }
func (e *Error) decode(d *jute.Decoder, _ proto.Op)   { e.Code = proto.Code(d.Int()) }

// Multi applies its parts in order, or none of them when one is an [Error].
type Multi struct{ Parts []Part }

// Part is one operation of a [Multi]. Its Body is as in [Txn]; Check and
// Error parts occur too, sessions and nested multis do not.
type Part struct {
	Type proto.Op
	Body Body
}

func (m *Multi) appendTo(b []byte, _ proto.Op) []byte {
	b = jute.AppendInt(b, int32(len(m.Parts)))
	for _, p := range m.Parts {
		b = jute.AppendInt(b, int32(p.Type))
		at := len(b)
		b = p.Body.appendTo(jute.AppendInt(b, 0), p.Type)
		jute.AppendInt(b[:at], int32(len(b)-at-4))
	}
	return b
}

func (m *Multi) decode(d *jute.Decoder, _ proto.Op) {
	n, _ := d.Count(8)
	m.Parts = make([]Part, 0, n)
	for range n {
		op, data := proto.Op(d.Int()), d.Buffer()
		body, err := newPart(op)
		if err != nil {
			d.Fail("%v", err)
		}
		if d.Err() != nil {
			return
		}
		pd := jute.NewDecoder(data)
		body.decode(pd, op)
		if pd.Err() != nil {
			d.Fail("part of type %v: %v", op, pd.Err())
			return
		}
		m.Parts = append(m.Parts, Part{Type: op, Body: body})
	}
}

// newPart is newBody for the types that a multi may hold.
func newPart(op proto.Op) (Body, error) {
	switch op {
	case proto.OpMulti, proto.OpCreateSession, proto.OpCloseSession, proto.OpReconfig:
		return nil, ErrUnsupported
	}
	return newBody(op)
}
