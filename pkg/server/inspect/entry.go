package inspect

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// Entry is one transaction of a log.
type Entry struct {
	File    string    `json:"file"`
	Offset  int64     `json:"offset"` // of the record in the file, in bytes
	Zxid    Zxid      `json:"zxid"`
	Time    time.Time `json:"time"`    // the leader's clock, UTC
	Session Zxid      `json:"session"` // that asked; 0x0 is the server itself
	Cxid    int32     `json:"cxid"`    // the session's number of the request
	Op
	Bytes  int    `json:"bytes"`            // of the transaction
	Digest string `json:"digest,omitempty"` // of the tree after it, in hexadecimal with 0x
}

// Op is what a transaction, or a part of a multi, did.
type Op struct {
	Type      string   `json:"type"` // as in Apache's ZooDefs.OpCode
	Path      string   `json:"path,omitempty"`
	DataBytes *int     `json:"data_bytes,omitempty"` // absent where there are no data; a null buffer has none
	Data      []byte   `json:"data,omitempty"`       // base64; only when asked for
	Ephemeral bool     `json:"ephemeral,omitempty"`
	TTL       int64    `json:"ttl_ms,omitempty"`
	Version   *int32   `json:"version,omitempty"` // the new one, of data or ACL; for check the one that was needed
	ACL       []string `json:"acl,omitempty"`     // scheme:id:permissions
	Timeout   int32    `json:"timeout_ms,omitempty"`
	Deletes   []string `json:"deletes,omitempty"` // ephemerals that went with the session
	Error     string   `json:"error,omitempty"`   // why the request failed
	Parts     []Op     `json:"parts,omitempty"`   // of a multi
}

// newEntry describes a record. Data are kept only when withData is set.
func newEntry(file string, offset int64, rec storage.Record, withData bool) (Entry, error) {
	x, err := txn.Decode(rec.Data)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{
		File: file, Offset: offset, Zxid: Zxid(x.Zxid), Time: time.UnixMilli(x.Time).UTC(), Session: Zxid(x.ClientID),
		Cxid: x.Cxid, Op: newOp(x.Type, x.Body, withData), Bytes: len(rec.Data),
	}
	if x.Digest != nil {
		e.Digest = "0x" + strconv.FormatUint(x.Digest.Tree, 16)
	}
	return e, nil
}

func newOp(typ proto.Op, body txn.Body, withData bool) Op {
	o := Op{Type: typ.String()}
	switch b := body.(type) {
	case *txn.Create:
		o.Path, o.Ephemeral, o.TTL, o.ACL = b.Path, b.Ephemeral, b.TTL, aclText(b.ACL)
		o.setData(b.Data, withData)
	case *txn.Delete:
		o.Path = b.Path
	case *txn.SetData:
		o.Path, o.Version = b.Path, &b.Version
		o.setData(b.Data, withData)
	case *txn.SetACL:
		o.Path, o.Version, o.ACL = b.Path, &b.Version, aclText(b.ACL)
	case *txn.Check:
		o.Path, o.Version = b.Path, &b.Version
	case *txn.CreateSession:
		o.Timeout = b.Timeout
	case *txn.CloseSession:
		o.Deletes = b.Paths
	case *txn.Error:
		o.Error = b.Code.Error()
	case *txn.Multi:
		for _, p := range b.Parts {
			o.Parts = append(o.Parts, newOp(p.Type, p.Body, withData))
		}
	}
	return o
}

func (o *Op) setData(data []byte, keep bool) {
	if data == nil {
		return
	}
	n := len(data)
	o.DataBytes = &n
	if keep {
		o.Data = data
	}
}

func aclText(list []proto.ACL) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.ID.Scheme + ":" + a.ID.ID + ":" + permText(a.Perms)
	}
	return out
}

// permText writes permissions as zkCli.sh does.
func permText(perms int32) string {
	var b strings.Builder
	for _, p := range []struct {
		bit  int32
		char byte
	}{{proto.PermCreate, 'c'}, {proto.PermDelete, 'd'}, {proto.PermRead, 'r'}, {proto.PermWrite, 'w'}, {proto.PermAdmin, 'a'}} {
		if perms&p.bit != 0 {
			b.WriteByte(p.char)
		}
	}
	return b.String()
}

// Paths are those that the operation touched, with those of its parts.
func (o *Op) Paths() []string {
	var out []string
	if o.Path != "" {
		out = append(out, o.Path)
	}
	out = append(out, o.Deletes...)
	for i := range o.Parts {
		out = append(out, o.Parts[i].Paths()...)
	}
	return out
}

// String is one line, and one more with a tab before it for each part of a
// multi.
func (e *Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v session %v cxid %d %s", e.Time.Format("2006-01-02T15:04:05.000Z"), e.Zxid, e.Session, e.Cxid, e.Op.String())
	if e.Digest != "" {
		b.WriteString(" digest " + e.Digest)
	}
	for i := range e.Parts {
		fmt.Fprintf(&b, "\n\t%d/%d %s", i+1, len(e.Parts), e.Parts[i].String())
	}
	return b.String()
}

// String is the operation without its parts.
func (o *Op) String() string {
	words := []string{o.Type}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if o.Path != "" {
		add("%s", quotePath(o.Path))
	}
	if o.DataBytes != nil {
		add("%dB", *o.DataBytes)
	}
	if o.Ephemeral {
		add("ephemeral")
	}
	if o.TTL > 0 {
		add("ttl %dms", o.TTL)
	}
	if o.Version != nil {
		add("version %d", *o.Version)
	}
	if o.Type == proto.OpSetACL.String() {
		add("acl %s", strings.Join(o.ACL, ","))
	}
	if o.Timeout > 0 {
		add("timeout %dms", o.Timeout)
	}
	for _, p := range o.Deletes {
		add("-%s", quotePath(p))
	}
	if o.Error != "" {
		add("%s", o.Error)
	}
	if len(o.Parts) > 0 {
		add("of %d", len(o.Parts))
	}
	if o.Data != nil {
		add("%q", o.Data)
	}
	return strings.Join(words, " ")
}

// quotePath keeps a line one line, whatever a path holds.
func quotePath(p string) string {
	if q := strconv.Quote(p); len(q) != len(p)+2 || strings.Contains(p, " ") {
		return q
	}
	return p
}
