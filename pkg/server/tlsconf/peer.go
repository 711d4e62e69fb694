package tlsconf

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/zkctl/zkctl/pkg/server/certname"
)

// quorumPrefix is that of the keys for connections between servers.
const quorumPrefix = "ssl.quorum."

// ConnectPeer is [Keys.Connect] between servers. The certificate may be that of
// host, or of the address that is connected to, or of a name that the DNS gives to
// it: servers are listed by one of these and certified by another
// (ZKTrustManager.performHostVerification).
func (k *Keys) ConnectPeer(ctx context.Context, raw net.Conn, host string) (*tls.Conn, error) {
	s := k.now.Load()
	cfg := certname.Rule{Roots: s.roots}.Apply(s.client)
	if net.ParseIP(host) == nil {
		cfg.ServerName = host
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, k.explain(err)
	}
	if !k.opts.TLS.HostnameVerification {
		return conn, nil
	}
	cert := conn.ConnectionState().PeerCertificates[0]
	if certname.Check(cert, host) == nil {
		return conn, nil
	}
	return conn, k.checkAddress(ctx, cert, raw.RemoteAddr(), "hostnameVerification")
}
