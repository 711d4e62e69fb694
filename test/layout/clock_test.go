package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The date of a machine jumps. What a server waits for (ticks, sessions, silent peers)
// must be measured on the clock that does not, which Go's times carry along until they
// are made numbers. So these packages may make numbers of times only where the date
// itself is wanted.

// dates lists, for each package, the functions that may.
func dates() map[string][]string {
	return map[string][]string{
		"pkg/server/zab":     nil,
		"pkg/server/session": nil,
		"pkg/server/quorum":  nil,
		"pkg/server/front":   nil,
		"pkg/server/storage": nil,
		"pkg/server/pipeline": {
			"New",             // the first part of session ids
			"newPreparer",     // the time in transactions, as Apache's
			"containerLoop",   // a TTL is counted from the time in transactions
			"countCommitted",  // metrics compare with the time in transactions
			"countApplied",    // the same
			"writeMembership", // mtime of the config znode
			"Connections",     // told in statistics
			"answerConnect",   // the same
			"replied",         // the same
		},
	}
}

func TestTimeIsMeasuredOnTheClockThatDoesNotJump(t *testing.T) {
	makes := []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "UTC", "Local", "AddDate"}
	for pkg, may := range dates() {
		files, err := filepath.Glob(filepath.Join("..", "..", pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(pkg, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, file, text, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range tree.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || slices.Contains(may, f.Name.Name) {
					continue
				}
				ast.Inspect(f, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(makes, s.Sel.Name) {
						t.Errorf("%s: %s makes a number of a time, or a time of a number; measure on the clock that does not jump (time.Since of a time that was kept), or list the function in dates", set.Position(n.Pos()), f.Name.Name)
					}
					return true
				})
			}
		}
	}
}
