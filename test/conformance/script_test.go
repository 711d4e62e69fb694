package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A script is one case: what clients say to a server.
type script struct {
	name   string
	file   string // without directory and ending
	config string // which servers it is for; see configs
	// differs gives, by target, why its answers are not those of 3.9.
	differs map[string]string
	// spares says why Apache's servers are not asked: they would end.
	spares string
	steps  []step
	each   []variable
}

// A variable of a script has a value in each of the cases that it stands for.
type variable struct {
	name   string
	values []string
}

// A step is one line of a script.
type step struct {
	line   int
	client string
	verb   string
	more   bool // the next step is sent with it
	args   []string
	text   string
}

func (s step) String() string { return s.text }

var caseName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// loadScripts reads the case files.
func loadScripts(t *testing.T) []*script {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	var all []*script
	where := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, err := parseScripts(strings.TrimSuffix(filepath.Base(file), ".txt"), string(text))
		if err != nil {
			t.Fatalf("%s:%v", file, err)
		}
		for _, s := range list {
			if err := s.parseSteps(); err != nil {
				t.Fatalf("%s:%v", file, err)
			}
			if was, twice := where[s.name]; twice {
				t.Fatalf("case %s is in %s and in %s", s.name, was, file)
			}
			where[s.name] = file
		}
		all = append(all, list...)
	}
	return all
}

// parseScripts reads the cases of one file.
func parseScripts(file, text string) ([]*script, error) {
	var all []*script
	var cur *script
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		name, isCase := strings.CutPrefix(line, "== ")
		switch {
		case line == "" || line[0] == '#':
		case isCase:
			if !caseName.MatchString(name) {
				return nil, fmt.Errorf("%d: %q is no name of a case", n, name)
			}
			cur = &script{name: name, file: file, config: "plain", differs: make(map[string]string)}
			all = append(all, cur)
		case cur == nil:
			return nil, fmt.Errorf("%d: a line before the first case", n)
		default:
			if err := cur.parseLine(n, line); err != nil {
				return nil, fmt.Errorf("%d: %w", n, err)
			}
		}
	}
	var cases []*script
	for _, s := range all {
		cases = append(cases, s.expand()...)
	}
	return cases, nil
}

// expand gives the cases that a script with variables stands for, numbered from
// 1: the last variable changes first.
func (s *script) expand() []*script {
	if len(s.each) == 0 {
		return []*script{s}
	}
	cases := []*script{{name: s.name, file: s.file, config: s.config, differs: s.differs, spares: s.spares, steps: s.steps}}
	for _, v := range s.each {
		var next []*script
		for _, c := range cases {
			for _, value := range v.values {
				n := *c
				n.steps = slices.Clone(c.steps)
				for i := range n.steps {
					n.steps[i].text = strings.ReplaceAll(n.steps[i].text, "$"+v.name, value)
				}
				next = append(next, &n)
			}
		}
		cases = next
	}
	for i, c := range cases {
		c.name = fmt.Sprintf("%s-%d", s.name, i+1)
	}
	return cases
}

func (s *script) parseLine(n int, line string) error {
	if config, ok := strings.CutPrefix(line, "config: "); ok {
		if !slices.Contains(configNames(), config) {
			return fmt.Errorf("config %q: there are %q", config, configNames())
		}
		s.config = config
		return nil
	}
	if reason, ok := strings.CutPrefix(line, "apache dies: "); ok {
		s.spares = reason
		return nil
	}
	if rest, ok := strings.CutPrefix(line, "differs "); ok {
		target, reason, ok := strings.Cut(rest, ": ")
		if !ok {
			return fmt.Errorf("%q: want \"differs TARGET: reason\"", line)
		}
		s.differs[target] = reason
		return nil
	}
	if rest, ok := strings.CutPrefix(line, "each "); ok {
		name, values, ok := strings.Cut(rest, ": ")
		if !ok {
			return fmt.Errorf("%q: want \"each NAME: value | value\"", line)
		}
		s.each = append(s.each, variable{name: name, values: strings.Split(values, " | ")})
		return nil
	}
	s.steps = append(s.steps, step{line: n, text: line})
	return nil
}

// parseSteps reads the lines of a case.
func (s *script) parseSteps() error {
	for i, st := range s.steps {
		parsed, err := parseStep(st.text)
		if err != nil {
			return fmt.Errorf("%d: %w", st.line, err)
		}
		parsed.line = st.line
		s.steps[i] = parsed
	}
	return nil
}

// parseStep reads "CLIENT[+] VERB ARG...".
func parseStep(line string) (step, error) {
	words, err := splitWords(line)
	if err != nil {
		return step{}, err
	}
	if len(words) < 2 {
		return step{}, fmt.Errorf("%q: want a client and what it does", line)
	}
	st := step{client: words[0], verb: words[1], args: words[2:], text: line}
	st.client, st.more = strings.CutSuffix(st.client, "+")
	if len(st.client) != 1 {
		return step{}, fmt.Errorf("client %q: one letter", st.client)
	}
	if !knownVerb(st.verb) {
		return step{}, fmt.Errorf("verb %q is not known", st.verb)
	}
	return st, nil
}

// splitWords splits at blanks outside of quotes.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quoted, in := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quoted && i+1 < len(line):
			word.WriteByte(c)
			i++
			word.WriteByte(line[i])
			continue
		case c == '"':
			quoted, in = !quoted, true
		case c == ' ' && !quoted:
			if in {
				words = append(words, word.String())
			}
			word.Reset()
			in = false
			continue
		}
		in = true
		word.WriteByte(c)
	}
	if quoted {
		return nil, fmt.Errorf("%q: a quote is not closed", line)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
