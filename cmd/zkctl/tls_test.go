package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/test/pki"
)

// secureServer runs a server that has only a port for TLS, with its files and
// those of its clients in dir.
func secureServer(t *testing.T, dir string) (port int) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = lis.Addr().(*net.TCPAddr).Port
	lis.Close()
	ca := pki.NewAuthority(t, "authority")
	pki.Write(t, dir, "ca.pem", ca.CertPEM())
	pki.Write(t, dir, "other-ca.pem", pki.NewAuthority(t, "another authority").CertPEM())
	pki.Write(t, dir, "server.pem", ca.Issue(t, pki.Request{Name: "zk1.example", Hosts: []string{"zk1.example", "127.0.0.1"}}).StorePEM(t))
	client := ca.Issue(t, pki.Request{Name: "operator"})
	pki.Write(t, dir, "op.crt", client.CertPEM())
	pki.Write(t, dir, "op.key", client.KeyPEM(t))
	text := fmt.Sprintf("dataDir=%s\nsecureClientPort=%d\nsecureClientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\nssl.keyStore.location=%s\nssl.trustStore.location=%s\n",
		filepath.Join(dir, "data"), port, filepath.Join(dir, "server.pem"), filepath.Join(dir, "ca.pem"))
	pki.Write(t, dir, "zoo.cfg", []byte(text))
	cfg, _, err := config.Parse("zoo.cfg", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	s := server.New(cfg, server.Options{Version: "3.9.3-test", Logger: slog.New(slog.DiscardHandler), Ready: func() { close(ready) }})
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return port
}

func TestAskOverTLS(t *testing.T) {
	dir := t.TempDir()
	port := secureServer(t, dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	address := fmt.Sprintf("127.0.0.1:%d", port)
	pki.Write(t, dir, "hosts.yaml", fmt.Appendf(nil, `
name: orders
connection: local
ports: {secureClient: %d, secureOnly: true}
tls: {ca: ca.pem, cert: op.crt, key: op.key}
config: {ssl.keyStore.location: %s}
hosts: [{name: zk1, address: 127.0.0.1}]
`, port, file("server.pem")))
	client := []string{"--tls-cert", file("op.crt"), "--tls-key", file("op.key")}
	servers := []string{"--servers", address}
	for _, c := range []struct {
		name   string
		args   [][]string
		status int
		want   string // on standard output, or on standard error when it fails
	}{
		{"status", [][]string{{"status"}, servers, client, {"--tls-ca", file("ca.pem")}}, exitOK, "ensemble: HEALTHY"},
		{"leader", [][]string{{"leader"}, servers, client, {"--tls-ca", file("ca.pem")}}, exitOK, address},
		{"4lw", [][]string{{"4lw", "ruok"}, servers, client, {"--tls-ca", file("ca.pem")}}, exitOK, "imok"},
		{"another name in the certificate", [][]string{{"4lw", "ruok"}, servers, client, {"--tls-ca", file("ca.pem"), "--tls-server-name", "zk1.example"}}, exitOK, "imok"},
		{"a name that is not in it", [][]string{{"4lw", "ruok"}, servers, client, {"--tls-ca", file("ca.pem"), "--tls-server-name", "zk2"}}, exitFailed, "try: ask 127.0.0.1 by a name in its certificate"},
		{"another authority", [][]string{{"4lw", "ruok"}, servers, client, {"--tls-ca", file("other-ca.pem")}}, exitFailed, "try: name the authority that signed the server's certificate with --tls-ca FILE"},
		{"the system's authorities", [][]string{{"4lw", "ruok"}, servers, client, {"--tls"}}, exitFailed, "--tls-ca FILE"},
		{"believed", [][]string{{"4lw", "ruok"}, servers, client, {"--tls-insecure-skip-verify"}}, exitOK, "imok"},
		{"no certificate", [][]string{{"4lw", "ruok"}, servers, {"--tls-ca", file("ca.pem")}}, exitFailed, "name one with --tls-cert FILE and --tls-key FILE"},
		{"a key without its certificate", [][]string{{"4lw", "ruok"}, servers, {"--tls-key", file("op.key")}}, exitFailed, "a TLS key needs its certificate"},
		{"a file that is not there", [][]string{{"4lw", "ruok"}, servers, {"--tls-ca", file("none.pem")}}, exitFailed, "none.pem: no such file"},
		{"without TLS", [][]string{{"4lw", "ruok"}, servers}, exitFailed, "--tls asks over TLS"},
		{"status of an inventory", [][]string{{"status", "-i", file("hosts.yaml")}}, exitOK, "ensemble orders: HEALTHY"},
		{"leader of an inventory", [][]string{{"leader", "-i", file("hosts.yaml")}}, exitOK, "zk1 " + address},
		{"an inventory and another authority", [][]string{{"4lw", "ruok", "-i", file("hosts.yaml"), "--tls-ca", file("other-ca.pem")}}, exitFailed, "--tls-ca FILE"},
		{"an inventory and no TLS", [][]string{{"4lw", "ruok", "-i", file("hosts.yaml"), "--tls=false"}}, exitFailed, "--tls asks over TLS"},
		{"inventory check", [][]string{{"inventory", "check", file("hosts.yaml")}}, exitOK, fmt.Sprintf("%d (TLS)", port)},
		{"server status", [][]string{{"server", "status", file("zoo.cfg")}}, exitOK, "Client SSL: true.\nMode: standalone"},
		{"server status with a certificate of one's own", [][]string{{"server", "status", file("zoo.cfg")}, client, {"--tls-ca", file("ca.pem"), "--tls-server-name", "127.0.0.1"}}, exitOK, "Mode: standalone"},
		{"4lw of a zoo.cfg", [][]string{{"4lw", "--config", file("zoo.cfg"), "ruok"}}, exitOK, "imok"},
		{"4lw of two things", [][]string{{"4lw", "--config", file("zoo.cfg"), "ruok"}, servers}, exitUsage, "leave out --servers and -i"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			env := environment{stdout: &out, stderr: &errOut, getenv: func(string) string { return "" }}
			args := []string{"zkctl"}
			for _, a := range c.args {
				args = append(args, a...)
			}
			status := run(t.Context(), args, env)
			text := out.String()
			if c.status != exitOK {
				text = errOut.String()
			}
			if status != c.status || !strings.Contains(text, c.want) {
				t.Fatalf("status %d, want %d with %q; stdout:\n%s\nstderr:\n%s", status, c.status, c.want, &out, &errOut)
			}
		})
	}
}
