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
	// Raw holds every key of zoo.cfg as written, trimmed; of a key that stands
	// twice, the last. Keys of the dynamic file are not in it.
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

	// Clients.

	// ClientPort serves clients without TLS; 0: none. Key clientPort, or the part
	// of this server's line after ";" (see [Config.ReadMyID]). Range 1..65535. Source: Guide, clientPort.
	ClientPort int
	// ClientPortAddress is the address ClientPort is bound to; "": all. Source: Guide, clientPortAddress.
	ClientPortAddress string
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

	// Monitoring.

	// Whitelist names the four-letter words that are answered, or "*". Key
	// 4lw.commands.whitelist. Default srvr; srvr, and isro with
	// ReadOnlyModeEnabled, are always in it. Source: FourLetterCommands.java.
	Whitelist []string

	lines map[string]int // line of each raw key
}

// defaults is the configuration of an empty zoo.cfg, before what depends on
// other keys is filled in (see complete).
func defaults() *Config {
	return &Config{
		Raw: map[string]string{}, lines: map[string]int{}, Weights: map[int64]int64{},
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
func (c *Config) Voters() []Server {
	return slices.DeleteFunc(slices.Clone(c.Servers), func(s Server) bool { return s.Role != Participant })
}

// Self is this server's entry in Servers, once [Config.ReadMyID] set MyID. It is
// the zero Server when there is none, as in standalone mode.
func (c *Config) Self() Server {
	s, _ := c.Server(c.MyID)
	return s
}

// Server finds a member by id.
func (c *Config) Server(id int64) (Server, bool) {
	i, ok := slices.BinarySearchFunc(c.Servers, id, func(s Server, id int64) int { return cmp.Compare(s.ID, id) })
	if !ok {
		return Server{}, false
	}
	return c.Servers[i], true
}

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
		num("clientPort", int64(portOrNone(c.ClientPort))), num("secureClientPort", -1),
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
