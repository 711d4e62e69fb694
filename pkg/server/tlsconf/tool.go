package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/certname"
	"github.com/zkctl/zkctl/pkg/server/config"
)

// Files is what a command needs to ask servers over TLS; the zero Files trusts
// the system's authorities and shows no certificate.
type Files struct {
	CA   string // authorities to trust, PEM; "": the system's
	Cert string // certificate to show, PEM; it may hold the key too
	Key  string // its private key, PEM; "": it is in Cert
	// KeyPasswordFile is a file with the password of the key, if it has one.
	KeyPasswordFile string
	ServerName      string // to look for in servers' certificates; "": the host asked
	Insecure        bool   // believe any server
}

// Config reads the files. An empty ServerName in it is to be set to the host
// that is asked.
func (f Files) Config() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName, InsecureSkipVerify: f.Insecure}
	var err error
	if f.CA != "" {
		if out.RootCAs, err = f.authorities(); err != nil {
			return nil, err
		}
	}
	switch {
	case f.Cert != "":
		cert, err := f.certificate()
		if err != nil {
			return nil, err
		}
		// Shown to whoever asks for a certificate, so that a server which would not
		// take it says so.
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	case f.Key != "":
		return nil, errors.New("a TLS key needs its certificate: name that as well")
	}
	return out, nil
}

func (f Files) authorities() (*x509.CertPool, error) {
	text, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("TLS authorities: %w", err)
	}
	c, err := parsePEM(text, "")
	if err == nil && len(c.trust) == 0 {
		err = errors.New("it holds no certificate")
	}
	if err != nil {
		return nil, fmt.Errorf("TLS authorities: %s: %w", f.CA, err)
	}
	pool := x509.NewCertPool()
	for _, cert := range c.trust {
		pool.AddCert(cert)
	}
	return pool, nil
}

func (f Files) certificate() (tls.Certificate, error) {
	text, err := os.ReadFile(f.Cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("TLS certificate: %w", err)
	}
	if f.Key != "" && f.Key != f.Cert {
		key, err := os.ReadFile(f.Key)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("TLS key: %w", err)
		}
		text = append(append(text, '\n'), key...)
	}
	password := ""
	if f.KeyPasswordFile != "" {
		secret, err := os.ReadFile(f.KeyPasswordFile)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("password of the TLS key: %w", err)
		}
		password = strings.TrimRight(string(secret), "\r\n")
	}
	c, err := parsePEM(text, password)
	if err == nil {
		var pair tls.Certificate
		if pair, err = c.pair(); err == nil {
			return pair, nil
		}
	}
	if errors.Is(err, errPassword) {
		return tls.Certificate{}, fmt.Errorf("TLS key: %w: write it into a file and name that", err)
	}
	return tls.Certificate{}, fmt.Errorf("TLS certificate and key: %s %s: %w", f.Cert, f.Key, err)
}

// Self is for asking the server of a zoo.cfg on its own host, where its key
// store can be read: it shows the server's own certificate, and believes a
// server that shows the same one or one of an authority the server trusts,
// whatever its name.
func Self(prefix string, c config.TLS) (*tls.Config, error) {
	keys := store{prefix + "keyStore.", c.KeyStore}
	own, err := keys.keyPair()
	if err != nil {
		return nil, err
	}
	roots, err := store{prefix + "trustStore.", c.TrustStore}.trusted()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
		VerifyConnection: func(state tls.ConnectionState) error {
			if chain := state.PeerCertificates; len(chain) > 0 && chain[0].Equal(own.Leaf) {
				return nil
			}
			return certname.Rule{Roots: roots}.Verify(state.PeerCertificates)
		},
	}, nil
}
