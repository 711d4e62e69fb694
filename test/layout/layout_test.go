// Package layout keeps the plan of the house true: which package may import
// which. See docs/design.md.
package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/zkctl/zkctl/"

// may lists, for each package, which packages of ours it may import. A package
// that is not listed may import anything below cmd.
func may() map[string][]string {
	return map[string][]string{
		"inventory":             {"pkg/spelling"},
		"templates":             {},
		"pkg/four-letter":       {"pkg/server/certname"},
		"pkg/install/problem":   {},
		"pkg/install/transport": {"pkg/install/problem"},
		"pkg/install": {
			"inventory", "templates", "pkg/four-letter", "pkg/install/problem", "pkg/install/transport",
			"pkg/server/config", "pkg/server/daemon", "pkg/server/tlsconf", "pkg/server/jute", "pkg/server/proto",
		},
		"pkg/purge":                         {},
		"pkg/spelling":                      {},
		"pkg/server/config":                 {"pkg/spelling"},
		"pkg/server/certname":               {},
		"pkg/server/tlsconf":                {"pkg/server/certname", "pkg/server/config"},
		"pkg/server/daemon":                 {},
		"pkg/server/portuse":                {},
		"pkg/server/metrics":                {},
		"pkg/server/admin":                  {"pkg/server/metrics", "pkg/server/portuse"},
		"pkg/server/zab":                    {},
		"pkg/server/jute":                   {},
		"pkg/server/proto":                  {"pkg/server/jute"},
		"pkg/server/txn":                    {"pkg/server/jute", "pkg/server/proto"},
		"pkg/server/watch":                  {"pkg/server/proto"},
		"pkg/server/session":                {"pkg/server/proto"},
		"pkg/server/tree":                   {"pkg/server/jute", "pkg/server/proto", "pkg/server/txn"},
		"pkg/server/storage/disk":           {},
		"pkg/server/storage/disk/faultdisk": {"pkg/server/storage/disk"},
		"pkg/server/storage": {
			"pkg/server/jute", "pkg/server/proto", "pkg/server/txn", "pkg/server/tree", "pkg/server/storage/disk",
			"pkg/server/metrics",
		},
		"pkg/server/inspect": {
			"pkg/server/proto", "pkg/server/txn", "pkg/server/tree", "pkg/server/storage", "pkg/server/storage/disk",
		},
		"pkg/server/audit":          {},
		"pkg/server/auth":           {"pkg/server/proto", "pkg/server/auth/digestmd5"},
		"pkg/server/auth/digestmd5": {},
		"pkg/server/auth/jaas":      {},
		"pkg/server/quorum": {
			"pkg/server/jute", "pkg/server/proto", "pkg/server/txn", "pkg/server/zab", "pkg/server/portuse",
			"pkg/server/metrics", "pkg/server/auth/digestmd5",
		},
		"pkg/server/membership": {
			"pkg/server/config", "pkg/server/proto", "pkg/server/quorum", "pkg/server/tree", "pkg/server/zab",
		},
		"pkg/server/pipeline": {
			"pkg/server/jute", "pkg/server/proto", "pkg/server/txn", "pkg/server/tree", "pkg/server/watch",
			"pkg/server/session", "pkg/server/storage", "pkg/server/zab", "pkg/server/quorum", "pkg/server/auth",
			"pkg/server/metrics", "pkg/server/audit",
		},
		"pkg/server/front": {"pkg/server/jute", "pkg/server/pipeline", "pkg/server/portuse"},
	}
}

type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
}

// packages lists the module's packages without their tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Imports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestImports(t *testing.T) {
	allowed := may()
	seen := make(map[string]bool)
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		seen[name] = true
		want, listed := allowed[name]
		for _, imp := range p.Imports {
			below, ours := strings.CutPrefix(imp, module)
			switch {
			case !ours:
			case strings.HasPrefix(below, "cmd/") || strings.HasPrefix(below, "test/") && !strings.HasPrefix(name, "test/"):
				t.Errorf("%s imports %s: nothing imports commands, and only tests import test", name, below)
			case listed && !slices.Contains(want, below):
				t.Errorf("%s imports %s, which the plan does not foresee: move the code, or change the plan here and in docs/design.md", name, below)
			}
		}
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("the plan lists %s, which does not exist", name)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && !strings.HasPrefix(p.ImportPath, module+"test/") {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
