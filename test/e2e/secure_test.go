package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/pki"
)

// secureInventory is the demo's, with ports for TLS and none without.
func secureInventory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca := pki.NewAuthority(t, "ca")
	pki.Write(t, dir, "ca.pem", ca.CertPEM())
	pki.Write(t, dir, "server.pem", ca.Issue(t, pki.Request{Name: "server", Hosts: []string{"127.0.0.1"}}).StorePEM(t))
	operator := ca.Issue(t, pki.Request{Name: "operator", Hosts: []string{"127.0.0.1"}})
	pki.Write(t, dir, "operator.crt", operator.CertPEM())
	pki.Write(t, dir, "operator.key", operator.KeyPEM(t))
	text, err := os.ReadFile(demoInventory(t))
	must(t, err)
	changed := regexp.MustCompile(`client: (\d+)`).ReplaceAllString(string(text), "secureClient: $1, secureOnly: true")
	keys := fmt.Sprintf("tls: {ca: %[1]s/ca.pem, cert: %[1]s/operator.crt, key: %[1]s/operator.key}\nconfig:\n  ssl.keyStore.location: %[1]s/server.pem\n  ssl.trustStore.location: %[1]s/ca.pem\n", dir)
	changed = regexp.MustCompile(`config:\n  clientPortAddress.*\n`).ReplaceAllLiteralString(changed, keys)
	path := filepath.Join(dir, "secure.yaml")
	must(t, os.WriteFile(path, []byte(changed), 0o600))
	return path
}

// TestSecureOnly installs an ensemble that has no port without TLS, and asks it
// whatever an operator asks.
func TestSecureOnly(t *testing.T) {
	d := newDesk(t)
	inv := secureInventory(t)
	t.Cleanup(func() { // whatever failed, no process stays
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		d.run(ctx, t, 0, "", "uninstall", "-i", inv, "--delete-data", "--yes")
	})
	r := d.exits(t, 0, "install", "-i", inv, "--yes")
	if table := r.stdout[strings.LastIndex(r.stdout, "HOST"):]; strings.Count(table, "serving") != 3 || strings.Count(table, "leader") != 1 {
		t.Errorf("it does not end with the status of three servers:\n%s", table)
	}
	says(t, d.exits(t, 0, "install", "-i", inv, "--yes").stdout, "nothing to do")
	says(t, d.exits(t, 0, "status", "-i", inv).stdout, "leader", "follower")
	d.exits(t, 0, "leader", "-i", inv)
	says(t, d.exits(t, 0, "4lw", "-i", inv, "srvr").stdout, "Mode: leader")
	d.exits(t, 0, "purge", "-i", inv, "--dry-run")
	d.exits(t, 0, "restart", "-i", inv, "--yes")
	d.exits(t, 0, "uninstall", "-i", inv, "--delete-data", "--yes")
	if left := listing(t, d.home); left != "" {
		t.Errorf("left: %s", left)
	}
}
