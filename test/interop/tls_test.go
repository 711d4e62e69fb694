package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/test/ensemble"
	"github.com/zkctl/zkctl/test/pki"
)

// storePassword is that of the stores which have one.
const storePassword = "changeit"

// keyring is the files of a server with TLS and of its clients.
type keyring struct {
	t   *testing.T
	dir string
	ca  *pki.Authority
}

func newKeyring(t *testing.T) *keyring {
	k := &keyring{t: t, dir: t.TempDir(), ca: pki.NewAuthority(t, "authority")}
	other := pki.NewAuthority(t, "another authority")
	k.trust("ca", k.ca)
	k.trust("other", other)
	k.identity("server", k.ca.Issue(t, pki.Request{Name: "zk1", Hosts: []string{"localhost", "127.0.0.1"}, RSA: true}))
	k.identity("elsewhere", k.ca.Issue(t, pki.Request{Name: "zk9", Hosts: []string{"zk9", "10.9.9.9"}}))
	k.identity("client", k.ca.Issue(t, pki.Request{Name: "client"}))
	k.identity("expired", k.ca.Issue(t, pki.Request{Name: "late", Expired: true}))
	k.identity("stranger", other.Issue(t, pki.Request{Name: "stranger"}))
	return k
}

func (k *keyring) path(name string) string { return filepath.Join(k.dir, name) }

// identity writes NAME.key, NAME.crt, NAME.pem of both, and NAME.p12.
func (k *keyring) identity(name string, id *pki.Identity) {
	k.t.Helper()
	pki.Write(k.t, k.dir, name+".key", id.KeyPEM(k.t))
	pki.Write(k.t, k.dir, name+".crt", id.CertPEM())
	pki.Write(k.t, k.dir, name+".pem", id.StorePEM(k.t))
	p12, err := pkcs12.Modern2023.Encode(id.Key, id.Cert, []*x509.Certificate{k.ca.Cert}, storePassword)
	if err != nil {
		k.t.Fatal(err)
	}
	pki.Write(k.t, k.dir, name+".p12", p12)
}

// trust writes NAME.pem and NAME.p12.
func (k *keyring) trust(name string, ca *pki.Authority) {
	k.t.Helper()
	pki.Write(k.t, k.dir, name+".pem", ca.CertPEM())
	p12, err := pkcs12.Modern2023.EncodeTrustStore([]*x509.Certificate{ca.Cert}, storePassword)
	if err != nil {
		k.t.Fatal(err)
	}
	pki.Write(k.t, k.dir, name+".p12", p12)
}

// jks makes a store of Java's own format of a PKCS12 one, with keytool.
func (k *keyring) jks(name string) string {
	k.t.Helper()
	keytool, to := need(k.t, "keytool", javacPackages), k.path(name+".jks")
	out, err := exec.Command(keytool, "-importkeystore", "-noprompt", "-srckeystore", k.path(name+".p12"), "-srcstoretype", "PKCS12", "-srcstorepass", storePassword,
		"-destkeystore", to, "-deststoretype", "JKS", "-deststorepass", storePassword).CombinedOutput()
	if err != nil {
		k.t.Fatalf("keytool: %v\n%s", err, out)
	}
	return to
}

// tls is what a Go client needs.
func (k *keyring) tls(identity string) *tls.Config {
	k.t.Helper()
	cert, err := tls.LoadX509KeyPair(k.path(identity+".crt"), k.path(identity+".key"))
	if err != nil {
		k.t.Fatal(err)
	}
	return &tls.Config{RootCAs: k.ca.Pool(), Certificates: []tls.Certificate{cert}}
}

// secureServer starts one server, Apache's when java is set, with a port for TLS
// beside the plain one, and gives its number.
func secureServer(t *testing.T, java bool, keyStore, trustStore string, more map[string]string) (port string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(lis.Addr().String())
	lis.Close()
	o := options(1)
	o.Config = map[string]string{
		"secureClientPort": port, "secureClientPortAddress": "127.0.0.1", "4lw.commands.whitelist": "*",
		"ssl.keyStore.location": keyStore, "ssl.trustStore.location": trustStore,
	}
	if !strings.HasSuffix(keyStore, ".pem") { // Apache's server takes a plain key for an encrypted one if there is a password
		o.Config["ssl.keyStore.password"], o.Config["ssl.trustStore.password"] = storePassword, storePassword
	}
	maps.Copy(o.Config, more)
	if java {
		launch := ensemble.Java(t)
		o.Launch = func(int) ensemble.Launcher { return launch }
		o.Config["serverCnxnFactory"] = "org.apache.zookeeper.server.NettyServerCnxnFactory"
	}
	ensemble.Start(t, o)
	return port
}

// output runs a program.
func output(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", args[0], err, out, stderr.String())
	}
	return string(out)
}

// bothServers runs a test with Apache's server and with ours; both must give want.
func bothServers(t *testing.T, want string, play func(t *testing.T, java bool) string) {
	t.Helper()
	for name, java := range map[string]bool{"ours": false, "apache": true} {
		t.Run(name, func(t *testing.T) {
			if got := play(t, java); got != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

// Apache's client against servers with stores of each kind.
func TestJavaClientTLS(t *testing.T) {
	k, p := newKeyring(t), javaClient(t, "TlsClient")
	keys, trust := k.jks("server"), k.jks("ca")
	want := "good -> /good 400000\ngoodPEM -> /goodPEM 400000\nnoCertificate -> refused\nexpired -> refused\nstranger -> refused\notherAuthority -> refused\n"
	bothServers(t, want, func(t *testing.T, java bool) string {
		port := secureServer(t, java, keys, trust, nil)
		return output(t, nil, append(p.args, "127.0.0.1", port,
			fmt.Sprintf("good=%s,%s", k.path("client.p12"), k.path("ca.p12")),
			fmt.Sprintf("goodPEM=%s,%s", k.path("client.pem"), k.path("ca.pem")),
			fmt.Sprintf("noCertificate=-,%s", k.path("ca.p12")),
			fmt.Sprintf("expired=%s,%s", k.path("expired.p12"), k.path("ca.p12")),
			fmt.Sprintf("stranger=%s,%s", k.path("stranger.p12"), k.path("ca.p12")),
			fmt.Sprintf("otherAuthority=%s,%s", k.path("client.p12"), k.path("other.p12")))...)
	})
	t.Run("a server with another host's certificate", func(t *testing.T) {
		port := secureServer(t, false, k.path("elsewhere.pem"), k.path("ca.pem"), nil)
		if got := output(t, nil, append(p.args, "127.0.0.1", port, fmt.Sprintf("good=%s,%s", k.path("client.p12"), k.path("ca.p12")))...); got != "good -> refused\n" {
			t.Error(got)
		}
	})
	t.Run("wanted", func(t *testing.T) {
		// The stranger shows no certificate, since the server asks for one of its authority.
		bothServers(t, "noCertificate -> /noCertificate 400000\nstranger -> /stranger 400000\n", func(t *testing.T, java bool) string {
			port := secureServer(t, java, k.path("server.p12"), k.path("ca.p12"), map[string]string{"ssl.clientAuth": "want"})
			return output(t, nil, append(p.args, "127.0.0.1", port, fmt.Sprintf("noCertificate=-,%s", k.path("ca.p12")),
				fmt.Sprintf("stranger=%s,%s", k.path("stranger.p12"), k.path("ca.p12")))...)
		})
	})
}

// What zkCli.sh runs, with the class path that it needs for TLS: Debian's leaves
// some of Netty out.
func TestZkCliTLS(t *testing.T) {
	path, k := ensemble.ClassPath(t), newKeyring(t)
	port := secureServer(t, false, k.path("server.pem"), k.path("ca.pem"), nil)
	zkCli := func(command ...string) string {
		args := javaProgram(path, "org.apache.zookeeper.ZooKeeperMain")
		args = append(args[:1:1], append([]string{
			"-Dzookeeper.client.secure=true", "-Dzookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty",
			"-Dzookeeper.ssl.keyStore.location=" + k.path("client.p12"), "-Dzookeeper.ssl.keyStore.password=" + storePassword,
			"-Dzookeeper.ssl.trustStore.location=" + k.path("ca.p12"), "-Dzookeeper.ssl.trustStore.password=" + storePassword,
		}, args[1:]...)...)
		return output(t, nil, append(append(args, "-server", "127.0.0.1:"+port, "-waitforconnection"), command...)...)
	}
	zkCli("create", "/a", "data")
	if out := zkCli("get", "/a"); !strings.Contains(out, "data\n") {
		t.Error(out)
	}
}

func TestKazooTLS(t *testing.T) {
	need(t, python, kazooPackages)
	if err := exec.Command(python, "-c", "import kazoo").Run(); err != nil {
		t.Skipf("no kazoo: apt-get install %s", kazooPackages)
	}
	k := newKeyring(t)
	want := "good -> /good 400000\nnoCertificate -> refused\nstranger -> refused\notherAuthority -> refused\n"
	bothServers(t, want, func(t *testing.T, java bool) string {
		port := secureServer(t, java, k.path("server.pem"), k.path("ca.pem"), nil)
		files := func(identity, ca string) string {
			return fmt.Sprintf("%s,%s,%s", k.path(identity+".key"), k.path(identity+".crt"), k.path(ca+".pem"))
		}
		return output(t, nil, python, "testdata/kazoo_tls.py", "127.0.0.1:"+port, "good="+files("client", "ca"),
			fmt.Sprintf("noCertificate=-,-,%s", k.path("ca.pem")), "stranger="+files("stranger", "ca"), "otherAuthority="+files("client", "other"))
	})
}

// What zkctl's own commands ask with, against both kinds of servers: on the port
// for TLS, and on one that takes plain connections too.
func TestWordsTLS(t *testing.T) {
	k := newKeyring(t)
	bothServers(t, "", func(t *testing.T, java bool) string {
		secure := "127.0.0.1:" + secureServer(t, java, k.path("server.pem"), k.path("ca.pem"), nil)
		for _, word := range []string{fourletter.Srvr, fourletter.Mntr, fourletter.Ruok} {
			if _, err := (fourletter.Client{TLS: k.tls("client")}).Ask(t.Context(), secure, word); err != nil {
				t.Error(err)
			}
		}
		if st := (fourletter.Client{TLS: k.tls("client")}).Status(t.Context(), secure); st.Role != fourletter.ModeStandalone {
			t.Error(st.Role, st.Err)
		}
		if _, err := (fourletter.Client{TLS: k.tls("expired")}).Ask(t.Context(), secure, fourletter.Srvr); err == nil {
			t.Error("with an expired certificate")
		}
		var unknown x509.UnknownAuthorityError
		if _, err := (fourletter.Client{TLS: &tls.Config{}}).Ask(t.Context(), secure, fourletter.Srvr); !errors.As(err, &unknown) {
			t.Error(err)
		}
		return ""
	})
}
