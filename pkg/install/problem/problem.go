// Package problem has the one error type that speaks to the user of an installer: what was
// tried, on which host, why it failed, and what to do next. It imports nothing of ours, so every
// package may return one.
package problem

import (
	"errors"
	"strings"
)

// A Problem says what was tried, on what, why it failed, and what to do next.
type Problem struct {
	Op  string // what was tried, as a verb phrase: "connect", "write /etc/zkctl/zoo.cfg"
	On  string // the host, as the inventory names it; empty when it is no host's
	Err error  // why it failed; [errors.Is] and [errors.As] see through to it
	Do  string // what to try, as one sentence without a full stop; may be empty
}

// Error is one line, "op host: cause". It leaves out Do, which is shown below it.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Op)
	if p.On != "" {
		if p.Op != "" {
			b.WriteByte(' ')
		}
		b.WriteString(p.On)
	}
	if p.Err != nil {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(p.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Remedy returns the Do of the outermost Problem in err's chain that has one, or "".
func Remedy(err error) string {
	for err != nil {
		var p *Problem
		if !errors.As(err, &p) {
			return ""
		}
		if p.Do != "" {
			return p.Do
		}
		err = p.Err
	}
	return ""
}
