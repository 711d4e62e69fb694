package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestSecure asks a port for TLS, and one for both, with and without TLS.
func TestSecure(t *testing.T) {
	known := httptest.NewTLSServer(nil) // for its certificate
	defer known.Close()
	pool := x509.NewCertPool()
	pool.AddCert(known.Certificate())
	for name, tt := range map[string]struct {
		plain, need         bool
		wantPlain, wantHTTP bool
	}{
		"https only":         {wantHTTP: true},
		"both":               {plain: true, wantPlain: true, wantHTTP: true},
		"certificate needed": {plain: true, need: true, wantPlain: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s, err := Listen(ctx, Options{
				Address: "127.0.0.1:0", Handler: Handler(config(true)), Plain: tt.plain, NeedCertificate: tt.need, Logger: discard,
				TLS: func() *tls.Config {
					return &tls.Config{Certificates: known.TLS.Certificates, ClientCAs: pool, MinVersion: tls.VersionTLS12}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(ctx) }()
			client := &http.Client{Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
			}}
			for scheme, want := range map[string]bool{"http": tt.wantPlain, "https": tt.wantHTTP} {
				r, err := client.Get(scheme + "://" + s.Addr().String() + "/commands/ruok")
				if err == nil {
					_ = r.Body.Close()
				}
				if ok := err == nil && r.StatusCode == http.StatusOK; ok != want {
					t.Errorf("%s: served %v (%v), want %v", scheme, ok, err, want)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
