package config

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Config is a zoo.cfg with every default filled in. The comment of each field
// gives key, unit, default, range and where Apache defines it; "Guide" is
// zookeeperAdmin.md. It is written by [Load], [Parse] and [Config.ReadMyID] and
// only read afterwards, from any goroutine.
type Config struct {
	// File is the name the configuration was read from.
	File string
	// Raw holds every key of zoo.cfg and of the sources outside of it (see
	// [Source]) as written, trimmed; of a key that stands twice, the value that
	// wins. Keys of the dynamic file are not in it.
	Raw map[string]string

	// Storage.

	// DataDir holds snapshots, myid and the epoch files (in version-2).
	// Required. Source: Guide, dataDir.
	DataDir string
	// DataLogDir holds the transaction log. Default: DataDir. Source: Guide, dataLogDir.
	DataLogDir string
	// SnapCount is how many transactions may be logged before a snapshot is
	// taken. Default 100000, at least 2. Source: ZooKeeperServer.java, getSnapCount.
	SnapCount int
	// SnapSizeLimitInKb is how many KiB may be logged before a snapshot is taken.
	// Default 4194304; 0 or less: no limit. Source: ZooKeeperServer.java.
	SnapSizeLimitInKb int64
	// TxnLogSizeLimitInKb starts a new log file above that many KiB. Default -1: no
	// limit. Source: FileTxnLog.java.
	TxnLogSizeLimitInKb int64
	// PreAllocSize is by how many KiB a log file grows. Default 65536; 0: no
	// preallocation. Source: FilePadding.java.
	PreAllocSize int64
	// CommitLogCount is how many committed transactions stay in memory to bring
	// learners up to date. Default 500, at least 500. Source: ZKDatabase.java.
	CommitLogCount int
	// ForceSync makes the log durable before a proposal is acknowledged. Default
	// yes; only "no" turns it off. Source: FileTxnLog.java.
	ForceSync bool
	// FsyncWarningThreshold is how long a sync may take before it is logged. Key
	// fsync.warningthresholdms, in ms. Default 1 s. Source: FileTxnLog.java.
	FsyncWarningThreshold time.Duration
	// SnapshotTrustEmpty lets a server start with log files but no snapshot. Key
	// snapshot.trust.empty. Default false. Source: FileTxnSnapLog.java.
	SnapshotTrustEmpty bool
	// DigestEnabled keeps a digest of the tree in log and snapshots. Key
	// digest.enabled. Default true. Source: ZooKeeperServer.java.
	DigestEnabled bool
	// DatadirAutocreate makes version-2 directories that are missing. Key
	// datadir.autocreate. Default true. Source: FileTxnSnapLog.java.
	DatadirAutocreate bool
	// DBAutocreate takes an empty directory for an empty database; when false only
	// the file "initialize" does. Key db.autocreate. Default true. Source: FileTxnSnapLog.java.
	DBAutocreate bool
	// PurgeRetainCount is how many snapshots a purge keeps. Key
	// autopurge.snapRetainCount. Default 3, at least 3. Source: DatadirCleanupManager.java.
	PurgeRetainCount int
	// PurgeInterval is the time between purges. Key autopurge.purgeInterval, in
	// hours. Default 0: no purge. Source: DatadirCleanupManager.java.
	PurgeInterval time.Duration
	// SnapshotCompression is how snapshots are compressed: "" (not), gz or snappy.
	// Key snapshot.compression.method. Source: SnapStream.java.
	SnapshotCompression string

	// Clients.

	// ClientPort serves clients without TLS; 0: none. Key clientPort, or the part
	// of this server's line after ";" (see [Config.ReadMyID]). Range 1..65535. Source: Guide, clientPort.
	ClientPort int
	// ClientPortAddress is the address ClientPort is bound to; "": all. Source: Guide, clientPortAddress.
	ClientPortAddress string
	// SecureClientPort serves clients with TLS; 0: none. Range 1..65535. Source: Guide, secureClientPort.
	SecureClientPort int
	// SecureClientPortAddress is the address SecureClientPort is bound to; "": all.
	// Source: Guide, secureClientPortAddress.
	SecureClientPortAddress string
	// ClientPortListenBacklog is the accept queue asked of the kernel; -1: its
	// default. Default -1. Source: Guide, clientPortListenBacklog.
	ClientPortListenBacklog int
	// MaxClientCnxns is how many connections one client address may have. Default
	// 60; 0: no limit. Source: Guide, maxClientCnxns.
	MaxClientCnxns int
	// MaxCnxns is how many connections the server takes in all. Default 0: no limit. Source: ServerCnxnFactory.java.
	MaxCnxns int
	// GlobalOutstandingLimit is how many requests may wait before clients are no
	// longer read. Default 1000. Source: ZooKeeperServer.java.
	GlobalOutstandingLimit int
	// TickTime is the unit of time of sessions and of the limits counted in ticks,
	// in ms. Default 3 s, at least 1 ms. Source: Guide, tickTime.
	TickTime time.Duration
	// MinSessionTimeout is the shortest session timeout granted, in ms. Default 2
	// ticks. Source: Guide, minSessionTimeout.
	MinSessionTimeout time.Duration
	// MaxSessionTimeout is the longest session timeout granted, in ms. Default 20
	// ticks; not below MinSessionTimeout. Source: Guide, maxSessionTimeout.
	MaxSessionTimeout time.Duration
	// ClientTCPKeepAlive sets keep-alive on client connections. Key
	// clientTcpKeepAlive. Default false. Source: ServerCnxnFactory.java.
	ClientTCPKeepAlive bool
	// JuteMaxBuffer is the largest packet accepted, in bytes. Key jute.maxbuffer.
	// Default 0xfffff, at least 1024 here. Source: BinaryInputArchive.java.
	JuteMaxBuffer int
	// SessionlessTimeout ends connections on which no session was asked for. Key
	// nio.sessionlessCnxnTimeout, in ms. Default 10 s. Source: NIOServerCnxnFactory.java.
	SessionlessTimeout time.Duration
	// LocalSessionsEnabled gives clients sessions that only their server knows.
	// Default false. Source: Guide, localSessionsEnabled.
	LocalSessionsEnabled bool
	// LocalSessionsUpgradingEnabled makes a local session global when it creates
	// an ephemeral znode. Default false. Source: Guide, localSessionsUpgradingEnabled.
	LocalSessionsUpgradingEnabled bool
	// ReadOnlyModeEnabled serves reads to clients that accept it while there is no
	// quorum. Key readonlymode.enabled. Default false. Source: QuorumPeer.java.
	ReadOnlyModeEnabled bool
	// ConnThrottle and RequestThrottle protect the server from too much at once.
	ConnThrottle    ConnThrottle
	RequestThrottle RequestThrottle

	// Ensemble.

	// Servers are the members, by ascending id; empty when zoo.cfg lists none.
	Servers []Server
	// Groups and Weights describe hierarchical quorums; both empty for majorities.
	// A server without a weight has 1. Source: QuorumHierarchical.java.
	Groups  []Group
	Weights map[int64]int64
	// DynamicConfigFile is where the members were read from; "": zoo.cfg itself.
	DynamicConfigFile string
	// Version of the member list: the hexadecimal end of the dynamic file's name,
	// otherwise 0. Source: QuorumPeerConfig.java, getVersionFromFilename.
	Version int64
	// MyID is this server's id; [Config.ReadMyID] sets it. 0 when standalone.
	MyID int64
	// PeerType is this server's role. Default participant; the member list wins.
	// Source: Guide, peerType.
	PeerType Role
	// InitLimit is how long a learner may take to join, in ticks. At least 1; no
	// default, an ensemble needs it. Source: Guide, initLimit.
	InitLimit int
	// SyncLimit is how long a follower may lag before the leader drops it, in
	// ticks. At least 1; no default, an ensemble needs it. Source: Guide, syncLimit.
	SyncLimit int
	// StandaloneEnabled lets a list of one voter run standalone. Default true.
	// Source: QuorumPeerConfig.java.
	StandaloneEnabled bool
	// LeaderServes gives the leader a client port. Default yes; only "no" turns it
	// off. Source: Leader.java.
	LeaderServes bool
	// QuorumListenOnAllIPs binds quorum and election port on every address. Default
	// false. Source: Guide, quorumListenOnAllIPs.
	QuorumListenOnAllIPs bool
	// MultiAddressEnabled allows several addresses a server, separated by "|".
	// Key multiAddress.enabled. Default false. Source: Guide.
	MultiAddressEnabled bool
	// CnxTimeout bounds a connect to an election port, in ms. Default 5 s. Source: QuorumCnxManager.java.
	CnxTimeout time.Duration
	// ElectionPortBindRetry is how often binding the election port is tried.
	// Default 3; 0: for ever. Source: QuorumCnxManager.java.
	ElectionPortBindRetry int
	// MinNotificationInterval and MaxNotificationInterval bound the pause between
	// election notifications, in ms. Keys fastleader.minNotificationInterval and
	// fastleader.maxNotificationInterval. Default 200 ms and 60 s. Source: FastLeaderElection.java.
	MinNotificationInterval, MaxNotificationInterval time.Duration
	// ReconfigEnabled lets clients change the member list. Default false. Source:
	// QuorumPeerConfig.java, reconfigEnabled.
	ReconfigEnabled bool
	// SyncEnabled makes an observer log and take snapshots. Default true. Source:
	// QuorumPeerConfig.java, syncEnabled.
	SyncEnabled bool
	// ObserverMasterPort is where a follower takes observers; 0: it does not.
	// Range 1..65535. Source: QuorumPeerConfig.java.
	ObserverMasterPort int
	// ForceSnapshotSync makes the leader send every learner a snapshot. Default
	// false. Source: LearnerHandler.java.
	ForceSnapshotSync bool
	// SnapshotSizeFactor is the share of the newest snapshot's size up to which a
	// learner is brought up to date from the log on disk. Default 0.33; negative: never;
	// 0: whatever the size. Above 1: the default.
	// Source: ZKDatabase.java.
	SnapshotSizeFactor float64
	// MaxConcurrentSnapSyncs and MaxConcurrentDiffSyncs are how many learners a
	// leader sends a snapshot or transactions to at once. Keys
	// leader.maxConcurrentSnapSyncs (or the older leader.maxConcurrentSnapshots)
	// and leader.maxConcurrentDiffSyncs. Default 10 and 100; 0 or less: the
	// default. Source: LearnerMaster.java.
	MaxConcurrentSnapSyncs, MaxConcurrentDiffSyncs int
	// QuorumAuth authenticates servers to each other.
	QuorumAuth QuorumAuth
	// EnsembleAuthName is what clients that name an ensemble must name; "": any.
	// Source: EnsembleAuthenticationProvider.java.
	EnsembleAuthName string

	// Rights.

	// SkipACL turns access control off. Default no; only "yes" turns it on. Source: ZooKeeperServer.java.
	SkipACL bool
	// SuperDigest is the digest of the super user, "super:<base64>"; "": none. Key
	// DigestAuthenticationProvider.superDigest. Source: DigestAuthenticationProvider.java.
	SuperDigest string
	// DigestAlg is the hash of the digest scheme: SHA1 (default), SHA-256, SHA-512
	// or another Java name. Key DigestAuthenticationProvider.digestAlg. Source: DigestAuthenticationProvider.java.
	DigestAlg string
	// DigestAuthEnabled offers the digest scheme. Key
	// DigestAuthenticationProvider.enabled. Default true. Source: DigestAuthenticationProvider.java.
	DigestAuthEnabled bool
	// AuthProviders are the keys authProvider.N, by ascending key; the value is a
	// Java class name. Source: ProviderRegistry.java.
	AuthProviders []Pair
	// X509SuperUser is the subject of the client certificate that is the super
	// user; "": none. Key X509AuthenticationProvider.superUser. Source: X509AuthenticationProvider.java.
	X509SuperUser string
	// SuperUsers are the SASL users who may do all: the values of superUser and of
	// superUser.*, by ascending key. Source: ZooKeeperServer.java, isSuperUser in SASL authentication.
	SuperUsers []string
	// EnforceAuthEnabled refuses requests of sessions that have not authenticated
	// with one of EnforceAuthSchemes. Keys enforce.auth.enabled (default false) and
	// enforce.auth.schemes, comma-separated. Source: AuthenticationHelper.java.
	EnforceAuthEnabled bool
	EnforceAuthSchemes []string
	// EagerACLCheck checks ACLs at the server a client is connected to, before the
	// leader does. Key enableEagerACLCheck. Default false. Source: ZooKeeperServer.java.
	EagerACLCheck bool
	// SASL authenticates clients.
	SASL SASL
	// TLS protects connections of clients, QuorumTLS those between servers.
	TLS, QuorumTLS TLS
	// FIPSMode leaves the checks of hostnames to the TLS library. Key fips-mode.
	// Default true. Source: X509Util.java.
	FIPSMode bool

	// Znodes.

	// ExtendedTypesEnabled allows TTL znodes. Default false. Source: EphemeralType.java.
	ExtendedTypesEnabled bool
	// CloseSessionTxnEnabled lists the ephemerals in closeSession transactions.
	// Key closeSessionTxn.enabled. Default true. Source: ZooKeeperServer.java.
	CloseSessionTxnEnabled bool
	// ContainerCheckInterval is the time between looks for empty containers. Key
	// znode.container.checkIntervalMs. Default 60 s. Source: LeaderZooKeeperServer.java.
	ContainerCheckInterval time.Duration
	// ContainerMaxPerMinute bounds how many containers are removed in a minute. Key
	// znode.container.maxPerMinute. Default 10000, at least 1. Source: LeaderZooKeeperServer.java.
	ContainerMaxPerMinute int
	// ContainerMaxNeverUsed removes a container that never had a child after that
	// time. Key znode.container.maxNeverUsedIntervalMs. Default 0: never. Source: LeaderZooKeeperServer.java.
	ContainerMaxNeverUsed time.Duration
	// Emulate353TTLNodes reads owners of TTL znodes as 3.5.3 wrote them. Default
	// false. Source: EphemeralType.java.
	Emulate353TTLNodes bool
	// EnforceQuota refuses writes beyond a hard quota. Default false. Source: ZooKeeperServer.java.
	EnforceQuota bool

	// Monitoring.

	// Whitelist names the four-letter words that are answered, or "*". Key
	// 4lw.commands.whitelist. Default srvr; srvr, and isro with
	// ReadOnlyModeEnabled, are always in it. Source: FourLetterCommands.java.
	Whitelist []string
	// Admin is the AdminServer, Metrics what is served to Prometheus.
	Admin   Admin
	Metrics Metrics
	// AuditEnabled writes an audit log. Key audit.enable. Default false. Source: ZKAuditProvider.java.
	AuditEnabled bool
	// AuditFile is where it goes; "" is the server's own log. A relative path is one
	// below DataLogDir. Key auditlog.file, which Apache's logback.xml has.
	AuditFile string
	// AuditClass is a Java class that writes it. Key audit.impl.class. Only Apache's
	// own Slf4jAuditLogger stands for something here.
	AuditClass string

	lines   map[string]int     // line in zoo.cfg of each raw key
	given   map[string][]given // values of each key, the one that wins last
	member  map[string]Origin  // where the lines of the member list stand
	derived map[string]Origin  // keys whose value the member list gave
}

// defaults is the configuration of an empty zoo.cfg, before what depends on
// other keys is filled in (see complete).
func defaults() *Config {
	return &Config{
		Raw: map[string]string{}, lines: map[string]int{}, given: map[string][]given{}, member: map[string]Origin{}, derived: map[string]Origin{}, Weights: map[int64]int64{},
		SnapCount: 100000, SnapSizeLimitInKb: 4194304, TxnLogSizeLimitInKb: -1, PreAllocSize: 65536,
		CommitLogCount: 500, ForceSync: true, FsyncWarningThreshold: time.Second,
		DigestEnabled: true, DatadirAutocreate: true, DBAutocreate: true,
		PurgeRetainCount: minRetain, ClientPortListenBacklog: -1, MaxClientCnxns: 60,
		GlobalOutstandingLimit: 1000, TickTime: 3 * time.Second, MinSessionTimeout: unset, MaxSessionTimeout: unset,
		JuteMaxBuffer:     0xfffff,
		StandaloneEnabled: true, LeaderServes: true,
		CnxTimeout: 5 * time.Second, ElectionPortBindRetry: 3,
		MinNotificationInterval: 200 * time.Millisecond, MaxNotificationInterval: time.Minute,

		DigestAlg: "SHA1", DigestAuthEnabled: true, CloseSessionTxnEnabled: true,
		ContainerCheckInterval: time.Minute, ContainerMaxPerMinute: 10000,

		SessionlessTimeout: 10 * time.Second, SyncEnabled: true, SnapshotSizeFactor: 0.33,
		MaxConcurrentSnapSyncs: 10, MaxConcurrentDiffSyncs: 100, FIPSMode: true,
		SASL: SASL{ServerContext: "Server"}, TLS: defaultTLS(false), QuorumTLS: defaultTLS(true),
		QuorumAuth:   QuorumAuth{LearnerContext: "QuorumLearner", ServerContext: "QuorumServer", ServicePrincipal: "zkquorum/localhost"},
		ConnThrottle: defaultConnThrottle(), RequestThrottle: defaultRequestThrottle(),
		Admin: defaultAdmin(), Metrics: Metrics{Host: "0.0.0.0", Port: 7000, ExportRuntime: true},
	}
}

func defaultTLS(quorum bool) TLS {
	return TLS{
		HostnameVerification: true, ClientHostnameVerification: quorum, ClientAuth: "need",
		HandshakeDetectionTimeout: 5 * time.Second, OutstandingHandshakes: -1, AuthProvider: "x509", Provider: "JDK",
	}
}

func defaultConnThrottle() ConnThrottle {
	return ConnThrottle{
		FillTime: time.Millisecond, FillCount: 1, FreezeTime: -time.Millisecond, DropIncrease: 0.02, DropDecrease: 0.002,
		GlobalWeight: 3, LocalWeight: 1, RenewWeight: 2,
	}
}

func defaultRequestThrottle() RequestThrottle {
	return RequestThrottle{
		StallTime: 100 * time.Millisecond, DropStale: true, StaleConnectionCheck: true,
		LargeThreshold: -1, LargeMaxBytes: 100 << 20,
	}
}

func defaultAdmin() Admin {
	return Admin{
		Enabled: true, Address: "127.0.0.1", Port: 8080, CommandURL: "/commands", IdleTimeout: 30 * time.Second,
		HTTPVersion: 11, RateLimiterInterval: 5 * time.Minute, SnapshotEnabled: true, RestoreEnabled: true,
	}
}

const (
	minRetain = 3
	unset     = -time.Millisecond // what -1 means for a session timeout
)

// Distributed tells whether the server runs in an ensemble: more than one voter
// is listed, or standaloneEnabled is false (QuorumPeerConfig.java, isDistributed).
func (c *Config) Distributed() bool { return !c.StandaloneEnabled || len(c.Voters()) > 1 }

// Voters are the participants, by ascending id.
func (c *Config) Voters() []Server { return c.Membership().Voters() }

// Self is this server's entry in Servers, once [Config.ReadMyID] set MyID. It is
// the zero Server when there is none, as in standalone mode.
func (c *Config) Self() Server {
	s, _ := c.Server(c.MyID)
	return s
}

// Server finds a member by id.
func (c *Config) Server(id int64) (Server, bool) { return c.Membership().Server(id) }

// WordAllowed tells whether the four-letter word is answered.
func (c *Config) WordAllowed(word string) bool {
	return slices.Contains(c.Whitelist, "*") || slices.Contains(c.Whitelist, word)
}

// Pair is one key and its value, where order matters.
type Pair struct{ Key, Value string }

// ConfValues gives the lines of the word "conf" in Apache's order, without the
// membership: dataDir and dataLogDir must be absolute already, their sizes are
// in bytes, and those of an ensemble are left out when standalone. Source:
// ZooKeeperServerConf.java.
func (c *Config) ConfValues(dataDirSize, dataLogSize int64) []Pair {
	num := func(key string, n int64) Pair { return Pair{key, strconv.FormatInt(n, 10)} }
	pairs := []Pair{
		num("clientPort", int64(portOrNone(c.ClientPort))), num("secureClientPort", int64(portOrNone(c.SecureClientPort))),
		{"dataDir", c.DataDir + "/version-2"}, num("dataDirSize", dataDirSize),
		{"dataLogDir", c.DataLogDir + "/version-2"}, num("dataLogSize", dataLogSize),
		num("tickTime", c.TickTime.Milliseconds()), num("maxClientCnxns", int64(c.MaxClientCnxns)),
		num("minSessionTimeout", c.MinSessionTimeout.Milliseconds()),
		num("maxSessionTimeout", c.MaxSessionTimeout.Milliseconds()),
		num("clientPortListenBacklog", int64(c.ClientPortListenBacklog)), num("serverId", c.MyID),
	}
	if !c.Distributed() {
		return pairs
	}
	self := c.Self()
	peerType := int64(0)
	if self.Role == Observer {
		peerType = 1
	}
	return append(pairs, num("initLimit", int64(c.InitLimit)), num("syncLimit", int64(c.SyncLimit)),
		num("electionAlg", 3), Pair{"electionPort", self.ports(func(a Address) int { return a.ElectionPort })},
		Pair{"quorumPort", self.ports(func(a Address) int { return a.QuorumPort })}, num("peerType", peerType))
}

func portOrNone(port int) int {
	if port == 0 {
		return -1
	}
	return port
}

// sortedKeys gives the keys of zoo.cfg in file order.
func (c *Config) sortedKeys() []string {
	return slices.SortedFunc(maps.Keys(c.Raw), func(a, b string) int {
		return cmp.Or(cmp.Compare(c.lines[a], c.lines[b]), cmp.Compare(a, b))
	})
}
