package inventory_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/inventory"
)

var update = flag.Bool("update", false, "rewrite testdata/faults/*.golden")

// TestFaults shows what each bad file is told, as a user sees it.
func TestFaults(t *testing.T) {
	paths, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = inventory.Parse(options(), inventory.Source{Name: "hosts.yaml", Dir: "/inv", Text: text})
			var faults *inventory.Error
			if !errors.As(err, &faults) {
				t.Fatalf("got %v, want faults", err)
			}
			checkPlaces(t, string(text), faults)
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

// checkPlaces asks that every fault has a place in the file and shows its line.
func checkPlaces(t *testing.T, text string, faults *inventory.Error) {
	t.Helper()
	lines := strings.Split(text, "\n")
	for _, p := range faults.Problems {
		if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Source != lines[p.Line-1] {
			t.Errorf("no such place: %v", p)
		}
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update accepts it); got:\n%s", path, got)
	}
}
