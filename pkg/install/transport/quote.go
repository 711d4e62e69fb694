package transport

import "strings"

// Quote makes s one word of a command line for /bin/sh, whatever s holds but NUL bytes, which no
// argument can hold. Words of plain characters stay as they are. The quoting is understood by
// csh and its kin too, as long as s has no newline.
func Quote(s string) string {
	if s != "" && strings.IndexFunc(s, needsQuote) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

// QuoteAll quotes the words and joins them with spaces.
func QuoteAll(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

func needsQuote(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	// '=' and '~' mean something at the start of a word, so they are quoted too.
	return !strings.ContainsRune("-_./:,@%+", r)
}
