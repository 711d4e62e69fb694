package install

import (
	"fmt"
	"strings"
)

// context lines around a change in a diff.
const diffContext = 3

// edit is one line of a diff: ' ' stays, '-' goes, '+' comes.
type edit struct {
	op   byte
	text string
}

// unifiedDiff shows how before becomes after, in the format of diff -u, with values that may be secrets hidden. It
// returns "" when they are equal, and how many lines come and go.
func unifiedDiff(path, before, after string) (text string, added, removed int) {
	if before == after {
		return "", 0, 0
	}
	edits := diffLines(splitLines(before), splitLines(after))
	for _, e := range edits {
		switch e.op {
		case '+':
			added++
		case '-':
			removed++
		}
	}
	var b strings.Builder
	old := path
	if before == "" {
		old = "/dev/null"
	}
	updated := path
	if after == "" {
		updated = "/dev/null"
	}
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", old, updated)
	writeHunks(&b, edits)
	return b.String(), added, removed
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// diffLines finds a shortest edit script by the longest common subsequence. The files here have tens of lines.
func diffLines(a, b []string) []edit {
	longest := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range longest {
		longest[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var out []edit
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, edit{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
			out = append(out, edit{'-', a[i]})
			i++
		default:
			out = append(out, edit{'+', b[j]})
			j++
		}
	}
	return out
}

// writeHunks writes the edits that change something, with context.
func writeHunks(b *strings.Builder, edits []edit) {
	for start := 0; start < len(edits); {
		if edits[start].op == ' ' {
			start++
			continue
		}
		from, to := max(0, start-diffContext), hunkEnd(edits, start)
		oldLine, newLine := 1, 1
		for _, e := range edits[:from] {
			oldLine, newLine = oldLine+b2i(e.op != '+'), newLine+b2i(e.op != '-')
		}
		oldCount, newCount := 0, 0
		for _, e := range edits[from:to] {
			oldCount, newCount = oldCount+b2i(e.op != '+'), newCount+b2i(e.op != '-')
		}
		if oldCount == 0 {
			oldLine--
		}
		if newCount == 0 {
			newLine--
		}
		fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", oldLine, oldCount, newLine, newCount)
		for _, e := range edits[from:to] {
			fmt.Fprintf(b, "%c%s\n", e.op, hideSecret(e.text))
		}
		start = to
	}
}

// hunkEnd is where the hunk with a change at start ends: after the context of the last change that is near enough.
func hunkEnd(edits []edit, start int) int {
	end := start + 1
	for i := start + 1; i < len(edits) && i-end <= 2*diffContext; i++ {
		if edits[i].op != ' ' {
			end = i + 1
		}
	}
	return min(len(edits), end+diffContext)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// hideSecret blanks the value of a key=value line whose key names a secret.
func hideSecret(line string) string {
	key, _, ok := strings.Cut(line, "=")
	if ok && isSecretKey(key) {
		return key + "=(hidden)"
	}
	return line
}

// isSecretKey tells whether a zoo.cfg key holds a secret.
func isSecretKey(key string) bool {
	key = strings.ToLower(key)
	return strings.Contains(key, "password") || strings.Contains(key, "superdigest")
}
