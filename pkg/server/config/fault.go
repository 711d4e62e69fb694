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

// nearest returns the candidate with the smallest edit distance to word, when
// the two are close enough for a slip of the keyboard; otherwise "".
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 1+max(1, len(word)/4)
	for _, c := range candidates {
		d := distance(strings.ToLower(word), strings.ToLower(c))
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}
