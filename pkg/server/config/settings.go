package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one key that this server acts on.
type setting struct {
	name string
	// set stores the value, or says what is wrong with it and which values are right.
	set func(c *Config, value string) *complaint
	// lenient: Apache reads the key as a system property and goes on with the
	// default when the value is bad, so that is a warning and not a fault.
	lenient bool
	// get gives the value in the words of the file.
	get func(c *Config) string
}

type complaint struct{ problem, do string }

// settings is the table of all keys with an effect.
func settings() []setting {
	return slices.Concat(storageSettings(), clientSettings(), ensembleSettings(), rightsSettings(),
		securitySettings(), limitSettings(), monitoringSettings(), adminSettings())
}

func storageSettings() []setting {
	return []setting{
		text("dataDir", func(c *Config) *string { return &c.DataDir }),
		text("dataLogDir", func(c *Config) *string { return &c.DataLogDir }),
		floored(number("snapCount", 2, math.MaxInt32, func(c *Config) *int { return &c.SnapCount }), func(c *Config) { c.SnapCount = 2 }),
		lenient(number("snapSizeLimitInKb", math.MinInt64, math.MaxInt64, func(c *Config) *int64 { return &c.SnapSizeLimitInKb })),
		lenient(number("txnLogSizeLimitInKb", math.MinInt64, math.MaxInt64, func(c *Config) *int64 { return &c.TxnLogSizeLimitInKb })),
		lenient(number("preAllocSize", 0, math.MaxInt32, func(c *Config) *int64 { return &c.PreAllocSize })),
		floored(number("commitLogCount", 500, math.MaxInt32, func(c *Config) *int { return &c.CommitLogCount }), func(c *Config) { c.CommitLogCount = 500 }),
		unless("forceSync", "no", func(c *Config) *bool { return &c.ForceSync }),
		lenient(millis("fsync.warningthresholdms", 0, func(c *Config) *time.Duration { return &c.FsyncWarningThreshold })),
		flag("snapshot.trust.empty", func(c *Config) *bool { return &c.SnapshotTrustEmpty }),
		flag("digest.enabled", func(c *Config) *bool { return &c.DigestEnabled }),
		flag("datadir.autocreate", func(c *Config) *bool { return &c.DatadirAutocreate }),
		flag("db.autocreate", func(c *Config) *bool { return &c.DBAutocreate }),
		number("autopurge.snapRetainCount", math.MinInt32, math.MaxInt32, func(c *Config) *int { return &c.PurgeRetainCount }),
		hours("autopurge.purgeInterval", func(c *Config) *time.Duration { return &c.PurgeInterval }),
		lenient(choice("snapshot.compression.method", []string{"gz", "snappy"}, func(c *Config) *string { return &c.SnapshotCompression })),
	}
}

func clientSettings() []setting {
	return []setting{
		number("clientPort", 0, maxPort, func(c *Config) *int { return &c.ClientPort }),
		text("clientPortAddress", func(c *Config) *string { return &c.ClientPortAddress }),
		number("secureClientPort", 0, maxPort, func(c *Config) *int { return &c.SecureClientPort }),
		text("secureClientPortAddress", func(c *Config) *string { return &c.SecureClientPortAddress }),
		truth("localSessionsEnabled", func(c *Config) *bool { return &c.LocalSessionsEnabled }),
		truth("localSessionsUpgradingEnabled", func(c *Config) *bool { return &c.LocalSessionsUpgradingEnabled }),
		flag("readonlymode.enabled", func(c *Config) *bool { return &c.ReadOnlyModeEnabled }),
		number("clientPortListenBacklog", math.MinInt32, math.MaxInt32, func(c *Config) *int { return &c.ClientPortListenBacklog }),
		number("maxClientCnxns", math.MinInt32, math.MaxInt32, func(c *Config) *int { return &c.MaxClientCnxns }),
		lenient(number("maxCnxns", math.MinInt32, math.MaxInt32, func(c *Config) *int { return &c.MaxCnxns })),
		lenient(number("globalOutstandingLimit", 1, math.MaxInt32, func(c *Config) *int { return &c.GlobalOutstandingLimit })),
		millis("tickTime", 1, func(c *Config) *time.Duration { return &c.TickTime }),
		millis("minSessionTimeout", -1, func(c *Config) *time.Duration { return &c.MinSessionTimeout }),
		millis("maxSessionTimeout", -1, func(c *Config) *time.Duration { return &c.MaxSessionTimeout }),
		flag("clientTcpKeepAlive", func(c *Config) *bool { return &c.ClientTCPKeepAlive }),
		lenient(number("jute.maxbuffer", 1024, math.MaxInt32, func(c *Config) *int { return &c.JuteMaxBuffer })),
	}
}

func ensembleSettings() []setting {
	return []setting{
		{name: "peerType", set: setPeerType, get: func(c *Config) string { return c.PeerType.String() }},
		{name: "electionAlg", set: checkElectionAlg, get: func(*Config) string { return "3" }},
		text("dynamicConfigFile", func(c *Config) *string { return &c.DynamicConfigFile }),
		number("initLimit", 0, math.MaxInt32, func(c *Config) *int { return &c.InitLimit }),
		number("syncLimit", 0, math.MaxInt32, func(c *Config) *int { return &c.SyncLimit }),
		truth("standaloneEnabled", func(c *Config) *bool { return &c.StandaloneEnabled }),
		unless("leaderServes", "no", func(c *Config) *bool { return &c.LeaderServes }),
		truth("quorumListenOnAllIPs", func(c *Config) *bool { return &c.QuorumListenOnAllIPs }),
		truth("multiAddress.enabled", func(c *Config) *bool { return &c.MultiAddressEnabled }),
		lenient(millis("cnxTimeout", 1, func(c *Config) *time.Duration { return &c.CnxTimeout })),
		lenient(number("electionPortBindRetry", 0, math.MaxInt32, func(c *Config) *int { return &c.ElectionPortBindRetry })),
		lenient(millis("fastleader.minNotificationInterval", 1, func(c *Config) *time.Duration { return &c.MinNotificationInterval })),
		lenient(millis("fastleader.maxNotificationInterval", 1, func(c *Config) *time.Duration { return &c.MaxNotificationInterval })),
		truth("reconfigEnabled", func(c *Config) *bool { return &c.ReconfigEnabled }),
		truth("syncEnabled", func(c *Config) *bool { return &c.SyncEnabled }),
		number("observerMasterPort", 0, maxPort, func(c *Config) *int { return &c.ObserverMasterPort }),
		flag("forceSnapshotSync", func(c *Config) *bool { return &c.ForceSnapshotSync }),
		lenient(ratio("snapshotSizeFactor", math.Inf(-1), 1, func(c *Config) *float64 { return &c.SnapshotSizeFactor })),
		lenient(number("leader.maxConcurrentSnapshots", 1, math.MaxInt32, func(c *Config) *int { return &c.MaxConcurrentSnapSyncs })),
		lenient(number("leader.maxConcurrentSnapSyncs", 1, math.MaxInt32, func(c *Config) *int { return &c.MaxConcurrentSnapSyncs })),
		lenient(number("leader.maxConcurrentDiffSyncs", 1, math.MaxInt32, func(c *Config) *int { return &c.MaxConcurrentDiffSyncs })),
	}
}

func rightsSettings() []setting {
	return []setting{
		only("skipACL", "yes", func(c *Config) *bool { return &c.SkipACL }),
		text("DigestAuthenticationProvider.superDigest", func(c *Config) *string { return &c.SuperDigest }),
		text("DigestAuthenticationProvider.digestAlg", func(c *Config) *string { return &c.DigestAlg }),
		flag("DigestAuthenticationProvider.enabled", func(c *Config) *bool { return &c.DigestAuthEnabled }),
		flag("extendedTypesEnabled", func(c *Config) *bool { return &c.ExtendedTypesEnabled }),
		flag("emulate353TTLNodes", func(c *Config) *bool { return &c.Emulate353TTLNodes }),
		flag("closeSessionTxn.enabled", func(c *Config) *bool { return &c.CloseSessionTxnEnabled }),
		lenient(millis("znode.container.checkIntervalMs", 1, func(c *Config) *time.Duration { return &c.ContainerCheckInterval })),
		lenient(number("znode.container.maxPerMinute", 1, math.MaxInt32, func(c *Config) *int { return &c.ContainerMaxPerMinute })),
		lenient(millis("znode.container.maxNeverUsedIntervalMs", 0, func(c *Config) *time.Duration { return &c.ContainerMaxNeverUsed })),
	}
}

func monitoringSettings() []setting {
	return []setting{
		{name: "4lw.commands.whitelist", set: setWhitelist, lenient: true, get: func(c *Config) string { return strings.Join(c.Whitelist, ", ") }},
	}
}

const (
	maxPort  = 65535
	tooSmall = " is too small"
)

// lenient keeps the default when the value is bad, and says so.
func lenient(s setting) setting {
	strict := s.set
	s.lenient = true
	s.set = func(c *Config, v string) *complaint {
		bad := strict(c, v)
		if bad != nil {
			bad.problem += ", so the default is used"
		}
		return bad
	}
	return s
}

// floored is lenient, and raises a number that is too small to the smallest.
func floored(s setting, raise func(*Config)) setting {
	strict := s.set
	s.lenient = true
	s.set = func(c *Config, v string) *complaint {
		bad := strict(c, v)
		switch {
		case bad == nil:
		case strings.HasSuffix(bad.problem, tooSmall):
			raise(c)
			bad.problem += ", so the smallest is used"
		default:
			bad.problem += ", so the default is used"
		}
		return bad
	}
	return s
}

func text(name string, field func(*Config) *string) setting {
	return setting{name: name, set: func(c *Config, v string) *complaint {
		*field(c) = v
		return nil
	}, get: func(c *Config) string { return *field(c) }}
}

func boolText(field func(*Config) *bool) func(*Config) string {
	return func(c *Config) string { return strconv.FormatBool(*field(c)) }
}

// truth is true or false in any case, as QuorumPeerConfig.parseBoolean wants it.
func truth(name string, field func(*Config) *bool) setting {
	return setting{name: name, set: func(c *Config, v string) *complaint {
		switch strings.ToLower(v) {
		case "true", "false":
			*field(c) = strings.EqualFold(v, "true")
			return nil
		}
		return &complaint{fmt.Sprintf("%q is neither true nor false", v), "write true or false"}
	}, get: boolText(field)}
}

// flag is true for "true" in any case and false for all else, as Boolean.parseBoolean.
func flag(name string, field func(*Config) *bool) setting {
	return setting{name: name, lenient: true, set: func(c *Config, v string) *complaint {
		*field(c) = strings.EqualFold(v, "true")
		if *field(c) || strings.EqualFold(v, "false") {
			return nil
		}
		return &complaint{fmt.Sprintf("%q counts as false", v), "write true or false"}
	}, get: boolText(field)}
}

// unless is true whatever is written, except for the one word that turns it off.
func unless(name, off string, field func(*Config) *bool) setting {
	return setting{name: name, lenient: true, set: func(c *Config, v string) *complaint {
		*field(c) = v != off
		return oddWord(v, off, *field(c))
	}, get: wordText(off, opposite(off), field)}
}

// only is false whatever is written, except for the one word that turns it on.
func only(name, on string, field func(*Config) *bool) setting {
	return setting{name: name, lenient: true, set: func(c *Config, v string) *complaint {
		*field(c) = v == on
		return oddWord(v, on, *field(c))
	}, get: wordText(opposite(on), on, field)}
}

// wordText gives the word for false or for true.
func wordText(no, yes string, field func(*Config) *bool) func(*Config) string {
	return func(c *Config) string {
		if *field(c) {
			return yes
		}
		return no
	}
}

// opposite is the word beside the decisive one: yes and no, true and false.
func opposite(word string) string {
	switch word {
	case "yes":
		return "no"
	case "no":
		return "yes"
	case "true":
		return "false"
	}
	return "true"
}

// oddWord complains of a word that has an effect its writer may not expect.
func oddWord(v, decisive string, result bool) *complaint {
	if slices.Contains([]string{"yes", "no", "true", "false"}, v) && (v == decisive || truthOf(v) == result) {
		return nil
	}
	return &complaint{fmt.Sprintf("%q counts as %t: only %q is looked for, in just that spelling", v, result, decisive),
		fmt.Sprintf("write %s to say %t", decisive, !result)}
}

func truthOf(v string) bool { return v == "yes" || v == "true" }

func number[T int | int64](name string, lo, hi int64, field func(*Config) *T) setting {
	return setting{name: name, set: func(c *Config, v string) *complaint {
		n, bad := parseNumber(v, lo, hi)
		if bad == nil {
			*field(c) = T(n)
		}
		return bad
	}, get: func(c *Config) string { return strconv.FormatInt(int64(*field(c)), 10) }}
}

func millis(name string, lo int64, field func(*Config) *time.Duration) setting {
	return span(name, lo, time.Millisecond, field)
}

func hours(name string, field func(*Config) *time.Duration) setting {
	return span(name, math.MinInt32, time.Hour, func(c *Config) *time.Duration { return field(c) })
}

func span(name string, lo int64, unit time.Duration, field func(*Config) *time.Duration) setting {
	hi := min(math.MaxInt32, int64(math.MaxInt64/unit))
	return setting{name: name, set: func(c *Config, v string) *complaint {
		n, bad := parseNumber(v, max(lo, -hi), hi)
		if bad == nil {
			*field(c) = time.Duration(n) * unit
		}
		return bad
	}, get: func(c *Config) string { return strconv.FormatInt(int64(*field(c)/unit), 10) }}
}

func parseNumber(v string, lo, hi int64) (int64, *complaint) {
	n, err := strconv.ParseInt(v, 10, 64)
	switch {
	case err != nil:
		return 0, &complaint{fmt.Sprintf("%q is not a whole number", v), "write digits only, without a unit"}
	case n < lo:
		return 0, &complaint{fmt.Sprintf("%d%s", n, tooSmall), fmt.Sprintf("write at least %d", lo)}
	case n > hi:
		return 0, &complaint{fmt.Sprintf("%d is too large", n), fmt.Sprintf("write at most %d", hi)}
	}
	return n, nil
}

func setPeerType(c *Config, v string) *complaint {
	role, ok := parseRole(v)
	if !ok {
		return &complaint{fmt.Sprintf("%q is no role", v), "write participant or observer"}
	}
	c.PeerType = role
	return nil
}

func checkElectionAlg(_ *Config, v string) *complaint {
	if n, err := strconv.Atoi(v); err != nil || n != 3 {
		return &complaint{fmt.Sprintf("election algorithm %q is no longer supported", v), "remove the line, or write 3"}
	}
	return nil
}

// setWhitelist keeps unknown words out and says so; Apache ignores them.
func setWhitelist(c *Config, v string) *complaint {
	var unknown []string
	for word := range strings.SplitSeq(v, ",") {
		switch word = trim(word); {
		case word == "":
		case word == "*" || slices.Contains(words(), word):
			c.Whitelist = append(c.Whitelist, word)
		default:
			unknown = append(unknown, word)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return &complaint{fmt.Sprintf("no such word: %s", strings.Join(unknown, ", ")), "write some of " + strings.Join(words(), ", ") + ", or *"}
}

// words are the four-letter words of 3.9 (FourLetterCommands.java).
func words() []string {
	return []string{"conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok",
		"srst", "srvr", "stat", "stmk", "wchc", "wchp", "wchs"}
}
