package admin

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// secure makes a listener whose connections speak TLS, or with o.Plain what the
// client begins with.
func secure(ln net.Listener, o Options) net.Listener {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := o.TLS().Clone()
		c.ClientAuth = tls.VerifyClientCertIfGiven
		if o.NeedCertificate {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
		c.NextProtos = []string{"http/1.1"}
		return c, nil
	}}
	if !o.Plain {
		return tls.NewListener(ln, config)
	}
	u := &unified{Listener: ln, config: config, ready: make(chan net.Conn), done: make(chan struct{})}
	go u.accept()
	return u
}

// acceptPause is how long nothing is accepted after that failed.
const acceptPause = 50 * time.Millisecond

// handshakeByte begins a TLS connection; no HTTP request begins with it.
const handshakeByte = 0x16

// A unified listener looks at the first byte of each connection, which it waits
// for apart from the others.
type unified struct {
	net.Listener
	config *tls.Config
	ready  chan net.Conn
	done   chan struct{}
	once   sync.Once
	err    error // why no more come; written before done is closed
}

func (u *unified) accept() {
	for {
		c, err := u.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			u.once.Do(func() { u.err = err; close(u.done) })
			return
		case err != nil: // such as no file descriptors left: others end
			select {
			case <-u.done:
				return
			case <-time.After(acceptPause):
			}
		default:
			go u.look(c)
		}
	}
}

func (u *unified) look(c net.Conn) {
	var first [1]byte
	_ = c.SetReadDeadline(time.Now().Add(headerTimeout))
	if _, err := io.ReadFull(c, first[:]); err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	var conn net.Conn = &peeked{Conn: c, first: first[:]}
	if first[0] == handshakeByte {
		conn = tls.Server(conn, u.config)
	}
	select {
	case u.ready <- conn:
	case <-u.done:
		_ = c.Close()
	}
}

// Accept implements [net.Listener].
func (u *unified) Accept() (net.Conn, error) {
	select {
	case c := <-u.ready:
		return c, nil
	case <-u.done:
		return nil, u.err
	}
}

// Close implements [net.Listener].
func (u *unified) Close() error {
	err := u.Listener.Close()
	u.once.Do(func() { u.err = net.ErrClosed; close(u.done) })
	return err
}

// peeked gives back a byte that was read already.
type peeked struct {
	net.Conn
	first []byte
}

// Read implements [net.Conn].
func (c *peeked) Read(b []byte) (int, error) {
	if len(c.first) > 0 && len(b) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
