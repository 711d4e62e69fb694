package inventory

import (
	"regexp"
	"strings"
)

// expander replaces ${NAME} and ${NAME:-default} in values; $${ stands for a plain ${.
// It works on values after the YAML is read, so that what a variable holds is never taken for YAML.
type expander struct {
	lookup func(string) (string, bool)
	name   *regexp.Regexp
	r      *report
}

func newExpander(lookup func(string) (string, bool), r *report) *expander {
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	return &expander{lookup: lookup, name: regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), r: r}
}

// tree expands every value below n. Keys stay as they are.
func (e *expander) tree(n *node) {
	if n == nil {
		return
	}
	for _, p := range n.pairs {
		e.tree(p.value)
	}
	for _, item := range n.items {
		e.tree(item)
	}
	if n.kind == scalar && strings.Contains(n.text, "${") {
		n.text = e.text(n)
	}
}

func (e *expander) text(n *node) string {
	var out strings.Builder
	rest := n.text
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			out.WriteString(rest)
			return out.String()
		}
		if i > 0 && rest[i-1] == '$' {
			out.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		out.WriteString(rest[:i])
		rest = rest[i:]
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			n.bad = true
			e.r.fault(n.find(rest), "write $${ for a plain ${", "${ without its }")
			out.WriteString(rest)
			return out.String()
		}
		out.WriteString(e.variable(n, rest[:end+1]))
		rest = rest[end+1:]
	}
}

// variable returns what stands for ref, which is "${...}".
func (e *expander) variable(n *node, ref string) string {
	name, fallback, hasFallback := strings.Cut(ref[2:len(ref)-1], ":-")
	if !e.name.MatchString(name) {
		n.bad = true
		e.r.fault(n.find(ref), "write $${ for a plain ${", "%q is not the name of an environment variable", name)
		return ref
	}
	value, set := e.lookup(name)
	switch {
	case set && (value != "" || !hasFallback):
		return value
	case hasFallback:
		return fallback
	}
	n.bad = true
	e.r.fault(n.find(ref), "set it, or give a default: ${"+name+":-value}", "environment variable %s is not set", name)
	return ref
}

// find marks where part of a value's text stands in the file, as near as the file's own spelling lets it.
func (n *node) find(part string) *node {
	part, _, _ = strings.Cut(part, "\n")
	for i := n.line; i >= 1 && i <= len(n.src.lines); i++ {
		line := []rune(n.src.lines[i-1])
		from := 0
		if i == n.line {
			from = min(n.col-1, len(line))
		}
		if at := strings.Index(string(line[from:]), part); at >= 0 {
			return n.src.at(i, from+len([]rune(string(line[from:])[:at]))+1)
		}
	}
	return n
}
