package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// This is a reader of ssh_config(5) for the keywords a connection here depends on. It knows Host,
// Include and those criteria of Match that need no command run and no finished connection; a Match
// with others never applies. As in ssh, the first value found for a keyword counts, and
// IdentityFile adds up.

// maxInclude is how deep files may include each other; as in ssh (READCONF_MAX_DEPTH).
const maxInclude = 16

// clientConfig is what the ssh_config files say about one host.
type clientConfig struct {
	values map[string]string // by keyword in lower case
	files  []string          // of IdentityFile, in order
}

func (c clientConfig) get(keyword string) string { return c.values[keyword] }

// configReader walks ssh_config files for one host.
type configReader struct {
	home      string
	alias     string // the name as given
	localUser string
	user      string // remote user given explicitly, may be empty
	out       clientConfig
}

// readConfig reads the files, of which those that are missing count as empty.
func readConfig(files []string, home, alias, localUser, user string) (clientConfig, error) {
	r := &configReader{home: home, alias: alias, localUser: localUser, user: user,
		out: clientConfig{values: make(map[string]string)}}
	for _, f := range files {
		if err := r.file(f, true, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return clientConfig{}, err
		}
	}
	return r.out, nil
}

func (r *configReader) file(name string, active bool, depth int) error {
	if depth > maxInclude {
		return fmt.Errorf("%s: files include each other more than %d deep", name, maxInclude)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read ssh config: %w", err)
	}
	return r.parse(data, name, active, depth)
}

// parse reads one file. active says whether its first lines count.
func (r *configReader) parse(data []byte, name string, active bool, depth int) error {
	outer := active
	n := 0
	for line := range bytes.Lines(data) {
		n++
		words := configWords(string(line))
		if len(words) == 0 {
			continue
		}
		keyword, args := strings.ToLower(words[0]), words[1:]
		if len(args) == 0 {
			continue // ssh refuses such a line; it is of no use here, and no harm
		}
		switch keyword {
		case "host":
			active = outer && matchList(r.alias, args)
		case "match":
			active = outer && r.match(args)
		case "include":
			if err := r.include(args, name, active, depth); err != nil {
				return fmt.Errorf("%s:%d: %w", name, n, err)
			}
		default:
			if active {
				r.set(keyword, args)
			}
		}
	}
	return nil
}

func (r *configReader) set(keyword string, args []string) {
	if keyword == "identityfile" {
		r.out.files = append(r.out.files, args[0])
		return
	}
	if _, ok := r.out.values[keyword]; !ok {
		r.out.values[keyword] = strings.Join(args, " ")
	}
}

func (r *configReader) include(patterns []string, from string, active bool, depth int) error {
	for _, p := range patterns {
		p = expandHome(p, r.home)
		if !filepath.IsAbs(p) {
			dir := filepath.Join(r.home, ".ssh")
			if strings.HasPrefix(from, "/etc/ssh/") {
				dir = "/etc/ssh"
			}
			p = filepath.Join(dir, p)
		}
		names, err := filepath.Glob(p)
		if err != nil {
			return fmt.Errorf("include %s: %w", p, err)
		}
		for _, name := range names {
			if err := r.file(name, active, depth+1); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// match tells whether all criteria of a Match line hold, as far as they can be known.
func (r *configReader) match(args []string) bool {
	for i := 0; i < len(args); {
		name, negate := strings.CutPrefix(strings.ToLower(args[i]), "!")
		if name == "all" {
			if negate {
				return false
			}
			i++
			continue
		}
		var value string
		switch name {
		case "host":
			value = r.alias
			if h := r.out.get("hostname"); h != "" {
				value = h
			}
		case "originalhost":
			value = r.alias
		case "user":
			value = r.remoteUser()
		case "localuser":
			value = r.localUser
		default:
			return false // exec, final, canonical, tagged and later inventions
		}
		if i+1 >= len(args) || matchList(value, args[i+1:i+2]) == negate {
			return false
		}
		i += 2
	}
	return true
}

func (r *configReader) remoteUser() string {
	for _, u := range []string{r.user, r.out.get("user")} {
		if u != "" {
			return u
		}
	}
	return r.localUser
}

// configWords splits a line into keyword and arguments: words with optional double quotes, an optional
// '=' after the keyword, '#' for a comment at the start of a word.
func configWords(line string) []string {
	var words []string
	rest := strings.TrimLeft(line, " \t\r\n\f")
	for rest != "" && rest[0] != '#' {
		var word string
		if len(words) == 0 {
			end := strings.IndexAny(rest, " \t\r\n\f=")
			if end < 0 {
				end = len(rest)
			}
			word, rest = rest[:end], strings.TrimLeft(rest[end:], " \t\r\n\f")
			rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t\r\n\f")
		} else {
			word, rest = configWord(rest)
			rest = strings.TrimLeft(rest, " \t\r\n\f")
		}
		words = append(words, word)
	}
	return words
}

func configWord(s string) (word, rest string) {
	if strings.HasPrefix(s, `"`) {
		if w, r, ok := strings.Cut(s[1:], `"`); ok {
			return w, r
		}
		return strings.TrimRight(s[1:], " \t\r\n\f"), ""
	}
	end := strings.IndexAny(s, " \t\r\n\f")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// matchList tells whether a pattern list matches: one of its patterns does, and none with '!'.
// Patterns stand in words and within a word between commas.
func matchList(s string, lists []string) bool {
	found := false
	for _, list := range lists {
		for p := range strings.SplitSeq(list, ",") {
			p, negate := strings.CutPrefix(p, "!")
			if p == "" || !wildcard(strings.ToLower(p), strings.ToLower(s)) {
				continue
			}
			if negate {
				return false
			}
			found = true
		}
	}
	return found
}

// wildcard tells whether the whole of s matches a pattern of '*' and '?'. It takes time in
// proportion to the product of the lengths, whatever the pattern.
func wildcard(pattern, s string) bool {
	p, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func expandHome(p, home string) string {
	if p == "~" {
		return home
	}
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return p
}
