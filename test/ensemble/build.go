package ensemble

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// command is the package of the program under test.
const command = "github.com/zkctl/zkctl/cmd/zkctl"

// binary is the program under test, built once a test process, or the one that
// ZKCTL_TEST_BINARY names: one built with -race, or an older one.
var binary = sync.OnceValues(build)

// buildDir is where the binary lies, "" before it is built.
var buildDir struct {
	sync.Mutex
	path string
}

func build() (string, error) {
	if path := os.Getenv("ZKCTL_TEST_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "zkctl-ensemble-")
	if err != nil {
		return "", err
	}
	buildDir.Lock()
	buildDir.path = dir
	buildDir.Unlock()
	path := filepath.Join(dir, "zkctl")
	cmd := exec.Command("go", "build", "-o", path, command)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", command, err, out)
	}
	return path, nil
}

// Main runs a package's tests and removes the binary that they had built. A
// package that starts ensembles has
//
//	func TestMain(m *testing.M) { os.Exit(ensemble.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	buildDir.Lock()
	defer buildDir.Unlock()
	if buildDir.path != "" {
		_ = os.RemoveAll(buildDir.path)
	}
	return code
}

// Binary is the path of the program under test, built on first use.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
