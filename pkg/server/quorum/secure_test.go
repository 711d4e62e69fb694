package quorum

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/test/pki"
)

// mutual is TLS among servers that one authority has certified.
func mutual(t testing.TB, ca *pki.Authority, hosts ...string) *TLS {
	id := ca.Issue(t, pki.Request{Name: "peer", Hosts: hosts})
	cfg := &tls.Config{
		Certificates: []tls.Certificate{id.TLS()}, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: ca.Pool(), RootCAs: ca.Pool(), SessionTicketsDisabled: true, MinVersion: tls.VersionTLS12,
	}
	return &TLS{
		Accept: func(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
			conn := tls.Server(raw, cfg)
			return conn, conn.HandshakeContext(ctx)
		},
		Connect: func(ctx context.Context, raw net.Conn, host string) (*tls.Conn, error) {
			c := cfg.Clone()
			c.ServerName = host
			conn := tls.Client(raw, c)
			return conn, conn.HandshakeContext(ctx)
		},
		Dial: true,
	}
}

// hostsOf is where an ensemble listens.
func (e *ensemble) hostsOf() []string {
	var hosts []string
	for _, m := range e.members {
		host, _, _ := net.SplitHostPort(m.Quorum[0])
		hosts = append(hosts, host)
	}
	return hosts
}

// With both on, servers elect, follow and fetch a snapshot.
func TestEnsembleWithTLSAndSASL(t *testing.T) {
	e := newEnsemble(t, 3, 1)
	secure := mutual(t, pki.NewAuthority(t, "authority"), e.hostsOf()...)
	for _, s := range e.servers {
		s.cfg.TLS, s.cfg.SASL, s.cfg.WindowCount = secure, required(), 5
		s.bulk = 1 << 20
	}
	e.start(1, 2, 3)
	leader := e.leader()
	e.write(leader, 20, "a")
	e.start(4)
	e.halt(leader)
	e.write(e.leader(), 20, "b")
	e.start(leader.self)
	e.leader()
	e.equal()
}

// From plain to TLS, one server after the other, with one of them always of
// another step than the rest.
func TestRollingSwitchToTLS(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	secure := mutual(t, pki.NewAuthority(t, "authority"), e.hostsOf()...)
	e.start(e.all()...)
	e.write(e.leader(), 10, "plain")
	for name, step := range steps(secure) {
		for sid := 1; sid <= 3; sid++ {
			s := e.servers[e.members[sid-1].Sid]
			e.halt(s)
			s.cfg.TLS = step
			e.start(s.self)
			e.write(e.leader(), 5, name)
		}
	}
	e.equal()
}

// steps are those of the switch, in order.
func steps(secure *TLS) func(func(string, *TLS) bool) {
	unified, both := *secure, *secure
	unified.Dial, unified.Plain, both.Plain = false, true, true
	return func(yield func(string, *TLS) bool) {
		_ = yield("unified", &unified) && yield("TLS, unified", &both) && yield("TLS", secure)
	}
}

// A TLS port hears only who shows a certificate of the authority.
func TestElectionRequiresTLS(t *testing.T) {
	ca := pki.NewAuthority(t, "authority")
	var secure *TLS
	u := openElectionTest(t, 1, func(c *Config) {
		host, _, _ := net.SplitHostPort(c.Members[0].Election[0])
		secure = mutual(t, ca, host)
		secure.DetectTimeout = 300 * time.Millisecond
		c.TLS = secure
	})
	silent, err := net.Dial("tcp", u.members[0].Election[0])
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	plain := u.dial(greeting{sid: 2})
	_, _ = plain.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(1, 7), "")))
	_, _ = io.Copy(io.Discard, plain)
	address := u.members[0].Election[0]
	for name, bad := range map[string]*TLS{
		"another authority": mutual(t, pki.NewAuthority(t, "another"), "127.0.0.1"),
	} {
		if _, err := dialAny(t.Context(), patience, []string{address}, bad); !errors.Is(err, errTLS) {
			t.Errorf("%s: %v", name, err)
		}
	}
	conn, err := dialAny(t.Context(), patience, []string{address}, secure)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write(greeting{sid: 2}.append(nil))
	_, _ = conn.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(1, 8), "")))
	u.expectDelivered(2, 8) // and nothing before it
	if n, _ := io.Copy(io.Discard, silent); n != 0 {
		t.Errorf("%d bytes for who says nothing", n)
	}
}

// Whose certificate names another host is not talked to.
func TestDialChecksTheName(t *testing.T) {
	ca := pki.NewAuthority(t, "authority")
	u := openElectionTest(t, 1, func(c *Config) { c.TLS = mutual(t, ca, "10.9.9.9") })
	_, err := dialAny(t.Context(), patience, u.members[0].Election, mutual(t, ca, "127.0.0.1"))
	var wrong x509.HostnameError
	if !errors.Is(err, errTLS) || !errors.As(err, &wrong) {
		t.Errorf("%v, want a refusal for the name", err)
	}
}
