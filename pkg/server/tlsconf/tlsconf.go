// Package tlsconf makes TLS of the keys that Apache ZooKeeper has for it: those
// that start with "ssl." for clients, and with "ssl.quorum." between servers. It
// reads stores of PEM, PKCS12 and JKS, checks who is at the other end, and takes
// new certificates while the server runs.
//
// A [Keys] belongs to one kind of connection. Whoever accepts connections calls
// [Keys.Accept], whoever dials calls [Keys.Connect]; both do the handshake, so
// they must not be called where others wait.
//
// Source: X509Util.java, ClientX509Util.java, ZKTrustManager.java,
// zookeeperAdmin.md.
package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/certname"
	"github.com/zkctl/zkctl/pkg/server/config"
)

// Options says what Keys are made of.
type Options struct {
	// Prefix is that of the keys in zoo.cfg, for messages: "ssl." or "ssl.quorum.".
	Prefix string
	// TLS holds the values of the keys.
	TLS config.TLS
	// Logger takes what an operator should know.
	Logger *slog.Logger
	// LookupAddr finds the names of an address; nil asks the DNS.
	LookupAddr func(ctx context.Context, addr string) ([]string, error)
}

// Keys are the certificates of one kind of connection, and the rules for those
// of others. It may be used from many goroutines.
type Keys struct {
	opts Options
	now  atomic.Pointer[state]
}

// state is what was made of the stores as they were read last.
type state struct {
	seen           stamps
	cert           tls.Certificate
	roots          *x509.CertPool
	server, client *tls.Config
}

// New reads the stores. The errors say which key and which file are at fault,
// and what to do.
func New(opts Options) (*Keys, error) {
	if opts.LookupAddr == nil {
		opts.LookupAddr = net.DefaultResolver.LookupAddr
	}
	if err := refuse(opts.Prefix, opts.TLS); err != nil {
		return nil, err
	}
	k := &Keys{opts: opts}
	s, err := k.load()
	if err != nil {
		return nil, err
	}
	k.now.Store(s)
	k.warn()
	k.tell("TLS is ready", s)
	return k, nil
}

// refuse names what is asked for and cannot be done: what protects is never
// left out in silence.
func refuse(prefix string, c config.TLS) error {
	var errs []error
	if c.CRL {
		errs = append(errs, fmt.Errorf("%scrl=true: revocation lists are not fetched here: remove the key, and keep certificates short-lived or drop their authority from %[1]strustStore", prefix))
	}
	if c.OCSP {
		errs = append(errs, fmt.Errorf("%socsp=true: revocation is not asked for here: remove the key, and keep certificates short-lived or drop their authority from %[1]strustStore", prefix))
	}
	if c.KeyStore.Location == "" {
		errs = append(errs, fmt.Errorf("%skeyStore.location is not set: name the file with this server's key and certificate", prefix))
	}
	if _, err := clientAuth(c.ClientAuth); err != nil {
		errs = append(errs, fmt.Errorf("%sclientAuth=%s: %w", prefix, c.ClientAuth, err))
	}
	return errors.Join(errs...)
}

// clientAuth is what is asked of whoever connects (X509Util.ClientAuth). A
// certificate that is shown is checked, whether it was needed or wanted.
func clientAuth(word string) (tls.ClientAuthType, error) {
	switch strings.ToLower(word) {
	case "", "need":
		return tls.RequireAndVerifyClientCert, nil
	case "want":
		return tls.VerifyClientCertIfGiven, nil
	case "none":
		return tls.NoClientCert, nil
	}
	return 0, errors.New("write none, want or need")
}

func (k *Keys) keyStore() store { return store{k.opts.Prefix + "keyStore.", k.opts.TLS.KeyStore} }

func (k *Keys) trustStore() store { return store{k.opts.Prefix + "trustStore.", k.opts.TLS.TrustStore} }

// load reads both stores and makes the configurations.
func (k *Keys) load() (*state, error) {
	c := k.opts.TLS
	v, err := parseVersions(k.opts.Prefix, c)
	if err != nil {
		return nil, err
	}
	chosen, v, err := parseSuites(k.opts.Prefix+"ciphersuites", c.CipherSuites, v)
	if err != nil {
		return nil, err
	}
	s := &state{seen: k.stamp()}
	var kerr, terr error
	s.cert, kerr = k.keyStore().keyPair()
	s.roots, terr = k.trustStore().trusted()
	if err := errors.Join(kerr, terr); err != nil {
		return nil, err
	}
	auth, err := clientAuth(c.ClientAuth)
	if err != nil {
		return nil, err
	}
	base := &tls.Config{
		MinVersion: v.low, MaxVersion: v.high, CipherSuites: chosen.ids, Certificates: []tls.Certificate{s.cert},
	}
	s.server, s.client = base.Clone(), base
	s.server.ClientAuth, s.server.ClientCAs = auth, s.roots
	s.client.RootCAs = s.roots
	// Servers that connect to each other resume nothing, and some hang up at once: what
	// they leave unread would turn their goodbye into a reset.
	s.server.SessionTicketsDisabled = k.opts.Prefix == quorumPrefix
	return s, nil
}

// warn tells what is odd about the keys.
func (k *Keys) warn() {
	c, log := k.opts.TLS, k.opts.Logger
	if chosen, _, err := parseSuites("", c.CipherSuites, versions{tls.VersionTLS12, tls.VersionTLS13}); err == nil && len(chosen.weak) > 0 {
		log.Warn("weak cipher suites are enabled", "key", k.opts.Prefix+"ciphersuites", "suites", strings.Join(chosen.weak, ","))
	}
	if c.TrustStore.Location == "" && !strings.EqualFold(c.ClientAuth, "none") {
		log.Warn("certificates of others are checked against the system's authorities: whoever they signed may connect",
			"key", k.opts.Prefix+"trustStore.location", "do", "name a file with your own authority")
	}
}

// expirySoon is how long before its end a certificate is warned of.
const expirySoon = 14 * 24 * time.Hour

func (k *Keys) tell(what string, s *state) {
	cert := s.cert.Leaf
	args := []any{"keys", k.opts.Prefix + "*", "certificate", describe(cert), "expires", cert.NotAfter.UTC().Format(time.DateTime)}
	switch left := time.Until(cert.NotAfter); {
	case left < 0:
		k.opts.Logger.Warn(what+", with a certificate that has expired: nobody will take it", args...)
	case left < expirySoon:
		k.opts.Logger.Warn(what+", with a certificate that expires soon", args...)
	default:
		k.opts.Logger.Info(what, args...)
	}
}

// Server is the present configuration for those who accept connections. It must
// not be changed. Session tickets are good for as long as the certificates are
// not replaced.
func (k *Keys) Server() *tls.Config { return k.now.Load().server }

// Leaf is the certificate that this server shows now.
func (k *Keys) Leaf() *x509.Certificate { return k.now.Load().cert.Leaf }

// Roots are the authorities that are trusted now; nil means the system's.
func (k *Keys) Roots() *x509.CertPool { return k.now.Load().roots }

// Accept does the handshake with somebody who has connected, and checks what
// certificate he shows. ctx bounds it. The connection is the caller's to close,
// also after an error.
func (k *Keys) Accept(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
	conn := tls.Server(raw, k.Server())
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, k.explain(err)
	}
	c := k.opts.TLS
	if certs := conn.ConnectionState().PeerCertificates; len(certs) > 0 && c.HostnameVerification && c.ClientHostnameVerification {
		if err := k.checkAddress(ctx, certs[0], raw.RemoteAddr(), "clientHostnameVerification"); err != nil {
			return nil, err
		}
	}
	return conn, nil
}

// checkAddress wants the certificate to be that of the address or of a name
// that the DNS gives to it (ZKTrustManager.performHostVerification).
func (k *Keys) checkAddress(ctx context.Context, cert *x509.Certificate, remote net.Addr, key string) error {
	host, _, err := net.SplitHostPort(remote.String())
	if err != nil {
		return fmt.Errorf("%s%s: %w", k.opts.Prefix, key, err)
	}
	wrong := certname.Check(cert, host)
	if wrong == nil {
		return nil
	}
	names, err := k.opts.LookupAddr(ctx, host)
	for _, name := range names {
		if certname.Check(cert, strings.TrimSuffix(name, ".")) == nil {
			return nil
		}
	}
	if err != nil {
		wrong = errors.Join(wrong, err)
	}
	return fmt.Errorf("certificate of %q is not of %s or of its names %q (%s%s): %w", describe(cert), host, names, k.opts.Prefix, key, wrong)
}

// Connect does the handshake with a server that is meant to be host, a name or
// an address. ctx bounds it. The connection is the caller's to close, also after
// an error.
func (k *Keys) Connect(ctx context.Context, raw net.Conn, host string) (*tls.Conn, error) {
	s := k.now.Load()
	rule := certname.Rule{Roots: s.roots}
	if k.opts.TLS.HostnameVerification {
		rule.Host = host
	}
	conn := tls.Client(raw, rule.Apply(s.client))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, k.explain(err)
	}
	return conn, nil
}
