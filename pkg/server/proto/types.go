package proto

import "github.com/zkctl/zkctl/pkg/server/jute"

// ID names somebody: an authentication scheme and an identity in it.
type ID struct{ Scheme, ID string }

// Append writes the record behind b.
func (i ID) Append(b []byte) []byte {
	return jute.AppendString(jute.AppendString(b, i.Scheme), i.ID)
}

// Decode reads the record from d.
func (i *ID) Decode(d *jute.Decoder) { i.Scheme, i.ID = d.String(), d.String() }

// AppendIDs appends a vector of IDs; nil is written as the null vector.
func AppendIDs(b []byte, v []ID) []byte {
	if v == nil {
		return jute.AppendInt(b, -1)
	}
	b = jute.AppendInt(b, int32(len(v)))
	for _, id := range v {
		b = id.Append(b)
	}
	return b
}

// DecodeIDs reads a vector of IDs; the null vector reads as nil.
func DecodeIDs(d *jute.Decoder) []ID {
	n, ok := d.Count(8)
	if !ok {
		return nil
	}
	v := make([]ID, n)
	for i := range v {
		v[i].Decode(d)
	}
	return v
}

// ACL grants permissions (Perm bits) to an [ID].
type ACL struct {
	Perms int32
	ID    ID
}

// WorldAnyone is the ACL that lets everybody do everything
// (ZooDefs.Ids.OPEN_ACL_UNSAFE).
func WorldAnyone() []ACL {
	return []ACL{{Perms: PermAll, ID: ID{Scheme: "world", ID: "anyone"}}}
}

// AppendACLs appends a vector of ACLs; nil is written as the null vector.
func AppendACLs(b []byte, v []ACL) []byte {
	if v == nil {
		return jute.AppendInt(b, -1)
	}
	b = jute.AppendInt(b, int32(len(v)))
	for _, a := range v {
		b = a.ID.Append(jute.AppendInt(b, a.Perms))
	}
	return b
}

// DecodeACLs reads a vector of ACLs; the null vector reads as nil.
func DecodeACLs(d *jute.Decoder) []ACL {
	n, ok := d.Count(12)
	if !ok {
		return nil
	}
	v := make([]ACL, n)
	for i := range v {
		v[i].Perms = d.Int()
		v[i].ID.Decode(d)
	}
	return v
}

// Stat is what a client is told about a znode. Times are milliseconds since
// the Unix epoch. Cversion counts creations and deletions of children here,
// unlike the stored one.
type Stat struct {
	Czxid, Mzxid                int64
	Ctime, Mtime                int64
	Version, Cversion, Aversion int32
	EphemeralOwner              int64
	DataLength, NumChildren     int32
	Pzxid                       int64
}

// StatSize is the length of an encoded [Stat].
const StatSize = 68

// Append writes the record behind b.
func (s Stat) Append(b []byte) []byte {
	b = jute.AppendLong(b, s.Czxid)
	b = jute.AppendLong(b, s.Mzxid)
	b = jute.AppendLong(b, s.Ctime)
	b = jute.AppendLong(b, s.Mtime)
	b = jute.AppendInt(b, s.Version)
	b = jute.AppendInt(b, s.Cversion)
	b = jute.AppendInt(b, s.Aversion)
	b = jute.AppendLong(b, s.EphemeralOwner)
	b = jute.AppendInt(b, s.DataLength)
	b = jute.AppendInt(b, s.NumChildren)
	return jute.AppendLong(b, s.Pzxid)
}

// Decode reads the record from d.
func (s *Stat) Decode(d *jute.Decoder) {
	s.Czxid, s.Mzxid, s.Ctime, s.Mtime = d.Long(), d.Long(), d.Long(), d.Long()
	s.Version, s.Cversion, s.Aversion = d.Int(), d.Int(), d.Int()
	s.EphemeralOwner = d.Long()
	s.DataLength, s.NumChildren = d.Int(), d.Int()
	s.Pzxid = d.Long()
}
