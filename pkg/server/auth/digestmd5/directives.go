package digestmd5

import (
	"bytes"
	"fmt"
	"strings"
)

// directives are the name="value" pairs of a message by lower-case name. Those
// whose names nobody here knows are left out.
type directives map[string][]byte

// known are the directives of either side (RFC 2831, 2.1.1 and 2.1.2).
func known(name string) bool {
	switch name {
	case "realm", "nonce", "qop", "stale", "maxbuf", "charset", "algorithm", "cipher", "rspauth",
		"username", "cnonce", "nc", "digest-uri", "response", "authzid":
		return true
	}
	return false
}

// parse reads a message. A directive may stand once, but for realm in a
// challenge, of which the first counts.
func parse(msg []byte, challenge bool) (directives, error) {
	s := scanner{rest: msg}
	out := make(directives)
	for {
		s.skip(" \t\r\n,")
		if len(s.rest) == 0 {
			return out, nil
		}
		name, value, err := s.directive()
		if err != nil {
			return nil, err
		}
		if !known(name) {
			continue
		}
		if _, twice := out[name]; twice {
			if challenge && name == "realm" {
				continue
			}
			return nil, fmt.Errorf("%w: directive %q stands twice", ErrFailed, name)
		}
		out[name] = value
	}
}

// A scanner cuts directives off the front of a message.
type scanner struct{ rest []byte }

const space = " \t\r\n"

func (s *scanner) skip(set string) { s.rest = bytes.TrimLeft(s.rest, set) }

// directive reads one, up to what separates it from the next.
func (s *scanner) directive() (string, []byte, error) {
	end := bytes.IndexAny(s.rest, "=,"+space)
	if end < 0 {
		end = len(s.rest)
	}
	name := strings.ToLower(string(s.rest[:end]))
	s.rest = s.rest[end:]
	s.skip(space)
	if name == "" || len(s.rest) == 0 || s.rest[0] != '=' {
		return "", nil, fmt.Errorf("%w: no '=' behind directive %q", ErrFailed, name)
	}
	s.rest = s.rest[1:]
	s.skip(space)
	if len(s.rest) == 0 {
		return "", nil, fmt.Errorf("%w: directive %q has no value", ErrFailed, name)
	}
	if s.rest[0] == '"' {
		value, err := s.quoted(name)
		return name, value, err
	}
	end = bytes.IndexAny(s.rest, ","+space)
	if end < 0 {
		end = len(s.rest)
	}
	value := s.rest[:end:end]
	s.rest = s.rest[end:]
	return name, value, nil
}

// quoted reads a value in quotes, in which a backslash takes the byte behind it
// as it is.
func (s *scanner) quoted(name string) ([]byte, error) {
	value := []byte{}
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '\\' && i+1 < len(s.rest):
			i++
			value = append(value, s.rest[i])
		case c == '\\':
			// the message ends in the middle of a pair
		case c != '"':
			value = append(value, c)
		default:
			s.rest = s.rest[i+1:]
			if len(s.rest) > 0 && !strings.ContainsRune(","+space, rune(s.rest[0])) {
				return nil, fmt.Errorf("%w: no comma behind directive %q", ErrFailed, name)
			}
			return value, nil
		}
	}
	return nil, fmt.Errorf("%w: directive %q has no closing quote", ErrFailed, name)
}

// appendQuoted writes a value in quotes.
func appendQuoted(b []byte, value string) []byte {
	b = append(b, '"')
	for i := range len(value) {
		c := value[i]
		if c == '"' || c == '\\' || c == 0x7f || c < ' ' && !strings.ContainsRune(space, rune(c)) {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}
