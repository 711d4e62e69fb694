package certname

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/pki"
)

func TestCheck(t *testing.T) {
	ca := pki.NewAuthority(t, "authority")
	for _, c := range []struct {
		request pki.Request
		host    string
		ok      bool
	}{
		{pki.Request{Name: "x", Hosts: []string{"zk1", "10.0.0.1"}}, "zk1", true},
		{pki.Request{Name: "x", Hosts: []string{"zk1", "10.0.0.1"}}, "10.0.0.1", true},
		{pki.Request{Name: "x", Hosts: []string{"*.example.org"}}, "zk1.example.org", true},
		{pki.Request{Name: "x", Hosts: []string{"zk1"}}, "x", false}, // the common name counts alone only
		{pki.Request{Name: "zk1"}, "zk1", true},
		{pki.Request{Name: "zk1"}, "ZK1", true},
		{pki.Request{Name: "zk1"}, "zk2", false},
		{pki.Request{Name: "10.0.0.1"}, "10.0.0.1", true},
		{pki.Request{Name: "*.example.org"}, "zk1.example.org", true},
		{pki.Request{}, "zk1", false},
	} {
		err := Check(ca.Issue(t, c.request).Cert, c.host)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrOtherHost) {
			t.Errorf("%+v as %s: %v", c.request, c.host, err)
		}
	}
}

func TestVerify(t *testing.T) {
	ca, other := pki.NewAuthority(t, "authority"), pki.NewAuthority(t, "another")
	id := ca.Issue(t, pki.Request{Name: "zk1"})
	chain := []*x509.Certificate{id.Cert, ca.Cert}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	if err := (Rule{Roots: ca.Pool(), Host: "zk1"}).Verify(chain); err != nil {
		t.Error(err)
	}
	if err := (Rule{Roots: ca.Pool()}).Verify(chain); err != nil {
		t.Error(err)
	}
	if err := (Rule{Roots: ca.Pool(), Host: "zk2"}).Verify(chain); !errors.Is(err, ErrOtherHost) {
		t.Error(err)
	}
	if err := (Rule{Roots: other.Pool(), Host: "zk1"}).Verify(chain); !errors.As(err, &unknown) {
		t.Error(err)
	}
	if err := (Rule{Roots: ca.Pool()}).Verify(nil); !errors.Is(err, ErrNoCertificate) {
		t.Error(err)
	}
	late := func() time.Time { return time.Now().AddDate(1, 0, 0) }
	if err := (Rule{Roots: ca.Pool(), Now: late}).Verify(chain); !errors.As(err, &invalid) {
		t.Error(err)
	}
}

func TestApply(t *testing.T) {
	ca := pki.NewAuthority(t, "authority")
	server := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, pki.Request{Name: "127.0.0.1"}).TLS()}}
	for host, ok := range map[string]bool{"127.0.0.1": true, "127.0.0.2": false} {
		here, there := net.Pipe()
		go func() { _ = tls.Server(there, server).Handshake(); there.Close() }()
		err := tls.Client(here, Rule{Roots: ca.Pool(), Host: host}.Apply(&tls.Config{})).Handshake()
		here.Close()
		if (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
	}
}
