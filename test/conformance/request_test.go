package conformance

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Requests are written as the operation's name and its fields:
//
//	create create2 createContainer  PATH [data=D] [acl=A] [flags=F]
//	createTTL                       PATH [data=D] [acl=A] [flags=F] [ttl=N]
//	delete check                    PATH [v=N]
//	setData                         PATH [data=D] [v=N]
//	setACL                          PATH [acl=A] [v=N]
//	exists getData getChildren getChildren2  PATH [watch]
//	getACL                          PATH [sorted]
//	sync deleteContainer getEphemerals getAllChildrenNumber  PATH
//	addWatch                        PATH MODE
//	checkWatches removeWatches      PATH TYPE
//	setWatches setWatches2          ZXID [data=L] [exist=L] [child=L] [persistent=L] [recursive=L]
//	multi multiRead                 OPERATION ; OPERATION ...
//	auth                            SCHEME [data=D]
//	sasl                            [data=D]
//	reconfig                        [joining=S] [leaving=S] [members=S] [config=N]
//	whoAmI ping
//	raw                             OP [HEX]      any body
//	truncated                       REQUEST       every beginning of its body, one by one
//
// A word "xid=N" sets the request's xid. PATH is a bare or quoted word, or null.
// D is a quoted string, hex:00ff, null, or *N for N bytes. A is open, none, null,
// or PERMS:SCHEME:ID joined by commas, PERMS being letters of cdrwa or a number.
// F is a number or p, e, ps, es, c, t, ts. L is paths joined by commas. ZXID is a
// number or, counted from the transaction that made ~, +N.
//
// Verbs of connections:
//
//	open [timeout=N] [session=CLIENT|N] [password=right|wrong|zero|null|short] [zxid=ZXID] [old] [readonly]
//	connect      only the TCP connection
//	bytes HEX    as they are
//	frame HEX    with its length
//	close        closeSession; "close sorted" where the order of events is not defined
//	drop         close the TCP connection
//	closed       wait until the server has closed it
//	gone PATH    wait until there is no such znode
//	read         show what comes until nothing does
//	word WORD    a connection of its own, on which WORD is sent
var modes = map[string]int32{"p": 0, "e": 1, "ps": 2, "es": 3, "c": 4, "t": 5, "ts": 6}

// operations gives op codes by their names in scripts.
var operations = map[string]proto.Op{
	"create": proto.OpCreate, "create2": proto.OpCreate2, "createContainer": proto.OpCreateContainer, "createTTL": proto.OpCreateTTL,
	"delete": proto.OpDelete, "check": proto.OpCheck, "setData": proto.OpSetData, "setACL": proto.OpSetACL,
	"exists": proto.OpExists, "getData": proto.OpGetData, "getChildren": proto.OpGetChildren, "getChildren2": proto.OpGetChildren2,
	"getACL": proto.OpGetACL, "sync": proto.OpSync, "deleteContainer": proto.OpDeleteContainer,
	"getEphemerals": proto.OpGetEphemerals, "getAllChildrenNumber": proto.OpGetAllChildrenNumber, "addWatch": proto.OpAddWatch,
	"checkWatches": proto.OpCheckWatches, "removeWatches": proto.OpRemoveWatches, "setWatches": proto.OpSetWatches,
	"setWatches2": proto.OpSetWatches2, "multi": proto.OpMulti, "multiRead": proto.OpMultiRead, "auth": proto.OpAuth,
	"sasl": proto.OpSasl, "reconfig": proto.OpReconfig, "whoAmI": proto.OpWhoAmI, "ping": proto.OpPing, "close": proto.OpCloseSession,
}

// connVerbs are what is done with connections.
var connVerbs = []string{"open", "connect", "bytes", "frame", "drop", "closed", "gone", "read", "word"}

func knownVerb(verb string) bool {
	_, ok := operations[verb]
	return ok || verb == "raw" || verb == "truncated" || slices.Contains(connVerbs, verb)
}

// A request is what a step asks for.
type request struct {
	op   proto.Op
	xid  int32 // 0: the next of the connection
	body []byte
	// sorted says that the order in a list of the answer is not defined.
	sorted bool
}

// A writer turns words into requests; root stands for ~, base for +0.
type writer struct {
	root string
	base int64
}

// fields is a request's words: those without "=" in order, the others by name.
type fields struct {
	w     *writer
	bare  []string
	named map[string]string
	err   error
}

func (w *writer) fields(args []string) *fields {
	f := &fields{w: w, named: make(map[string]string)}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if ok && !strings.HasPrefix(a, `"`) && !strings.Contains(name, "/") {
			f.named[name] = value
			continue
		}
		f.bare = append(f.bare, a)
	}
	return f
}

func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// next takes the first bare word.
func (f *fields) next() string {
	if len(f.bare) == 0 {
		f.fail(fmt.Errorf("a word is missing"))
		return ""
	}
	word := f.bare[0]
	f.bare = f.bare[1:]
	return word
}

// has tells whether a bare word is among the rest, and takes it.
func (f *fields) has(word string) bool {
	i := slices.Index(f.bare, word)
	if i >= 0 {
		f.bare = slices.Delete(f.bare, i, i+1)
	}
	return i >= 0
}

// value takes a named word.
func (f *fields) value(name, otherwise string) string {
	v, ok := f.named[name]
	if !ok {
		return otherwise
	}
	delete(f.named, name)
	return v
}

// end gives the first mistake, or a word that nobody took.
func (f *fields) end() error {
	if f.err == nil && len(f.bare)+len(f.named) > 0 {
		return fmt.Errorf("words left over: %q %v", f.bare, f.named)
	}
	return f.err
}

func (f *fields) number(text string, bits int) int64 {
	n, err := strconv.ParseInt(text, 0, bits)
	if err != nil {
		f.fail(err)
	}
	return n
}

func (f *fields) int(name string, otherwise int32) int32 {
	if v := f.value(name, ""); v != "" {
		return int32(f.number(v, 32))
	}
	return otherwise
}

// text resolves ~ and quotes.
func (f *fields) text(word string) string {
	if strings.HasPrefix(word, `"`) {
		s, err := strconv.Unquote(word)
		if err != nil {
			f.fail(fmt.Errorf("%s: %w", word, err))
		}
		word = s
	}
	return strings.ReplaceAll(word, "~", f.w.root)
}

// str appends a ustring; the word null is the null string.
func (f *fields) str(b []byte, word string) []byte {
	if word == "null" {
		return jute.AppendInt(b, -1)
	}
	return jute.AppendString(b, f.text(word))
}

func (f *fields) data(b []byte, word string) []byte {
	if word == "null" {
		return jute.AppendBuffer(b, nil)
	}
	if n, ok := strings.CutPrefix(word, "*"); ok {
		return jute.AppendBuffer(b, slices.Repeat([]byte("x"), int(f.number(n, 32))))
	}
	if digits, ok := strings.CutPrefix(word, "hex:"); ok {
		raw, err := hex.DecodeString(digits)
		if err != nil {
			f.fail(err)
		}
		return jute.AppendBuffer(b, append([]byte{}, raw...))
	}
	return jute.AppendBuffer(b, []byte(f.text(word)))
}

func (f *fields) acl(b []byte, word string) []byte {
	switch word {
	case "null":
		return jute.AppendInt(b, -1)
	case "none":
		return jute.AppendInt(b, 0)
	case "open":
		return proto.AppendACLs(b, proto.WorldAnyone())
	}
	list := strings.Split(word, ",")
	b = jute.AppendInt(b, int32(len(list)))
	for _, entry := range list {
		perms, rest, _ := strings.Cut(entry, ":")
		scheme, id, _ := strings.Cut(rest, ":")
		b = f.str(f.str(jute.AppendInt(b, f.perms(perms)), scheme), id)
	}
	return b
}

func (f *fields) perms(word string) int32 {
	if word != "" && strings.Trim(word, "cdrwa") != "" {
		return int32(f.number(word, 32))
	}
	var perms int32
	for _, c := range word {
		perms |= map[rune]int32{'r': proto.PermRead, 'w': proto.PermWrite, 'c': proto.PermCreate, 'd': proto.PermDelete, 'a': proto.PermAdmin}[c]
	}
	return perms
}

func (f *fields) flags(otherwise int32) int32 {
	word := f.value("flags", "")
	if mode, ok := modes[word]; ok {
		return mode
	}
	if word == "" {
		return otherwise
	}
	return int32(f.number(word, 32))
}

// list appends a vector of strings.
func (f *fields) list(b []byte, word string) []byte {
	switch word {
	case "null":
		return jute.AppendInt(b, -1)
	case "":
		return jute.AppendInt(b, 0)
	}
	paths := strings.Split(word, ",")
	b = jute.AppendInt(b, int32(len(paths)))
	for _, p := range paths {
		b = f.str(b, p)
	}
	return b
}

func (f *fields) zxid(word string) int64 {
	switch {
	case word == "max":
		return math.MaxInt64
	case strings.HasPrefix(word, "+"):
		return f.w.base + f.number(word[1:], 64)
	}
	return f.number(word, 64)
}

// request builds what a verb asks for.
func (w *writer) request(verb string, args []string) (request, error) {
	if verb == "multi" || verb == "multiRead" {
		return w.multi(verb, args)
	}
	f := w.fields(args)
	r := request{xid: f.int("xid", 0)}
	if verb == "raw" {
		r.op = proto.Op(f.number(f.next(), 32))
		if len(f.bare) > 0 {
			body, err := hex.DecodeString(f.next())
			if err != nil {
				return r, err
			}
			r.body = body
		}
		return r, f.end()
	}
	op, ok := operations[verb]
	if !ok {
		return r, fmt.Errorf("%q is no request", verb)
	}
	r.op, r.sorted = op, f.has("sorted")
	r.body = f.body(op)
	return r, f.end()
}

// body appends an operation's record.
func (f *fields) body(op proto.Op) []byte {
	switch op {
	case proto.OpWhoAmI, proto.OpPing, proto.OpCloseSession:
		return nil
	case proto.OpAuth:
		b := f.str(jute.AppendInt(nil, f.int("type", 0)), f.next())
		return f.data(b, f.value("data", `""`))
	case proto.OpSasl:
		return f.data(nil, f.value("data", `""`))
	case proto.OpReconfig:
		b := f.str(nil, f.value("joining", "null"))
		b = f.str(f.str(b, f.value("leaving", "null")), f.value("members", "null"))
		return jute.AppendLong(b, f.number(f.value("config", "-1"), 64))
	case proto.OpSetWatches, proto.OpSetWatches2:
		b := jute.AppendLong(nil, f.zxid(f.next()))
		names := []string{"data", "exist", "child", "persistent", "recursive"}
		if op == proto.OpSetWatches {
			names = names[:3]
		}
		for _, name := range names {
			b = f.list(b, f.value(name, ""))
		}
		return b
	}
	return f.znodeBody(op, f.str(nil, f.next()))
}

// znodeBody appends what follows the path in a record that begins with one.
func (f *fields) znodeBody(op proto.Op, b []byte) []byte {
	switch op {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		otherwise := map[proto.Op]int32{proto.OpCreateContainer: proto.ModeContainer, proto.OpCreateTTL: proto.ModePersistentTTL}[op]
		b = f.acl(f.data(b, f.value("data", `""`)), f.value("acl", "open"))
		b = jute.AppendInt(b, f.flags(otherwise))
		if op == proto.OpCreateTTL {
			b = jute.AppendLong(b, f.number(f.value("ttl", "1000000"), 64))
		}
	case proto.OpDelete, proto.OpCheck:
		b = jute.AppendInt(b, f.int("v", -1))
	case proto.OpSetData:
		b = jute.AppendInt(f.data(b, f.value("data", `""`)), f.int("v", -1))
	case proto.OpSetACL:
		b = jute.AppendInt(f.acl(b, f.value("acl", "open")), f.int("v", -1))
	case proto.OpExists, proto.OpGetData, proto.OpGetChildren, proto.OpGetChildren2:
		b = jute.AppendBool(b, f.has("watch"))
	case proto.OpAddWatch, proto.OpCheckWatches, proto.OpRemoveWatches:
		b = jute.AppendInt(b, int32(f.number(f.next(), 32)))
	}
	return b
}

// multi builds a request of several operations, which ";" separates.
func (w *writer) multi(verb string, args []string) (request, error) {
	r := request{op: operations[verb]}
	for len(args) > 0 {
		end := slices.Index(args, ";")
		if end < 0 {
			end = len(args)
		}
		part := args[:end]
		args = args[min(end+1, len(args)):]
		if len(part) == 0 {
			continue
		}
		if x, ok := strings.CutPrefix(part[0], "xid="); ok {
			n, err := strconv.ParseInt(x, 0, 32)
			if err != nil {
				return r, err
			}
			r.xid = int32(n)
			continue
		}
		sub, err := w.request(part[0], part[1:])
		if err != nil {
			return r, fmt.Errorf("%q: %w", part, err)
		}
		r.body = append(proto.AppendMultiHeader(r.body, sub.op, false, -1), sub.body...)
	}
	r.body = proto.AppendMultiHeader(r.body, -1, true, -1)
	return r, nil
}
