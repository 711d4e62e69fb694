package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/zkctl/zkctl/pkg/server/admin"
	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tlsconf"
)

// adminServer is the HTTP side of a server.
type adminServer struct {
	w         *words
	snapshots admin.Limiter
	restores  admin.Limiter
	initial   any // zoo.cfg as it was at the start, without secrets; nil when it cannot be read
}

// openHTTP opens the ports of the AdminServer and of the metrics provider, as
// far as they are configured. Their Serve is to be run.
func (s *Server) openHTTP(ctx context.Context) ([]*admin.Server, error) {
	var ports []*admin.Server
	if m := s.cfg.Metrics; m.Prometheus() && m.Port > 0 {
		mux := http.NewServeMux()
		mux.Handle("/metrics", admin.MetricsHandler(s.metrics, m.ExportRuntime, s.log))
		p, err := admin.Listen(ctx, admin.Options{Address: hostPort(m.Host, m.Port), Handler: mux, Logger: s.log})
		if err != nil {
			return nil, fmt.Errorf("metricsProvider.httpPort: %w", err)
		}
		s.log.Info("metrics", "address", p.Addr().String())
		ports = append(ports, p)
	}
	p, err := s.openAdmin(ctx)
	if p != nil {
		ports = append(ports, p)
	}
	return ports, err
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// openAdmin opens the AdminServer's port; nil when there is none. A port that
// is taken stops a server that stands alone, if zoo.cfg names it, as it does in
// Apache; a member of an ensemble goes on without. Nobody asked for the default
// port: it may be another server's on the same host, and is done without.
func (s *Server) openAdmin(ctx context.Context) (*admin.Server, error) {
	c := s.cfg.Admin
	if !c.Enabled {
		return nil, nil //nolint:nilnil // none is no error
	}
	o := admin.Options{Address: hostPort(c.Address, c.Port), Idle: c.IdleTimeout, Handler: s.adminHandler(), Once: c.HTTPVersion == 10, Logger: s.log}
	if err := s.adminTLS(&o); err != nil {
		return nil, err
	}
	p, err := admin.Listen(ctx, o)
	if err == nil {
		s.log.Info("AdminServer", "address", p.Addr().String(), "commands", c.CommandURL)
		return p, nil
	}
	_, asked := s.cfg.Raw["admin.serverPort"]
	switch {
	case !asked && errors.Is(err, syscall.EADDRINUSE):
		s.log.Info("no AdminServer: its default port is taken; admin.serverPort gives it another, admin.enableServer=false turns it off", "err", err)
	case s.cfg.Distributed():
		s.log.Warn("no AdminServer: correct admin.serverAddress and admin.serverPort, or turn it off with admin.enableServer=false", "err", err)
	default:
		return nil, fmt.Errorf("AdminServer: %w; correct admin.serverAddress and admin.serverPort, or turn it off with admin.enableServer=false", err)
	}
	return nil, nil //nolint:nilnil // likewise
}

// adminTLS adds the certificates of the quorum's TLS, if the AdminServer is to
// speak it.
func (s *Server) adminTLS(o *admin.Options) error {
	c := s.cfg.Admin
	if !c.PortUnification && !c.ForceHTTPS {
		if c.NeedClientAuth {
			return errors.New("admin.needClientAuth needs admin.forceHttps=true or admin.portUnification=true: without TLS there are no certificates")
		}
		return nil
	}
	keys, err := tlsconf.New(tlsconf.Options{Prefix: "ssl.quorum.", TLS: s.cfg.QuorumTLS, Logger: s.log})
	if err != nil {
		return fmt.Errorf("TLS of the AdminServer: %w", err)
	}
	s.adminKeys = keys
	o.TLS, o.Plain, o.NeedCertificate = keys.Server, !c.ForceHTTPS, c.NeedClientAuth
	return nil
}

func (s *Server) adminHandler() http.Handler {
	a := &adminServer{w: &s.words, initial: initialConfiguration(s.cfg)}
	a.snapshots.Every, a.restores.Every = s.cfg.Admin.RateLimiterInterval, s.cfg.Admin.RateLimiterInterval
	return admin.Handler(admin.Config{
		URL: s.cfg.Admin.CommandURL, Commands: a.commands(), Serving: s.pipeline.Serving, Authorize: a.authorize,
		Metrics: admin.MetricsHandler(s.metrics, s.cfg.Metrics.ExportRuntime, s.log), Logger: s.log,
	})
}

// initialConfiguration is zoo.cfg without its secrets.
func initialConfiguration(c *config.Config) any {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return nil
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		key, value, ok := strings.Cut(line, "=")
		if ok && config.Secret(strings.TrimSpace(key)) && strings.TrimSpace(value) != "" {
			lines[i] = key + "=" + config.Masked + "\n"
		}
	}
	return strings.Join(lines, "")
}

// authorize implements admin.Config.Authorize (Commands.java, AuthRequest).
func (a *adminServer) authorize(r *http.Request, c admin.Credentials) error {
	peer := auth.Peer{IP: a.clientIP(r)}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		peer.Certificates = r.TLS.VerifiedChains[0]
	}
	err := a.w.s.pipeline.RootRights(c.Scheme, []byte(c.Data), peer)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, proto.ErrNoAuth):
		return fmt.Errorf("%w: scheme %s gives no right to all of /", admin.ErrNotAuthorized, c.Scheme)
	}
	return fmt.Errorf("%w with scheme %s: %w", admin.ErrNotAuthenticated, c.Scheme, err)
}

// clientIP is the address that the scheme ip goes by.
func (a *adminServer) clientIP(r *http.Request) string {
	if a.w.s.cfg.Admin.UseXForwardedFor {
		if first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ","); strings.TrimSpace(first) != "" {
			return strings.TrimSpace(first)
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
