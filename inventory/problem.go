package inventory

import (
	"fmt"
	"sort"
	"strings"
)

// Position is a place in an inventory file. Line and Column count from 1, columns in characters;
// the zero Position is nowhere (a value that stands in no file).
type Position struct {
	File         string
	Line, Column int
}

// String returns "file:line:column", or "inventory" for the zero Position.
func (p Position) String() string {
	if p.File == "" {
		return "inventory"
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one fault or oddity of an inventory, at its place.
type Problem struct {
	Position
	Message string // what is wrong, in one line
	Hint    string // what to do about it; may be empty
	Source  string // the line of the file, without its end; empty when Position is nowhere
}

// String shows the problem in up to three lines: position and message, the line of the file,
// and a caret at the spot with the hint.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", p.Position, p.Message)
	if p.Line == 0 {
		if p.Hint != "" {
			fmt.Fprintf(&b, "\n      | %s", p.Hint)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "\n%5d | %s\n      | %s^", p.Line, p.Source, caretIndent(p.Source, p.Column))
	if p.Hint != "" {
		b.WriteString(" " + p.Hint)
	}
	return b.String()
}

// caretIndent is the white space that puts a caret under column col of line; tabs stay tabs.
func caretIndent(line string, col int) string {
	var b strings.Builder
	n := 1
	for _, r := range line {
		if n >= col {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
		n++
	}
	return b.String()
}

// Error is every fault found in an inventory, in the order of the files.
type Error struct{ Problems []Problem }

// Error shows all problems, each as [Problem.String] does, and how many there are.
func (e *Error) Error() string {
	var b strings.Builder
	for _, p := range e.Problems {
		b.WriteString(p.String())
		b.WriteByte('\n')
	}
	if n := len(e.Problems); n != 1 {
		fmt.Fprintf(&b, "%d faults in the inventory", n)
	} else {
		b.WriteString("1 fault in the inventory")
	}
	return b.String()
}

// report collects faults and warnings. A fault told twice at one place is kept once.
type report struct {
	faults, warnings []Problem
	seen             map[string]bool
}

// fault notes a fault at n, which may be nil.
func (r *report) fault(n *node, hint, format string, args ...any) {
	r.add(&r.faults, n.problem(hint, fmt.Sprintf(format, args...)))
}

// warn notes a warning at n, which may be nil.
func (r *report) warn(n *node, hint, format string, args ...any) {
	r.add(&r.warnings, n.problem(hint, fmt.Sprintf(format, args...)))
}

func (r *report) add(list *[]Problem, p Problem) {
	key := p.Position.String() + p.Message
	if r.seen[key] {
		return
	}
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[key] = true
	*list = append(*list, p)
}

// err returns the faults as an [*Error], or nil. order ranks files as they were given.
func (r *report) err(order map[string]int) error {
	if len(r.faults) == 0 {
		return nil
	}
	sortProblems(r.faults, order)
	return &Error{Problems: r.faults}
}

func sortProblems(list []Problem, order map[string]int) {
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.File != b.File {
			return order[a.File] < order[b.File]
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
}
