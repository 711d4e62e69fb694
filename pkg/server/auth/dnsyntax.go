package auth

import (
	"encoding/asn1"
	"encoding/hex"
	"strconv"
	"strings"
)

// validDN accepts what Java's X500Principal reads as a name: RFC 2253, and the
// forms of RFC 1779 that it knows besides. An empty name is one.
func validDN(name string) bool {
	if name == "" {
		return true
	}
	for _, part := range splitDN(name, ",;") {
		for _, a := range splitDN(part, "+") {
			if !validAttribute(a) {
				return false
			}
		}
	}
	return true
}

// splitDN cuts at separators that are neither escaped nor between quotes.
func splitDN(s, separators string) []string {
	var parts []string
	begin, quotes, slashes := 0, 0, 0
	for i := range len(s) {
		c := s[i]
		escaped := slashes%2 == 1
		switch {
		case c == '\\':
			slashes++
			continue
		case escaped:
		case c == '"':
			quotes++
		case quotes != 1 && strings.IndexByte(separators, c) >= 0:
			parts = append(parts, s[begin:i])
			begin, quotes = i+1, 0
		}
		slashes = 0
	}
	return append(parts, s[begin:])
}

// validAttribute accepts "type=value".
func validAttribute(s string) bool {
	keyword, value, ok := strings.Cut(s, "=")
	if !ok || !validKeyword(strings.ToUpper(strings.TrimFunc(keyword, func(r rune) bool { return r <= ' ' }))) {
		return false
	}
	value = strings.TrimLeft(value, " \n")
	switch {
	case value == "":
		return true
	case value[0] == '#':
		return validHex(value[1:])
	case value[0] == '"':
		return validQuoted(value[1:])
	}
	return validPlain(value)
}

// validKeyword knows Java's names of attributes, and numbers with dots.
func validKeyword(k string) bool {
	switch k {
	case "CN", "C", "L", "S", "ST", "O", "OU", "T", "IP", "STREET", "DC", "DNQUALIFIER", "DNQ", "SURNAME",
		"GIVENNAME", "INITIALS", "GENERATION", "EMAIL", "EMAILADDRESS", "UID", "SERIALNUMBER":
		return true
	}
	arcs := strings.Split(strings.TrimPrefix(k, "OID."), ".")
	var first, second uint64
	for i, arc := range arcs {
		n, err := strconv.ParseUint(arc, 10, 64)
		if err != nil {
			return false
		}
		switch i {
		case 0:
			first = n
		case 1:
			second = n
		}
	}
	return len(arcs) > 1 && (first < 2 && second < 40 || first == 2)
}

// validHex accepts the DER encoding of one value.
func validHex(s string) bool {
	der, err := hex.DecodeString(s)
	var v asn1.RawValue
	if err != nil || len(der) == 0 {
		return false
	}
	rest, err := asn1.Unmarshal(der, &v)
	return err == nil && len(rest) == 0
}

// escapedLen is the length of what stands behind a backslash: two hexadecimal
// digits, or one of the characters in set; 0 for anything else.
func escapedLen(s, set string) int {
	switch {
	case s == "":
		return 0
	case isHex(s[0]):
		if len(s) > 1 && isHex(s[1]) {
			return 2
		}
		return 0
	case strings.IndexByte(set, s[0]) >= 0:
		return 1
	}
	return 0
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

const quotedSpecials = ",=\n+<>#;\\\""

// validQuoted accepts a value behind its opening quote.
func validQuoted(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return strings.Trim(s[i+1:], " \n") == ""
		case '\\':
			n := escapedLen(s[i+1:], quotedSpecials)
			if n == 0 {
				return false
			}
			i += n
		}
	}
	return false
}

// validPlain accepts a value without quotes.
func validPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			n := escapedLen(s[i+1:], quotedSpecials+" ")
			if n == 0 {
				return false
			}
			i += n
		case strings.IndexByte(`,+<>;"`, c) >= 0:
			return false
		}
	}
	return true
}
