package inventory_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/inventory"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func options() inventory.Options {
	return inventory.Options{Home: "/home/op", LookupEnv: env("ADDR", "10.0.0.9", "EMPTY", "")}
}

func parse(t *testing.T, texts ...string) (*inventory.Inventory, error) {
	t.Helper()
	var sources []inventory.Source
	names := []string{"hosts.yaml", "second.yaml", "third.yaml"}
	for i, text := range texts {
		sources = append(sources, inventory.Source{Name: names[i], Dir: "/inv", Text: []byte(text)})
	}
	return inventory.Parse(options(), sources...)
}

func resolve(t *testing.T, texts ...string) []inventory.Server {
	t.Helper()
	inv, err := parse(t, texts...)
	if err != nil {
		t.Fatal(err)
	}
	servers, err := inv.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return servers
}

func TestExamplesLoad(t *testing.T) {
	for _, path := range []string{"hosts.yaml", "local.yaml", "five-with-observer.yaml", "bastion.yaml"} {
		inv, err := inventory.Load(options(), path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(inv.Warnings) > 0 {
			t.Errorf("%s warns: %v", path, inv.Warnings)
		}
	}
}

func TestExample(t *testing.T) {
	for _, addresses := range [][]string{nil, {"a"}, {"a.example.com", "10.0.0.1", "fd00::1"}} {
		var b bytes.Buffer
		if err := inventory.Example(&b, addresses...); err != nil {
			t.Fatal(err)
		}
		inv, err := parse(t, b.String())
		if err != nil {
			t.Fatalf("%v:\n%v\n%s", addresses, err, b.String())
		}
		if len(inv.Warnings) > 0 {
			t.Errorf("%v: %v", addresses, inv.Warnings)
		}
	}
	if err := inventory.Example(&bytes.Buffer{}, "10.0.0.1:22"); err == nil {
		t.Error("Example took an address with a port")
	}
}

func TestSchema(t *testing.T) {
	s, err := inventory.Schema()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(s), "dataLogDir") {
		t.Error("no dataLogDir in the schema")
	}
}
