package front

import (
	"bufio"
	"net"
)

// speaksTLS tells by the first bytes whether a client begins a TLS handshake. A
// plain one begins with a word, or with the length of its connect request,
// which is far from 0x1603xxxx. No more bytes are waited for than are needed:
// a word may be all that comes. Nothing is taken from r.
//
// Source: NettyServerCnxnFactory.java (DualModeSslHandler).
func speaksTLS(r *bufio.Reader) (bool, error) {
	for n := 1; ; n++ {
		head, err := r.Peek(n)
		if err != nil {
			return false, err
		}
		if beginsTLS, known := tlsHead(head); known {
			return beginsTLS, nil
		}
	}
}

// tlsHead looks at the first bytes of a connection: a record of type handshake
// (22) and major version 3. known is false when more bytes are needed.
func tlsHead(head []byte) (tls, known bool) {
	const handshake, major, maxMinor = 22, 3, 4
	switch {
	case len(head) > 0 && head[0] != handshake, len(head) > 1 && head[1] != major, len(head) > 2 && head[2] > maxMinor:
		return false, true
	}
	return len(head) > 2, len(head) > 2
}

// peeked is a connection of which a reader holds the first bytes.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

// Read implements [net.Conn].
func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }
