package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/test/testbed"
)

// changeMembers lets an installed ensemble keep its own member list: the leader leaves and
// comes back by zkctl reconfig, under a writing client, and install has nothing to say
// against what the servers wrote.
func changeMembers(t *testing.T, w *world) {
	fixed := w.installed(t)
	spec := inventorySpec{config: []string{"reconfigEnabled: true", `skipACL: "yes"`}}
	all := w.inventory(t, spec)
	w.ok(t, "install", "-i", all, "--yes")
	w.unchanged(t, all)
	says(t, w.ok(t, "reconfig", "-i", all, "--yes").stdout, "are those of the inventory")

	leader := w.leader(t, all)
	fewer := filepath.Join(w.dir, "fewer.yaml")
	must(t, os.WriteFile(fewer, []byte(spec.text(w.others(leader))), 0o600))
	wr := w.startWriter(t)
	r := w.zkctl(t, "plan", "-i", fewer)
	says(t, r.stdout, "is in it, and not in the inventory", "zkctl reconfig")
	w.ok(t, "reconfig", "-i", fewer, "--yes")
	w.healthy(t, fewer)
	w.unchanged(t, fewer)
	wr.progress(t)

	w.ok(t, "reconfig", "-i", all, "--yes")
	w.unchanged(t, all)
	wr.check(t, all)

	w.ok(t, "install", "-i", fixed, "--yes") // the inventory's list again
	w.unchanged(t, fixed)
	w.healthy(t, fixed)
}

// unchanged waits until install finds nothing to do: servers write their member list
// soon after they serve.
func (w *world) unchanged(t *testing.T, inv string) {
	t.Helper()
	eventually(t, "nothing to do", func() error {
		if r := w.ok(t, "plan", "-i", inv); !strings.Contains(r.stdout, "nothing to do") || strings.Contains(r.stdout, "goes by a member list") {
			return errors.New(r.stdout)
		}
		return nil
	})
	if !slices.ContainsFunc(w.hosts(), func(h *testbed.Host) bool { return w.has(t, h.Name, "grep -q reconfigEnabled /etc/zkctl/zoo.cfg") }) {
		return
	}
	for _, h := range w.hosts() {
		if out := execIn(t, h, `stat -c %U /etc/zkctl/zoo.cfg /etc/zkctl/zoo.cfg.dynamic.* | sort -u`); strings.TrimSpace(out) != "zookeeper" {
			t.Errorf("%s: zoo.cfg and what stands beside it belong to %s", h.Name, out)
		}
	}
}
