package inventory

import (
	"net"
	"strconv"
	"strings"
)

// secureKey is the key of zoo.cfg for the port with TLS.
const secureKey = "secureClientPort"

// OnlySecure tells whether the server has no client port without TLS.
func (p Ports) OnlySecure() bool { return p.SecureOnly != nil && *p.SecureOnly }

// Given tells whether anything is said about TLS.
func (t TLS) Given() bool { return t != TLS{} }

// Insecure tells whether any server is believed.
func (t TLS) Insecure() bool { return t.InsecureSkipVerify != nil && *t.InsecureSkipVerify }

// ClientPort is the port to ask the server at, and whether it speaks TLS: the
// secure one when there is no other, or when the inventory says how to use TLS.
func (s Server) ClientPort() (port int, secure bool) {
	if s.Ports.SecureClient != 0 && (s.Ports.OnlySecure() || s.TLS.Given()) {
		return s.Ports.SecureClient, true
	}
	return s.Ports.Client, s.TLS.Given() && s.unified()
}

// ClientEndpoint is the host:port to ask the server at from other machines, and
// whether that speaks TLS.
func (s Server) ClientEndpoint() (address string, secure bool) {
	port, secure := s.ClientPort()
	return net.JoinHostPort(s.ClientAddress, strconv.Itoa(port)), secure
}

// unified tells whether the client port takes TLS as well.
func (s Server) unified() bool {
	v, _ := s.Config.Get("client.portUnification")
	return strings.EqualFold(v, "true")
}

// secure settles the ports and files for TLS. The port may be set under ports or
// under config; from here on it stands in both.
func (s *resolver) secure(i int, out *Server, tls TLS) {
	s.securePort(i, out)
	out.TLS = s.tlsFiles(i, tls)
	if out.Ports.OnlySecure() {
		s.onlySecure(i, out)
	}
	if out.Ports.SecureClient == 0 && !out.unified() {
		if tls.Given() {
			s.r.warn(s.at(i, "tls"), "set ports.secureClient", "%s has no port for TLS, so this has no effect on it", out.Name)
		}
		return
	}
	if _, set := out.Config.Get("ssl.keyStore.location"); !set {
		s.r.warn(s.at(i, "ports.secureClient", "config."+secureKey, "config.client.portUnification"),
			"set ssl.keyStore.location under config to the file on the host with the server's key and certificate", "%s has no certificate for TLS here", out.Name)
	}
}

func (s *resolver) securePort(i int, out *Server) {
	text, set := out.Config.Get(secureKey)
	port, _ := strconv.Atoi(text)
	switch {
	case set && out.Ports.SecureClient == 0:
		out.Ports.SecureClient = port
	case set && out.Ports.SecureClient != port:
		s.r.fault(s.at(i, "config."+secureKey), "remove one of the two", "%s is %s here, and ports.secureClient is %d", secureKey, text, out.Ports.SecureClient)
	case !set && out.Ports.SecureClient != 0:
		out.Config = out.Config.With(Config{{secureKey, strconv.Itoa(out.Ports.SecureClient)}})
	}
}

// onlySecure refuses what needs the port that is left out.
func (s *resolver) onlySecure(i int, out *Server) {
	at := s.at(i, "ports.secureOnly")
	if out.Ports.SecureClient == 0 {
		s.r.fault(at, "set ports.secureClient, such as 2281", "secureOnly leaves %s without a port for clients", out.Name)
	}
	for _, key := range []string{"clientPortAddress", "client.portUnification"} {
		if _, set := out.Config.Get(key); set {
			s.r.fault(s.at(i, "config."+key), "remove it, or ports.secureOnly", "%s is about the port that ports.secureOnly leaves out", key)
		}
	}
	if n := s.inv.places.at(hostPath(i) + ".ports.client"); n != nil {
		s.r.fault(n, "remove it, or ports.secureOnly", "ports.client is the port that ports.secureOnly leaves out")
	}
}

// tlsFiles makes the paths of the files absolute.
func (s *resolver) tlsFiles(i int, t TLS) TLS {
	if t.Key != "" && t.Cert == "" {
		s.r.fault(s.at(i, "tls.key"), "set tls.cert", "a key without its certificate cannot be shown")
	}
	for _, f := range []struct {
		key  string
		path *string
	}{{"ca", &t.CA}, {"cert", &t.Cert}, {"key", &t.Key}, {"keyPasswordFile", &t.KeyPasswordFile}} {
		if *f.path != "" {
			*f.path = s.local(s.at(i, "tls."+f.key), *f.path)
		}
	}
	return t
}
