package inventory_test

import (
	"path/filepath"
	"testing"

	"github.com/zkctl/zkctl/inventory"
)

func TestClientEndpoint(t *testing.T) {
	const keys = "ssl.keyStore.location: /k.pem"
	dir := t.TempDir()
	for _, c := range []struct {
		name, text, address string
		secure              bool
	}{
		{"plain", "hosts: [{address: a}]", "a:2181", false},
		{"both, and nothing said of TLS", "{ports: {secureClient: 2281}, config: {" + keys + "}, hosts: [{address: a}]}", "a:2181", false},
		{"both, with an authority", "{ports: {secureClient: 2281}, tls: {ca: ca.pem}, config: {" + keys + "}, hosts: [{address: a}]}", "a:2281", true},
		{"the port below config", "{tls: {ca: ca.pem}, config: {secureClientPort: 2282, " + keys + "}, hosts: [{address: a}]}", "a:2282", true},
		{"nothing else", "{ports: {secureClient: 2281, secureOnly: true}, config: {" + keys + "}, hosts: [{address: a, clientAddress: b}]}", "b:2281", true},
		{"one port for both", "{tls: {ca: ca.pem}, config: {client.portUnification: true, " + keys + "}, hosts: [{address: a}]}", "a:2181", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv, err := inventory.Parse(inventory.Options{}, inventory.Source{Name: "hosts.yaml", Dir: dir, Text: []byte(c.text)})
			if err != nil {
				t.Fatal(err)
			}
			servers, err := inv.Resolve(nil)
			if err != nil {
				t.Fatal(err)
			}
			s := servers[0]
			if address, secure := s.ClientEndpoint(); address != c.address || secure != c.secure {
				t.Errorf("%s %t", address, secure)
			}
			if s.TLS.CA != "" && s.TLS.CA != filepath.Join(dir, "ca.pem") {
				t.Error(s.TLS.CA)
			}
			if port, _ := s.Config.Get("secureClientPort"); s.Ports.SecureClient != 0 && port == "" {
				t.Error("secureClientPort is not in zoo.cfg")
			}
		})
	}
}
