package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Role is what a server does in the ensemble.
type Role int

// A participant votes; an observer hears commits and has no vote.
const (
	Participant Role = iota
	Observer
)

// String gives the word of zoo.cfg: participant or observer.
func (r Role) String() string {
	if r == Observer {
		return "observer"
	}
	return "participant"
}

// parseRole accepts any case, as QuorumPeer.java does.
func parseRole(s string) (Role, bool) {
	switch strings.ToLower(trim(s)) {
	case "participant":
		return Participant, true
	case "observer":
		return Observer, true
	}
	return Participant, false
}

// Address is one host with the two ports servers talk on. An IPv6 host has no brackets.
type Address struct {
	Host         string
	QuorumPort   int // followers connect here to their leader
	ElectionPort int // servers vote here
}

// Server is one line server.N=... of the member list.
type Server struct {
	ID        int64
	Addresses []Address // at least one; more than one needs multiAddress.enabled
	Role      Role
	// ClientHost and ClientPort stand after ";"; port 0 when there is no such part.
	// The host is 0.0.0.0 when only a port is given.
	ClientHost string
	ClientPort int
}

// String gives the value of the server's line in the form of QuorumServer.toString:
// the role is always there, IPv6 hosts are in brackets and written out.
func (s Server) String() string {
	hosts := make([]string, len(s.Addresses))
	for i, a := range s.Addresses {
		hosts[i] = fmt.Sprintf("%s:%d:%d", hostText(a.Host), a.QuorumPort, a.ElectionPort)
	}
	text := strings.Join(hosts, "|") + ":" + s.Role.String()
	if s.ClientPort != 0 {
		text += fmt.Sprintf(";%s:%d", hostText(s.ClientHost), s.ClientPort)
	}
	return text
}

// ports lists one port of every address, joined as the word conf does.
func (s Server) ports(of func(Address) int) string {
	ports := make([]string, len(s.Addresses))
	for i, a := range s.Addresses {
		ports[i] = strconv.Itoa(of(a))
	}
	return strings.Join(ports, "|")
}

// hostText is the host as Java prints it: IPv6 in brackets, without "::", and
// with its zone if it has one.
func hostText(host string) string {
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Is6() {
		return host
	}
	groups := make([]string, 8)
	raw := ip.As16()
	for i := range groups {
		groups[i] = strconv.FormatUint(uint64(raw[2*i])<<8|uint64(raw[2*i+1]), 16)
	}
	text := strings.Join(groups, ":")
	if zone := ip.Zone(); zone != "" {
		text += "%" + zone
	}
	return "[" + text + "]"
}

// Group is one line group.N=sid:sid... of hierarchical quorums.
type Group struct {
	ID      int64
	Servers []int64
}

// ParseServer reads the value of server.<id>: addresses separated by "|", each
// host:quorumPort:electionPort[:role], then optionally ;[clientHost:]clientPort.
// Source: QuorumPeer.java, QuorumServer.
func ParseServer(id int64, value string) (Server, error) {
	s := Server{ID: id}
	members, client, hasClient := strings.Cut(value, ";")
	if hasClient {
		if err := s.parseClient(client); err != nil {
			return Server{}, err
		}
	}
	said := false
	for part := range strings.SplitSeq(members, "|") {
		addr, role, err := parseAddress(part)
		if err != nil {
			return Server{}, err
		}
		if role != nil && said && *role != s.Role {
			return Server{}, fmt.Errorf("its addresses have different roles")
		}
		if role != nil {
			s.Role, said = *role, true
		}
		s.Addresses = append(s.Addresses, addr)
	}
	return s, nil
}

func (s *Server) parseClient(text string) error {
	parts, err := splitHost(text)
	if err != nil {
		return err
	}
	if len(parts) > 2 {
		return fmt.Errorf("%q after the semicolon is neither a port nor host:port", text)
	}
	s.ClientHost = "0.0.0.0"
	if len(parts) == 2 {
		s.ClientHost = parts[0]
	}
	s.ClientPort, err = parsePort("client", parts[len(parts)-1])
	return err
}

// parseAddress gives no role where the address has none: one address may say it
// for all, and servers write it after the last.
func parseAddress(text string) (Address, *Role, error) {
	parts, err := splitHost(text)
	if err != nil {
		return Address{}, nil, err
	}
	if len(parts) < 3 || len(parts) > 4 || parts[0] == "" {
		return Address{}, nil, fmt.Errorf("%q does not read host:quorumPort:electionPort[:role]", text)
	}
	a := Address{Host: parts[0]}
	if a.QuorumPort, err = parsePort("quorum", parts[1]); err != nil {
		return Address{}, nil, err
	}
	if a.ElectionPort, err = parsePort("election", parts[2]); err != nil {
		return Address{}, nil, err
	}
	if a.QuorumPort == a.ElectionPort {
		return Address{}, nil, fmt.Errorf("quorum and election port are both %d", a.QuorumPort)
	}
	if len(parts) == 3 {
		return a, nil, nil
	}
	role, ok := parseRole(parts[3])
	if !ok {
		return Address{}, nil, fmt.Errorf("%q is no role", parts[3])
	}
	return a, &role, nil
}

func parsePort(what, text string) (int, error) {
	port, err := strconv.Atoi(trim(text))
	switch {
	case err == nil && (port < 0 || port > maxPort):
		return 0, malformedf("%s port %q is not a number from 1 to %d", what, text, maxPort)
	case err != nil || port == 0:
		return 0, fmt.Errorf("%s port %q is not a number from 1 to %d", what, text, maxPort)
	}
	return port, nil
}

// splitHost cuts at colons but keeps a host in brackets whole, without them.
func splitHost(text string) ([]string, error) {
	text = trim(text)
	if !strings.HasPrefix(text, "[") {
		return strings.Split(text, ":"), nil
	}
	host, rest, ok := strings.Cut(text[1:], "]")
	if !ok {
		return nil, fmt.Errorf("%q opens a bracket that is not closed", text)
	}
	rest, ok = strings.CutPrefix(rest, ":")
	if !ok {
		return nil, fmt.Errorf("%q has no port after the bracket", text)
	}
	return append([]string{host}, strings.Split(rest, ":")...), nil
}

// isMemberKey tells whether a key belongs to the member list.
func isMemberKey(key string) bool {
	return strings.HasPrefix(key, "server.") || strings.HasPrefix(key, "group") || strings.HasPrefix(key, "weight")
}

// member reads one key of the member list.
func (r *reader) member(p Property) {
	prefix, number, ok := strings.Cut(p.Key, ".")
	id, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || id < 0 {
		r.fault(p.Line, p.Key, "the part after the dot is no server or group number", "write for instance server.1=, group.1= or weight.1=")
		return
	}
	r.cfg.member[p.Key] = Origin{r.file, p.Line}
	switch prefix {
	case "server":
		r.server(p, id)
	case "group":
		r.group(p, id)
	case "weight":
		w, err := parseWeight(p.Value)
		if err != nil {
			r.fault(p.Line, p.Key, err.Error(), "write for instance weight.1=1")
			return
		}
		r.cfg.Weights[id] = w
	default:
		r.fault(p.Line, p.Key, "neither group.N nor weight.N", "write for instance group.1=1:2:3")
	}
}

func (r *reader) server(p Property, id int64) {
	s, err := ParseServer(id, p.Value)
	if err != nil {
		r.fault(p.Line, p.Key, err.Error(), "write host:quorumPort:electionPort[:participant|:observer][;[clientHost:]clientPort], an IPv6 host in brackets")
		return
	}
	if id == 0 || id > 255 {
		r.warn(p.Line, p.Key, "session ids have room for server numbers 1 to 255 only", "choose another number")
	}
	r.serverLine[id] = p.Line
	r.cfg.Servers = append(r.cfg.Servers, s)
	slices.SortFunc(r.cfg.Servers, func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
}

func (r *reader) group(p Property, id int64) {
	g, err := parseGroup(id, p.Value)
	if err != nil {
		r.fault(p.Line, p.Key, err.Error(), "write for instance group.1=1:2:3")
		return
	}
	r.cfg.Groups = append(r.cfg.Groups, g)
	slices.SortFunc(r.cfg.Groups, func(a, b Group) int { return cmp.Compare(a.ID, b.ID) })
}

// QuorumText is [Membership.Text] of the member list.
func (c *Config) QuorumText() string { return c.Membership().Text() }

// Weight is the server's weight in hierarchical quorums: 1 unless weight.N says otherwise.
func (c *Config) Weight(id int64) int64 { return c.Membership().Weight(id) }
