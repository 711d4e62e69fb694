package interop

import (
	"os/exec"
	"testing"
)

const (
	kazooPackages = "python3-kazoo"
	python        = "/usr/bin/python3" // Debian's, which sees Debian's packages
)

func TestKazoo(t *testing.T) {
	need(t, python, kazooPackages)
	if err := exec.Command(python, "-c", "import kazoo").Run(); err != nil {
		t.Skipf("no kazoo: apt-get install %s", kazooPackages)
	}
	t.Run("operations", program{name: "kazoo", args: []string{python, "testdata/kazoo_operations.py"}}.compare)
	t.Run("recipes", program{name: "kazoo recipes", args: []string{python, "testdata/kazoo_recipes.py"}}.compare)
}
