package inventory

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// keyType is what a zoo.cfg key takes.
type keyType string

const (
	typeText  keyType = "text"
	typeInt   keyType = "int"   // any whole number, -1 often meaning off
	typeCount keyType = "count" // a whole number, 1 or more
	typeFloat keyType = "float"
	typeBool  keyType = "bool"  // true or false; Apache ZooKeeper refuses anything else since 3.5
	typeYesNo keyType = "yesno" // yes or no
	typePort  keyType = "port"
	typeHost  keyType = "host" // a name or an IP address to bind
)

// keyTable lists the keys of Apache ZooKeeper 3.4 to 3.9 that may be set in zoo.cfg (QuorumPeerConfig.java,
// zookeeperAdmin.md), one type a line; and those that Apache takes from the Java command line alone, which
// zkctl's server reads from zoo.cfg as well.
const keyTable = `
count tickTime minSessionTimeout maxSessionTimeout initLimit syncLimit snapCount preAllocSize commitLogCount
count globalOutstandingLimit nio.numSelectorThreads nio.directBufferBytes intBufferStartingSizeBytes maxBatchSize
count leader.maxConcurrentSnapSyncs leader.maxConcurrentSnapshots leader.maxConcurrentDiffSyncs cnxTimeout
count quorum.cnxn.threads.size observerMaster.sizeLimit bitHashCacheSize autopurge.snapRetainCount
count commitProcessor.maxCommitBatchSize commitProcessor.numWorkerThreads fastleader.minNotificationInterval
count fastleader.maxNotificationInterval multiAddress.reachabilityCheckTimeoutMs largeRequestMaxBytes
int clientPortListenBacklog maxClientCnxns maxCnxns nio.numWorkerThreads nio.sessionlessCnxnTimeout
int nio.shutdownTimeout maxResponseCacheSize maxGetChildrenResponseCacheSize netty.server.outstandingHandshake.limit
int snapSizeLimitInKb txnLogSizeLimitInKb fsync.warningthresholdms flushDelay maxWriteQueuePollTime
int autopurge.purgeInterval connectToLearnerMasterLimit observerMasterPort observer.reconnectDelayMs
int observer.election.DelayMs quorumCnxnTimeoutMs electionPortBindRetry leader.maxTimeToWaitForEpoch electionAlg
int leaderConnectDelayDuringRetryMs leader.ackLoggingFrequency commitProcessor.maxReadBatchSize
int commitProcessor.shutdownTimeout connection_throttle_tokens connection_throttle_fill_time
int connection_throttle_fill_count connection_throttle_freeze_time connection_throttle_global_session_weight
int connection_throttle_local_session_weight connection_throttle_renew_session_weight request_throttle_max_requests
int request_throttle_stall_time request_throttler.shutdownTimeout throttled_op_wait_time largeRequestThreshold
int watcherCleanThreadsNum watcherCleanThreshold watcherCleanIntervalInSeconds maxInProcessingDeadWatchers
int messageTracker.BufferSize jvm.pause.info-threshold.ms jvm.pause.warn-threshold.ms jvm.pause.sleep.time.ms
int metricsProvider.numWorkerThreads metricsProvider.maxQueueSize metricsProvider.workerShutdownTimeoutMs
int admin.idleTimeout admin.httpVersion admin.rateLimiterIntervalInMS ssl.handshakeDetectionTimeoutMillis ssl.quorum.handshakeDetectionTimeoutMillis
count jute.maxbuffer jute.maxbuffer.extrasize znode.container.checkIntervalMs znode.container.maxPerMinute
int znode.container.maxNeverUsedIntervalMs connectionMaxTokens connectionTokenFillTime connectionTokenFillCount
int connectionFreezeTime
float connectionDropIncrease connectionDropDecrease connectionDecreaseRatio
bool readonlymode.enabled follower.nodelay leader.nodelay forward_learner_requests_to_commit_processor_disabled
text java.security.auth.login.config letAnySaslUserDoX
float snapshotSizeFactor connection_throttle_drop_increase connection_throttle_drop_decrease
float connection_throttle_decrease_ratio
bool client.portUnification clientTcpKeepAlive netty.advancedFlowControl.enabled
bool netty.server.earlyDropSecureConnectionHandshakes snapshot.trust.empty serializeLastProcessedZxid.enabled
bool digest.enabled closeSessionTxn.enabled datadir.autocreate db.autocreate forceSnapshotSync quorumListenOnAllIPs
bool standaloneEnabled reconfigEnabled localSessionsEnabled localSessionsUpgradingEnabled syncEnabled tcpKeepAlive
bool learner.asyncSending learner.closeSocketAsync leader.closeSocketAsync multiAddress.enabled
bool multiAddress.reachabilityCheckEnabled follower.skipLearnerRequestToNextProcessor enableEagerACLCheck
bool DigestAuthenticationProvider.enabled IPAuthenticationProvider.usexforwardedfor sessionRequireClientSASLAuth
bool enforce.auth.enabled allowSaslFailedClients kerberos.removeHostFromPrincipal
bool kerberos.removeRealmFromPrincipal kerberos.canonicalizeHostNames quorum.auth.enableSasl
bool quorum.auth.learnerRequireSasl quorum.auth.serverRequireSasl sslQuorum portUnification sslQuorumReloadCertFiles
bool client.certReload fips-mode connection_throttle_weight_enabled request_throttle_drop_stale
bool request_stale_latency_check request_stale_connection_check enforceQuota extendedTypesEnabled emulate353TTLNodes
bool audit.enable messageTracker.Enabled jvm.pause.monitor metricsProvider.exportJvmInfo admin.enableServer
bool admin.portUnification admin.forceHttps admin.needClientAuth admin.snapshot.enabled admin.restore.enabled
yesno forceSync leaderServes skipACL
port secureClientPort metricsProvider.httpPort admin.serverPort
host clientPortAddress secureClientPortAddress metricsProvider.httpHost admin.serverAddress
text serverCnxnFactory snapshot.compression.method oraclePath DigestAuthenticationProvider.superDigest
text DigestAuthenticationProvider.digestAlg X509AuthenticationProvider.superUser superUser ssl.authProvider
text requireKerberosConfig security.auth_to_local SASLAuthenticationProvider.superPassword
text enforce.auth.schemes sasl.serverconfig ensembleAuthName quorum.auth.learner.saslLoginContext
text quorum.auth.server.saslLoginContext quorum.auth.kerberos.servicePrincipal watchManagerName
text 4lw.commands.whitelist audit.impl.class auditlog.file metricsProvider.className admin.commandURL
text ssl.keyStore.location ssl.keyStore.password ssl.keyStore.passwordPath ssl.keyStore.type
text ssl.trustStore.location ssl.trustStore.password ssl.trustStore.passwordPath ssl.trustStore.type
text ssl.clientAuth ssl.protocol ssl.enabledProtocols ssl.ciphersuites ssl.sslProvider ssl.context.supplier.class
text ssl.quorum.keyStore.location ssl.quorum.keyStore.password ssl.quorum.keyStore.passwordPath
text ssl.quorum.keyStore.type ssl.quorum.trustStore.location ssl.quorum.trustStore.password
text ssl.quorum.trustStore.passwordPath ssl.quorum.trustStore.type ssl.quorum.clientAuth ssl.quorum.protocol
text ssl.quorum.enabledProtocols ssl.quorum.ciphersuites ssl.quorum.context.supplier.class
bool ssl.hostnameVerification ssl.clientHostnameVerification ssl.crl ssl.ocsp ssl.quorum.hostnameVerification
bool ssl.quorum.clientHostnameVerification ssl.quorum.crl ssl.quorum.ocsp
`

// keySet knows the keys of zoo.cfg.
type keySet struct {
	types    map[string]keyType
	names    []string // sorted
	families *regexp.Regexp
	spelling *regexp.Regexp
}

func newKeySet() *keySet {
	k := &keySet{
		types: make(map[string]keyType),
		// Keys of which there is one per number or per plugin.
		families: regexp.MustCompile(`^(group\.\d+|weight\.\d+|authProvider\..+|superUser\..+|metricsProvider\..+)$`),
		spelling: regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`),
	}
	for _, line := range strings.Split(strings.TrimSpace(keyTable), "\n") {
		words := strings.Fields(line)
		for _, name := range words[1:] {
			k.types[name] = keyType(words[0])
			k.names = append(k.names, name)
		}
	}
	sort.Strings(k.names)
	return k
}

// withOwn lists the keys that users set and those that zkctl sets itself.
func (k *keySet) withOwn() []string {
	return append([]string{"dataDir", "dataLogDir", "clientPort"}, k.names...)
}

// javaPrefix stands before most names on the Java command line. In zoo.cfg they go without; zkctl's server
// understands both.
const javaPrefix = "zookeeper."

// known tells whether key is one of ZooKeeper's.
func (k *keySet) known(key string) bool {
	key = strings.TrimPrefix(key, javaPrefix)
	return k.types[key] != "" || k.families.MatchString(key)
}

// elsewhere says what to do instead of setting a key that zkctl writes itself; "" for every other key.
func elsewhere(key string) string {
	switch key {
	case "dataDir", "dataLogDir":
		return "set it with paths." + key
	case "clientPort":
		return "set it with ports.client"
	case "peerType":
		return "set it with the host's role"
	case "dynamicConfigFile":
		return "leave it out: the members stand in zoo.cfg"
	}
	if strings.HasPrefix(key, "server.") {
		return "list the servers under hosts"
	}
	return ""
}

// check tells what is wrong with a key's value, or "".
func (k *keySet) check(key, value string) string {
	switch t := k.types[strings.TrimPrefix(key, javaPrefix)]; t {
	case typeInt, typeCount:
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
			return fmt.Sprintf("%s takes a whole number, not %q", key, value)
		case t == typeCount && n < 1:
			return fmt.Sprintf("%s is at least 1, not %d", key, n)
		}
	case typeFloat:
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return fmt.Sprintf("%s takes a number, not %q", key, value)
		}
	case typeBool:
		if l := strings.ToLower(value); l != "true" && l != "false" {
			return fmt.Sprintf("%s takes true or false, not %q", key, value)
		}
	case typeYesNo:
		if value != "yes" && value != "no" {
			return fmt.Sprintf("%s takes yes or no, not %q", key, value)
		}
	case typePort:
		if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 65535 {
			return fmt.Sprintf("%s takes a port, 1 to 65535, not %q", key, value)
		}
	case typeHost:
		if err := checkAddress(value, true); err != "" {
			return fmt.Sprintf("%s: %s", key, err)
		}
	}
	return ""
}
