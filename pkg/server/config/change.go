package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Change is what a reconfig request asks for. A field that is "" is not given;
// where NewMembers is given the first two are not looked at.
type Change struct {
	// Joining is "server.N=..." with a client part, separated by commas: servers
	// that come, or whose line changes.
	Joining string
	// Leaving is ids separated by commas. An id that is no member is passed over.
	Leaving string
	// NewMembers is the whole list, its lines separated by commas or newlines.
	NewMembers string
	// Whole says that NewMembers is given, be it empty.
	Whole bool
	// MultiAddress says that joining servers may have several addresses each: the
	// key multiAddress.enabled.
	MultiAddress bool
}

// Apply makes the list that the change leads to. The version stays that of m
// until the caller sets it. Every error means that the request cannot be met as
// it stands, which clients are told as BADARGUMENTS, or as MARSHALLINGERROR where it
// is an [ErrMalformed].
//
// Apache takes lists in which two servers share a host and port of the loopback
// interface; such a list would keep this server from starting again.
// Source: PrepRequestProcessor.java, case reconfig.
func (m Membership) Apply(c Change, standaloneEnabled bool) (Membership, error) {
	list := m.adjusted
	if c.Whole || c.NewMembers != "" {
		list = func(c Change) (Membership, error) { return c.replaced(standaloneEnabled) }
	}
	next, err := list(c)
	if err == nil {
		err = next.checkVoters(standaloneEnabled)
	}
	if err != nil {
		return Membership{}, err
	}
	next.Version = m.Version
	return next, nil
}

// replaced is the change that names the whole list.
func (c Change) replaced(standaloneEnabled bool) (Membership, error) {
	next, err := ParseMembership(strings.ReplaceAll(c.NewMembers, ",", "\n"))
	if err != nil {
		return Membership{}, err
	}
	switch voters := len(next.Voters()); {
	case voters == 0 && !standaloneEnabled:
		return Membership{}, malformedf("no participant would be left")
	case voters == 1 && len(next.Servers) > 1 && standaloneEnabled:
		return Membership{}, malformedf("there would be observers of one participant alone; 2 are the least, or 1 with standaloneEnabled=false")
	}
	taken := addressBook{}
	for _, s := range next.Servers {
		if err := c.checkServer(s); err != nil {
			return Membership{}, err
		}
		if err := taken.add(s); err != nil {
			return Membership{}, err
		}
	}
	return next, nil
}

// adjusted is the change that names who joins and who leaves.
func (m Membership) adjusted(c Change) (Membership, error) {
	if len(m.Groups) > 0 || len(m.Weights) > 0 {
		return Membership{}, errors.New("servers can join and leave one by one only where majorities decide; name the whole list, with its groups")
	}
	if len(c.Joining)+len(c.Leaving) > maxMembershipText {
		return Membership{}, fmt.Errorf("the change is longer than %d bytes", maxMembershipText)
	}
	l := memberLines{servers: map[int64]Server{}}
	for _, s := range m.Servers {
		l.servers[s.ID] = s
	}
	for text := range fields(c.Leaving) {
		id, err := parseID(text)
		if err != nil {
			return Membership{}, fmt.Errorf("leaving: %w", err)
		}
		delete(l.servers, id)
	}
	taken := addressBook{}
	for _, s := range l.servers {
		taken.note(s)
	}
	for text := range fields(c.Joining) {
		s, err := c.joining(text)
		if err != nil {
			return Membership{}, fmt.Errorf("joining %s: %w", text, err)
		}
		taken.remove(l.servers[s.ID])
		if err := taken.add(s); err != nil {
			return Membership{}, fmt.Errorf("joining %s: %w", text, err)
		}
		l.servers[s.ID] = s
	}
	return l.membership(), nil
}

// joining reads one server that is to join: everything up to the last dot before
// the "=" is passed over, as Apache does.
func (c Change) joining(text string) (Server, error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok || strings.Contains(value, "=") {
		return Server{}, errors.New("it does not read server.N=host:quorumPort:electionPort[:role];[clientHost:]clientPort")
	}
	id, err := parseID(trim(key[strings.LastIndexByte(key, '.')+1:]))
	if err != nil {
		return Server{}, err
	}
	s, err := parseMember(id, trim(value))
	if err != nil {
		return Server{}, err
	}
	if s.ClientPort == 0 {
		return Server{}, errors.New("the client part is missing; add ;[clientHost:]clientPort")
	}
	return s, c.checkServer(s)
}

// checkServer holds the rules for one server of a change.
func (c Change) checkServer(s Server) error {
	if len(s.Addresses) > 1 && !c.MultiAddress {
		return fmt.Errorf("server %d has %d addresses, and multiAddress.enabled is false", s.ID, len(s.Addresses))
	}
	for _, a := range s.Addresses {
		if s.ClientPort == a.QuorumPort || s.ClientPort == a.ElectionPort {
			return fmt.Errorf("server %d has %d for clients and for servers; choose three different ports", s.ID, s.ClientPort)
		}
	}
	return nil
}

// checkVoters refuses a list that is too short to decide anything.
func (m Membership) checkVoters(standaloneEnabled bool) error {
	voters := len(m.Voters())
	switch {
	case standaloneEnabled && voters < 2:
		return fmt.Errorf("%d participants would be left; 2 is the least, or 1 with standaloneEnabled=false", voters)
	case voters < 1:
		return errors.New("no participant would be left")
	}
	return nil
}

// fields yields what stands between commas, trimmed, without what is empty.
func fields(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for part := range strings.SplitSeq(text, ",") {
			if part = trim(part); part != "" && !yield(part) {
				return
			}
		}
	}
}

// listeners are the places that only one server can have, as host:port.
func (s Server) listeners() []string {
	var at []string
	for _, a := range s.Addresses {
		at = append(at, net.JoinHostPort(a.Host, strconv.Itoa(a.QuorumPort)), net.JoinHostPort(a.Host, strconv.Itoa(a.ElectionPort)))
	}
	if s.ClientPort != 0 && !isWildcard(s.ClientHost) {
		at = append(at, net.JoinHostPort(s.ClientHost, strconv.Itoa(s.ClientPort)))
	}
	return at
}

// addressBook tells which server has a host and port.
type addressBook map[string]int64

// note enters a server without asking whether another has the place.
func (b addressBook) note(s Server) {
	for _, at := range s.listeners() {
		b[at] = s.ID
	}
}

func (b addressBook) remove(s Server) {
	for _, at := range s.listeners() {
		if b[at] == s.ID {
			delete(b, at)
		}
	}
}

// add enters a server unless one of its places is taken.
func (b addressBook) add(s Server) error {
	for _, at := range s.listeners() {
		switch other, clash := b[at]; {
		case clash && other == s.ID:
			return fmt.Errorf("server %d uses %s twice", s.ID, at)
		case clash:
			return fmt.Errorf("servers %d and %d both use %s", other, s.ID, at)
		}
		b[at] = s.ID
	}
	return nil
}
