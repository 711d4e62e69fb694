package proto

import "github.com/zkctl/zkctl/pkg/server/jute"

// CreateRequest asks for a new znode ([OpCreate], [OpCreate2],
// [OpCreateContainer], and [OpCreateTTL] with TTL).
type CreateRequest struct {
	Path  string
	Data  []byte
	ACL   []ACL
	Flags int32 // a Mode constant
	TTL   int64 // ms; only in OpCreateTTL
}

// Append writes the record behind b; op tells whether TTL is part of it.
func (r CreateRequest) Append(b []byte, op Op) []byte {
	b = jute.AppendString(b, r.Path)
	b = jute.AppendBuffer(b, r.Data)
	b = AppendACLs(b, r.ACL)
	b = jute.AppendInt(b, r.Flags)
	if op == OpCreateTTL {
		b = jute.AppendLong(b, r.TTL)
	}
	return b
}

// Decode reads the record from d; op tells whether TTL is part of it.
func (r *CreateRequest) Decode(d *jute.Decoder, op Op) {
	r.Path, r.Data, r.ACL, r.Flags = d.String(), d.Buffer(), DecodeACLs(d), d.Int()
	if op == OpCreateTTL {
		r.TTL = d.Long()
	}
}

// PathVersion is the body of [OpDelete] and [OpCheck]. Version -1 matches any.
type PathVersion struct {
	Path    string
	Version int32
}

// Append writes the record behind b.
func (r PathVersion) Append(b []byte) []byte {
	return jute.AppendInt(jute.AppendString(b, r.Path), r.Version)
}

// Decode reads the record from d.
func (r *PathVersion) Decode(d *jute.Decoder) { r.Path, r.Version = d.String(), d.Int() }

// PathWatch is the body of [OpExists], [OpGetData], [OpGetChildren] and
// [OpGetChildren2].
type PathWatch struct {
	Path  string
	Watch bool // leave a watch
}

// Append writes the record behind b.
func (r PathWatch) Append(b []byte) []byte {
	return jute.AppendBool(jute.AppendString(b, r.Path), r.Watch)
}

// Decode reads the record from d.
func (r *PathWatch) Decode(d *jute.Decoder) { r.Path, r.Watch = d.String(), d.Bool() }

// PathMode is the body of [OpAddWatch], [OpCheckWatches] and [OpRemoveWatches].
type PathMode struct {
	Path string
	Mode int32 // a Watch constant for addWatch, a watcher type otherwise
}

// Append writes the record behind b.
func (r PathMode) Append(b []byte) []byte {
	return jute.AppendInt(jute.AppendString(b, r.Path), r.Mode)
}

// Decode reads the record from d.
func (r *PathMode) Decode(d *jute.Decoder) { r.Path, r.Mode = d.String(), d.Int() }

// SetDataRequest replaces a znode's data. Version -1 matches any.
type SetDataRequest struct {
	Path    string
	Data    []byte
	Version int32
}

// Append writes the record behind b.
func (r SetDataRequest) Append(b []byte) []byte {
	return jute.AppendInt(jute.AppendBuffer(jute.AppendString(b, r.Path), r.Data), r.Version)
}

// Decode reads the record from d.
func (r *SetDataRequest) Decode(d *jute.Decoder) {
	r.Path, r.Data, r.Version = d.String(), d.Buffer(), d.Int()
}

// ReconfigRequest changes who is in the ensemble ([OpReconfig]): either servers
// that join and leave, or all that are to be in it.
type ReconfigRequest struct {
	Joining, Leaving, Members string // server specifications, joined by commas
	Whole                     bool   // Members is given, be it empty, and the other two do not count
	ConfigID                  int64  // version of the configuration that is to be changed; -1 for any
}

// Append writes the record behind b.
func (r ReconfigRequest) Append(b []byte) []byte {
	b = jute.AppendString(jute.AppendString(b, r.Joining), r.Leaving)
	if r.Whole || r.Members != "" {
		b = jute.AppendString(b, r.Members)
	} else {
		b = jute.AppendBuffer(b, nil) // the null string
	}
	return jute.AppendLong(b, r.ConfigID)
}

// Decode reads the record from d.
func (r *ReconfigRequest) Decode(d *jute.Decoder) {
	r.Joining, r.Leaving = d.String(), d.String()
	members := d.Buffer()
	r.Members, r.Whole, r.ConfigID = string(members), members != nil, d.Long()
}

// SetACLRequest replaces a znode's ACL. Version is compared with the znode's
// aversion; -1 matches any.
type SetACLRequest struct {
	Path    string
	ACL     []ACL
	Version int32
}

// Append writes the record behind b.
func (r SetACLRequest) Append(b []byte) []byte {
	return jute.AppendInt(AppendACLs(jute.AppendString(b, r.Path), r.ACL), r.Version)
}

// Decode reads the record from d.
func (r *SetACLRequest) Decode(d *jute.Decoder) {
	r.Path, r.ACL, r.Version = d.String(), DecodeACLs(d), d.Int()
}

// A MultiOp is one operation inside [OpMulti] or [OpMultiRead]. Body is one
// of *CreateRequest, *PathVersion (delete, check), *SetDataRequest and
// *PathWatch (getData, getChildren).
type MultiOp struct {
	Op   Op
	Body any
}

// DecodeMulti reads the operations of an [OpMulti] or [OpMultiRead] request.
// Reads and writes do not mix; another type of operation fails the decoder.
//
// Source: MultiOperationRecord.java.
func DecodeMulti(d *jute.Decoder) []MultiOp {
	var ops []MultiOp
	reads := false
	for {
		op, done := Op(d.Int()), d.Bool()
		d.Int() // err, always -1 in requests
		if done || d.Err() != nil {
			return ops
		}
		body, read := decodeMultiBody(d, op)
		if len(ops) > 0 && read != reads {
			d.Fail("reads and writes in one multi")
		}
		if d.Err() != nil {
			return nil
		}
		reads = read
		ops = append(ops, MultiOp{Op: op, Body: body})
	}
}

func decodeMultiBody(d *jute.Decoder, op Op) (body any, read bool) {
	switch op {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL:
		r := new(CreateRequest)
		r.Decode(d, op)
		return r, false
	case OpDelete, OpCheck:
		r := new(PathVersion)
		r.Decode(d)
		return r, false
	case OpSetData:
		r := new(SetDataRequest)
		r.Decode(d)
		return r, false
	case OpGetData, OpGetChildren:
		r := new(PathWatch)
		r.Decode(d)
		return r, true
	}
	d.Fail("%v inside a multi", op)
	return nil, false
}

// AppendMulti writes the operations of a multi request behind b.
func AppendMulti(b []byte, ops []MultiOp) []byte {
	for _, o := range ops {
		b = AppendMultiHeader(b, o.Op, false, -1)
		switch r := o.Body.(type) {
		case *CreateRequest:
			b = r.Append(b, o.Op)
		case interface{ Append([]byte) []byte }:
			b = r.Append(b)
		}
	}
	return AppendMultiHeader(b, -1, true, -1)
}

// AppendMultiHeader writes the record that leads each operation and result
// of a multi; the one with done set ends it.
func AppendMultiHeader(b []byte, op Op, done bool, err Code) []byte {
	return jute.AppendInt(jute.AppendBool(jute.AppendInt(b, int32(op)), done), int32(err))
}
