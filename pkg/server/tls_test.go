package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/test/pki"
)

// certificates writes what a server with TLS needs, and gives its keys in
// zoo.cfg and what its clients need.
func certificates(t *testing.T, ca *pki.Authority, dir string) (keys string, client *tls.Config) {
	t.Helper()
	id := ca.Issue(t, pki.Request{Name: "zk1", Hosts: []string{"127.0.0.1"}})
	keys = fmt.Sprintf("ssl.keyStore.location=%s\nssl.trustStore.location=%s\n",
		pki.Write(t, dir, "server.pem", id.StorePEM(t)), pki.Write(t, dir, "ca.pem", ca.CertPEM()))
	return keys, clientOf(t, ca)
}

func clientOf(t *testing.T, ca *pki.Authority) *tls.Config {
	t.Helper()
	return &tls.Config{
		RootCAs: ca.Pool(), ServerName: "127.0.0.1",
		Certificates: []tls.Certificate{ca.Issue(t, pki.Request{Name: "client"}).TLS()},
	}
}

// connect makes a session, over TLS when conf is not nil.
func connect(t *testing.T, address string, conf *tls.Config) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect([]string{address}, 10*time.Second, zk.WithLogger(silent{}), zk.WithDialer(
		func(network, address string, timeout time.Duration) (net.Conn, error) {
			d := &net.Dialer{Timeout: timeout}
			if conf == nil {
				return d.Dial(network, address)
			}
			return tls.DialWithDialer(d, network, address, conf)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	timeout := time.After(patience)
	for {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				return c
			}
		case <-timeout:
			t.Fatal("no session")
		}
	}
}

func TestSecurePortBesideThePlainOne(t *testing.T) {
	dir, secure := t.TempDir(), freePort(t)
	keys, conf := certificates(t, pki.NewAuthority(t, "authority"), t.TempDir())
	r := run(t, dir, freePort(t), fmt.Sprintf("secureClientPort=%d\nmaxClientCnxns=1\n%s", secure, keys))
	address := fmt.Sprintf("127.0.0.1:%d", secure)
	// Each port counts its own connections.
	a, b := connect(t, r.address, nil), connect(t, address, conf)
	if _, err := a.Create("/a", []byte("x"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if data, _, err := b.Get("/a"); err != nil || string(data) != "x" {
		t.Fatal(data, err)
	}
	b.Close()
	eventually(t, "the port tells its number", func() bool { // and b, which was all that it takes, is gone
		text, err := fourletter.Client{TLS: conf}.Ask(t.Context(), address, fourletter.Conf)
		return err == nil && strings.Contains(string(text), fmt.Sprintf("\nsecureClientPort=%d\n", secure))
	})
}

func TestUnifiedPort(t *testing.T) {
	keys, conf := certificates(t, pki.NewAuthority(t, "authority"), t.TempDir())
	r := run(t, t.TempDir(), freePort(t), "client.portUnification=true\n"+keys)
	connect(t, r.address, nil)
	connect(t, r.address, conf)
	for _, c := range []*tls.Config{nil, conf} {
		if text, err := (fourletter.Client{TLS: c}).Ask(t.Context(), r.address, fourletter.Ruok); err != nil || string(text) != fourletter.Imok {
			t.Fatalf("%s, %v", text, err)
		}
	}
}

// New certificates are taken while connections live, and those go on.
func TestCertificatesAreReplaced(t *testing.T) {
	files, port := t.TempDir(), freePort(t)
	was := pki.NewAuthority(t, "authority")
	keys, conf := certificates(t, was, files)
	run(t, t.TempDir(), freePort(t), fmt.Sprintf("secureClientPort=%d\nclient.certReload=true\n%s", port, keys))
	address := fmt.Sprintf("127.0.0.1:%d", port)
	lives := connect(t, address, conf)
	next := pki.NewAuthority(t, "the next authority")
	_, conf = certificates(t, next, files)
	eventually(t, "the new certificates are in use", func() bool {
		_, err := fourletter.Client{TLS: conf}.Ask(t.Context(), address, fourletter.Ruok)
		return err == nil
	})
	connect(t, address, conf)
	if _, _, err := lives.Get("/"); err != nil || lives.State() != zk.StateHasSession {
		t.Fatal(err, lives.State())
	}
	if _, err := (fourletter.Client{TLS: clientOf(t, was)}).Ask(t.Context(), address, fourletter.Ruok); err == nil {
		t.Fatal("the former authority is still trusted")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
		<-tick.C
	}
}

// A server that cannot protect its clients as it should does not start, and
// leaves no port open.
func TestTLSRefusedAtStart(t *testing.T) {
	keys, _ := certificates(t, pki.NewAuthority(t, "authority"), t.TempDir())
	for want, lines := range map[string]string{
		"ssl.keyStore.location is not set":               "",
		"ssl.crl=true: revocation lists are not fetched": keys + "ssl.crl=true\n",
	} {
		text := fmt.Sprintf("dataDir=%s\nsecureClientPort=%d\n%s", t.TempDir(), freePort(t), lines)
		cfg, _, err := config.Parse("zoo.cfg", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		err = New(cfg, Options{Logger: slog.New(slog.DiscardHandler)}).Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
