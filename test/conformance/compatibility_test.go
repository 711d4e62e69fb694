package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

const compatibilityDoc = "../../docs/compatibility.md"

// quoted is a word in backquotes.
var quoted = regexp.MustCompile("`([^`]+)`")

// TestCompatibilityDoc checks that what docs/compatibility.md names as proof
// exists, that it lists all operations, errors and words, and every reason that
// a case gives for a difference.
func TestCompatibilityDoc(t *testing.T) {
	text, err := os.ReadFile(compatibilityDoc)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	proofs := provers(t)
	first := make(map[string]bool) // the first two cells of rows
	for line := range strings.Lines(doc) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.TrimSpace(cells[len(cells)-1]) == "proof" {
			continue
		}
		for _, c := range cells[:2] {
			first[strings.TrimSpace(c)] = true
		}
		names := quoted.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(names) == 0 {
			t.Errorf("no proof: %s", line)
		}
		for _, name := range names {
			if !proofs(name[1]) {
				t.Errorf("there is no case or test %s", name[1])
			}
		}
	}
	wantListed(t, first)
	for _, s := range loadScripts(t) {
		for _, reason := range append(mapValues(s.differs), s.spares) {
			if reason != "" && !strings.Contains(doc, "- "+reason+"\n") {
				t.Errorf("case %s: a reason that is not in %s: %s", s.name, compatibilityDoc, reason)
			}
		}
	}
}

func mapValues(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

// wantListed fails the test for operations, errors and words without a row.
func wantListed(t *testing.T, listed map[string]bool) {
	t.Helper()
	for code := int32(-200); code <= 200; code++ {
		op := proto.Op(code)
		if name := op.String(); name != fmt.Sprintf("op(%d)", code) && !listed[fmt.Sprint(code)] {
			t.Errorf("operation %d, %s, has no row", code, name)
		}
		err := proto.Code(code)
		if name := err.Error(); name != fmt.Sprintf("error %d", code) && !listed[name] {
			t.Errorf("error %d, %s, has no row", code, name)
		}
	}
	for _, word := range fourletter.Words() {
		if !listed[word] {
			t.Errorf("word %s has no row", word)
		}
	}
}

// provers tells whether a name is that of a case, or "package:TestName" of a
// test in that package's directory.
func provers(t *testing.T) func(name string) bool {
	t.Helper()
	cases := make(map[string]bool)
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "== "); ok {
				cases[name] = true
			}
		}
	}
	return func(name string) bool {
		dir, test, isTest := strings.Cut(name, ":")
		if !isTest {
			return cases[name]
		}
		return hasTest(filepath.Join("../..", dir), test)
	}
}

func hasTest(dir, name string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
