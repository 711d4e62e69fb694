package auth

import (
	"strings"
	"unicode/utf8"
)

// javaText reads bytes as Java's new String(b, UTF_8) does: what is no UTF-8
// becomes U+FFFD, one for each longest beginning of a character, and one for a
// surrogate (sun.nio.cs.UTF_8). It matters where Java hashes the text again.
func javaText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			n = malformed(b)
		}
		s.WriteRune(r)
		b = b[n:]
	}
	return s.String()
}

// malformed is how many bytes at the front of b one U+FFFD stands for.
func malformed(b []byte) int {
	continues := func(i int) bool { return i < len(b) && b[i]&0xc0 == 0x80 }
	lead := b[0]
	switch {
	case lead < 0xe0 || lead > 0xf4 || !continues(1):
		return 1
	case lead == 0xe0 && b[1] < 0xa0, lead == 0xf0 && b[1] < 0x90, lead == 0xf4 && b[1] > 0x8f:
		return 1
	case !continues(2):
		return 2
	}
	return 3 // a surrogate, or three of four bytes
}
