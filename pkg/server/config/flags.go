package config

import (
	"fmt"
	"strings"
)

// ParseJVMFlags finds the system properties in the text of an environment
// variable such as SERVER_JVMFLAGS: words as a POSIX shell splits and unquotes
// them, of which those that read -Dname=value count (-Dname alone has the value
// ""); all other words are meant for a JVM. Nothing is expanded. The error tells
// of a quotation mark that is not closed; what stands before it is still returned.
func ParseJVMFlags(text string) ([]Property, error) {
	words, err := shellWords(text)
	var props []Property
	for _, word := range words {
		definition, ok := strings.CutPrefix(word, "-D")
		if !ok {
			continue
		}
		if name, value, _ := strings.Cut(definition, "="); name != "" {
			props = append(props, Property{Key: name, Value: value})
		}
	}
	return props, err
}

// ParseDefinition reads the name=value of one -D on a command line; a name alone
// has the value "".
func ParseDefinition(text string) (Property, error) {
	name, value, _ := strings.Cut(text, "=")
	if trim(name) == "" {
		return Property{}, fmt.Errorf("%q names no property: write name=value, for instance snapCount=50000", text)
	}
	return Property{Key: trim(name), Value: value}, nil
}

// shellWords splits text at blanks outside quotes, and takes the quotes off.
func shellWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	open := false // a word has begun, perhaps an empty one
	end := func() {
		if open {
			words = append(words, word.String())
		}
		word.Reset()
		open = false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t', '\n', '\r':
			end()
			continue
		case '\'', '"':
			inside, n, ok := quoted(text[i:])
			if !ok {
				return words, fmt.Errorf("the %c at character %d is not closed", c, i+1)
			}
			word.WriteString(inside)
			i += n - 1
		case '\\':
			if i++; i < len(text) && text[i] != '\n' {
				word.WriteByte(text[i])
			}
		default:
			word.WriteByte(c)
		}
		open = true
	}
	end()
	return words, nil
}

// quoted reads the quotation that text starts with: what is inside, and how
// many bytes it takes with its marks.
func quoted(text string) (inside string, n int, ok bool) {
	mark := text[0]
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == mark:
			return b.String(), i + 1, true
		case c == '\\' && mark == '"' && i+1 < len(text) && strings.IndexByte("\"\\$`\n", text[i+1]) >= 0:
			if i++; text[i] != '\n' {
				b.WriteByte(text[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, false
}
