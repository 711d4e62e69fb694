package conformance

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// minCases is how many cases there are at least.
const minCases = 400

// TestCases plays the cases to each target. What 3.9 answers is the measure;
// another target answers the same, or the case says why not, and then its
// answers are kept beside those of 3.9.
func TestCases(t *testing.T) {
	scripts := loadScripts(t)
	if len(scripts) < minCases {
		t.Errorf("%d cases, want %d", len(scripts), minCases)
	}
	for _, target := range []string{apache39, apache38, ours} {
		t.Run(target, func(t *testing.T) {
			if !*update { // else the answers of 3.9 come first
				t.Parallel()
			}
			playAll(t, target, scripts)
		})
	}
}

func playAll(t *testing.T, target string, scripts []*script) {
	want := loadGolden(t, goldenDir(apache39))
	own := loadGolden(t, goldenDir(target))
	got := make(golden)
	for _, name := range configNames() {
		if !slices.ContainsFunc(scripts, func(s *script) bool { return s.config == name }) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := start(t, target, name)
			for _, s := range scripts {
				if s.config == name && (s.spares == "" || target == ours) {
					t.Run(s.name, func(t *testing.T) {
						got.put(s, playCase(t, p, target, s, expected(target, s, want, own)))
					})
				}
			}
		})
	}
	if *update && !t.Failed() || *update && target == apache39 {
		saveGolden(t, target, scripts, got)
	}
}

// eventZxid is the zxid of a watch event.
var eventZxid = regexp.MustCompile(`(?m)^(\t. event )z\S+`)

// expected is what a target should answer to s. Before 3.9 events carry no zxid
// (ZOOKEEPER-4655), which no case needs to say.
func expected(target string, s *script, want, own golden) string {
	switch {
	case s.own(target):
		return own[s.file][s.name]
	case target == apache38:
		return eventZxid.ReplaceAllString(want[s.file][s.name], "${1}z-1")
	}
	return want[s.file][s.name]
}

// own tells whether a target's answers to s are kept apart from those of 3.9.
func (s *script) own(target string) bool {
	return target != apache39 && (s.differs[target] != "" || s.spares != "")
}

// playCase plays s and compares. Apache's servers are asked twice before they
// are believed to differ: on a busy machine they are sometimes late.
func playCase(t *testing.T, p *player, target string, s *script, want string) string {
	t.Helper()
	tries := 1
	if target != ours {
		tries = 2
	}
	var got string
	for try := range tries {
		root := fmt.Sprintf("/c-%s.%d", s.name, try)
		var err error
		if got, err = p.play(s, root); err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		if got == want || *update && s.own(target) {
			break
		}
	}
	switch {
	case *update && (target == apache39 || s.own(target)):
	case got != want:
		t.Errorf("%s.txt: %s", s.file, diff(want, got))
	}
	return got
}

// diff shows two conversations up to where they part, and a little of how they
// go on.
func diff(want, got string) string {
	if want == "" {
		return "there is no golden answer: run with -update where Java is\n" + got
	}
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	const after = 6
	return fmt.Sprintf("differs\n%s\n--- want\n%s\n--- got\n%s", strings.Join(a[:n], "\n"),
		strings.Join(a[n:min(len(a), n+after)], "\n"), strings.Join(b[n:min(len(b), n+after)], "\n"))
}

// golden is conversations by file and case.
type golden map[string]map[string]string

func (g golden) put(s *script, text string) {
	if g[s.file] == nil {
		g[s.file] = make(map[string]string)
	}
	g[s.file][s.name] = text
}

func goldenDir(target string) string { return filepath.Join("testdata", "golden", target) }

func loadGolden(t *testing.T, dir string) golden {
	t.Helper()
	g := make(golden)
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		g[name] = make(map[string]string)
		for part := range strings.SplitSeq("\n"+string(text), "\n== ") {
			if title, body, ok := strings.Cut(part, "\n"); ok && title != "" {
				g[name][title] = strings.TrimRight(body, "\n") + "\n"
			}
		}
	}
	return g
}

// saveGolden writes what a target answered: all of it for 3.9, else where it
// differs.
func saveGolden(t *testing.T, target string, scripts []*script, got golden) {
	t.Helper()
	dir := goldenDir(target)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*strings.Builder)
	for _, s := range scripts {
		text, played := got[s.file][s.name]
		if !played {
			continue
		}
		if files[s.file] == nil {
			files[s.file] = new(strings.Builder)
		}
		if target == apache39 || s.own(target) {
			fmt.Fprintf(files[s.file], "== %s\n%s", s.name, text)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name+".txt")
		if files[name].Len() == 0 {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(files[name].String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
