package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/pipeline"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/test/pki"
)

// secure runs a client port with TLS; clients get what they need to speak it.
func secure(t testing.TB, change func(*Config)) (*Server, *pipeline.Pipeline, *tls.Config) {
	t.Helper()
	ca := pki.NewAuthority(t, "authority")
	server := &tls.Config{
		Certificates: []tls.Certificate{ca.Issue(t, pki.Request{Name: "zk1", Hosts: []string{"127.0.0.1"}}).TLS()},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(),
	}
	s, p := start(t, func(c *Config) {
		c.TLS = &TLS{Accept: func(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
			conn := tls.Server(raw, server)
			return conn, conn.HandshakeContext(ctx)
		}}
		if change != nil {
			change(c)
		}
	})
	return s, p, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{ca.Issue(t, pki.Request{Name: "client"}).TLS()}}
}

// dialTLS connects and makes the handshake.
func dialTLS(t testing.TB, s *Server, conf *tls.Config) *client {
	t.Helper()
	c := dial(t, s)
	conn := tls.Client(c.Conn, conf)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, Conn: conn}
}

func (c *client) session(timeout int32) *client {
	c.t.Helper()
	c.frame(proto.ConnectRequest{Timeout: timeout, Password: make([]byte, 16), HasReadOnly: true}.Append(nil))
	if b := c.read(); len(b) != 37 {
		c.t.Fatalf("connected with %x", b)
	}
	return c
}

func TestTLSRequests(t *testing.T) {
	s, _, conf := secure(t, nil)
	c := dialTLS(t, s, conf).session(10000)
	big := bytes.Repeat([]byte("x"), 300<<10) // more than a piece, and than a record
	c.raw(c.request(proto.OpSetData, proto.SetDataRequest{Path: "/", Data: big, Version: -1}.Append(nil)))
	c.reply(1)
	for range 20 {
		c.raw(c.request(proto.OpGetData, getData("/")))
		if b := c.read(); !bytes.Contains(b, big) {
			t.Fatalf("%d bytes", len(b))
		}
	}
	c.raw(c.request(proto.OpCloseSession, nil))
	c.reply(22)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF { // said in TLS, not by a cut
		t.Fatal(n, err)
	}
}

func TestTLSWord(t *testing.T) {
	s, _, conf := secure(t, nil)
	for _, word := range []string{"ruok", "ruok\n"} {
		c := dialTLS(t, s, conf)
		c.raw([]byte(word))
		if b, err := io.ReadAll(c); err != nil || string(b) != "imok" {
			t.Fatalf("%q, %v", b, err)
		}
	}
}

func TestTLSCertificatesReachThePipeline(t *testing.T) {
	got := make(chan []*x509.Certificate, 1)
	s, _, conf := secure(t, func(c *Config) {
		accept := c.TLS.Accept
		c.TLS.Accept = func(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
			secure, err := accept(ctx, raw)
			if err == nil {
				got <- (&conn{secure: secure}).certificates()
			}
			return secure, err
		}
	})
	dialTLS(t, s, conf).session(10000)
	if chain := <-got; len(chain) != 2 || chain[0].Subject.CommonName != "client" {
		t.Fatal(chain)
	}
}

func TestTLSStrangers(t *testing.T) {
	s, p, conf := secure(t, func(c *Config) { c.SilentTimeout = 200 * time.Millisecond })
	g := p.Stats().Guards
	plain := dial(t, s)
	plain.raw([]byte("ruok"))
	plain.gone("no TLS")
	silent := dial(t, s)
	silent.raw([]byte{22, 3, 1})
	silent.gone("the begin of a handshake, and no more")
	noCert := dial(t, s)
	none := conf.Clone()
	none.Certificates = nil
	conn := tls.Client(noCert.Conn, none)
	if err := conn.Handshake(); err == nil { // TLS 1.3 tells it with the next bytes
		_, err = conn.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Fatal(err)
		}
	}
	eventually(t, "three failed", func() bool { return g.HandshakesFailed.Load() == 3 && s.Handshakes() == 0 })
}

// TestHandshakesDoNotWaitForOneAnother: clients that say nothing keep nobody
// from being served.
func TestHandshakesDoNotWaitForOneAnother(t *testing.T) {
	s, _, conf := secure(t, nil)
	for range 50 {
		dial(t, s).raw([]byte{22, 3, 1})
	}
	eventually(t, "all are under way", func() bool { return s.Handshakes() == 50 })
	dialTLS(t, s, conf).session(10000)
}

func TestHandshakeLimit(t *testing.T) {
	s, p, conf := secure(t, func(c *Config) { c.TLS.MaxHandshakes = 1 })
	g := p.Stats().Guards
	first := dial(t, s)
	first.raw([]byte{22, 3, 1})
	eventually(t, "one is under way", func() bool { return s.Handshakes() == 1 })
	second := dial(t, s)
	second.raw([]byte{22, 3, 1})
	second.gone("one too many")
	if n := g.HandshakesRefused.Load(); n != 1 {
		t.Errorf("%d refused", n)
	}
	first.Close()
	eventually(t, "none is under way", func() bool { return s.Handshakes() == 0 })
	dialTLS(t, s, conf).session(10000)
}

func TestUnified(t *testing.T) {
	s, _, conf := secure(t, func(c *Config) { c.TLS.Unify = true })
	dialTLS(t, s, conf).session(10000)
	session(t, s, 10000)
	for _, c := range []*client{dial(t, s), dialTLS(t, s, conf)} {
		c.raw([]byte("ruok"))
		if b, err := io.ReadAll(c); err != nil || string(b) != "imok" {
			t.Fatalf("%q, %v", b, err)
		}
	}
}

func TestUnifiedSilence(t *testing.T) {
	s, _, _ := secure(t, func(c *Config) { c.TLS.Unify, c.TLS.DetectTimeout = true, 20*time.Millisecond })
	dial(t, s).gone("nothing said")
	c := dial(t, s)
	c.raw([]byte{22, 3})
	c.gone("half of what tells")
}

func TestTLSServerEndsWithStuckClient(t *testing.T) {
	s, _, conf := secure(t, nil)
	dialTLS(t, s, conf).session(10000)
	dialTLS(t, s, conf)
	dial(t, s)
	// The end of start's cleanup is what is tested: it waits for all of them.
}

func TestTLSHead(t *testing.T) {
	for text, want := range map[string][2]bool{
		"":             {false, false},
		"\x16":         {false, false},
		"\x16\x03":     {false, false},
		"\x16\x03\x01": {true, true},
		"\x16\x03\x05": {false, true},
		"\x16\x02":     {false, true},
		"ruok":         {false, true},
		"\x00\x00\x00": {false, true},
	} {
		if tls, known := tlsHead([]byte(text)); tls != want[0] || known != want[1] {
			t.Errorf("%x: %t %t", text, tls, known)
		}
	}
}

func FuzzSpeaksTLS(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00"))
	f.Add([]byte("srvr"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		secure, err := speaksTLS(r)
		if secure && (err != nil || len(data) < 3 || data[0] != 22) {
			t.Fatal(secure, err)
		}
		if rest, err := io.ReadAll(r); err != nil || !bytes.Equal(rest, data) {
			t.Fatal("bytes were taken")
		}
	})
}

func BenchmarkTLSGet100(b *testing.B) {
	s, _, conf := secure(b, nil)
	c := dialTLS(b, s, conf).session(60000)
	var batch []byte
	for range 100 {
		batch = append(batch, c.request(proto.OpGetData, getData("/"))...)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.raw(batch)
		for range 100 {
			c.read()
		}
	}
}
