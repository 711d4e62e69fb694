package proto

import "github.com/zkctl/zkctl/pkg/server/jute"

// PasswordSize is the length of a session's password in bytes.
const PasswordSize = 16

// ConnectRequest is the first frame of a connection. It has no header.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    int64 // the newest zxid the client has seen
	Timeout         int32 // session timeout asked for, in ms
	SessionID       int64 // 0 asks for a new session
	Password        []byte
	ReadOnly        bool // the client accepts a read-only server
	HasReadOnly     bool // false from clients before 3.4, which do not send the field
}

// Append writes the record behind b.
func (r ConnectRequest) Append(b []byte) []byte {
	b = jute.AppendInt(b, r.ProtocolVersion)
	b = jute.AppendLong(b, r.LastZxidSeen)
	b = jute.AppendInt(b, r.Timeout)
	b = jute.AppendLong(b, r.SessionID)
	b = jute.AppendBuffer(b, r.Password)
	if r.HasReadOnly {
		b = jute.AppendBool(b, r.ReadOnly)
	}
	return b
}

// Decode reads the record from d.
func (r *ConnectRequest) Decode(d *jute.Decoder) {
	r.ProtocolVersion, r.LastZxidSeen, r.Timeout = d.Int(), d.Long(), d.Int()
	r.SessionID, r.Password = d.Long(), d.Buffer()
	if r.HasReadOnly = d.Len() > 0; r.HasReadOnly {
		r.ReadOnly = d.Bool()
	}
}

// ConnectResponse answers a [ConnectRequest]. Timeout and SessionID are 0 in
// a refusal, which clients read as an expired session.
type ConnectResponse struct {
	ProtocolVersion int32
	Timeout         int32 // negotiated, in ms
	SessionID       int64
	Password        []byte
	ReadOnly        bool
	HasReadOnly     bool // written only when the request had the field
}

// Append writes the record behind b.
func (r ConnectResponse) Append(b []byte) []byte {
	b = jute.AppendInt(b, r.ProtocolVersion)
	b = jute.AppendInt(b, r.Timeout)
	b = jute.AppendLong(b, r.SessionID)
	b = jute.AppendBuffer(b, r.Password)
	if r.HasReadOnly {
		b = jute.AppendBool(b, r.ReadOnly)
	}
	return b
}

// Decode reads the record from d.
func (r *ConnectResponse) Decode(d *jute.Decoder) {
	r.ProtocolVersion, r.Timeout, r.SessionID, r.Password = d.Int(), d.Int(), d.Long(), d.Buffer()
	if r.HasReadOnly = d.Len() > 0; r.HasReadOnly {
		r.ReadOnly = d.Bool()
	}
}

// RequestHeader leads every request but the first.
type RequestHeader struct {
	Xid int32
	Op  Op
}

// Append writes the record behind b.
func (h RequestHeader) Append(b []byte) []byte {
	return jute.AppendInt(jute.AppendInt(b, h.Xid), int32(h.Op))
}

// Decode reads the record from d.
func (h *RequestHeader) Decode(d *jute.Decoder) { h.Xid, h.Op = d.Int(), Op(d.Int()) }

// ReplyHeader leads every reply and event. The body is absent when Err is
// not [OK].
type ReplyHeader struct {
	Xid  int32
	Zxid int64
	Err  Code
}

// ReplyHeaderSize is the length of an encoded [ReplyHeader].
const ReplyHeaderSize = 16

// Append writes the record behind b.
func (h ReplyHeader) Append(b []byte) []byte {
	return jute.AppendInt(jute.AppendLong(jute.AppendInt(b, h.Xid), h.Zxid), int32(h.Err))
}

// Decode reads the record from d.
func (h *ReplyHeader) Decode(d *jute.Decoder) {
	h.Xid, h.Zxid, h.Err = d.Int(), d.Long(), Code(d.Int())
}

// WatcherEvent tells a client that a watch fired.
type WatcherEvent struct {
	Type  EventType
	State int32
	Path  string
}

// Append writes the record behind b.
func (e WatcherEvent) Append(b []byte) []byte {
	return jute.AppendString(jute.AppendInt(jute.AppendInt(b, int32(e.Type)), e.State), e.Path)
}

// Decode reads the record from d.
func (e *WatcherEvent) Decode(d *jute.Decoder) {
	e.Type, e.State, e.Path = EventType(d.Int()), d.Int(), d.String()
}

// AuthPacket adds an identity to a connection ([OpAuth]).
type AuthPacket struct {
	Type   int32
	Scheme string
	Auth   []byte
}

// Append writes the record behind b.
func (r AuthPacket) Append(b []byte) []byte {
	return jute.AppendBuffer(jute.AppendString(jute.AppendInt(b, r.Type), r.Scheme), r.Auth)
}

// Decode reads the record from d.
func (r *AuthPacket) Decode(d *jute.Decoder) {
	r.Type, r.Scheme, r.Auth = d.Int(), d.String(), d.Buffer()
}

// SetWatches re-registers a client's watches on a new connection
// ([OpSetWatches], and [OpSetWatches2] with the persistent ones).
type SetWatches struct {
	RelativeZxid                    int64 // the newest zxid the client has seen
	Data, Exist, Child              []string
	Persistent, PersistentRecursive []string // only in OpSetWatches2
}

// Append writes the record behind b; op tells which of the two forms.
func (r SetWatches) Append(b []byte, op Op) []byte {
	b = jute.AppendLong(b, r.RelativeZxid)
	b = jute.AppendStrings(b, r.Data)
	b = jute.AppendStrings(b, r.Exist)
	b = jute.AppendStrings(b, r.Child)
	if op == OpSetWatches2 {
		b = jute.AppendStrings(b, r.Persistent)
		b = jute.AppendStrings(b, r.PersistentRecursive)
	}
	return b
}

// Decode reads the record from d; op tells which of the two forms.
func (r *SetWatches) Decode(d *jute.Decoder, op Op) {
	r.RelativeZxid = d.Long()
	r.Data, r.Exist, r.Child = d.Strings(), d.Strings(), d.Strings()
	if op == OpSetWatches2 {
		r.Persistent, r.PersistentRecursive = d.Strings(), d.Strings()
	}
}
