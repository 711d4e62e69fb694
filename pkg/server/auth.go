package server

import (
	"fmt"
	"os"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/auth/jaas"
)

// newPolicy makes the configuration's rules of authentication, and warns of
// what works but hardly as its writer meant it.
func (s *Server) newPolicy() (*auth.Policy, error) {
	users, err := s.saslUsers()
	if err != nil {
		return nil, err
	}
	c := s.cfg
	cfg := auth.Config{
		SkipACL: c.SkipACL, SuperDigest: c.SuperDigest, DigestAlg: c.DigestAlg, NoDigest: !c.DigestAuthEnabled,
		TLS: c.TLS.Enabled, TLSProvider: c.TLS.AuthProvider, X509SuperUser: c.X509SuperUser,
		Users: users, SuperPassword: c.SASL.SuperPassword, SASLSuperUsers: c.SuperUsers, AnySASLUser: c.SASL.AnyUser,
		RemoveHost: c.SASL.RemoveHost, RemoveRealm: c.SASL.RemoveRealm, AllowFailedSASL: c.SASL.AllowFailedClients,
		Enforced: c.EnforceAuthEnabled, EnforcedSchemes: c.EnforceAuthSchemes, RequireSASL: c.SASL.RequireClientAuth,
	}
	for _, p := range c.AuthProviders {
		cfg.Providers = append(cfg.Providers, auth.Provider{Key: p.Key, Class: p.Value})
	}
	if c.EnsembleAuthName != "" {
		for name := range strings.SplitSeq(c.EnsembleAuthName, ",") {
			cfg.EnsembleNames = append(cfg.EnsembleNames, strings.TrimSpace(name))
		}
	}
	policy, err := auth.New(cfg)
	if err != nil {
		return nil, err
	}
	for _, p := range policy.Missing() {
		s.log.Warn("a Java class cannot be loaded here: its scheme is unknown, and ACLs that name it let nobody in; known are SASL, X509, Digest, IP and EnsembleAuthenticationProvider of org.apache.zookeeper.server.auth",
			"key", p.Key, "class", p.Class)
	}
	s.warnOfSASL(policy, users)
	return policy, nil
}

func (s *Server) warnOfSASL(policy *auth.Policy, users map[string]string) {
	switch offered := policy.Offers("sasl"); {
	case users != nil && !offered:
		s.log.Warn("SASL users can log in, but ACLs of scheme sasl are refused and name nobody: add authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
			"file", s.cfg.SASL.JAASFile)
	case users == nil && offered:
		s.log.Warn("ACLs may name SASL users, but nobody can log in as one: name a file with a section for the server (java.security.auth.login.config)",
			"section", s.cfg.SASL.ServerContext)
	}
}

// saslUsers reads the users and passwords of the server's login context; nil
// when there is none, as Apache goes on without SASL then
// (ServerCnxnFactory.java, configureSaslLogin).
func (s *Server) saslUsers() (map[string]string, error) {
	location, context := s.cfg.SASL.JAASFile, s.cfg.SASL.ServerContext
	if location == "" {
		return nil, nil
	}
	file, err := jaas.Load(location)
	if err != nil {
		return nil, err
	}
	section, ok := file.Section(context)
	if !ok && s.cfg.QuorumAuth.EnableSasl {
		return nil, nil // the file is for servers
	}
	if !ok {
		s.log.Warn("the login configuration has no section for clients of this server, so SASL is not offered (sasl.serverconfig)",
			"file", file.Name, "wanted", context, "sections", file.Names())
		return nil, nil
	}
	if section.Kerberos() {
		return nil, fmt.Errorf("%s: section %s logs in with Kerberos, which is not offered here: list users with org.apache.zookeeper.server.auth.DigestLoginModule, or let sasl.serverconfig name another section",
			file.Name, context)
	}
	if info, err := os.Stat(file.Name); err == nil && info.Mode().Perm()&0o004 != 0 {
		s.log.Warn("every account on this host can read the passwords of SASL users: chmod o-r", "file", file.Name)
	}
	return section.Users()
}
