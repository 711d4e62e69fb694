package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"
)

// complete fills in the defaults that depend on other keys.
func (r *reader) complete() {
	c := r.cfg
	if c.DataLogDir == "" {
		c.DataLogDir = c.DataDir
	}
	if c.MinSessionTimeout == unset {
		c.MinSessionTimeout = 2 * c.TickTime
	}
	if c.MaxSessionTimeout == unset {
		c.MaxSessionTimeout = 20 * c.TickTime
	}
	if c.PurgeRetainCount < minRetain {
		key := "autopurge.snapRetainCount"
		r.warn(c.lines[key], key, fmt.Sprintf("%d is too small; %d snapshots are kept", c.PurgeRetainCount, minRetain), fmt.Sprintf("write at least %d", minRetain))
		c.PurgeRetainCount = minRetain
	}
	c.PurgeInterval = max(c.PurgeInterval, 0)
	c.Whitelist = append(c.Whitelist, "srvr")
	if c.ReadOnlyModeEnabled {
		c.Whitelist = append(c.Whitelist, "isro")
	}
	c.TLS.Enabled = c.SecureClientPort != 0 || c.TLS.PortUnification
	c.collect()
}

// validate checks the rules between keys, in the order of QuorumPeerConfig.java.
func (r *reader) validate() {
	r.checkDirs()
	r.checkClient()
	r.checkMembers()
	r.checkGroups()
	r.checkAddressesUnique()
	r.checkLimits()
	r.checkMultiAddress()
	r.checkSecurity()
}

// checkSecurity holds the rules between keys of authentication
// (QuorumPeerConfig.parseProperties, AuthenticationHelper.java).
func (r *reader) checkSecurity() {
	c := r.cfg
	needs := func(key string, on bool, needed string, has bool) {
		if on && !has && !r.faulty(key) {
			r.fault(c.lines[key], key, fmt.Sprintf("needs %s=true", needed), "add that line, or remove this one")
		}
	}
	q := c.QuorumAuth
	needs("quorum.auth.learnerRequireSasl", q.LearnerRequireSasl, "quorum.auth.enableSasl", q.EnableSasl)
	needs("quorum.auth.serverRequireSasl", q.ServerRequireSasl, "quorum.auth.enableSasl", q.EnableSasl)
	needs("quorum.auth.serverRequireSasl", q.ServerRequireSasl, "quorum.auth.learnerRequireSasl", q.LearnerRequireSasl)
	if key := "enforce.auth.enabled"; c.EnforceAuthEnabled && len(c.EnforceAuthSchemes) == 0 && !r.faulty(key) {
		r.fault(c.lines[key], key, "is true, and enforce.auth.schemes names no scheme", "add for instance enforce.auth.schemes=digest")
	}
}

func (r *reader) checkDirs() {
	c := r.cfg
	if c.DataDir == "" {
		r.fault(c.lines["dataDir"], "dataDir", "is not set", "add a line such as dataDir=/var/lib/zookeeper")
		return
	}
	for _, key := range []string{"dataDir", "dataLogDir"} {
		if dir := c.Raw[key]; dir != "" && !filepath.IsAbs(dir) {
			r.warn(c.lines[key], key, fmt.Sprintf("%q depends on the directory the server is started in", dir), "write an absolute path")
		}
	}
}

func (r *reader) checkClient() {
	c := r.cfg
	if c.ClientPort == 0 && c.ClientPortAddress != "" {
		r.fault(c.lines["clientPortAddress"], "clientPortAddress", "is set but clientPort is not", "add clientPort=2181, or remove the line")
	}
	if c.SecureClientPort == 0 && c.SecureClientPortAddress != "" {
		key := "secureClientPortAddress"
		r.fault(c.lines[key], key, "is set but secureClientPort is not", "add secureClientPort=2281, or remove the line")
	}
	if c.SecureClientPort != 0 && c.SecureClientPort == c.ClientPort && c.SecureClientPortAddress == c.ClientPortAddress {
		r.fault(c.lines["secureClientPort"], "secureClientPort", "is clientPort too", "choose two different ports, or set client.portUnification=true and remove this line")
	}
	if c.ClientPort == 0 && c.SecureClientPort == 0 && len(c.Servers) == 0 && !c.Distributed() {
		r.warn(c.lines["clientPort"], "clientPort", "is not set, so no client can connect", "add clientPort=2181")
	}
	if c.MinSessionTimeout > c.MaxSessionTimeout {
		key := "maxSessionTimeout"
		if c.lines[key] == 0 {
			key = "minSessionTimeout"
		}
		r.fault(c.lines[key], key, fmt.Sprintf("minSessionTimeout (%d ms) is larger than maxSessionTimeout (%d ms)",
			c.MinSessionTimeout/time.Millisecond, c.MaxSessionTimeout/time.Millisecond), "change one of the two")
	}
}

// checkMembers holds the rules of QuorumPeerConfig.parseDynamicConfig.
func (r *reader) checkMembers() {
	c, voters := r.cfg, len(r.cfg.Voters())
	observers := len(c.Servers) - voters
	line := r.firstServerLine()
	switch {
	case voters == 0 && !c.StandaloneEnabled:
		r.fault(c.lines["standaloneEnabled"], "standaloneEnabled", "is false, and no participant is listed", "add server.N lines, or remove this one")
	case observers > 0 && voters == 0:
		r.memberFault(line, "there are observers but no participant", "make at least one server a participant")
	case observers > 0 && voters == 1 && c.StandaloneEnabled:
		r.memberFault(line, "there are observers but only one participant, which runs standalone", "list more participants, or set standaloneEnabled=false")
	case voters == 1 && c.StandaloneEnabled:
		r.memberWarn(line, "only one server is listed, so it runs standalone and the list is not used", "list three servers, or remove the line")
	case voters == 2:
		r.memberWarn(line, "two participants survive no failure", "list three")
	case voters > 2 && voters%2 == 0:
		r.memberWarn(line, fmt.Sprintf("%d participants survive no more failures (%d) than %d would", voters, (voters-1)/2, voters-1), "choose an odd number")
	}
}

// firstServerLine is 0 when there is no server.
func (r *reader) firstServerLine() int {
	first := 0
	for _, line := range r.serverLine {
		if first == 0 || line < first {
			first = line
		}
	}
	return first
}

func (r *reader) memberFault(line int, problem, do string) {
	r.faults = append(r.faults, Fault{r.cfg.memberFile(), line, "server", problem, do})
}

func (r *reader) memberWarn(line int, problem, do string) {
	r.warnings = append(r.warnings, Warning{r.cfg.memberFile(), line, "server", problem, do})
}

// checkGroups holds the rules of QuorumHierarchical.java.
func (r *reader) checkGroups() {
	for _, f := range r.cfg.Membership().groupFaults() {
		r.memberFault(r.serverLine[f.server], f.Error(), f.do)
	}
}

// checkAddressesUnique refuses two listeners on one host and port.
func (r *reader) checkAddressesUnique() {
	taken := addressBook{}
	for _, s := range r.cfg.Servers {
		for _, at := range s.listeners() {
			other, clash := taken[at]
			if !clash {
				taken[at] = s.ID
				continue
			}
			who := fmt.Sprintf("servers %d and %d both use", other, s.ID)
			if other == s.ID {
				who = fmt.Sprintf("server %d twice uses", s.ID)
			}
			r.memberFault(r.serverLine[s.ID], fmt.Sprintf("%s %s", who, at), "give each its own host or port")
		}
	}
}

// checkLimits: an ensemble needs both limits (QuorumPeerConfig.checkValidity).
func (r *reader) checkLimits() {
	c := r.cfg
	if !c.Distributed() {
		return
	}
	limits := map[string]int{"initLimit": c.InitLimit, "syncLimit": c.SyncLimit}
	advice := map[string]string{"initLimit": "add initLimit=10 (ticks)", "syncLimit": "add syncLimit=5 (ticks)"}
	for _, key := range []string{"initLimit", "syncLimit"} {
		if limits[key] == 0 && !r.faulty(key) {
			r.fault(c.lines[key], key, "is not set, and an ensemble needs it", advice[key])
		}
	}
}

// faulty tells whether the key has been reported already.
func (r *reader) faulty(key string) bool {
	for _, f := range r.faults {
		if f.Key == key {
			return true
		}
	}
	return false
}

func (r *reader) checkMultiAddress() {
	for _, s := range r.cfg.Servers {
		if len(s.Addresses) > 1 && !r.cfg.MultiAddressEnabled {
			r.memberFault(r.serverLine[s.ID], fmt.Sprintf("server %d has %d addresses, and multiAddress.enabled is false", s.ID, len(s.Addresses)),
				"set multiAddress.enabled=true, or leave one address")
		}
	}
}

// settleClientPort: the member list gives the client address, and zoo.cfg must
// not contradict it.
func (r *reader) settleClientPort(self Server) {
	c := r.cfg
	if self.ClientPort == 0 {
		return
	}
	static := c.ClientPort != 0
	sameHost := isWildcard(c.ClientPortAddress) || c.ClientPortAddress == self.ClientHost
	if static && (c.ClientPort != self.ClientPort || !sameHost) {
		r.fault(c.lines["clientPort"], "clientPort", fmt.Sprintf("says %s, but server.%d says %s",
			net.JoinHostPort(c.ClientPortAddress, strconv.Itoa(c.ClientPort)), self.ID,
			net.JoinHostPort(self.ClientHost, strconv.Itoa(self.ClientPort))), "remove one of the two")
		return
	}
	c.ClientPort, c.ClientPortAddress = self.ClientPort, self.ClientHost
	r.derive(self, "clientPort", "clientPortAddress")
}

func (r *reader) settlePeerType(self Server) {
	c := r.cfg
	if _, written := c.Raw["peerType"]; written && c.PeerType != self.Role {
		r.warn(c.lines["peerType"], "peerType", fmt.Sprintf("%s is the role here, but server.%d says %s, which wins", c.PeerType, self.ID, self.Role),
			"make the two agree")
	}
	c.PeerType = self.Role
	r.derive(self, "peerType")
}

// derive notes that the member list gave the value of keys.
func (r *reader) derive(self Server, keys ...string) {
	for _, key := range keys {
		r.cfg.derived[key] = r.cfg.member[fmt.Sprintf("server.%d", self.ID)]
	}
}

// checkOwnPorts: the client port must be free of this server's other ports.
func (r *reader) checkOwnPorts(self Server) {
	c := r.cfg
	for _, a := range self.Addresses {
		if c.ClientPort == a.QuorumPort || c.ClientPort == a.ElectionPort {
			r.fault(c.lines["clientPort"], "clientPort", fmt.Sprintf("%d is a port of server.%d=%s too", c.ClientPort, self.ID, self),
				"choose three different ports")
		}
	}
}

// isWildcard tells whether a bind address means every address of the host.
func isWildcard(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}
