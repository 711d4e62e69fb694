package config

import (
	"fmt"
	"slices"
	"strings"
)

// Source is a place outside of zoo.cfg that sets Java system properties. Those
// of a later source win over those of an earlier one, and within a source the
// last. Against zoo.cfg the rule is Apache's: a key of zoo.cfg is written over
// the property of the same name when the file is read, so zoo.cfg wins; except
// for the names that Apache takes from the Java command line alone, such as
// jute.maxbuffer, for which the source wins. See [Config.Explain].
type Source struct {
	// Name is what findings call it: "-D", or an environment variable.
	Name string
	// Java says that names count only as Apache spells them, with or without
	// "zookeeper.", and that names of others are none of our business. Otherwise
	// the prefix may be there or not, and a name that means nothing is warned about.
	Java bool
	// Properties in their order; the line means nothing.
	Properties []Property
}

// Origin is where a value was given.
type Origin struct {
	// Name is a file or the name of a [Source]; "" when the value is the default.
	Name string
	// Line in the file, from 1; 0 when there is none.
	Line int
}

// String gives file:line, the source's name, or "default".
func (o Origin) String() string {
	switch {
	case o.Name == "":
		return "default"
	case o.Line == 0:
		return o.Name
	}
	return fmt.Sprintf("%s:%d", o.Name, o.Line)
}

// given is one value for a key, and where it was given.
type given struct {
	value  string
	origin Origin
	own    bool // meant for this server, not for a JVM (see Source.Java)
}

const javaPrefix = "zookeeper."

// flagOnly are the names that Apache takes from the Java command line alone,
// without the prefix.
func flagOnly() []string {
	return []string{
		"jute.maxbuffer", "readonlymode.enabled", "java.security.auth.login.config", "follower.nodelay", "leader.nodelay",
		"znode.container.checkIntervalMs", "znode.container.maxPerMinute", "znode.container.maxNeverUsedIntervalMs",
	}
}

// isFileOnly tells whether Apache reads a key from zoo.cfg alone
// (QuorumPeerConfig.parseProperties keeps it in a field).
func isFileOnly(key string) bool {
	switch key {
	case "dataDir", "dataLogDir", "clientPort", "clientPortAddress", "secureClientPort", "secureClientPortAddress",
		"clientPortListenBacklog", "tickTime", "minSessionTimeout", "maxSessionTimeout", "maxClientCnxns", "initLimit", "syncLimit",
		"connectToLearnerMasterLimit", "peerType", "electionAlg", "quorumListenOnAllIPs", "standaloneEnabled", "reconfigEnabled",
		"dynamicConfigFile", "localSessionsEnabled", "localSessionsUpgradingEnabled", "observerMasterPort", "oraclePath",
		"sslQuorum", "portUnification", "sslQuorumReloadCertFiles", "quorum.cnxn.threads.size":
		return true
	}
	return slices.ContainsFunc([]string{"autopurge.", "quorum.auth.", "jvm.pause.", "metricsProvider."},
		func(family string) bool { return strings.HasPrefix(key, family) })
}

// property is the Java system property that sets a key; "" when none does.
func property(key string) string {
	switch {
	case slices.Contains(flagOnly(), key):
		return key
	case isFileOnly(key) || isMemberKey(key):
		return ""
	case key == "syncEnabled":
		return javaPrefix + "observer.syncEnabled"
	}
	return javaPrefix + key
}

// keyOf finds the key that a property of a source stands for; "" when it sets
// none, and then what is to be said about it ("" for nothing).
func (c *catalogue) keyOf(name string, java bool) (key, problem, do string) {
	known := c.known
	bare, prefixed := strings.CutPrefix(name, javaPrefix)
	switch {
	case name == property("syncEnabled"):
		return "syncEnabled", "", ""
	case name == "fsync.warningthresholdms": // the only one that Apache reads with and without the prefix
		return name, "", ""
	case known(name) && property(name) == name, prefixed && known(bare) && property(bare) == name:
		return bare, "", ""
	case known(bare) && property(bare) != "" && !java:
		return bare, "", ""
	case known(bare) && property(bare) == "" && (prefixed || !java):
		return "", "is read from zoo.cfg alone, as by Apache ZooKeeper", "write " + bare + "= in zoo.cfg"
	case known(bare) && property(bare) != "":
		return "", "is ignored, as by Apache ZooKeeper", "the name is " + property(bare)
	case prefixed || !java:
		return "", "is no property of ZooKeeper and is ignored", didYouMean(bare, "remove it, or look for the name in the Administrator's Guide")
	}
	return "", "", ""
}

// plain takes the prefix off a key of zoo.cfg that has it needlessly.
func (r *reader) plain(p Property) Property {
	bare, prefixed := strings.CutPrefix(p.Key, javaPrefix)
	if !prefixed || !r.keys.known(bare) || property(bare) == "" {
		return p
	}
	r.warn(p.Line, p.Key, "goes without the prefix in this file; Apache ZooKeeper ignores it with", "write "+bare)
	p.Key = bare
	return p
}

// outside gathers what the sources set, before the file is applied.
func (r *reader) outside(sources []Source) {
	for _, s := range sources {
		r.file = s.Name
		for _, p := range s.Properties {
			key, problem, do := r.keys.keyOf(p.Key, s.Java)
			switch {
			case key != "":
				r.outer = append(r.outer, key)
				r.cfg.given[key] = append(r.cfg.given[key], given{trim(p.Value), Origin{Name: s.Name}, !s.Java})
			case problem != "":
				r.warn(0, p.Key, problem, do)
			}
		}
	}
	r.file = r.cfg.File
}

// settle puts the keys of the file among what the sources set, and returns what
// is to be applied: of each key the value that wins.
func (r *reader) settle(props []Property) []Property {
	for i, p := range props {
		inFile := given{value: p.Value, origin: Origin{r.file, p.Line}}
		outer := r.cfg.given[p.Key]
		if len(outer) == 0 || !slices.Contains(flagOnly(), p.Key) {
			r.cfg.given[p.Key] = append(outer, inFile)
			r.tellLost(p, outer)
			continue
		}
		winner := outer[len(outer)-1]
		if winner.value != p.Value {
			r.warn(p.Line, p.Key, fmt.Sprintf("stands in %s too, which wins: Apache ZooKeeper reads it from there alone", winner.origin), "remove one of the two")
		}
		r.cfg.given[p.Key] = append([]given{inFile}, outer...)
		props[i] = Property{Key: p.Key, Value: winner.value}
	}
	done := map[string]bool{}
	for _, p := range props {
		done[p.Key] = true
	}
	for _, key := range r.outer {
		if !done[key] {
			props = append(props, Property{Key: key, Value: last(r.cfg.given[key]).value})
		}
		done[key] = true
	}
	return props
}

// tellLost warns of a value that was meant for this server and that zoo.cfg
// overrides.
func (r *reader) tellLost(p Property, outer []given) {
	if len(outer) == 0 || !last(outer).own || last(outer).value == p.Value {
		return
	}
	lost := last(outer).origin.Name
	r.warn(p.Line, p.Key, fmt.Sprintf("stands in %s too, and this line wins, as with Apache ZooKeeper", lost), "remove this line for "+lost+" to have its effect")
}

func last(values []given) given { return values[len(values)-1] }

// place is where a finding about a key is told: the line when it is known, else
// where the value that wins was given.
func (r *reader) place(line int, key string) (string, int) {
	if values := r.cfg.given[key]; line == 0 && len(values) > 0 && r.file == r.cfg.File {
		origin := last(values).origin
		return origin.Name, origin.Line
	}
	return r.file, line
}
