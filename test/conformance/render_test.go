package conformance

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/session"
)

// A renderer shows frames as text. Two frames that differ in anything but what
// it masks have different texts: all bytes are read, and what is left over, or
// cannot be read, is shown as it is.
type renderer struct {
	root     string
	base     int64     // zxid that is +0
	started  time.Time // when the case began
	sessions map[int64]string
	sorted   bool // the order of ACLs in the present answer is not defined
}

// zxidRoom is how far from the base a zxid may be to be shown as a distance.
const zxidRoom = 1 << 24

func (r *renderer) zxid(z int64) string {
	switch {
	case z == 0 || z == -1:
		return fmt.Sprint(z)
	case z >= r.base && z-r.base < zxidRoom:
		return fmt.Sprintf("+%d", z-r.base)
	case z > 0 && z < r.base && r.base-z < zxidRoom:
		return "old"
	}
	return fmt.Sprintf("0x%x", uint64(z))
}

// time shows nothing for a time of this case.
func (r *renderer) time(name string, ms int64) string {
	const slack = 2 * time.Second
	at := time.UnixMilli(ms)
	switch {
	case ms == 0:
		return " " + name + "=0"
	case at.After(time.Now().Add(slack)):
		return fmt.Sprintf(" %s=%d", name, ms)
	case at.Before(r.started.Add(-slack)):
		return " " + name + "=old"
	}
	return ""
}

func (r *renderer) str(s string) string {
	return fmt.Sprintf("%q", strings.ReplaceAll(s, r.root, "~"))
}

func (r *renderer) owner(id int64) string {
	if name, ok := r.sessions[id]; ok {
		return name
	}
	if id == 0 {
		return "0"
	}
	return fmt.Sprintf("0x%x", uint64(id))
}

// longString is from which length on data is shown by its length and a part.
const longString = 200

func (r *renderer) buffer(d *jute.Decoder) string {
	b := d.Buffer()
	switch {
	case b == nil:
		return "null"
	case len(b) > longString && bytes.Equal(b, bytes.Repeat(b[:1], len(b))):
		return fmt.Sprintf("%d*%q", len(b), b[:1])
	}
	return r.str(string(b))
}

func (r *renderer) stat(d *jute.Decoder) string {
	var s proto.Stat
	s.Decode(d)
	if s.Czxid == 0 && s.Ctime == 0 { // a system znode, which all cases share
		return fmt.Sprintf("{system av=%d owner=%s len=%d}", s.Aversion, r.owner(s.EphemeralOwner), s.DataLength)
	}
	text := fmt.Sprintf("{c=%s m=%s p=%s v=%d cv=%d av=%d owner=%s len=%d kids=%d%s%s", r.zxid(s.Czxid), r.zxid(s.Mzxid), r.zxid(s.Pzxid),
		s.Version, s.Cversion, s.Aversion, r.owner(s.EphemeralOwner), s.DataLength, s.NumChildren, r.time("ctime", s.Ctime), r.time("mtime", s.Mtime))
	if s.Mzxid == s.Czxid && s.Mtime != s.Ctime || s.Mtime < s.Ctime {
		text += fmt.Sprintf(" mtime-ctime=%d", s.Mtime-s.Ctime)
	}
	return text + "}"
}

// strings shows a vector of strings, sorted: the order of children is not defined.
func (r *renderer) strings(d *jute.Decoder) string {
	n := int(d.Int())
	if n < 0 || n > d.Len()/4 {
		return fmt.Sprintf("%d elements", n)
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.buffer(d))
	}
	slices.Sort(list)
	return "[" + strings.Join(list, " ") + "]"
}

func (r *renderer) acl(d *jute.Decoder) string {
	n := int(d.Int())
	if n < 0 || n > d.Len()/12 {
		return fmt.Sprintf("%d elements", n)
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, fmt.Sprintf("%d:%s:%s", d.Int(), r.buffer(d), r.buffer(d)))
	}
	if r.sorted {
		slices.Sort(list)
	}
	return "[" + strings.Join(list, " ") + "]"
}

func (r *renderer) ids(d *jute.Decoder) string {
	n := int(d.Int())
	if n < 0 || n > d.Len()/8 {
		return fmt.Sprintf("%d elements", n)
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, fmt.Sprintf("%s:%s", r.buffer(d), r.buffer(d)))
	}
	slices.Sort(list) // a set
	return "[" + strings.Join(list, " ") + "]"
}

// rest shows what the text does not stand for.
func rest(d *jute.Decoder) string {
	if err := d.Err(); err != nil {
		return " !" + err.Error()
	}
	if b := d.Rest(); len(b) > 0 {
		return " more=" + hex.EncodeToString(b)
	}
	return ""
}

// reply shows an answer.
func (r *renderer) reply(p pending, frame []byte) string {
	d := jute.NewDecoder(frame)
	var h proto.ReplyHeader
	h.Decode(d)
	text := fmt.Sprintf("%s: z%s", p.verb, r.zxid(h.Zxid))
	if h.Err != proto.OK {
		text += fmt.Sprintf(" error %d", int32(h.Err))
	}
	if d.Len() > 0 {
		r.sorted = p.sorted
		text += r.body(p.op, d)
	}
	return text + rest(d)
}

func (r *renderer) body(op proto.Op, d *jute.Decoder) string {
	switch op {
	case proto.OpCreate, proto.OpSync:
		return " " + r.buffer(d)
	case proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL, proto.OpGetData, proto.OpReconfig:
		return " " + r.buffer(d) + " " + r.stat(d)
	case proto.OpExists, proto.OpSetData, proto.OpSetACL:
		return " " + r.stat(d)
	case proto.OpGetACL:
		return " " + r.acl(d) + " " + r.stat(d)
	case proto.OpGetChildren, proto.OpGetEphemerals:
		return " " + r.strings(d)
	case proto.OpGetChildren2:
		return " " + r.strings(d) + " " + r.stat(d)
	case proto.OpGetAllChildrenNumber, proto.OpAddWatch:
		return fmt.Sprintf(" %d", d.Int())
	case proto.OpMulti, proto.OpMultiRead:
		return r.multi(d)
	case proto.OpWhoAmI:
		return " " + r.ids(d)
	case proto.OpSasl:
		return " " + r.buffer(d)
	}
	return ""
}

// multi shows the results of several operations.
func (r *renderer) multi(d *jute.Decoder) string {
	var b strings.Builder
	for d.Err() == nil {
		op, done, code := proto.Op(d.Int()), d.Byte(), d.Int()
		if done != 0 {
			fmt.Fprintf(&b, " end(%d,%d,%d)", op, done, code)
			return b.String()
		}
		fmt.Fprintf(&b, " | %v %d", op, code)
		if op == proto.OpError {
			fmt.Fprintf(&b, " %d", d.Int())
			continue
		}
		b.WriteString(r.body(op, d))
	}
	return b.String()
}

// event shows what a watch told.
func (r *renderer) event(frame []byte) string {
	d := jute.NewDecoder(frame)
	var h proto.ReplyHeader
	h.Decode(d)
	typ, state := d.Int(), d.Int()
	names := map[int32]string{1: "created", 2: "deleted", 3: "changed", 4: "children"}
	name, ok := names[typ]
	if !ok {
		name = fmt.Sprintf("type %d", typ)
	}
	text := fmt.Sprintf("event z%s %s %s", r.zxid(h.Zxid), name, r.buffer(d))
	if state != proto.StateSyncConnected || h.Err != proto.OK {
		text += fmt.Sprintf(" state=%d error=%d", state, h.Err)
	}
	return text + rest(d)
}

// handshake shows the answer to a connect request, and notes the session.
func (r *renderer) handshake(c *client, frame []byte) string {
	d := jute.NewDecoder(frame)
	version, timeout, id, password := d.Int(), d.Int(), d.Long(), d.Buffer()
	if id != 0 {
		if _, known := r.sessions[id]; !known {
			r.sessions[id] = c.name
		}
		c.session, c.password, c.timeout, c.closed = id, password, timeout, false
	}
	secret := hex.EncodeToString(password)
	if want := session.Password(id); bytes.Equal(password, want[:]) {
		secret = "right"
	}
	text := fmt.Sprintf("connected: version=%d timeout=%d session=%s password=%s", version, timeout, r.owner(id), secret)
	if d.Err() == nil && d.Len() > 0 {
		text += fmt.Sprintf(" readonly=%d", d.Byte())
	}
	return text + rest(d)
}
