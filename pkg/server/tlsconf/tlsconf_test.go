package tlsconf

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"

	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/test/pki"
)

// fixture is an authority, a server's keys, and what was logged.
type fixture struct {
	t    *testing.T
	dir  string
	ca   *pki.Authority
	opts Options
	log  *bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), ca: pki.NewAuthority(t, "authority"), log: &bytes.Buffer{}}
	f.server("zk1", "localhost", "127.0.0.1")
	f.opts = Options{
		Prefix: "ssl.", Logger: slog.New(slog.NewTextHandler(f.log, nil)),
		TLS: config.TLS{
			KeyStore:             config.Store{Location: filepath.Join(f.dir, "server.pem")},
			TrustStore:           config.Store{Location: pki.Write(t, f.dir, "ca.pem", f.ca.CertPEM())},
			HostnameVerification: true, ClientAuth: "need", CertReload: true,
		},
	}
	return f
}

// server writes the server's key store.
func (f *fixture) server(name string, hosts ...string) *pki.Identity {
	f.t.Helper()
	id := f.ca.Issue(f.t, pki.Request{Name: name, Hosts: hosts})
	pki.Write(f.t, f.dir, "server.pem", id.StorePEM(f.t))
	return id
}

func (f *fixture) keys() *Keys {
	f.t.Helper()
	k, err := New(f.opts)
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

func (f *fixture) client(name string) *tls.Config {
	return &tls.Config{RootCAs: f.ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{f.ca.Issue(f.t, pki.Request{Name: name, Hosts: []string{name}}).TLS()}}
}

// pipe connects both ends over the loopback, since a handshake may leave unread
// bytes, which net.Pipe cannot hold.
func pipe(t *testing.T) (here, there net.Conn) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if here, err = net.Dial("tcp", lis.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = lis.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

// shake lets a client and the keys meet, and gives what each of them finds. The
// server's word comes back to the client, which learns of a refusal only then.
func shake(t *testing.T, k *Keys, c *tls.Config) (state tls.ConnectionState, client, server error) {
	t.Helper()
	here, there := pipe(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		conn, err := k.Accept(ctx, there)
		if err == nil {
			state = conn.ConnectionState()
			_, err = conn.Write([]byte("hi"))
			conn.Close()
		}
		there.Close()
		done <- err
	}()
	conn := tls.Client(here, c)
	defer conn.Close()
	client = conn.HandshakeContext(ctx)
	if client == nil {
		_, client = io.ReadFull(conn, make([]byte, 2))
	}
	if client != nil {
		here.Close()
	}
	return state, client, <-done
}

func TestHandshake(t *testing.T) {
	f := newFixture(t)
	other := pki.NewAuthority(t, "another authority")
	stranger := f.client("x")
	show := other.Issue(t, pki.Request{Name: "stranger"}).TLS()
	// Left to itself Go shows no certificate that the server did not ask for.
	stranger.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &show, nil }
	expired := f.client("x")
	expired.Certificates = []tls.Certificate{f.ca.Issue(t, pki.Request{Name: "late", Expired: true}).TLS()}
	none := f.client("x")
	none.Certificates = nil
	old := f.client("x")
	old.MaxVersion = tls.VersionTLS11
	old.MinVersion = tls.VersionTLS10
	for _, c := range []struct {
		name   string
		auth   string
		client *tls.Config
		want   string // in the server's error; "" when all is well
		shown  bool   // a certificate reaches the server
	}{
		{"need, shown", "need", f.client("a"), "", true},
		{"need, none", "need", none, "didn't provide a certificate", false},
		{"need, by another authority", "need", stranger, "add the authority that signed it to ssl.trustStore.location", false},
		{"need, expired", "need", expired, "expired", false},
		{"want, none", "want", none, "", false},
		{"want, shown", "want", f.client("a"), "", true},
		{"want, by another authority", "want", stranger, "unknown authority", false},
		{"none, shown", "none", f.client("a"), "", false},
		{"an old version", "need", old, "see ssl.enabledProtocols", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.opts.TLS.ClientAuth = c.auth
			state, client, server := shake(t, f.keys(), c.client)
			if c.want == "" {
				if client != nil || server != nil {
					t.Fatalf("client: %v, server: %v", client, server)
				}
				if shown := len(state.VerifiedChains) > 0; shown != c.shown {
					t.Fatalf("a certificate reached the server: %t", shown)
				}
				return
			}
			if client == nil || server == nil || !strings.Contains(server.Error(), c.want) {
				t.Fatalf("client: %v, server: %v, want %q", client, server, c.want)
			}
		})
	}
}

func TestPlainBytesAreNoHandshake(t *testing.T) {
	f := newFixture(t)
	here, there := pipe(t)
	go func() { _, _ = here.Write([]byte("ruok, and some more bytes")) }()
	_, err := f.keys().Accept(t.Context(), there)
	if err == nil || !strings.Contains(err.Error(), "speaks no TLS") {
		t.Fatal(err)
	}
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	f := newFixture(t)
	_, there := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.keys().Accept(ctx, there); err == nil {
		t.Fatal("a handshake with nobody")
	}
}

func TestClientHostname(t *testing.T) {
	f := newFixture(t)
	f.opts.TLS.ClientHostnameVerification = true
	f.opts.LookupAddr = func(context.Context, string) ([]string, error) { return []string{"app.example."}, nil }
	for name, ok := range map[string]bool{"127.0.0.1": true, "app.example": true, "other.example": false} {
		_, _, err := shake(t, f.keys(), f.client(name))
		if (err == nil) != ok {
			t.Errorf("a certificate of %s: %v", name, err)
		}
	}
	f.opts.TLS.HostnameVerification = false // then Apache checks no names at all
	if _, _, err := shake(t, f.keys(), f.client("other.example")); err != nil {
		t.Error(err)
	}
}

func TestConnect(t *testing.T) {
	f := newFixture(t)
	keys := f.keys()
	other := newFixture(t).keys()
	for _, c := range []struct {
		name, host string
		keys       *Keys
		ok         bool
	}{
		{"by name", "localhost", keys, true},
		{"by address", "127.0.0.1", keys, true},
		{"another name", "zk2", keys, false},
		{"another authority", "localhost", other, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			here, there := pipe(t)
			go func() {
				if _, err := keys.Accept(t.Context(), there); err != nil {
					there.Close()
				}
			}()
			_, err := c.keys.Connect(t.Context(), here, c.host)
			if (err == nil) != c.ok {
				t.Fatal(err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	f := newFixture(t)
	bad := pki.Write(t, f.dir, "bad.pem", []byte("no certificate\n"))
	onlyCert := pki.Write(t, f.dir, "only.pem", f.ca.CertPEM())
	for _, c := range []struct {
		name   string
		change func(*config.TLS)
		want   string
	}{
		{"no key store", func(c *config.TLS) { c.KeyStore.Location = "" }, "ssl.keyStore.location is not set"},
		{"missing file", func(c *config.TLS) { c.KeyStore.Location = "/nowhere.pem" }, "ssl.keyStore.location=/nowhere.pem: no such file"},
		{"kind unknown", func(c *config.TLS) { c.TrustStore.Location = "/etc/ca.crt" }, "set ssl.trustStore.type to PEM, PKCS12 or JKS"},
		{"not PEM", func(c *config.TLS) { c.KeyStore.Location = bad }, "no -----BEGIN line"},
		{"not JKS", func(c *config.TLS) { c.KeyStore = config.Store{Location: bad, Type: "JKS"} }, "not a readable JKS file"},
		{"no key", func(c *config.TLS) { c.KeyStore.Location = onlyCert }, "it holds no private key"},
		{"Bouncy Castle", func(c *config.TLS) { c.KeyStore.Type = "bcfks" }, "convert it with keytool"},
		{"password file", func(c *config.TLS) { c.TrustStore.PasswordPath = "/nowhere" }, "ssl.trustStore.passwordPath=/nowhere"},
		{"crl", func(c *config.TLS) { c.CRL = true }, "ssl.crl=true"},
		{"ocsp", func(c *config.TLS) { c.OCSP = true }, "ssl.ocsp=true"},
		{"protocol", func(c *config.TLS) { c.Protocol = "TLSv1.1" }, "ssl.protocol: TLSv1.1 is not spoken"},
		{"protocols", func(c *config.TLS) { c.EnabledProtocols = []string{"TLSv1.2", "SSLv3"} }, "ssl.enabledProtocols: SSLv3"},
		{"suites", func(c *config.TLS) {
			c.CipherSuites = []string{"TLS_AES_128_GCM_SHA256", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"}
		}, "not known here: TLS_DHE_RSA_WITH_AES_256_GCM_SHA384: take them out, or choose among TLS_"},
		{"suites of a version that is off", func(c *config.TLS) {
			c.EnabledProtocols, c.CipherSuites = []string{"TLSv1.2"}, []string{"TLS_AES_128_GCM_SHA256"}
		}, "none of these suites"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := f.opts
			c.change(&opts.TLS)
			_, err := New(opts)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestVersionsAndSuites(t *testing.T) {
	const gcm = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
	for _, c := range []struct {
		name     string
		protocol string
		enabled  []string
		suites   []string
		low, hi  uint16
		ids      []uint16
	}{
		{name: "nothing said", low: tls.VersionTLS12, hi: tls.VersionTLS13},
		{name: "1.2", protocol: "TLSv1.2", low: tls.VersionTLS12, hi: tls.VersionTLS12},
		{name: "1.3 brings 1.2", protocol: "TLSv1.3", low: tls.VersionTLS12, hi: tls.VersionTLS13},
		{name: "enabled wins", protocol: "TLSv1.2", enabled: []string{"TLSv1.3"}, low: tls.VersionTLS13, hi: tls.VersionTLS13},
		{name: "both", enabled: []string{"TLSv1.3", "TLSv1.2"}, low: tls.VersionTLS12, hi: tls.VersionTLS13},
		{name: "a suite of 1.2 alone", suites: []string{gcm}, low: tls.VersionTLS12, hi: tls.VersionTLS12, ids: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
		{name: "a suite of 1.3 alone", suites: []string{"TLS_AES_256_GCM_SHA384"}, low: tls.VersionTLS13, hi: tls.VersionTLS13},
		{name: "of both", suites: []string{gcm, "TLS_AES_256_GCM_SHA384"}, low: tls.VersionTLS12, hi: tls.VersionTLS13, ids: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
		{name: "an old name", suites: []string{"SSL_RSA_WITH_AES_128_CBC_SHA"}, low: tls.VersionTLS12, hi: tls.VersionTLS12, ids: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := parseVersions("ssl.", config.TLS{Protocol: c.protocol, EnabledProtocols: c.enabled})
			if err != nil {
				t.Fatal(err)
			}
			s, v, err := parseSuites("ssl.ciphersuites", c.suites, v)
			if err != nil || v.low != c.low || v.high != c.hi || !slices.Equal(s.ids, c.ids) {
				t.Fatalf("%x %v %v", v, s, err)
			}
		})
	}
}

func TestReload(t *testing.T) {
	f := newFixture(t)
	k := f.keys()
	was := k.Leaf()
	seen := k.reload(k.now.Load().seen)
	if k.Leaf() != was {
		t.Fatal("taken anew without a change")
	}
	pki.Write(t, f.dir, "server.pem", []byte("half a fi"))
	seen = k.reload(seen)
	seen = k.reload(seen)
	if k.Leaf() != was || strings.Count(f.log.String(), "those from before stay in use") != 1 {
		t.Fatalf("after a broken file: %s", f.log)
	}
	id := f.server("zk1 anew", "localhost")
	seen = k.reload(seen)
	if !k.Leaf().Equal(id.Cert) {
		t.Fatalf("the new certificate is not in use: %s", f.log)
	}
	if _, client, server := shake(t, k, f.client("a")); client != nil || server != nil {
		t.Fatal(client, server)
	}
	f.ca = pki.NewAuthority(t, "the next authority") // whose clients are not known yet
	if _, _, err := shake(t, k, f.client("a")); err == nil {
		t.Fatal("a client of an unknown authority")
	}
	f.server("zk1 of the next", "localhost")
	pki.Write(t, f.dir, "ca.pem", f.ca.CertPEM())
	k.reload(seen)
	if _, client, server := shake(t, k, f.client("a")); client != nil || server != nil {
		t.Fatal(client, server)
	}
}

func TestReloadEndsSessionTickets(t *testing.T) {
	f := newFixture(t)
	k := f.keys()
	c := f.client("a")
	c.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 2 {
		if _, client, server := shake(t, k, c); client != nil || server != nil {
			t.Fatal(client, server)
		}
	}
	next := pki.NewAuthority(t, "the next authority")
	pki.Write(t, f.dir, "ca.pem", next.CertPEM())
	k.reload(k.now.Load().seen)
	if _, _, err := shake(t, k, c); err == nil {
		t.Fatal("a client of an authority that is no longer trusted came back with a ticket")
	}
}

func TestWatchWithoutReload(t *testing.T) {
	f := newFixture(t)
	f.opts.TLS.CertReload = false
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.keys().Watch(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestExpiryIsTold(t *testing.T) {
	f := newFixture(t)
	pki.Write(t, f.dir, "server.pem", f.ca.Issue(t, pki.Request{Name: "late", Expired: true}).StorePEM(t))
	f.keys()
	if !strings.Contains(f.log.String(), "has expired") {
		t.Fatal(f.log)
	}
}

func TestTrustOfTheSystemIsTold(t *testing.T) {
	f := newFixture(t)
	f.opts.TLS.TrustStore = config.Store{}
	if k := f.keys(); k.Roots() != nil || !strings.Contains(f.log.String(), "ssl.trustStore.location") {
		t.Fatal(f.log)
	}
}

func TestLeafComesFirst(t *testing.T) {
	f := newFixture(t)
	id := f.ca.Issue(t, pki.Request{Name: "zk1"})
	pki.Write(t, f.dir, "server.pem", slices.Concat(f.ca.CertPEM(), id.CertPEM(), id.KeyPEM(t)))
	s := store{"ssl.keyStore.", f.opts.TLS.KeyStore}
	pair, err := s.keyPair()
	if err != nil {
		t.Fatal(err)
	}
	first, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil || !first.Equal(id.Cert) {
		t.Fatal(first.Subject, err)
	}
}
