package config

import (
	"slices"
	"strings"
)

// inert is a group of Apache's keys that change nothing here, and why. A name
// that ends in a dot stands for all names that start with it.
type inert struct {
	reason string
	names  []string
}

func inertKeys() []inert {
	return []inert{
		{"it tunes threads, buffers or caches of the Java server, which this one does not have", []string{
			"nio.", "netty.", "serverCnxnFactory", "commitProcessor.", "watchManagerName", "watcherCleanThreadsNum",
			"watcherCleanThreshold", "watcherCleanIntervalInSeconds", "maxInProcessingDeadWatchers", "bitHashCacheSize",
			"maxResponseCacheSize", "maxGetChildrenResponseCacheSize", "intBufferStartingSizeBytes", "jvm.pause.",
			"quorum.cnxn.threads.size", "learner.asyncSending", "learner.closeSocketAsync", "leader.closeSocketAsync",
			"leader.ackLoggingFrequency", "follower.skipLearnerRequestToNextProcessor", "messageTracker.",
			"forward_learner_requests_to_commit_processor_disabled", "request_throttler.shutdownTimeout",
			"metricsProvider.", "leaderConnectDelayDuringRetryMs", "learner.", "enableEagerACLCheck",
			"follower.nodelay", "leader.nodelay", "fips-mode", "jute.maxbuffer.extrasize", "quorumCnxnTimeoutMs",
		}},
		{"syncs are grouped by what waits while the last one runs, without a timer", []string{
			"flushDelay", "maxWriteQueuePollTime", "maxBatchSize",
		}},
		{"transactions a learner missed come from memory, or it gets a snapshot", []string{"snapshotSizeFactor"}},
		{"synchronisations of learners are not limited in number", []string{
			"leader.maxConcurrentSnapSyncs", "leader.maxConcurrentSnapshots", "leader.maxConcurrentDiffSyncs",
		}},
		{"snapshots are written without compression; compressed ones are read", []string{"snapshot.compression.method"}},
		{"this server does not throttle by that rule", []string{
			"connection_throttle_", "connectionMaxTokens", "connectionTokenFillTime", "connectionTokenFillCount",
			"connectionFreezeTime", "connectionDropIncrease", "connectionDropDecrease", "connectionDecreaseRatio",
			"request_throttle_", "request_stale_", "throttled_op_wait_time",
		}},
		{"membership changes while running are not offered; change the list and restart one server after the other", []string{"reconfigEnabled"}},
		{"observers connect to the leader", []string{"observerMasterPort", "observerMaster.", "observer.reconnectDelayMs"}},
		{"the leader waits for epochs as long as initLimit allows", []string{"leader.maxTimeToWaitForEpoch"}},
		{"an oracle for two servers is not offered", []string{"oraclePath"}},
		{"the reachability of several addresses is found by dialling them", []string{
			"multiAddress.reachabilityCheckEnabled", "multiAddress.reachabilityCheckTimeoutMs",
		}},
		{"an audit log is not offered", []string{"audit."}},
		{"znodes written by 3.5.3 with a TTL keep their owner as it is", []string{"emulate353TTLNodes"}},
		{"of authentication this server offers world, ip and digest", []string{
			"authProvider.", "X509AuthenticationProvider.", "IPAuthenticationProvider.", "superUser", "superUser.",
			"ssl.authProvider", "allowSaslFailedClients", "letAnySaslUserDoX", "sasl.", "kerberos.", "ensembleAuthName",
			"quorum.auth.", "sessionRequireClientSASLAuth", "enforce.auth.",
		}},
		{"TLS is not offered", []string{
			"ssl.", "sslQuorum", "portUnification", "sslQuorumReloadCertFiles", "secureClientPort",
			"secureClientPortAddress", "client.portUnification", "client.certReload",
		}},
		{"the AdminServer and metrics over HTTP are not offered; the four-letter words tell the same", []string{"admin."}},
		{"every session is a global one", []string{"localSessionsEnabled", "localSessionsUpgradingEnabled"}},
		{"a server without a quorum serves nobody", []string{"readonlymode.enabled"}},
		{"requests are limited by their length (jute.maxbuffer) and number (globalOutstandingLimit)", []string{
			"largeRequestMaxBytes", "largeRequestThreshold",
		}},
		{"quotas are counted and told, and not enforced", []string{"enforceQuota"}},
		{"learners join within initLimit", []string{"connectToLearnerMasterLimit"}},
		{"a learner gets a snapshot whenever memory does not reach back far enough, and only then", []string{"forceSnapshotSync"}},
		{"observers always log", []string{"syncEnabled"}},
		{"observers look for a leader at once", []string{"observer.election.DelayMs"}},
		{"connections between servers are always kept alive by TCP", []string{"tcpKeepAlive"}},
		{"snapshots hold their last zxid whenever they hold a digest", []string{"serializeLastProcessedZxid.enabled"}},
	}
}

// withoutEffect says why a key of Apache's changes nothing here; "" for other keys.
func withoutEffect(key string) string {
	for _, group := range inertKeys() {
		matches := func(name string) bool {
			open := strings.HasSuffix(name, ".") || strings.HasSuffix(name, "_")
			return key == name || open && strings.HasPrefix(key, name)
		}
		if slices.ContainsFunc(group.names, matches) {
			return group.reason
		}
	}
	return ""
}

// wrongInert says what is wrong with a value that Apache parses strictly
// though it changes nothing here.
func wrongInert(p Property) *complaint {
	switch p.Key {
	case "syncEnabled", "localSessionsEnabled", "localSessionsUpgradingEnabled", "reconfigEnabled":
		var ignored bool
		return truth(p.Key, func(*Config) *bool { return &ignored }).set(nil, p.Value)
	}
	return nil
}

// alreadySo tells whether a key only says what is so here anyway.
func alreadySo(p Property) bool {
	switch p.Key {
	case "admin.enableServer", "reconfigEnabled", "localSessionsEnabled", "readonlymode.enabled", "enforceQuota", "sslQuorum":
		return strings.EqualFold(p.Value, "false")
	case "syncEnabled":
		return strings.EqualFold(p.Value, "true")
	}
	return false
}

// inertNames are candidates for "did you mean".
func inertNames() []string {
	var names []string
	for _, group := range inertKeys() {
		names = append(names, group.names...)
	}
	return slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, ".") || strings.HasSuffix(n, "_") })
}

// protects tells whether a key turns a protection on that is not offered here.
func protects(p Property) bool {
	switch p.Key {
	case "sslQuorum", "quorum.auth.enableSasl", "quorum.auth.learnerRequireSasl", "quorum.auth.serverRequireSasl",
		"sessionRequireClientSASLAuth", "enforce.auth.enabled", "admin.forceHttps":
		return strings.EqualFold(p.Value, "true")
	case "ensembleAuthName":
		return p.Value != ""
	}
	return false
}
