package conformance

import (
	"flag"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/zkctl/zkctl/test/ensemble"
)

var (
	update = flag.Bool("update", false, "write the golden files from what Apache's servers answer")
	seeds  = flag.Int("seeds", 150, "how many generated cases are played")
	seed   = flag.Int("seed", -1, "play this generated case only, and show its conversation")
)

func TestMain(m *testing.M) { os.Exit(ensemble.Main(m)) }

// Targets: the measure first, so that -update has its answers when the others
// are compared.
const (
	apache39 = "3.9"
	apache38 = "3.8"
	ours     = "zkctl"
)

// A config is how servers run that cases are played to.
type config struct {
	keys       map[string]string // of zoo.cfg
	properties []string          // of Java where zoo.cfg cannot set them
}

// superDigest is the super user's: super:secret.
const superDigest = "super:lK75jTNcA+U9vtVEw5vB51mj/w4="

// configs are the ways in which servers run, by the name that cases give.
func configs() map[string]config {
	return map[string]config{
		"plain":    {},
		"extended": {keys: map[string]string{"extendedTypesEnabled": "true", "enforceQuota": "true"}},
		"skipacl":  {keys: map[string]string{"skipACL": "yes"}},
	}
}

func configNames() []string { return slices.Sorted(maps.Keys(configs())) }

// launcher gives how a target is started, or skips the test.
func launcher(t *testing.T, target string, properties []string) ensemble.Launcher {
	switch target {
	case apache39:
		return ensemble.JavaOf(t, ensemble.Line39, properties...)
	case apache38:
		return ensemble.JavaOf(t, "", properties...)
	}
	return ensemble.Zkctl(t)
}

// start runs a target with a config.
func start(t *testing.T, target, name string) *player {
	t.Helper()
	cfg := configs()[name]
	keys := map[string]string{
		"minSessionTimeout": "400", "maxSessionTimeout": "60000", "forceSync": "no", "snapCount": "10000000",
		"DigestAuthenticationProvider.superDigest": superDigest, "znode.container.checkIntervalMs": "86400000",
	}
	maps.Copy(keys, cfg.keys)
	properties := append([]string{"znode.container.checkIntervalMs=86400000"}, cfg.properties...)
	launch := launcher(t, target, properties)
	e := ensemble.Start(t, ensemble.Options{Config: keys, Launch: func(int) ensemble.Launcher { return launch }})
	p, err := newPlayer(e.Addr(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.control.drop)
	return p
}
