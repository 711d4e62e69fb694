package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// tlsSettings are the keys of one kind of connection: prefix is "ssl." or "ssl.quorum.".
func tlsSettings(prefix string, at func(*Config) *TLS) []setting {
	return slices.Concat(
		storeSettings(prefix+"keyStore.", func(c *Config) *Store { return &at(c).KeyStore }),
		storeSettings(prefix+"trustStore.", func(c *Config) *Store { return &at(c).TrustStore }),
		[]setting{
			text(prefix+"protocol", func(c *Config) *string { return &at(c).Protocol }),
			list(prefix+"enabledProtocols", func(c *Config) *[]string { return &at(c).EnabledProtocols }),
			list(prefix+"ciphersuites", func(c *Config) *[]string { return &at(c).CipherSuites }),
			text(prefix+"context.supplier.class", func(c *Config) *string { return &at(c).ContextSupplierClass }),
			flag(prefix+"hostnameVerification", func(c *Config) *bool { return &at(c).HostnameVerification }),
			flag(prefix+"clientHostnameVerification", func(c *Config) *bool { return &at(c).ClientHostnameVerification }),
			flag(prefix+"crl", func(c *Config) *bool { return &at(c).CRL }),
			flag(prefix+"ocsp", func(c *Config) *bool { return &at(c).OCSP }),
			choice(prefix+"clientAuth", []string{"none", "want", "need"}, func(c *Config) *string { return &at(c).ClientAuth }),
			floored(millis(prefix+"handshakeDetectionTimeoutMillis", 1, func(c *Config) *time.Duration { return &at(c).HandshakeDetectionTimeout }), func(*Config) {}),
		})
}

func storeSettings(prefix string, at func(*Config) *Store) []setting {
	return []setting{
		text(prefix+"location", func(c *Config) *string { return &at(c).Location }),
		text(prefix+"password", func(c *Config) *string { return &at(c).Password }),
		text(prefix+"passwordPath", func(c *Config) *string { return &at(c).PasswordPath }),
		choice(prefix+"type", []string{"JKS", "PEM", "PKCS12", "BCFKS"}, func(c *Config) *string { return &at(c).Type }),
	}
}

func securitySettings() []setting {
	return slices.Concat(
		tlsSettings("ssl.", func(c *Config) *TLS { return &c.TLS }),
		tlsSettings("ssl.quorum.", func(c *Config) *TLS { return &c.QuorumTLS }),
		[]setting{
			flag("client.portUnification", func(c *Config) *bool { return &c.TLS.PortUnification }),
			flag("client.certReload", func(c *Config) *bool { return &c.TLS.CertReload }),
			lenient(number("netty.server.outstandingHandshake.limit", math.MinInt32, math.MaxInt32, func(c *Config) *int { return &c.TLS.OutstandingHandshakes })),
			text("ssl.authProvider", func(c *Config) *string { return &c.TLS.AuthProvider }),
			text("ssl.sslProvider", func(c *Config) *string { return &c.TLS.Provider }),
			truth("sslQuorum", func(c *Config) *bool { return &c.QuorumTLS.Enabled }),
			truth("portUnification", func(c *Config) *bool { return &c.QuorumTLS.PortUnification }),
			truth("sslQuorumReloadCertFiles", func(c *Config) *bool { return &c.QuorumTLS.CertReload }),
			flag("fips-mode", func(c *Config) *bool { return &c.FIPSMode }),
			text("X509AuthenticationProvider.superUser", func(c *Config) *string { return &c.X509SuperUser }),
			flag("IPAuthenticationProvider.usexforwardedfor", func(c *Config) *bool { return &c.Admin.UseXForwardedFor }),
			flag("enforce.auth.enabled", func(c *Config) *bool { return &c.EnforceAuthEnabled }),
			list("enforce.auth.schemes", func(c *Config) *[]string { return &c.EnforceAuthSchemes }),
			flag("enableEagerACLCheck", func(c *Config) *bool { return &c.EagerACLCheck }),
			text("ensembleAuthName", func(c *Config) *string { return &c.EnsembleAuthName }),
		}, saslSettings())
}

func saslSettings() []setting {
	return []setting{
		text("java.security.auth.login.config", func(c *Config) *string { return &c.SASL.JAASFile }),
		text("sasl.serverconfig", func(c *Config) *string { return &c.SASL.ServerContext }),
		flag("allowSaslFailedClients", func(c *Config) *bool { return &c.SASL.AllowFailedClients }),
		text("letAnySaslUserDoX", func(c *Config) *string { return &c.SASL.AnyUser }),
		text("SASLAuthenticationProvider.superPassword", func(c *Config) *string { return &c.SASL.SuperPassword }),
		flag("sessionRequireClientSASLAuth", func(c *Config) *bool { return &c.SASL.RequireClientAuth }),
		flag("kerberos.removeHostFromPrincipal", func(c *Config) *bool { return &c.SASL.RemoveHost }),
		flag("kerberos.removeRealmFromPrincipal", func(c *Config) *bool { return &c.SASL.RemoveRealm }),
		flag("kerberos.canonicalizeHostNames", func(c *Config) *bool { return &c.SASL.CanonicalizeHostNames }),
		truth("quorum.auth.enableSasl", func(c *Config) *bool { return &c.QuorumAuth.EnableSasl }),
		truth("quorum.auth.learnerRequireSasl", func(c *Config) *bool { return &c.QuorumAuth.LearnerRequireSasl }),
		truth("quorum.auth.serverRequireSasl", func(c *Config) *bool { return &c.QuorumAuth.ServerRequireSasl }),
		text("quorum.auth.learner.saslLoginContext", func(c *Config) *string { return &c.QuorumAuth.LearnerContext }),
		text("quorum.auth.server.saslLoginContext", func(c *Config) *string { return &c.QuorumAuth.ServerContext }),
		text("quorum.auth.kerberos.servicePrincipal", func(c *Config) *string { return &c.QuorumAuth.ServicePrincipal }),
	}
}

func adminSettings() []setting {
	return []setting{
		unless("admin.enableServer", "false", func(c *Config) *bool { return &c.Admin.Enabled }),
		text("admin.serverAddress", func(c *Config) *string { return &c.Admin.Address }),
		lenient(number("admin.serverPort", 0, maxPort, func(c *Config) *int { return &c.Admin.Port })),
		text("admin.commandURL", func(c *Config) *string { return &c.Admin.CommandURL }),
		lenient(millis("admin.idleTimeout", math.MinInt32, func(c *Config) *time.Duration { return &c.Admin.IdleTimeout })),
		lenient(number("admin.httpVersion", 10, 11, func(c *Config) *int { return &c.Admin.HTTPVersion })),
		flag("admin.portUnification", func(c *Config) *bool { return &c.Admin.PortUnification }),
		flag("admin.forceHttps", func(c *Config) *bool { return &c.Admin.ForceHTTPS }),
		flag("admin.needClientAuth", func(c *Config) *bool { return &c.Admin.NeedClientAuth }),
		lenient(millis("admin.rateLimiterIntervalInMS", 0, func(c *Config) *time.Duration { return &c.Admin.RateLimiterInterval })),
		flag("admin.snapshot.enabled", func(c *Config) *bool { return &c.Admin.SnapshotEnabled }),
		flag("admin.restore.enabled", func(c *Config) *bool { return &c.Admin.RestoreEnabled }),
		text("metricsProvider.className", func(c *Config) *string { return &c.Metrics.ClassName }),
		text("metricsProvider.httpHost", func(c *Config) *string { return &c.Metrics.Host }),
		number("metricsProvider.httpPort", 0, maxPort, func(c *Config) *int { return &c.Metrics.Port }),
		flag("metricsProvider.exportJvmInfo", func(c *Config) *bool { return &c.Metrics.ExportRuntime }),
		flag("audit.enable", func(c *Config) *bool { return &c.AuditEnabled }),
		text("auditlog.file", func(c *Config) *string { return &c.AuditFile }),
		text("audit.impl.class", func(c *Config) *string { return &c.AuditClass }),
	}
}

// collections are keys of which each stands for one element of a list.
func collections() []string { return []string{"authProvider.", "superUser."} }

func isCollected(key string) bool {
	return key == "superUser" || slices.ContainsFunc(collections(), func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// collect fills the lists from the keys of the file.
func (c *Config) collect() {
	for key, value := range c.Raw {
		switch {
		case strings.HasPrefix(key, "authProvider."):
			c.AuthProviders = append(c.AuthProviders, Pair{key, value})
		case isCollected(key):
			c.SuperUsers = append(c.SuperUsers, value)
		}
	}
	slices.SortFunc(c.AuthProviders, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
	slices.Sort(c.SuperUsers)
}

// list is words separated by commas.
func list(name string, field func(*Config) *[]string) setting {
	return setting{name: name, set: func(c *Config, v string) *complaint {
		*field(c) = nil
		for word := range strings.SplitSeq(v, ",") {
			if word = trim(word); word != "" {
				*field(c) = append(*field(c), word)
			}
		}
		return nil
	}, get: func(c *Config) string { return strings.Join(*field(c), ",") }}
}

// choice is one of the words, in any case; "" is the default. Apache does not start with another.
func choice(name string, words []string, field func(*Config) *string) setting {
	return setting{name: name, set: func(c *Config, v string) *complaint {
		i := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, v) })
		if i < 0 && v != "" {
			return &complaint{fmt.Sprintf("%q is none of %s", v, strings.Join(words, ", ")), "write one of them"}
		}
		if i >= 0 {
			*field(c) = words[i]
		}
		return nil
	}, get: func(c *Config) string { return *field(c) }}
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}
