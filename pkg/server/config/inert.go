package config

import (
	"slices"
	"strings"
)

// inert is a group of Apache's keys that change nothing here, and why. A name
// that ends in a dot or an underscore stands for all names that start with it.
type inert struct {
	reason string
	names  []string
}

// notHonoured are the keys that are read into [Config] and that no code honours
// yet. Whoever makes one work takes its name out of here, and with it the
// warning. None of them protects anything: such a key would have to be refused.
func notHonoured() []inert {
	return []inert{
		{"synchronisations of learners are not limited in number", []string{
			"leader.maxConcurrentSnapSyncs", "leader.maxConcurrentSnapshots", "leader.maxConcurrentDiffSyncs",
		}},
		{"observers always log", []string{"syncEnabled"}},
		{"observers connect to the leader", []string{"observerMasterPort"}},
	}
}

// neverHonoured are the keys that have no meaning for a server that is built
// otherwise than Apache's.
func neverHonoured() []inert {
	return []inert{
		{"it tunes threads, buffers or caches of the Java server, which this one does not have", []string{
			"nio.", "netty.", "serverCnxnFactory", "commitProcessor.", "watchManagerName", "watcherCleanThreadsNum",
			"watcherCleanThreshold", "watcherCleanIntervalInSeconds", "maxInProcessingDeadWatchers", "bitHashCacheSize",
			"maxResponseCacheSize", "maxGetChildrenResponseCacheSize", "intBufferStartingSizeBytes", "jvm.pause.",
			"quorum.cnxn.threads.size", "learner.asyncSending", "learner.closeSocketAsync", "leader.closeSocketAsync",
			"leader.ackLoggingFrequency", "follower.skipLearnerRequestToNextProcessor", "messageTracker.",
			"forward_learner_requests_to_commit_processor_disabled", "request_throttler.shutdownTimeout",
			"metricsProvider.numWorkerThreads", "metricsProvider.maxQueueSize", "metricsProvider.workerShutdownTimeoutMs", "leaderConnectDelayDuringRetryMs", "learner.",
			"follower.nodelay", "leader.nodelay", "jute.maxbuffer.extrasize", "quorumCnxnTimeoutMs",
			"ssl.sslProvider", "ssl.context.supplier.class", "ssl.quorum.context.supplier.class",
		}},
		{"logging is set with the flags --log-file, --log-format and --log-level", []string{
			"log.dir", "log.file", "log.threshold", "log.maxfilesize", "log.maxbackupindex", "root.logger", "console.threshold",
			"tracelog.dir", "tracelog.file", "jmx.log4j.disable", "auditlog.threshold",
		}},
		{"Kerberos is not offered", []string{"quorum.auth.kerberos.servicePrincipal", "kerberos.canonicalizeHostNames", "requireKerberosConfig", "security.auth_to_local"}},
		{"only clients read it", []string{
			"client.secure", "clientCnxnSocket", "sasl.client", "sasl.clientconfig", "sasl.client.username", "sasl.client.canonicalize.hostname",
			"server.principal", "server.realm", "disableAutoWatchReset", "request.timeout",
		}},
		{"hosts in certificates are checked in one way, which suits both modes; Go's FIPS 140-3 module is chosen with GODEBUG=fips140=on", []string{"fips-mode"}},
		{"syncs are grouped by what waits while the last one runs, without a timer", []string{
			"flushDelay", "maxWriteQueuePollTime", "maxBatchSize",
		}},
		{"Apache's server does not read it either: the Guide's name for connection_throttle_*", []string{
			"connectionMaxTokens", "connectionTokenFillTime", "connectionTokenFillCount",
			"connectionFreezeTime", "connectionDropIncrease", "connectionDropDecrease", "connectionDecreaseRatio",
		}},
		{"observers connect to the leader", []string{"observerMaster.", "observer.reconnectDelayMs"}},
		{"the leader waits for epochs as long as initLimit allows", []string{"leader.maxTimeToWaitForEpoch"}},
		{"an oracle for two servers is not offered", []string{"oraclePath"}},
		{"the reachability of several addresses is found by dialling them", []string{
			"multiAddress.reachabilityCheckEnabled", "multiAddress.reachabilityCheckTimeoutMs",
		}},
		{"learners join within initLimit", []string{"connectToLearnerMasterLimit"}},
		{"observers look for a leader at once", []string{"observer.election.DelayMs"}},
		{"connections between servers are always kept alive by TCP", []string{"tcpKeepAlive"}},
		{"snapshots hold their last zxid whenever they hold a digest", []string{"serializeLastProcessedZxid.enabled"}},
	}
}

// catalogue is the tables of keys, made ready for looking names up.
type catalogue struct {
	settings map[string]setting
	reasons  map[string]string // by name, of keys without effect
	families []inert           // of names that stand for all that start with them
}

func newCatalogue() *catalogue {
	c := &catalogue{settings: map[string]setting{}, reasons: map[string]string{}}
	for _, s := range settings() {
		c.settings[s.name] = s
	}
	for _, group := range slices.Concat(notHonoured(), neverHonoured()) {
		for _, name := range group.names {
			if _, twice := c.reasons[name]; !twice {
				c.reasons[name] = group.reason
			}
		}
		c.families = append(c.families, inert{group.reason, slices.DeleteFunc(slices.Clone(group.names), func(n string) bool { return !isOpen(n) })})
	}
	return c
}

// withoutEffect says why a key of Apache's changes nothing here; "" for other keys.
func (c *catalogue) withoutEffect(key string) string {
	if reason, ok := c.reasons[key]; ok {
		return reason
	}
	if _, ok := c.settings[key]; ok {
		return ""
	}
	for _, group := range c.families {
		if slices.ContainsFunc(group.names, func(name string) bool { return strings.HasPrefix(key, name) }) {
			return group.reason
		}
	}
	return ""
}

// known tells whether a key is Apache's, whatever becomes of it here.
func (c *catalogue) known(key string) bool {
	_, ok := c.settings[key]
	return ok || isCollected(key) || c.withoutEffect(key) != ""
}

// isOpen tells whether a name stands for all that start with it.
func isOpen(name string) bool { return strings.HasSuffix(name, ".") || strings.HasSuffix(name, "_") }

// inertNames are candidates for "did you mean".
func inertNames() []string {
	var names []string
	for _, group := range slices.Concat(notHonoured(), neverHonoured()) {
		names = append(names, group.names...)
	}
	return slices.DeleteFunc(names, isOpen)
}
