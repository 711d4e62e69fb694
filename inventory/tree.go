package inventory

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Limits on what one file may unfold to; aliases can make a small file huge.
const (
	maxNodes = 20_000
	maxDepth = 64
)

// kind is what a node is.
type kind int

const (
	scalar kind = iota
	null
	mapping
	sequence
)

// node is a YAML value that knows where it stands.
type node struct {
	kind  kind
	bad   bool   // what is wrong with it is told already
	text  string // of a scalar, after quotes, escapes and variables
	pairs []pair // of a mapping, in order
	items []*node

	src       *document
	line, col int
}

// pair is one key of a mapping.
type pair struct{ key, value *node }

// document is one file's text.
type document struct {
	name  string
	dir   string // what its relative paths start from
	lines []string
}

// get returns the value of key in a mapping, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, p := range n.pairs {
		if p.key.text == key {
			return p.value
		}
	}
	return nil
}

// problem makes a Problem at n; with a nil node it is nowhere.
func (n *node) problem(hint, message string) Problem {
	p := Problem{Message: message, Hint: hint}
	if n == nil || n.src == nil {
		return p
	}
	p.Position = Position{File: n.src.name, Line: n.line, Column: n.col}
	if n.line >= 1 && n.line <= len(n.src.lines) {
		p.Source = n.src.lines[n.line-1]
	}
	return p
}

// what names the node's kind for messages.
func (n *node) what() string {
	switch n.kind {
	case mapping:
		return "a mapping"
	case sequence:
		return "a list"
	case null:
		return "nothing"
	default:
		return strconv.Quote(n.text)
	}
}

// newDocument splits a file's text into lines.
func newDocument(name, dir string, text []byte) *document {
	lines := strings.Split(string(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], "\r")
	}
	return &document{name: name, dir: dir, lines: lines}
}

// parseTree reads one YAML document. It returns nil when the text is empty or not YAML; what is wrong
// goes to r.
func parseTree(doc *document, text []byte, r *report) *node {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	err := dec.Decode(&root)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		doc.notYAML(err, r)
		return nil
	}
	b := &treeBuilder{doc: doc, r: r}
	tree := b.build(&root, 0)
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		r.fault(doc.at(second.Line, second.Column), "give further files with -i", "an inventory is one YAML document; here a second one starts")
	} else if !errors.Is(err, io.EOF) {
		doc.notYAML(err, r)
	}
	return tree
}

// at makes a node that only marks a place.
func (d *document) at(line, col int) *node {
	return &node{src: d, line: max(line, 1), col: max(col, 1)}
}

// syntaxSpot is where the YAML parser gave up: it tells a line at most, so the caret goes to the line's first letter.
func (d *document) syntaxSpot(err error) *node {
	line := 1
	if m := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
	}
	line = min(max(line, 1), len(d.lines))
	if strings.Contains(err.Error(), "tab character") {
		line = d.tabbed(line)
	}
	text := d.lines[line-1]
	if strings.HasPrefix(text, "\t") {
		return d.at(line, 1)
	}
	return d.at(line, len(text)-len(strings.TrimLeft(text, " \t"))+1)
}

// tabbed is the first line from line on that is indented with a tab, or line itself.
func (d *document) tabbed(line int) int {
	for i := line; i <= len(d.lines); i++ {
		text := d.lines[i-1]
		if strings.Contains(text[:len(text)-len(strings.TrimLeft(text, " \t"))], "\t") {
			return i
		}
	}
	return line
}

// notYAML reports that the text is not YAML.
func (d *document) notYAML(err error, r *report) {
	at, hint := d.syntaxSpot(err), ""
	if strings.Contains(err.Error(), "expected ',' or") {
		// The one mistake that our variables invite: their braces end a YAML one.
		if spot := d.bracedVariable(); spot != nil {
			at, hint = spot, "between { } or [ ], put ${NAME} in quotes"
		}
	}
	r.fault(at, hint, "not valid YAML: %s", syntaxMessage(err))
}

// bracedVariable finds a ${ without quotes between braces or brackets, or returns nil.
func (d *document) bracedVariable() *node {
	open := regexp.MustCompile(`^[^#"']*[{\[,][^#"']*(\$\{)`)
	for i, line := range d.lines {
		if m := open.FindStringSubmatchIndex(line); m != nil {
			return d.at(i+1, len([]rune(line[:m[2]]))+1)
		}
	}
	return nil
}

// syntaxMessage is a YAML error without the parts that the position already tells.
func syntaxMessage(err error) string {
	return regexp.MustCompile(`^yaml: (line \d+: )?`).ReplaceAllString(err.Error(), "")
}

// treeBuilder turns yaml.v3's nodes into ours: aliases and merge keys unfolded, duplicate keys told.
type treeBuilder struct {
	doc   *document
	r     *report
	nodes int
	full  bool
}

func (b *treeBuilder) build(y *yaml.Node, depth int) *node {
	n := &node{src: b.doc, line: y.Line, col: y.Column}
	if b.nodes++; b.nodes > maxNodes || depth > maxDepth {
		if !b.full {
			b.full = true
			b.r.fault(n, "", "the file unfolds to more than %d values or %d levels", maxNodes, maxDepth)
		}
		n.kind = null
		return n
	}
	switch y.Kind {
	case yaml.DocumentNode:
		return b.build(y.Content[0], depth)
	case yaml.AliasNode:
		return b.build(y.Alias, depth+1)
	case yaml.MappingNode:
		n.kind = mapping
		b.mapping(n, y, depth)
	case yaml.SequenceNode:
		n.kind = sequence
		for _, c := range y.Content {
			n.items = append(n.items, b.build(c, depth+1))
		}
	default:
		n.text = y.Value
		if y.Tag == "!!null" {
			n.kind = null
		}
	}
	return n
}

// mapping fills n with the keys of y. Keys of a merge (<<) count less than the mapping's own.
func (b *treeBuilder) mapping(n *node, y *yaml.Node, depth int) {
	var merged []pair
	lines := make(map[string]int) // key -> the line that sets it
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := b.build(y.Content[i], depth+1), b.build(y.Content[i+1], depth+1)
		switch {
		case y.Content[i].Tag == "!!merge":
			merged = append(merged, b.merged(value)...)
		case key.kind == mapping || key.kind == sequence:
			b.r.fault(key, "", "a key must be a plain word")
		default:
			if line, again := lines[key.text]; again {
				b.r.fault(key, "", "duplicate key %q; it is already set on line %d", key.text, line)
				continue
			}
			lines[key.text] = key.line
			n.pairs = append(n.pairs, pair{key, value})
		}
	}
	for _, p := range merged {
		if _, set := lines[p.key.text]; !set {
			lines[p.key.text] = p.key.line
			n.pairs = append(n.pairs, p)
		}
	}
}

// merged returns the keys a merge brings in; of several mappings the first counts most.
func (b *treeBuilder) merged(value *node) []pair {
	switch value.kind {
	case mapping:
		return value.pairs
	case sequence:
		var out []pair
		for _, item := range value.items {
			out = append(out, b.merged(item)...)
		}
		return out
	default:
		b.r.fault(value, "", "<< takes a mapping, such as *name of an anchored one")
		return nil
	}
}
