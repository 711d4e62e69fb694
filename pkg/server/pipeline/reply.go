package pipeline

import (
	"slices"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

type treeResult = tree.Result

// replyWrite answers the client whose transaction has been applied here.
func (c *Conn) replyWrite(w *waiting, t *txn.Txn, res *treeResult) {
	code := res.Code
	if e, ok := t.Body.(*txn.Error); ok {
		code = e.Code
	}
	if w.barred && t.Type != proto.OpMulti {
		code = proto.ErrEphemeralOnLocal // the leader knows less of why
	}
	zxid := c.p.tree.LastZxid()
	switch {
	case code == proto.ErrSessionMoved || t.Type == proto.OpMulti && slices.ContainsFunc(res.Parts, movedPart):
		c.Close() // without an answer: the client is somewhere else
	case t.Type == proto.OpMulti: // the header says OK even when a part failed
		c.reply(w, proto.OK, zxid, func(b []byte) []byte { return appendMultiResult(b, res) })
	case t.Type == proto.OpReconfig:
		c.reply(w, code, zxid, func(b []byte) []byte {
			return res.Stat.Append(jute.AppendBuffer(b, t.Body.(*txn.SetData).Data)) // its decoder made that body
		})
	default:
		c.reply(w, code, zxid, func(b []byte) []byte { return appendResult(b, w.Op, res) })
	}
}

// movedPart tells whether a part of a multi failed because the session is
// served by another server.
func movedPart(r treeResult) bool { return r.Type == proto.OpError && r.Code == proto.ErrSessionMoved }

// replySync answers a sync with its path.
func (c *Conn) replySync(w *waiting) {
	d := jute.NewDecoder(w.body)
	path := d.Buffer() // as it came: the null string stays one
	c.reply(w, codeOf(d.Err()), c.p.tree.LastZxid(), func(b []byte) []byte { return jute.AppendBuffer(b, path) })
}

// appendResult writes what a successful write answers.
func appendResult(b []byte, op proto.Op, res *treeResult) []byte {
	switch op {
	case proto.OpCreate:
		return jute.AppendString(b, res.Path)
	case proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		return res.Stat.Append(jute.AppendString(b, res.Path))
	case proto.OpSetData, proto.OpSetACL:
		return res.Stat.Append(b)
	}
	return b
}

// appendMultiResult writes a multi's results. After a failure each of them is
// an error: 0 before the one that failed, its code, and -2 behind it.
func appendMultiResult(b []byte, res *treeResult) []byte {
	failed := false
	for i := range res.Parts {
		failed = failed || res.Parts[i].Type == proto.OpError
	}
	for i := range res.Parts {
		part := &res.Parts[i]
		switch {
		case failed:
			b = appendMultiError(b, part.Code)
		case part.Type == proto.OpCreateContainer || part.Type == proto.OpCreateTTL:
			b = appendResult(proto.AppendMultiHeader(b, proto.OpCreate2, false, proto.OK), proto.OpCreate2, part)
		default:
			b = appendResult(proto.AppendMultiHeader(b, part.Type, false, proto.OK), part.Type, part)
		}
	}
	return proto.AppendMultiHeader(b, -1, true, -1)
}
