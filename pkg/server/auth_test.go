package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/test/pki"
)

const (
	provider = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n"
	digests  = `org.apache.zookeeper.server.auth.DigestLoginModule required user_bob="b" user_super="s";`
)

// policyOf makes the rules that lines of zoo.cfg ask for, with a JAAS file of
// that text beside it, and gives what the log holds.
func policyOf(t *testing.T, lines, jaas string, mode os.FileMode) (*auth.Policy, string, error) {
	t.Helper()
	if jaas != "" {
		file := filepath.Join(t.TempDir(), "jaas.conf")
		if err := os.WriteFile(file, []byte(jaas), mode); err != nil {
			t.Fatal(err)
		}
		lines += "\njava.security.auth.login.config=" + file
	}
	cfg, warnings, err := config.Parse("zoo.cfg", strings.NewReader("dataDir=/tmp\nclientPort=2181\n"+lines))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("%s: a warning: %v", lines, w)
	}
	var log bytes.Buffer
	policy, err := New(cfg, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}).newPolicy()
	return policy, log.String(), err
}

func TestPolicyOfConfiguration(t *testing.T) {
	for _, x := range []struct {
		name, lines, jaas string
		sasl              bool   // users can log in
		log               string // "" for nothing
	}{
		{"nothing", "", "", false, ""},
		{"users and scheme", provider, "Server { " + digests + " };", true, ""},
		{"users without the scheme", "", "Server { " + digests + " };", true, "ACLs of scheme sasl are refused"},
		{"scheme without users", provider, "", false, "nobody can log in"},
		{"a client's file", "", `Client { a.B required username="x" password="y"; };`, false, "no section for clients"},
		{"another section", provider + "sasl.serverconfig=Mine", "Mine { " + digests + " }; Server { com.sun.security.auth.module.Krb5LoginModule required; };", true, ""},
		{"Kerberos of clients", provider, "Client { com.sun.security.auth.module.Krb5LoginModule required; }; Server { " + digests + " };", true, ""},
		{"an empty section", provider, "Server { };", true, ""},
	} {
		p, log, err := policyOf(t, x.lines, x.jaas, 0o600)
		switch {
		case err != nil:
			t.Errorf("%s: %v", x.name, err)
		case (p.SASL() != nil) != x.sasl:
			t.Errorf("%s: SASL is offered: %v", x.name, !x.sasl)
		case !strings.Contains(log, x.log), x.log == "" && log != "":
			t.Errorf("%s: the log holds %s; want %q", x.name, log, x.log)
		}
	}
	if _, log, err := policyOf(t, provider, "Server { "+digests+" };", 0o644); err != nil || !strings.Contains(log, "every account") {
		t.Errorf("a file that everybody can read: %v; the log holds %s", err, log)
	}
}

func TestPolicyMissingClass(t *testing.T) {
	if _, log, err := policyOf(t, "authProvider.7=com.example.Mine", "", 0o600); err != nil || !strings.Contains(log, "key=authProvider.7 class=com.example.Mine") {
		t.Errorf("%v; the log holds %s", err, log)
	}
}

func TestPolicyRefused(t *testing.T) {
	for want, x := range map[string]struct{ lines, jaas string }{
		"jaas.conf: section Server logs in with Kerberos": {"", "Server { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true; };"},
		"jaas.conf:1:10: the class of a login module":     {"", "Server { ; };"},
		"no such file":                         {"java.security.auth.login.config=/does/not/exist", ""},
		"sessionRequireClientSASLAuth needs":   {"sessionRequireClientSASLAuth=true", ""},
		"enforce.auth.schemes needs":           {"enforce.auth.enabled=true\nenforce.auth.schemes=digest,x509", ""},
		"DigestAuthenticationProvider.digestA": {"DigestAuthenticationProvider.digestAlg=MD4", ""},
	} {
		if _, _, err := policyOf(t, x.lines, x.jaas, 0o600); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %s", x, err, want)
		}
	}
}

// A client's certificate is who it is.
func TestCertificateIsAnIdentity(t *testing.T) {
	ca, port := pki.NewAuthority(t, "authority"), freePort(t)
	keys, conf := certificates(t, ca, t.TempDir())
	run(t, t.TempDir(), freePort(t), fmt.Sprintf("secureClientPort=%d\nX509AuthenticationProvider.superUser=CN=root,O=zkctl tests\n%s", port, keys))
	address := fmt.Sprintf("127.0.0.1:%d", port)
	as := func(name string) *zk.Conn {
		c := conf.Clone()
		c.Certificates = []tls.Certificate{ca.Issue(t, pki.Request{Name: name}).TLS()}
		return connect(t, address, c)
	}
	owner, other, root := as("bob"), as("eve"), as("root")
	if _, err := owner.Create("/bob", nil, 0, []zk.ACL{{Perms: zk.PermAll, Scheme: "auth"}}); err != nil {
		t.Fatal(err)
	}
	acl, _, err := owner.GetACL("/bob")
	if err != nil || len(acl) != 1 || acl[0] != (zk.ACL{Perms: zk.PermAll, Scheme: "x509", ID: "CN=bob,O=zkctl tests"}) {
		t.Errorf("%v, %v", acl, err)
	}
	if _, _, err := other.Get("/bob"); !errors.Is(err, zk.ErrNoAuth) {
		t.Errorf("another certificate: %v", err)
	}
	if _, _, err := root.Get("/bob"); err != nil {
		t.Errorf("the super user: %v", err)
	}
	if _, err := other.Create("/x", nil, 0, []zk.ACL{{Perms: zk.PermAll, Scheme: "x509", ID: "bob"}}); !errors.Is(err, zk.ErrInvalidACL) {
		t.Errorf("no name: %v", err)
	}
}
