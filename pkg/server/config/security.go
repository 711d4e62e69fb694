package config

import "time"

// TLS is how one kind of connection is protected: those of clients (keys
// ssl.*) or those between servers (keys ssl.quorum.*). Source: X509Util.java,
// ClientX509Util.java, QuorumX509Util.java.
type TLS struct {
	// Enabled says that TLS is asked for. Between servers it is the key sslQuorum
	// (default false); for clients it is true when secureClientPort is set or
	// PortUnification is on.
	Enabled bool
	// PortUnification takes TLS and plain connections on one port. Keys
	// client.portUnification (on clientPort) and portUnification (between
	// servers). Default false.
	PortUnification bool
	// CertReload reads the stores again when their files change. Keys
	// client.certReload and sslQuorumReloadCertFiles. Default false.
	CertReload bool
	// KeyStore holds this server's certificate and key, TrustStore the
	// authorities that others' certificates must be signed by. Keys
	// ssl.keyStore.* and ssl.trustStore.*.
	KeyStore, TrustStore Store
	// Protocol is the version of TLS that is offered when EnabledProtocols is
	// empty, by Java's name: TLSv1.3, TLSv1.2. "": TLSv1.3 and TLSv1.2. Key ssl.protocol.
	Protocol string
	// EnabledProtocols and CipherSuites are Java's names, comma-separated in the
	// file; empty: a sound choice. Keys ssl.enabledProtocols and ssl.ciphersuites.
	EnabledProtocols, CipherSuites []string
	// ContextSupplierClass names a Java class that makes the context; there is
	// none here. Key ssl.context.supplier.class.
	ContextSupplierClass string
	// HostnameVerification checks the name in the certificate of who is connected
	// to. Key ssl.hostnameVerification. Default true.
	HostnameVerification bool
	// ClientHostnameVerification checks the name in the certificate of who
	// connects; only with HostnameVerification. Key ssl.clientHostnameVerification.
	// Default false for clients, true between servers.
	ClientHostnameVerification bool
	// CRL and OCSP ask whether certificates were revoked. Keys ssl.crl and ssl.ocsp. Default false.
	CRL, OCSP bool
	// ClientAuth says whether who connects shows a certificate: none, want or
	// need. Key ssl.clientAuth. Default need.
	ClientAuth string
	// HandshakeDetectionTimeout is how long the first bytes may take, in ms. Key
	// ssl.handshakeDetectionTimeoutMillis. Default 5 s, at least 1 ms.
	HandshakeDetectionTimeout time.Duration
	// OutstandingHandshakes is how many handshakes may be under way at a time;
	// less than 1: any number. Key netty.server.outstandingHandshake.limit, for
	// clients only. Default -1. Source: NettyServerCnxnFactory.java.
	OutstandingHandshakes int
	// AuthProvider is the scheme that judges client certificates: the N of an
	// authProvider.N. Key ssl.authProvider, for clients only. Default x509.
	AuthProvider string
	// Provider is Netty's choice of a TLS library. Key ssl.sslProvider, for
	// clients only. Default JDK; no effect here.
	Provider string
}

// Store is one file of certificates or keys.
type Store struct {
	// Location is the path of the file; "": none.
	Location string
	// Password opens the file; secret. "": none.
	Password string
	// PasswordPath is a file whose content is the password; it wins over Password.
	PasswordPath string
	// Type is JKS, PEM, PKCS12 or BCFKS in any case; "": by the file's extension
	// (.jks, .pem, .p12 or .pfx, .bcfks). Source: KeyStoreFileType.java.
	Type string
}

// SASL is authentication of clients by SASL. Source: ZooKeeperSaslServer.java,
// SASLAuthenticationProvider.java, ZooKeeperServer.java.
type SASL struct {
	// JAASFile names the file with the login contexts of clients and peers. Key
	// java.security.auth.login.config, without zookeeper. before it. "": no SASL.
	JAASFile string
	// ServerContext is the context in JAASFile that serves clients. Key
	// sasl.serverconfig. Default Server.
	ServerContext string
	// AllowFailedClients lets a client go on whose SASL authentication failed.
	// Key allowSaslFailedClients. Default false.
	AllowFailedClients bool
	// AnyUser is the id of ACLs of scheme sasl that every SASL user matches; "":
	// none. Key letAnySaslUserDoX.
	AnyUser string
	// SuperPassword is the password of the SASL user super, if the context lists
	// one; secret; "": the one listed. Key SASLAuthenticationProvider.superPassword.
	// Source: SaslServerCallbackHandler.java.
	SuperPassword string
	// RequireClientAuth refuses sessions without SASL authentication. Key
	// sessionRequireClientSASLAuth. Default false.
	RequireClientAuth bool
	// RemoveHost, RemoveRealm shorten a Kerberos principal to what ACLs name;
	// CanonicalizeHostNames asks the DNS for a server's name. Keys
	// kerberos.removeHostFromPrincipal, kerberos.removeRealmFromPrincipal and
	// kerberos.canonicalizeHostNames. Default false.
	RemoveHost, RemoveRealm, CanonicalizeHostNames bool
}

// QuorumAuth is authentication between servers by SASL. Keys quorum.auth.*.
// Source: QuorumAuth.java, QuorumPeerConfig.java.
type QuorumAuth struct {
	// EnableSasl offers it, LearnerRequireSasl and ServerRequireSasl refuse peers
	// without. Default false; each needs the one before.
	EnableSasl, LearnerRequireSasl, ServerRequireSasl bool
	// LearnerContext and ServerContext are the login contexts in the JAAS file.
	// Keys quorum.auth.learner.saslLoginContext and
	// quorum.auth.server.saslLoginContext. Default QuorumLearner and QuorumServer.
	LearnerContext, ServerContext string
	// ServicePrincipal is the Kerberos principal of servers. Key
	// quorum.auth.kerberos.servicePrincipal. Default zkquorum/localhost.
	ServicePrincipal string
}

// Admin is the AdminServer. Keys admin.*. Source: JettyAdminServer.java, Commands.java.
type Admin struct {
	// Enabled starts it. Key admin.enableServer; only "false" turns it off. Default true.
	Enabled bool
	// Address and Port are where it listens. Keys admin.serverAddress and
	// admin.serverPort. Default 127.0.0.1, where Apache has 0.0.0.0, and 8080.
	Address string
	Port    int
	// CommandURL is the path under which commands stand. Default /commands.
	CommandURL string
	// IdleTimeout ends silent connections, in ms. Default 30 s; less than 1: never.
	IdleTimeout time.Duration
	// HTTPVersion is 11, or 10 for HTTP/1.0. Key admin.httpVersion. Default 11.
	HTTPVersion int
	// PortUnification takes HTTP and HTTPS on the port, ForceHTTPS only HTTPS,
	// NeedClientAuth asks for a certificate. Keys and certificates are those of
	// ssl.quorum.*. Keys admin.portUnification, admin.forceHttps and
	// admin.needClientAuth. Default false.
	PortUnification, ForceHTTPS, NeedClientAuth bool
	// RateLimiterInterval is the time between two snapshots or restores that are
	// allowed. Key admin.rateLimiterIntervalInMS. Default 300 s.
	RateLimiterInterval time.Duration
	// SnapshotEnabled and RestoreEnabled offer these commands. Keys
	// admin.snapshot.enabled and admin.restore.enabled. Default true.
	SnapshotEnabled, RestoreEnabled bool
	// UseXForwardedFor takes the address of the ip scheme from the header
	// X-Forwarded-For. Key IPAuthenticationProvider.usexforwardedfor. Default false.
	UseXForwardedFor bool
}

// Metrics is metricsProvider.*. Source: PrometheusMetricsProvider.java.
type Metrics struct {
	// ClassName is the Java class of the provider; one whose name ends in
	// PrometheusMetricsProvider serves /metrics on Port. Key metricsProvider.className.
	ClassName string
	// Host and Port are where metrics are served. Keys metricsProvider.httpHost and
	// metricsProvider.httpPort. Default 0.0.0.0 and 7000.
	Host string
	Port int
	// ExportRuntime adds metrics of the runtime. Key metricsProvider.exportJvmInfo. Default true.
	ExportRuntime bool
}

// Prometheus tells whether metrics are to be served over HTTP for Prometheus.
func (m Metrics) Prometheus() bool { return hasSuffixFold(m.ClassName, "PrometheusMetricsProvider") }
