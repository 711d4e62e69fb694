// Package digestmd5 is the SASL mechanism DIGEST-MD5 (RFC 2831) as Java speaks
// it: one authentication with qop "auth", no subsequent ones, no security
// layer. A conversation is
//
//	server  realm="zk-sasl-md5",nonce="…",charset=utf-8,algorithm=md5-sess
//	client  charset=utf-8,username="bob",realm="zk-sasl-md5",nonce="…",nc=00000001,
//	        cnonce="…",digest-uri="zookeeper/zk-sasl-md5",maxbuf=65536,response=…,qop=auth
//	server  rspauth=…
//
// MD5 is long broken for signatures; what protects the password here is that it
// is never sent. Without TLS a listener can still guess weak passwords at
// leisure, and change what follows. The package exists because ZooKeeper's
// clients and servers know nothing better.
//
// Source: RFC 2831; com.sun.security.sasl.digest of the JDK for what it accepts.
package digestmd5

import "errors"

// ErrFailed is what every refusal wraps: the peer's message is malformed, or
// its proof is wrong. The text around it is for this side's log only.
var ErrFailed = errors.New("DIGEST-MD5 authentication failed")

// Longest messages accepted, in bytes (RFC 2831, 2.1.1 and 2.1.2).
const (
	maxChallenge = 2048
	maxResponse  = 4096
)
