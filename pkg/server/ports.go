package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/zkctl/zkctl/pkg/server/front"
	"github.com/zkctl/zkctl/pkg/server/tlsconf"
)

// loadKeys reads the certificates of the client ports, if one of them wants any.
func (s *Server) loadKeys() (err error) {
	if !s.cfg.TLS.Enabled {
		return nil
	}
	if s.keys, err = tlsconf.New(tlsconf.Options{Prefix: "ssl.", TLS: s.cfg.TLS, Logger: s.log}); err != nil {
		return fmt.Errorf("TLS for clients: %w", err)
	}
	return nil
}

// listen opens the client ports: the plain one, which may take TLS as well, and
// that for TLS alone. Each counts its own connections against the limits, as
// Apache's factories do.
func (s *Server) listen(ctx context.Context) error {
	c := s.cfg
	if c.ClientPort != 0 {
		f := s.frontConfig()
		f.Addr = net.JoinHostPort(c.ClientPortAddress, strconv.Itoa(c.ClientPort))
		if c.TLS.PortUnification {
			f.TLS = s.frontTLS()
			f.TLS.Unify = true
		}
		if err := s.open(ctx, f); err != nil {
			return err
		}
	}
	if c.SecureClientPort != 0 {
		f := s.frontConfig()
		f.Addr = net.JoinHostPort(c.SecureClientPortAddress, strconv.Itoa(c.SecureClientPort))
		f.TLS = s.frontTLS()
		if err := s.open(ctx, f); err != nil {
			return errors.Join(err, s.closePorts())
		}
	}
	return nil
}

func (s *Server) open(ctx context.Context, f front.Config) error {
	port, err := front.Listen(ctx, f, s.pipeline)
	if err == nil {
		s.fronts = append(s.fronts, port)
	}
	return err
}

// closePorts gives back ports that will not be served.
func (s *Server) closePorts() error {
	var errs []error
	for _, f := range s.fronts {
		errs = append(errs, f.Close())
	}
	for _, h := range s.httpPorts {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}

func (s *Server) frontTLS() *front.TLS {
	c := s.cfg.TLS
	return &front.TLS{Accept: s.keys.Accept, DetectTimeout: c.HandshakeDetectionTimeout, MaxHandshakes: c.OutstandingHandshakes}
}

// portOrNone is how the word conf tells a port; -1 means that there is none.
func portOrNone(port int) int64 {
	if port == 0 {
		return -1
	}
	return int64(port)
}

// strangers are the connections of all ports that have no session.
func (s *Server) strangers() (out []front.Stranger) {
	for _, f := range s.fronts {
		out = append(out, f.Strangers()...)
	}
	return out
}

// handshakes is how many TLS handshakes are under way.
func (s *Server) handshakes() (n int64) {
	for _, f := range s.fronts {
		n += f.Handshakes()
	}
	return n
}
