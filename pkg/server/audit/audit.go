// Package audit writes who changed what: one line for each write that a client of
// this server asked for, whether it succeeded or not, for each ephemeral znode
// that goes with its session, and for the server's start and end. A line is
//
//	session=0x..	user=..	ip=..	operation=..	znode=..	znode_type=..	acl=..	result=..
//
// with tabs between what is known, as Apache's is.
//
// Source: AuditEvent.java, AuditHelper.java, ZKAuditProvider.java, zookeeperAuditLogs.md.
package audit

import (
	"fmt"
	"log/slog"
	"strings"
)

// Operations, as an Event names them (AuditConstants.java).
const (
	ServerStart      = "serverStart"
	ServerStop       = "serverStop"
	Create           = "create"
	Delete           = "delete"
	SetData          = "setData"
	SetACL           = "setAcl"
	Multi            = "multiOperation"
	Reconfig         = "reconfig"
	EphemeralDeleted = "ephemeralZNodeDeletionOnSessionCloseOrExpire"
)

// A Result is what became of an operation.
type Result string

// Results.
const (
	Success Result = "success"
	Failure Result = "failure"
	Invoked Result = "invoked" // it began; nobody will tell how it ended
)

// An Event is something that is told. What is not known is empty, and left out.
type Event struct {
	Session   string // 0x and the hexadecimal id
	User      string // names of identities with commas between
	IP        string
	Operation string
	Znode     string
	ZnodeType string // CreateMode's name in small letters
	ACL       string
	Result    Result
}

// SessionText is how an Event names a session.
func SessionText(id int64) string { return fmt.Sprintf("0x%x", uint64(id)) }

// pairs are the names and values of what is known, in their order.
func (e Event) pairs(f func(name, value string)) {
	for _, p := range [...]struct{ name, value string }{
		{"session", e.Session}, {"user", e.User}, {"ip", e.IP}, {"operation", e.Operation}, {"znode", e.Znode},
		{"znode_type", e.ZnodeType}, {"acl", e.ACL}, {"result", string(e.Result)},
	} {
		if p.value != "" {
			f(p.name, p.value)
		}
	}
}

// Append writes the event's line behind b, without an end of line. A value's
// control characters, which Apache writes as they are, become \t, \n or \x00:
// whoever chooses a name cannot make up lines.
func (e Event) Append(b []byte) []byte {
	start := len(b)
	e.pairs(func(name, value string) {
		if len(b) > start {
			b = append(b, '\t')
		}
		b = append(append(append(b, name...), '='), clean(value)...)
	})
	return b
}

// clean writes control characters as escapes.
func clean(s string) string {
	if strings.IndexFunc(s, control) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case control(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func control(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f }

// level is INFO but for failures, as Slf4jAuditLogger.java has it.
func (e Event) level() slog.Level {
	if e.Result == Failure {
		return slog.LevelError
	}
	return slog.LevelInfo
}
