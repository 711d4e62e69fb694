package auth

import "testing"

func TestJavaText(t *testing.T) {
	const bad = "\ufffd"
	for in, want := range map[string]string{
		"plain":            "plain",
		"\u00e9\U0001f600": "\u00e9\U0001f600",
		"\xff:\xff":        bad + ":" + bad,
		"\xe9\xe9a":        bad + bad + "a",
		"a\xe2\x82":        "a" + bad,
		"a\xe2\x82b":       "a" + bad + "b",
		"\xed\xa0\x80":     bad,
		"\xf0\x9f\x98":     bad,
		"\xf0\x9fx":        bad + "x",
		"\xc3":             bad,
		"\xc0\x80":         bad + bad,
		"\xe0\x80\x80":     bad + bad + bad,
		"\xf4\x90\x80\x80": bad + bad + bad + bad,
		"\xf5\x80":         bad + bad,
		"\xef\xbf\xbd":     bad,
	} {
		if got := javaText([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
