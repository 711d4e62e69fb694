// Package spelling guesses which word was meant by one that is not known.
package spelling

import "strings"

// Nearest returns the candidate that differs from word by the fewest slips of
// the keyboard, and by limit of them at most; otherwise "". A slip is a letter
// that is missing, too many, another, or swapped with its neighbour; case does
// not count. Of equals the first wins.
func Nearest(word string, candidates []string, limit int) string {
	best, bestDistance := "", limit+1
	word = strings.ToLower(word)
	for _, candidate := range candidates {
		c := strings.ToLower(candidate)
		if max(len(c)-len(word), len(word)-len(c)) >= bestDistance {
			continue // the lengths alone make it too far
		}
		if d := distance(word, c); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}
