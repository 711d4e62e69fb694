package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Membership is who belongs to an ensemble, and who of them decides. Servers
// keep it in the znode /zookeeper/config, tell it to each other in notifications
// and NEWLEADER packets, and keep it in the dynamic file. A value is not changed
// once it is made, so several may share its slices and map.
type Membership struct {
	// Servers are the members, by ascending id.
	Servers []Server
	// Groups and Weights describe hierarchical quorums; both empty for majorities.
	// A server without a weight has 1. Groups are by ascending id.
	Groups  []Group
	Weights map[int64]int64
	// Version is the zxid that made it; 0 for a list from zoo.cfg.
	Version int64
}

// maxMembershipText bounds what is read: the default of jute.maxbuffer, so that
// every list that fits into a znode passes.
const maxMembershipText = 1 << 20

// ParseMembership reads the text form that [Membership.Text] writes: Java
// properties server.N, group.N, weight.N and version (hexadecimal; 0 when it is
// missing), nothing else. Of a key that stands twice the last counts. The error
// names what is wrong. Source: QuorumPeerConfig.parseDynamicConfig,
// QuorumMaj.java, QuorumHierarchical.java.
func ParseMembership(text string) (Membership, error) {
	if len(text) > maxMembershipText {
		return Membership{}, fmt.Errorf("the member list has %d bytes; %d are the most", len(text), maxMembershipText)
	}
	props, bad := ParseProperties([]byte(text))
	if len(bad) > 0 {
		return Membership{}, fmt.Errorf("read member list: %w", bad[0])
	}
	l := memberLines{servers: map[int64]Server{}, groups: map[int64]Group{}, weights: map[int64]int64{}}
	for _, p := range props {
		p.Key, p.Value = trim(p.Key), trim(p.Value)
		if err := l.add(p); err != nil {
			return Membership{}, fmt.Errorf("%s=%s: %w", p.Key, p.Value, err)
		}
	}
	m := l.membership()
	return m, m.check()
}

// ErrMalformed marks what clients are told as MARSHALLINGERROR, not as BADARGUMENTS:
// numbers that cannot be read, ports beyond all ports, and lists of which Apache's
// parser makes no quorums (QuorumPeerConfig.java, parseDynamicConfig).
var ErrMalformed = errors.New("malformed member list")

// malformed is an error with its own words that is an [ErrMalformed].
type malformed string

func (m malformed) Error() string { return string(m) }

// Is makes it an [ErrMalformed].
func (malformed) Is(target error) bool { return target == ErrMalformed }

func malformedf(format string, args ...any) error { return malformed(fmt.Sprintf(format, args...)) }

// memberLines gathers the lines of a member list.
type memberLines struct {
	servers map[int64]Server
	groups  map[int64]Group
	weights map[int64]int64
	version int64
}

func (l *memberLines) add(p Property) (err error) {
	if p.Key == "version" {
		if l.version, err = strconv.ParseInt(p.Value, 16, 64); err != nil || l.version < 0 {
			return malformedf("the version is no hexadecimal number")
		}
		return nil
	}
	kind, number, _ := strings.Cut(p.Key, ".")
	if kind != "server" && kind != "group" && kind != "weight" {
		return errors.New("a member list holds only server.N, group.N, weight.N and version")
	}
	id, err := parseID(number)
	if err != nil {
		return err
	}
	switch kind {
	case "server":
		l.servers[id], err = parseMember(id, p.Value)
	case "group":
		l.groups[id], err = parseGroup(id, p.Value)
	default:
		l.weights[id], err = parseWeight(p.Value)
	}
	return err
}

// parseID reads the N of server.N, group.N or weight.N.
func parseID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 {
		return 0, malformedf("%q is no server or group number", text)
	}
	return id, nil
}

// parseMember is [ParseServer] for a line that comes from elsewhere: its hosts
// must be such that the line can be written again.
func parseMember(id int64, value string) (Server, error) {
	s, err := ParseServer(id, value)
	if err != nil {
		return Server{}, err
	}
	hosts := []string{s.ClientHost}
	for _, a := range s.Addresses {
		hosts = append(hosts, a.Host)
	}
	for _, host := range hosts {
		if !isHost(host) {
			return Server{}, fmt.Errorf("%q is neither a host name nor an address", host)
		}
	}
	return s, nil
}

// isHost tells whether the text can be a host: no character that would mean
// something else in a member list, and colons only in an IPv6 address.
func isHost(host string) bool {
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return false
		}
	}
	return !strings.ContainsFunc(host, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune(".-_:%", r)
	})
}

func parseGroup(id int64, value string) (Group, error) {
	g := Group{ID: id}
	for text := range strings.SplitSeq(value, ":") {
		sid, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Group{}, malformedf("%q is no server number", text)
		}
		g.Servers = append(g.Servers, sid)
	}
	slices.Sort(g.Servers) // as servers write it
	return g, nil
}

func parseWeight(value string) (int64, error) {
	w, err := strconv.ParseInt(value, 10, 64)
	if err != nil || w < 0 {
		return 0, malformedf("weight %q is not a whole number from 0", value)
	}
	return w, nil
}

func (l *memberLines) membership() Membership {
	m := Membership{Weights: l.weights, Version: l.version}
	m.Servers = slices.SortedFunc(maps.Values(l.servers), func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
	m.Groups = slices.SortedFunc(maps.Values(l.groups), func(a, b Group) int { return cmp.Compare(a.ID, b.ID) })
	return m
}

// check holds the rules that a list must keep wherever it comes from.
func (m Membership) check() error {
	if len(m.Servers) > 0 && len(m.Voters()) == 0 {
		return malformedf("there are observers but no participant")
	}
	if faults := m.groupFaults(); len(faults) > 0 {
		return faults[0]
	}
	return nil
}

// A groupFault is what is wrong with a server's place in the groups.
type groupFault struct {
	error
	server int64  // whose line is wrong, or noServer
	do     string // what to do about it
}

// noServer is the server of a fault that is not in a server's line.
const noServer = -1

// Unwrap gives the reason, which may be an [ErrMalformed].
func (f groupFault) Unwrap() error { return f.error }

// groupFaults holds the rules of QuorumHierarchical.java: each participant is in one
// group, and whoever is in a group without being a participant has a weight of its
// own, for it counts in what its group needs.
func (m Membership) groupFaults() (faults []groupFault) {
	if len(m.Groups) == 0 && len(m.Weights) == 0 {
		return nil
	}
	groupOf := map[int64]int64{}
	for _, g := range m.Groups {
		for _, sid := range g.Servers {
			if other, twice := groupOf[sid]; twice {
				faults = append(faults, groupFault{fmt.Errorf("server %d is in group %d and in group %d", sid, other, g.ID), noServer, "leave it in one group"})
			}
			groupOf[sid] = g.ID
		}
	}
	for _, s := range m.Voters() {
		if _, ok := groupOf[s.ID]; !ok {
			faults = append(faults, groupFault{fmt.Errorf("server %d is in no group", s.ID), s.ID, "add it to a group.N line"})
		}
	}
	for _, sid := range slices.Sorted(maps.Keys(groupOf)) {
		s, listed := m.Server(sid)
		if _, weighed := m.Weights[sid]; !weighed && (!listed || s.Role != Participant) {
			faults = append(faults, groupFault{malformedf("server %d is in group %d, and no participant", sid, groupOf[sid]), noServer, "take it out of the group, or give it a weight"})
		}
	}
	return faults
}

// Voters are the participants, by ascending id.
func (m Membership) Voters() []Server {
	return slices.DeleteFunc(slices.Clone(m.Servers), func(s Server) bool { return s.Role != Participant })
}

// Server finds a member by id.
func (m Membership) Server(id int64) (Server, bool) {
	i, ok := slices.BinarySearchFunc(m.Servers, id, func(s Server, id int64) int { return cmp.Compare(s.ID, id) })
	if !ok {
		return Server{}, false
	}
	return m.Servers[i], true
}

// Weight is the server's weight in hierarchical quorums: 1 unless Weights says otherwise.
func (m Membership) Weight(id int64) int64 {
	if w, ok := m.Weights[id]; ok {
		return w
	}
	return 1
}

// Text is the list in the form that servers exchange and that /zookeeper/config
// holds: [Membership.Lines], then the version without a newline after it.
// Source: QuorumMaj.java, QuorumHierarchical.java.
func (m Membership) Text() string { return m.Lines() + fmt.Sprintf("version=%x", m.Version) }

// Lines is a line for each server, group and weight, each ended by a newline.
func (m Membership) Lines() string {
	var b strings.Builder
	for _, s := range m.Servers {
		fmt.Fprintf(&b, "server.%d=%s\n", s.ID, s)
	}
	for _, g := range m.Groups {
		ids := make([]string, len(g.Servers))
		for i, id := range g.Servers {
			ids[i] = strconv.FormatInt(id, 10)
		}
		fmt.Fprintf(&b, "group.%d=%s\n", g.ID, strings.Join(ids, ":"))
	}
	for _, id := range m.weighed() {
		fmt.Fprintf(&b, "weight.%d=%d\n", id, m.Weight(id))
	}
	return b.String()
}

// weighed lists whose weight is written, ascending: that of every participant,
// and each that was given.
func (m Membership) weighed() []int64 {
	if len(m.Groups) == 0 {
		return nil
	}
	ids := slices.Collect(maps.Keys(m.Weights))
	for _, s := range m.Voters() {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Membership is the member list of the configuration.
func (c *Config) Membership() Membership {
	return Membership{Servers: c.Servers, Groups: c.Groups, Weights: c.Weights, Version: c.Version}
}
