package pipeline

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// validatePath says what is wrong with a znode's path; nil when nothing is.
//
// Source: PathUtils.java.
func validatePath(path string) error {
	switch {
	case path == "":
		return fmt.Errorf("path is empty")
	case path[0] != '/':
		return fmt.Errorf("path %q does not start with /", path)
	case path == "/":
		return nil
	case path[len(path)-1] == '/':
		return fmt.Errorf("path %q ends with /", path)
	}
	for name := range strings.SplitSeq(path[1:], "/") {
		if name == "" || name == "." || name == ".." {
			return fmt.Errorf("path %q has the component %q", path, name)
		}
	}
	for i, r := range path {
		if r == utf8.RuneError || forbiddenRune(r) {
			return fmt.Errorf("path %q has a forbidden character at byte %d", path, i)
		}
	}
	return nil
}

// forbiddenRune tells control characters, private ones, and all that Java
// writes as surrogates: U+10000 and above.
func forbiddenRune(r rune) bool {
	return r <= 0x1f || r >= 0x7f && r <= 0x9f || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0
}

// parentOf is the text before the last slash; "" stands for the root.
func parentOf(path string) (string, bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", false
	}
	return path[:i], true
}

// isSpecial tells the znodes that nobody may delete.
func isSpecial(path string) bool {
	switch path {
	case "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config":
		return true
	}
	return false
}
