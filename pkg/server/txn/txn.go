// Package txn holds ZooKeeper's transactions: what is logged, proposed to
// the ensemble and applied to the tree. One transaction is
//
//	header  clientId (8) | cxid (4) | zxid (8) | time (8) | type (4)
//	body    a record that depends on the type
//	digest  version (4) | tree digest (8); from ZooKeeper 3.6 on, optional
//
// and its bytes are the same in the transaction log and in a PROPOSAL. The
// package reads what ZooKeeper 3.3 to 3.9 write.
//
// Source: zookeeper.jute (module txn), SerializeUtils.java.
package txn

import (
	"errors"
	"fmt"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// ErrUnsupported is wrapped by the errors of [Decode] for a type of
// transaction that no ZooKeeper up to 3.9 writes.
var ErrUnsupported = errors.New("unsupported transaction type")

// HeaderSize is the length of an encoded [Header].
const HeaderSize = 32

// Header leads every transaction.
type Header struct {
	ClientID int64 // session that asked; 0 for the server's own deletes of containers
	Cxid     int32 // the client's number of the request
	Zxid     int64
	Time     int64 // leader's wall clock, ms since the Unix epoch
	Type     proto.Op
}

// Append writes the header behind b.
func (h Header) Append(b []byte) []byte {
	b = jute.AppendLong(b, h.ClientID)
	b = jute.AppendInt(b, h.Cxid)
	b = jute.AppendLong(b, h.Zxid)
	b = jute.AppendLong(b, h.Time)
	return jute.AppendInt(b, int32(h.Type))
}

// Decode reads the header from d.
func (h *Header) Decode(d *jute.Decoder) {
	h.ClientID, h.Cxid, h.Zxid, h.Time, h.Type = d.Long(), d.Int(), d.Long(), d.Long(), proto.Op(d.Int())
}

// DigestVersion is the version of the tree digest that this package reads
// and writes; readers skip others (DigestCalculator.java).
const DigestVersion = 2

// Digest is the digest of the whole tree after a transaction.
type Digest struct {
	Version int32
	Tree    uint64
}

// Txn is one transaction. Body is a pointer to the record that Header.Type
// calls for: *Create, *Delete, *SetData, *SetACL, *Check, *Multi,
// *CreateSession, *CloseSession or *Error.
type Txn struct {
	Header
	Body   Body
	Digest *Digest // nil when the transaction carries none
}

// Body is the part of a transaction that depends on its type.
type Body interface {
	appendTo(b []byte, op proto.Op) []byte
	decode(d *jute.Decoder, op proto.Op)
}

// Append writes the whole transaction behind b.
func (t *Txn) Append(b []byte) []byte {
	b = t.Body.appendTo(t.Header.Append(b), t.Type)
	if t.Digest != nil {
		b = jute.AppendLong(jute.AppendInt(b, t.Digest.Version), int64(t.Digest.Tree))
	}
	return b
}

// Decode reads a whole transaction. The result may hold parts of b, so b must
// not change while it is in use. Errors wrap [jute.ErrMalformed] or
// [ErrUnsupported].
func Decode(b []byte) (*Txn, error) {
	d := jute.NewDecoder(b)
	t := new(Txn)
	t.Header.Decode(d)
	if d.Err() != nil {
		return nil, fmt.Errorf("transaction header: %w", d.Err())
	}
	body, err := newBody(t.Type)
	if err != nil {
		return nil, fmt.Errorf("zxid 0x%x: %w", t.Zxid, err)
	}
	t.Body = body
	body.decode(d, t.Type)
	if d.Err() != nil {
		return nil, fmt.Errorf("zxid 0x%x: body of %v: %w", t.Zxid, t.Type, d.Err())
	}
	if d.Len() >= digestSize {
		t.Digest = &Digest{Version: d.Int(), Tree: uint64(d.Long())}
	}
	return t, nil
}

// DecodeHeader reads only the header of a transaction's bytes.
func DecodeHeader(b []byte) (Header, error) {
	d := jute.NewDecoder(b)
	var h Header
	h.Decode(d)
	if d.Err() != nil {
		return Header{}, fmt.Errorf("transaction header: %w", d.Err())
	}
	return h, nil
}

const digestSize = 12

func newBody(op proto.Op) (Body, error) {
	switch op {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		return new(Create), nil
	case proto.OpDelete, proto.OpDeleteContainer:
		return new(Delete), nil
	case proto.OpSetData, proto.OpReconfig:
		return new(SetData), nil
	case proto.OpSetACL:
		return new(SetACL), nil
	case proto.OpCheck:
		return new(Check), nil
	case proto.OpMulti:
		return new(Multi), nil
	case proto.OpCreateSession:
		return new(CreateSession), nil
	case proto.OpCloseSession:
		return new(CloseSession), nil
	case proto.OpError:
		return new(Error), nil
	}
	return nil, fmt.Errorf("%w: %d", ErrUnsupported, int32(op))
}
