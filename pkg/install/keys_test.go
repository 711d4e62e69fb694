package install

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/inventory"
)

// TestInventoryTakesEveryKey asks that what the server knows of, the config block
// of an inventory takes without a word, unless zkctl writes the key itself.
func TestInventoryTakesEveryKey(t *testing.T) {
	text, err := os.ReadFile("../server/config/testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		key, value := words[0], words[3]
		tried++
		_, warnings, err := inventoryWith(t, key, value)
		own := err != nil && strings.Contains(err.Error(), "zkctl writes "+key+" itself")
		purge := strings.HasPrefix(key, "autopurge.") && err != nil && strings.Contains(err.Error(), "zkctl schedules the purge itself")
		if err != nil && !own && !purge {
			t.Errorf("%s: %v", key, err)
		}
		for _, w := range warnings {
			if strings.Contains(w, "not a zoo.cfg key") {
				t.Errorf("%s: %s", key, w)
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d keys were tried", tried)
	}
}

func inventoryWith(t *testing.T, key, value string) (*inventory.Inventory, []string, error) {
	t.Helper()
	path := t.TempDir() + "/hosts.yaml"
	text := fmt.Sprintf("hosts: [{address: 10.0.0.1}]\nconfig: {%q: %q}\n", key, value)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	inv, err := inventory.Load(inventory.Options{Home: t.TempDir(), LookupEnv: func(string) (string, bool) { return "", false }}, path)
	var said []string
	if inv != nil {
		for _, w := range inv.Warnings {
			said = append(said, w.String())
		}
	}
	return inv, said, err
}

// TestPreflightReadsConfiguration finds in the inventory what would keep the
// server from starting, and what has no effect.
func TestPreflightReadsConfiguration(t *testing.T) {
	dir, ports := t.TempDir(), freePorts(t, 3)
	extra := "  enforce.auth.enabled: true\n  flushDelay: 2\n"
	findings, err := session(t, localInventory(t, dir, 1, ports, extra), nil).Preflight(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	failed := FailedChecks(findings)
	if failed == nil || !strings.Contains(failed.Error(), "enforce.auth.enabled: is true, and enforce.auth.schemes names no scheme") &&
		!strings.Contains(failed.Error(), "enforce.auth.enabled: this server does not offer it") {
		t.Errorf("failed: %v", failed)
	}
	warned := false
	for _, f := range findings {
		warned = warned || f.Outcome == Warn && strings.HasPrefix(f.Detail, "flushDelay: has no effect")
	}
	if !warned {
		t.Errorf("no word of flushDelay: %v", findings)
	}
}
