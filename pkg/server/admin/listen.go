package admin

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/zkctl/zkctl/pkg/server/portuse"
)

// Bounds on what a client of an HTTP port may take.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 60 * time.Second // also of answers; commands that move much lift it
	headerBytes   = 8 << 10
	farewell      = 5 * time.Second // how long answers under way may take when the server ends
)

// A Server is a listening HTTP port.
type Server struct {
	ln   net.Listener
	http *http.Server
}

// Options say how an HTTP port is to be served.
type Options struct {
	// Address is where to listen, "host:port".
	Address string
	// Handler answers.
	Handler http.Handler
	// Idle ends connections without a request; 0 and less: never.
	Idle time.Duration
	// TLS gives the certificates for a new connection; nil for a plain port.
	TLS func() *tls.Config
	// Plain takes connections without TLS on the same port, too.
	Plain bool
	// NeedCertificate refuses TLS clients that do not show a certificate.
	NeedCertificate bool
	// Once ends a connection after one answer, as HTTP/1.0 does.
	Once bool
	// Logger takes what an operator should know.
	Logger *slog.Logger
}

// Listen opens an HTTP port; Serve must follow. The error names who holds the
// port.
func Listen(ctx context.Context, o Options) (*Server, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("HTTP port %s: %w", o.Address, portuse.Explain(err, o.Address))
	}
	if o.TLS != nil {
		ln = secure(ln, o)
	}
	s := &Server{ln: ln, http: &http.Server{
		Handler: o.Handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: bodyTimeout,
		IdleTimeout: max(o.Idle, 0), MaxHeaderBytes: headerBytes, DisableGeneralOptionsHandler: true,
		ErrorLog: log.New(debugWriter{o.Logger}, "", 0),
	}}
	s.http.SetKeepAlivesEnabled(!o.Once)
	return s, nil
}

// Close gives back a port that will not be served.
func (s *Server) Close() error { return s.ln.Close() }

// debugWriter logs what net/http says of clients that misbehave.
type debugWriter struct{ log *slog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug("HTTP port", "says", string(p))
	return len(p), nil
}

var _ io.Writer = debugWriter{}

// Addr is where the port listens.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("HTTP port %s: %w", s.ln.Addr(), err)
	case <-ctx.Done():
	}
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := s.http.Shutdown(soon); err != nil {
		_ = s.http.Close() // who is still served is cut off
	}
	<-ended
	return nil
}
