package pipeline

import "crypto/x509"

// A Client is who is at the other end of a connection, as far as the network
// tells.
type Client struct {
	// Remote is the client's address and port, "ip:port".
	Remote string
	// IP is the address alone: the identity of the scheme ip.
	IP string
	// Certificates is the verified chain of a TLS client, its own first; nil
	// for one that has shown none.
	Certificates []*x509.Certificate
	// Secure tells that the client speaks TLS.
	Secure bool
}
