package jaas

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Parse reads a login configuration; name is what errors call it. They tell
// file:line:column.
func Parse(name string, text []byte) (*File, error) {
	f := &File{Name: name, sections: make(map[string]Section)}
	p := &parser{scanner: scanner{file: name, text: string(text), line: 1, column: 1}}
	if err := p.next(); err != nil {
		return nil, err
	}
	for p.tok.kind != end {
		at := p.tok
		s, err := p.section()
		if err != nil {
			return nil, err
		}
		if _, twice := f.sections[s.Name]; twice {
			return nil, p.fault(at, fmt.Sprintf("section %s stands twice", s.Name))
		}
		f.sections[s.Name] = s
	}
	return f, nil
}

type parser struct {
	scanner

	tok token
}

func (p *parser) next() error {
	t, err := p.scan()
	p.tok = t
	return err
}

// word takes a word or a text in quotes.
func (p *parser) word(what string) (token, error) {
	t := p.tok
	if t.kind != word {
		return t, p.fault(t, fmt.Sprintf("%s expected, found %s", what, t))
	}
	return t, p.next()
}

// symbol takes one of { } ; =.
func (p *parser) symbol(kind tokenKind, behind string) error {
	if p.tok.kind != kind {
		return p.fault(p.tok, fmt.Sprintf("'%c' expected behind %s, found %s", kind, behind, p.tok))
	}
	return p.next()
}

func (p *parser) section() (Section, error) {
	name, err := p.word("the name of a section")
	if err != nil {
		return Section{}, err
	}
	s := Section{Name: name.text, file: p.file}
	if err := p.symbol('{', "the section's name "+s.Name); err != nil {
		return s, err
	}
	for p.tok.kind != '}' {
		m, err := p.module()
		if err != nil {
			return s, err
		}
		s.Modules = append(s.Modules, m)
	}
	if err := p.next(); err != nil {
		return s, err
	}
	return s, p.symbol(';', "the section "+s.Name)
}

func (p *parser) module() (Module, error) {
	class, err := p.word("the class of a login module, or '}',")
	if err != nil {
		return Module{}, err
	}
	flag, err := p.word("required, requisite, sufficient or optional")
	if err != nil {
		return Module{}, err
	}
	m := Module{Class: class.text, Flag: strings.ToLower(flag.text)}
	if !slices.Contains([]string{"required", "requisite", "sufficient", "optional"}, m.Flag) {
		return m, p.fault(flag, fmt.Sprintf("required, requisite, sufficient or optional expected, found %q", flag.text))
	}
	for p.tok.kind != ';' {
		o, err := p.option()
		if err != nil {
			return m, err
		}
		m.Options = append(m.Options, o)
	}
	return m, p.next()
}

func (p *parser) option() (Option, error) {
	key, err := p.word("an option, or ';' behind the last one,")
	if err != nil {
		return Option{}, err
	}
	if err := p.symbol('=', "the option "+key.text); err != nil {
		return Option{}, err
	}
	value, err := p.word("the value of " + key.text)
	return Option{Key: key.text, Value: value.text, Line: key.line, Column: key.column}, err
}

// A tokenKind is word, end, or the symbol itself.
type tokenKind rune

const (
	end  tokenKind = -1
	word tokenKind = 0
)

type token struct {
	kind         tokenKind
	text         string // of a word
	line, column int
}

func (t token) String() string {
	switch t.kind {
	case end:
		return "the end of the file"
	case word:
		return fmt.Sprintf("%q", t.text)
	}
	return fmt.Sprintf("'%c'", rune(t.kind))
}

// A scanner cuts tokens off the text.
type scanner struct {
	file, text   string
	line, column int // of the next character, from 1
}

func (s *scanner) fault(t token, problem string) error {
	return fmt.Errorf("%s:%d:%d: %s", s.file, t.line, t.column, problem)
}

// take moves over the next n bytes.
func (s *scanner) take(n int) string {
	taken := s.text[:n]
	s.text = s.text[n:]
	if i := strings.LastIndexByte(taken, '\n'); i >= 0 {
		s.line += strings.Count(taken, "\n")
		s.column = 1
		taken = taken[i+1:]
		s.column += utf8.RuneCountInString(taken)
		return taken
	}
	s.column += utf8.RuneCountInString(taken)
	return taken
}

// blank moves over white space and comments.
func (s *scanner) blank() error {
	for {
		s.take(len(s.text) - len(strings.TrimLeftFunc(s.text, func(r rune) bool { return r <= ' ' })))
		switch {
		case strings.HasPrefix(s.text, "//"):
			n := strings.IndexByte(s.text, '\n')
			if n < 0 {
				n = len(s.text)
			}
			s.take(n)
		case strings.HasPrefix(s.text, "/*"):
			n := strings.Index(s.text, "*/")
			if n < 2 {
				n = strings.Index(s.text[2:], "*/") + 2
			}
			if n < 2 {
				return s.fault(token{line: s.line, column: s.column}, "this comment has no end")
			}
			s.take(n + len("*/"))
		default:
			return nil
		}
	}
}

func (s *scanner) scan() (token, error) {
	if err := s.blank(); err != nil {
		return token{}, err
	}
	t := token{line: s.line, column: s.column}
	if s.text == "" {
		t.kind = end
		return t, nil
	}
	r, size := utf8.DecodeRuneInString(s.text)
	switch {
	case strings.ContainsRune("{};=", r):
		t.kind = tokenKind(r)
		s.take(size)
		return t, nil
	case r == '"':
		return s.quoted(t)
	case isWord(r) && !isNumber(r):
		n := strings.IndexFunc(s.text, func(r rune) bool { return !isWord(r) })
		if n < 0 {
			n = len(s.text)
		}
		t.text = s.take(n)
		return t, nil
	}
	return t, s.fault(t, fmt.Sprintf("%q here has to be part of a text in double quotes", r))
}

// isWord tells what words are made of without quotes.
func isWord(r rune) bool {
	return isNumber(r) || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0xa0 && r != utf8.RuneError || strings.ContainsRune("$_*", r)
}

// isNumber tells what no word begins with: Java would read a number, and refuse
// it.
func isNumber(r rune) bool { return r >= '0' && r <= '9' || r == '.' || r == '-' }

// quoted reads a text in quotes, which ends in its line.
func (s *scanner) quoted(t token) (token, error) {
	var b strings.Builder
	for i := 1; i < len(s.text) && s.text[i] != '\n' && s.text[i] != '\r'; i++ {
		switch c := s.text[i]; {
		case c == '"':
			t.text = b.String()
			s.take(i + 1)
			return t, nil
		case c == '\\' && i+1 < len(s.text):
			text, n := unescape(s.text[i+1:])
			b.WriteString(text)
			i += n
		default:
			b.WriteByte(c)
		}
	}
	return t, s.fault(t, "this quote is not closed on its line")
}

// unescape reads what stands behind a backslash, and its length in bytes:
// \a \b \f \n \r \t \v, up to three octal digits, or the character itself.
func unescape(s string) (string, int) {
	if i := strings.IndexByte("abfnrtv", s[0]); i >= 0 {
		return "\a\b\f\n\r\t\v"[i : i+1], 1
	}
	n, code := 0, rune(0)
	for n < len(s) && n < 3 && s[n] >= '0' && s[n] <= '7' && (n < 2 || s[0] <= '3') {
		code = code*8 + rune(s[n]-'0')
		n++
	}
	if n > 0 {
		return string(code), n
	}
	_, size := utf8.DecodeRuneInString(s)
	return s[:size], size
}
