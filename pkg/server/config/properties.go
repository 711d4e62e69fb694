package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Property is one key of a properties file with its value, both unescaped but
// not yet trimmed, and the line (from 1) on which the key stands.
type Property struct {
	Key, Value string
	Line       int
}

// SyntaxError tells of a line that is no Java property.
type SyntaxError struct {
	Line    int // from 1
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// ParseProperties splits text as java.util.Properties.load(InputStream) does:
// ISO-8859-1, "#" and "!" comments, a key ended by "=", ":" or a blank, a
// backslash at the end of a line joining the next one, and the escapes \t, \n,
// \r, \f and \uXXXX. Properties come in file order; a key that stands twice is
// given twice (Java keeps the last). Lines that are wrong are left out and
// reported, the others are still returned.
func ParseProperties(text []byte) ([]Property, []*SyntaxError) {
	var props []Property
	var bad []*SyntaxError
	s := scanner{text: text, line: 1}
	for {
		logical, line, ok := s.next()
		if !ok {
			return props, bad
		}
		rawKey, rawValue := splitProperty(logical)
		key, errKey := unescape(rawKey)
		value, errValue := unescape(rawValue)
		if errKey != nil || errValue != nil {
			bad = append(bad, &SyntaxError{Line: line, Problem: `\u is not followed by four hexadecimal digits`})
			continue
		}
		props = append(props, Property{Key: key, Value: value, Line: line})
	}
}

// scanner hands out logical lines: natural lines joined where one ends in an
// odd number of backslashes.
type scanner struct {
	text  []byte
	pos   int
	line  int // number of the natural line at pos
	start int // where the logical line that next gave starts; it ends at pos
}

func (s *scanner) next() (logical []byte, line int, ok bool) {
	for s.pos < len(s.text) {
		s.start = s.pos
		part := bytes.TrimLeft(s.natural(), " \t\f")
		line = s.line - 1
		if len(part) == 0 || part[0] == '#' || part[0] == '!' {
			continue
		}
		var joined []byte
		for continues(part) && s.pos <= len(s.text) {
			joined = append(joined, part[:len(part)-1]...)
			if s.pos == len(s.text) {
				part = nil
				break
			}
			part = bytes.TrimLeft(s.natural(), " \t\f")
			// Nothing gathered so far: this is still the start of a line, which a comment may take.
			if len(joined) == 0 && (len(part) == 0 || part[0] == '#' || part[0] == '!') {
				part = nil
				break
			}
		}
		if joined = append(joined, part...); len(joined) > 0 {
			return joined, line, true
		}
	}
	return nil, 0, false
}

// natural takes the line at pos, without its terminator (\n, \r or \r\n).
func (s *scanner) natural() []byte {
	rest := s.text[s.pos:]
	s.line++
	end := bytes.IndexAny(rest, "\r\n")
	if end < 0 {
		s.pos = len(s.text)
		return rest
	}
	s.pos += end + 1
	if rest[end] == '\r' && end+1 < len(rest) && rest[end+1] == '\n' {
		s.pos++
	}
	return rest[:end]
}

// continues tells whether the line ends in an odd number of backslashes.
func continues(line []byte) bool {
	n := 0
	for n < len(line) && line[len(line)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// splitProperty cuts a logical line at the first separator that is not escaped.
func splitProperty(line []byte) (key, value []byte) {
	end, escaped := 0, false
	for end < len(line) && (escaped || !isSeparator(line[end])) {
		escaped = line[end] == '\\' && !escaped
		end++
	}
	key, value = line[:end], bytes.TrimLeft(line[end:], " \t\f")
	if len(value) > 0 && (value[0] == '=' || value[0] == ':') {
		value = bytes.TrimLeft(value[1:], " \t\f")
	}
	return key, value
}

func isSeparator(c byte) bool { return strings.IndexByte("=: \t\f", c) >= 0 }

// unescape resolves backslashes and turns ISO-8859-1 into UTF-8.
func unescape(raw []byte) (string, error) {
	units := make([]uint16, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			units = append(units, uint16(raw[i]))
			continue
		}
		i++
		if raw[i] != 'u' {
			units = append(units, uint16(unescapeByte(raw[i])))
			continue
		}
		unit, err := hexUnit(raw[i+1:])
		if err != nil {
			return "", err
		}
		units = append(units, unit)
		i += 4
	}
	return string(utf16.Decode(units)), nil
}

func unescapeByte(c byte) byte {
	switch c {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 'f':
		return '\f'
	}
	return c
}

func hexUnit(digits []byte) (uint16, error) {
	if len(digits) < 4 {
		return 0, fmt.Errorf("%d of 4 hexadecimal digits", len(digits))
	}
	var unit uint16
	for _, d := range digits[:4] {
		v := strings.IndexByte("0123456789abcdef", lower(d))
		if v < 0 {
			return 0, fmt.Errorf("%q is no hexadecimal digit", d)
		}
		unit = unit<<4 | uint16(v)
	}
	return unit, nil
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// trim removes what Java's String.trim removes: every char up to U+0020.
func trim(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }
