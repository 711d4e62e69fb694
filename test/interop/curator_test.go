package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/test/ensemble"
)

// curatorPackages is what Debian calls Curator; what it needs comes with it.
const curatorPackages = "default-jdk-headless libcurator-recipes-java libcurator-discovery-java"

// curatorPath is the class path of Curator as Debian packs it. A test is skipped
// where it is missing.
func curatorPath(t *testing.T) string {
	t.Helper()
	paths := []string{ensemble.ClassPath(t)}
	for _, name := range []string{"curator-client", "curator-framework", "curator-recipes", "curator-x-discovery", "guava"} {
		jar := filepath.Join("/usr/share/java", name+".jar")
		if _, err := os.Stat(jar); err != nil {
			t.Skipf("%v: apt-get install %s", err, curatorPackages)
		}
		paths = append(paths, jar)
	}
	return strings.Join(paths, ":")
}

// Curator's recipes between two clients. Containers and znodes with a time to live
// are looked after often, or the test takes minutes.
func TestCurator(t *testing.T) {
	p := compile(t, "Curator", curatorPath(t), "CuratorClient")
	p.system = []string{"zookeeper.extendedTypesEnabled=true", "znode.container.checkIntervalMs=200", "znode.container.maxPerMinute=1000000"}
	p.compare(t)
}
