package inventory

import "github.com/zkctl/zkctl/pkg/spelling"

// didYouMean is the hint for a misspelt word, or "" when no candidate is near.
func didYouMean(word string, candidates []string) string {
	if c := closest(word, candidates); c != "" {
		return "did you mean " + c + "?"
	}
	return ""
}

// closest returns the candidate nearest to word, or "" when none is within a third of its length.
func closest(word string, candidates []string) string {
	return spelling.Nearest(word, candidates, max(1, len(word)/3))
}
