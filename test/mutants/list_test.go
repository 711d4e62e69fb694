package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// TestMutantsApply: the code that a mutant changes is there, once.
func TestMutantsApply(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutants() {
		src, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			t.Error(err)
		}
		if n := strings.Count(string(src), m.old); n != 1 {
			t.Errorf("%s: %s has %q %d times, want once: the code has changed, change the mutant", m.name, m.file, m.old, n)
		}
		if names[m.name] {
			t.Errorf("two mutants are called %q", m.name)
		}
		names[m.name] = true
		if _, err := regexp.Compile(m.test); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// proof matches a test in the table: `package:Test`, or a transcript of one.
var proof = regexp.MustCompile("`([a-z/0-9-]+):((?:Test|Fuzz)[A-Za-z0-9]+)(?:/([a-z_]+))?`")

// TestReliabilityTable: whatever docs/reliability.md names for a bug of Apache's is
// there: tests, transcripts and mutants; and all of these mutants are in it.
func TestReliabilityTable(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, m := range mutants() {
		left[m.name] = true
	}
	rows := 0
	for line := range strings.Lines(string(doc)) {
		found := proof.FindAllStringSubmatch(line, -1)
		for _, f := range found {
			wantTest(t, f[1], f[2], f[3])
		}
		cells := strings.Split(line, "|")
		if len(cells) != 6 || len(found) == 0 {
			continue
		}
		rows++
		for i, name := range strings.Split(cells[4], "*") {
			if _, ok := left[name]; i%2 == 1 && !ok {
				t.Errorf("%s: there is no mutant %q", strings.TrimSpace(cells[1]), name)
			}
			delete(left, name)
		}
	}
	if rows < 35 {
		t.Errorf("the table has %d rows only", rows)
	}
	for _, m := range ofApache() {
		if left[m.name] && !strings.Contains(string(doc), "*"+m.name+"*") {
			t.Errorf("mutant %q is in no row", m.name)
		}
	}
}

// wantTest asks that a package has a test, and that test a transcript.
func wantTest(t *testing.T, pkg, name, transcript string) {
	t.Helper()
	dir := filepath.Join(root, pkg)
	if !strings.Contains(pkg, "/") {
		dir = filepath.Join(root, "pkg/server", pkg)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s has no tests: %v", pkg, err)
		return
	}
	there := false
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		there = there || strings.Contains(string(src), "\nfunc "+name+"(")
	}
	if !there {
		t.Errorf("%s has no %s", pkg, name)
	}
	if transcript == "" {
		return
	}
	if _, err := os.Stat(filepath.Join(dir, "testdata", transcript+".txt")); err != nil {
		t.Errorf("%s:%s: %v", pkg, name, err)
	}
}
