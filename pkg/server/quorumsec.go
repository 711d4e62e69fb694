package server

import (
	"errors"
	"fmt"
	"os"

	"github.com/zkctl/zkctl/pkg/server/auth/jaas"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/tlsconf"
)

// loadQuorumSecurity reads what protects the ports between servers.
func (s *Server) loadQuorumSecurity() (err error) {
	if !s.cfg.Distributed() {
		return nil
	}
	if s.quorumSASL, err = s.newQuorumSASL(); err != nil {
		return fmt.Errorf("SASL between servers: %w", err)
	}
	c := s.cfg.QuorumTLS
	if !c.Enabled && !c.PortUnification {
		return nil
	}
	if c.ContextSupplierClass != "" {
		return errors.New("TLS between servers: ssl.quorum.context.supplier.class names a Java class, and there is none here: name files with ssl.quorum.keyStore.* and ssl.quorum.trustStore.*")
	}
	if s.quorumKeys, err = tlsconf.New(tlsconf.Options{Prefix: "ssl.quorum.", TLS: c, Logger: s.log}); err != nil {
		return fmt.Errorf("TLS between servers: %w", err)
	}
	return nil
}

// quorumTLS is how the ports between servers use the certificates; nil without TLS.
func (s *Server) quorumTLS() *quorum.TLS {
	if s.quorumKeys == nil {
		return nil
	}
	c := s.cfg.QuorumTLS
	return &quorum.TLS{
		Accept: s.quorumKeys.Accept, Connect: s.quorumKeys.ConnectPeer,
		Dial: c.Enabled, Plain: c.PortUnification, DetectTimeout: c.HandshakeDetectionTimeout,
	}
}

// newQuorumSASL reads the login contexts for servers. Both must be there, as for
// Apache (SaslQuorumAuthServer.java, SaslQuorumAuthLearner.java).
func (s *Server) newQuorumSASL() (*quorum.SASL, error) {
	q := s.cfg.QuorumAuth
	if !q.EnableSasl {
		return nil, nil //nolint:nilnil // nil is how quorum knows that there is none
	}
	if s.cfg.SASL.JAASFile == "" {
		return nil, errors.New("quorum.auth.enableSasl=true, and java.security.auth.login.config names no file with users and passwords")
	}
	file, err := jaas.Load(s.cfg.SASL.JAASFile)
	if err != nil {
		return nil, err
	}
	learner, err := quorumSection(file, q.LearnerContext, "quorum.auth.learner.saslLoginContext")
	if err != nil {
		return nil, err
	}
	server, err := quorumSection(file, q.ServerContext, "quorum.auth.server.saslLoginContext")
	if err != nil {
		return nil, err
	}
	out := &quorum.SASL{Login: q.LearnerRequireSasl, Require: q.ServerRequireSasl}
	if out.Users, err = server.Users(); err != nil {
		return nil, err
	}
	if out.Login {
		if out.User, out.Password, err = learner.Login(); err != nil {
			return nil, err
		}
	}
	s.warnOfQuorumSASL(file.Name, out)
	return out, nil
}

// quorumSection finds a login context that key names.
func quorumSection(file *jaas.File, name, key string) (jaas.Section, error) {
	section, ok := file.Section(name)
	switch {
	case !ok:
		return section, fmt.Errorf("%s has no section %s, only %q: add it, or name another with %s", file.Name, name, file.Names(), key)
	case section.Kerberos():
		return section, fmt.Errorf("%s: section %s logs in with Kerberos, which is not offered here: use org.apache.zookeeper.server.auth.DigestLoginModule, or name another section with %s", file.Name, name, key)
	}
	return section, nil
}

func (s *Server) warnOfQuorumSASL(file string, q *quorum.SASL) {
	if !q.Require {
		s.log.Warn("servers that do not authenticate are let in: set quorum.auth.serverRequireSasl=true once all do")
	}
	if len(q.Users) == 0 {
		s.log.Warn("no server can authenticate: the section lists no user_NAME=password", "file", file, "section", s.cfg.QuorumAuth.ServerContext)
	}
	if password, ok := q.Users[q.User]; q.Login && (!ok || password != q.Password) {
		s.log.Warn("this server would not let itself in: the user and password it logs in with are not among those it takes",
			"file", file, "user", q.User, "sections", []string{s.cfg.QuorumAuth.LearnerContext, s.cfg.QuorumAuth.ServerContext})
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
		s.log.Warn("every account on this host can read the passwords of servers: chmod o-r", "file", file)
	}
}
