// Package certname judges whether a certificate belongs to the host that one
// means to talk to. It differs from crypto/x509 in one rule, which Java has and
// certificates made for Java servers lean on: a certificate without any
// alternative name of its own is known by the common name of its subject.
//
// It imports nothing of zkctl, and can be used by itself.
//
// Source: ZKHostnameVerifier.java.
package certname

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// What is wrong with whoever is at the other end.
var (
	ErrNoCertificate = errors.New("no certificate was shown")
	ErrOtherHost     = errors.New("the certificate is another host's")
)

// Check tells whether cert is one of host, a name or an IP address. The error
// is [ErrOtherHost].
func Check(cert *x509.Certificate, host string) error {
	if len(cert.DNSNames)+len(cert.IPAddresses) > 0 || cert.Subject.CommonName == "" {
		if err := cert.VerifyHostname(host); err != nil {
			return fmt.Errorf("%w: %w", ErrOtherHost, err)
		}
		return nil
	}
	named := *cert
	if ip := net.ParseIP(cert.Subject.CommonName); ip != nil {
		named.IPAddresses = []net.IP{ip}
	} else {
		named.DNSNames = []string{cert.Subject.CommonName}
	}
	if named.VerifyHostname(host) != nil {
		return fmt.Errorf("%w: it is of %q, not of %q", ErrOtherHost, cert.Subject.CommonName, host)
	}
	return nil
}

// A Rule says which servers are believed to be who they are.
type Rule struct {
	Roots *x509.CertPool // nil: the system's authorities
	Host  string         // "": any name will do
	Now   func() time.Time
}

// Verify judges the chain of a server, its own certificate first.
func (r Rule) Verify(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return ErrNoCertificate
	}
	opts := x509.VerifyOptions{Roots: r.Roots, Intermediates: x509.NewCertPool()}
	if r.Now != nil {
		opts.CurrentTime = r.Now()
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return fmt.Errorf("certificate of %q: %w", Subject(chain[0]), err)
	}
	if r.Host == "" {
		return nil
	}
	return Check(chain[0], r.Host)
}

// Apply returns a copy of a client's configuration that judges servers by the
// rule, and tells them the name it looks for.
func (r Rule) Apply(c *tls.Config) *tls.Config {
	c = c.Clone()
	if c.ServerName == "" {
		c.ServerName = r.Host
	}
	c.InsecureSkipVerify = true // VerifyConnection does it
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if err := r.Verify(state.PeerCertificates); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
		}
		return nil
	}
	return c
}

// Subject is how messages call a certificate: its subject, or its first name
// when that is empty.
func Subject(cert *x509.Certificate) string {
	switch s := cert.Subject.String(); {
	case s != "":
		return s
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	case len(cert.IPAddresses) > 0:
		return cert.IPAddresses[0].String()
	}
	return "serial number " + cert.SerialNumber.String()
}
