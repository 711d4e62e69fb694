package fourletter

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve answers words on a loopback port until the test ends: with what answer
// returns, or by hanging until the client leaves when that is nil.
func serve(t *testing.T, answer func(word string) []byte) string {
	t.Helper()
	return serveOn(t, listen(t), answer)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func serveOn(t *testing.T, l net.Listener, answer func(word string) []byte) string {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				word := make([]byte, 4)
				if _, err := io.ReadFull(conn, word); err != nil {
					return
				}
				if a := answer(string(word)); a != nil {
					conn.Write(a)
				} else {
					io.Copy(io.Discard, conn)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// java plays a Java server of testdata; the words given are in its whitelist,
// none meaning all.
func java(t *testing.T, dir string, whitelist ...string) string {
	t.Helper()
	return serve(t, func(word string) []byte {
		if len(whitelist) > 0 && !strings.Contains(strings.Join(whitelist, ","), word) {
			return []byte(NotWhitelistedAnswer(word))
		}
		b, err := os.ReadFile(filepath.Join("testdata", dir, word+".txt"))
		if err != nil {
			return []byte{}
		}
		return b
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func TestAsk(t *testing.T) {
	ctx := t.Context()
	got, err := Ask(ctx, java(t, "3.8/leader"), Srvr)
	if err != nil || string(got) != string(golden(t, "3.8/leader/srvr.txt")) {
		t.Errorf("got %q, %v", got, err)
	}
	closed := freePort(t)
	tests := []struct {
		name, address, word string
		want                error
		try                 string
	}{
		{"bad word", closed, "lead!", ErrBadWord, "write one of conf,"},
		{"upper case", closed, "SRVR", ErrBadWord, "write one of conf,"},
		{"not whitelisted", java(t, "3.8/leader", Srvr), Mntr, ErrNotWhitelisted, "add 4lw.commands.whitelist=srvr,mntr (or *) to zoo.cfg on 127.0.0.1"},
		{"not serving", java(t, "3.8/not-serving"), Srvr, ErrNotServing, "look at the other servers"},
		{"closed at once", serve(t, func(string) []byte { return []byte{} }), Srvr, ErrEmpty, "is the client port and not one for TLS"},
		{"refused", closed, Srvr, nil, "check on 127.0.0.1 that the server runs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Ask(ctx, tt.address, tt.word)
			var ask *AskError
			if !errors.As(err, &ask) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(ask.Try, tt.try) || !strings.HasPrefix(err.Error(), tt.word+" "+tt.address+": ") {
				t.Errorf("got %v, try: %s", err, ask.Try)
			}
		})
	}
}

func TestAskTimeout(t *testing.T) {
	silent := serve(t, func(string) []byte { return nil })
	_, err := Client{Timeout: 20 * time.Millisecond}.Ask(t.Context(), silent, Srvr)
	var ask *AskError
	if !errors.As(err, &ask) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(ask.Try, "firewall") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	address := serve(t, func(string) []byte { close(asked); return nil })
	go func() { <-asked; cancel() }()
	if _, err := Ask(ctx, address, Srvr); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAskTLS(t *testing.T) {
	cert, pool := certificate(t)
	l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{cert}})
	address := serveOn(t, l, func(string) []byte { return []byte(Imok) })
	got, err := Client{TLS: &tls.Config{RootCAs: pool}}.Ask(t.Context(), address, Ruok)
	if err != nil || string(got) != Imok {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := (Client{TLS: &tls.Config{}}).Ask(t.Context(), address, Ruok); err == nil {
		t.Error("trusted a certificate it does not know")
	}
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestWithPort(t *testing.T) {
	for in, want := range map[string]string{"a": "a:2181", "a:1": "a:1", "::1": "[::1]:2181", "[::1]": "[::1]:2181", "[::1]:5": "[::1]:5", "10.0.0.1": "10.0.0.1:2181"} {
		if got := WithPort(in); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func TestStatus(t *testing.T) {
	ctx := t.Context()
	for _, version := range []string{"3.4", "3.8", "3.9"} {
		s := Client{}.Status(ctx, java(t, version+"/leader"))
		if s.State != Serving || s.Role != ModeLeader || s.Zxid != 0x100000009 || s.SyncedFollowers != 2 || s.Followers != 3 ||
			s.DataSize <= 0 || s.Ephemerals != 3 || s.Err != nil || s.MntrErr != nil {
			t.Errorf("%s: %+v", version, s)
		}
		if (s.Uptime > 0) != (version != "3.4") || (s.PeerState == "leading - broadcast") != (version != "3.4") {
			t.Errorf("%s: uptime %v, peer state %q", version, s.Uptime, s.PeerState)
		}
	}
	s := Client{}.Status(ctx, java(t, "3.8/follower", Srvr))
	if s.State != Serving || s.Role != ModeFollower || s.DataSize != Unknown || !errors.Is(s.MntrErr, ErrNotWhitelisted) {
		t.Errorf("srvr alone: %+v", s)
	}
	s = Client{}.Status(ctx, java(t, "3.8/follower", Stat))
	if s.State != Serving || s.Role != ModeFollower {
		t.Errorf("stat alone: %+v", s)
	}
	if s = (Client{}).Status(ctx, java(t, "3.8/follower", Ruok)); s.State != Mute || !errors.Is(s.Err, ErrNotWhitelisted) {
		t.Errorf("neither: %+v", s)
	}
	if s = (Client{}).Status(ctx, java(t, "3.8/not-serving")); s.State != NotServing || !errors.Is(s.Err, ErrNotServing) {
		t.Errorf("not serving: %+v", s)
	}
	if s = (Client{}).Status(ctx, serve(t, func(string) []byte { return []byte("SSH-2.0\n") })); s.State != Unreachable || !errors.Is(s.Err, ErrFormat) {
		t.Errorf("another service: %+v", s)
	}
}

func TestAllKeepsOrder(t *testing.T) {
	servers := []string{java(t, "3.8/follower"), freePort(t), java(t, "3.8/leader"), java(t, "3.8/observer")}
	all := Client{}.All(t.Context(), servers, 2)
	var roles []string
	for _, s := range all {
		roles = append(roles, s.Role)
	}
	if got := strings.Join(roles, ","); got != "follower,,leader,observer" {
		t.Errorf("got %s", got)
	}
	e := Evaluate(all, 3)
	if e.Verdict != Degraded || e.Leader != 2 || len(e.Reasons) != 1 {
		t.Errorf("%v: %v", e.Verdict, e.Reasons)
	}
}
