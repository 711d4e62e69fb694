package inventory

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/template"
)

//go:embed example.yaml.tmpl
var exampleText string

// Example writes a commented inventory for servers at addresses, named zk1, zk2 and so on; without addresses for
// three made-up ones. It fails on an address that an inventory would not take.
func Example(w io.Writer, addresses ...string) error {
	if len(addresses) == 0 {
		addresses = []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}
	}
	type host struct{ Name, Address string }
	hosts := make([]host, len(addresses))
	for i, a := range addresses {
		if wrong := checkAddress(a, false); wrong != "" {
			return fmt.Errorf("inventory: %s", wrong)
		}
		if strings.Contains(a, ":") {
			a = `"` + a + `"` // an IPv6 address is not a plain YAML word
		}
		hosts[i] = host{fmt.Sprintf("zk%d", i+1), a}
	}
	t, err := template.New("example").Parse(exampleText)
	if err != nil {
		return fmt.Errorf("inventory: example: %w", err)
	}
	return t.Execute(w, hosts)
}
