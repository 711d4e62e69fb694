package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/zkctl/zkctl/test/ensemble"
)

// Servers with two addresses each, which the greeting of an election connection
// lists, elect and lead each other. Lists are of 3.6 and newer.
func TestAddressLists(t *testing.T) {
	k := newKinds(t, []kind{apache39, ours, apache})
	for _, line := range []kind{apache39, apache} { // for which the key in zoo.cfg is not enough
		k.launch[line] = javaFlagged(k.launch[line], "-Dzookeeper.multiAddress.enabled=true")(0)
	}
	o := k.options(0)
	o.Config["multiAddress.enabled"] = "true"
	e := ensemble.Start(t, o)
	straight(t, e)
	member := regexp.MustCompile(`(?m)^(server\.\d=)(127\.\d+\.\d+\.)(\d)(:\d+:\d+)$`)
	for sid := 1; sid <= e.Len(); sid++ {
		path := filepath.Join(e.Dir(sid), "zoo.cfg")
		cfg, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		listed := member.ReplaceAllStringFunc(string(cfg), func(line string) string {
			m := member.FindStringSubmatch(line)
			n, _ := strconv.Atoi(m[3])
			return fmt.Sprintf("%s|%s%d%s", line, m[2], 200+n, m[4])
		})
		if err := os.WriteFile(path, []byte(listed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e.RestartAll()
	leadByEach(t, k, e)
	sameTrees(t, e)
	checkDigests(t, e)
}
