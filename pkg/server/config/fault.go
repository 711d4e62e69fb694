package config

import (
	"fmt"
	"strings"
)

// Fault is one thing in a configuration that keeps the server from starting.
type Fault struct {
	File    string // as named to Load or Parse, or the dynamic or myid file
	Line    int    // from 1; 0 when the fault has no line (a key that is missing)
	Key     string // as written; "" when the fault concerns the whole file
	Problem string // what is wrong, a clause without a full stop
	Do      string // what to do about it, an instruction without a full stop
}

// Error gives the fault on one line: "zoo.cfg:3: tickTime: ... ; do ...".
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	for _, part := range []string{f.Key, f.Problem} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if f.Do != "" {
		b.WriteString("; " + f.Do)
	}
	return b.String()
}

// Faults is every fault that was found, in file order. It is the error that
// [Load], [Parse] and [Config.ReadMyID] return when a configuration was read but
// cannot be used.
type Faults []Fault

// Error gives one fault a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find each [Fault].
func (f Faults) Unwrap() []error {
	errs := make([]error, len(f))
	for i, fault := range f {
		errs[i] = fault
	}
	return errs
}

// asError keeps an empty list from becoming an error that is not nil.
func (f Faults) asError() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Warning is one thing in a configuration that does not stop the server but
// that its owner would want to know. The fields mean what those of [Fault] mean.
type Warning Fault

// String gives the warning on one line.
func (w Warning) String() string { return Fault(w).Error() }
