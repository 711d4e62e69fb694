// Package membership translates between the member lists of package config, as
// zoo.cfg and /zookeeper/config hold them, and those that package quorum takes
// decisions by; and it makes the list that a reconfig request asks for.
package membership

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// Parse reads the text that servers tell each other, with or without the line of
// its version. It is what [quorum.Reconfig] needs.
func Parse(text string) (quorum.Membership, error) {
	m, err := config.ParseMembership(text)
	if err != nil {
		return quorum.Membership{}, err
	}
	return Of(m), nil
}

// Of is a member list as package quorum knows it.
func Of(m config.Membership) quorum.Membership {
	out := quorum.Membership{Version: zab.Zxid(m.Version), Text: m.Lines()}
	for _, server := range m.Servers {
		out.Members = append(out.Members, member(server))
	}
	if len(m.Groups) > 0 {
		out.Groups, out.Weights = hierarchy(m)
	}
	return out
}

func member(m config.Server) quorum.Member {
	out := quorum.Member{Sid: zab.Sid(m.ID), Observer: m.Role == config.Observer}
	for _, a := range m.Addresses {
		host := oneSpelling(a.Host)
		out.Quorum = append(out.Quorum, net.JoinHostPort(host, strconv.Itoa(a.QuorumPort)))
		out.Election = append(out.Election, net.JoinHostPort(host, strconv.Itoa(a.ElectionPort)))
	}
	return out
}

// oneSpelling writes an IPv6 address in one way. A list that was told by a server has it
// written out ([config.Server.String]), zoo.cfg in any way, and whoever compares the two
// must not find that the server has moved: a leader that has moved hands over.
func oneSpelling(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String()
	}
	return host
}

// hierarchy is the groups and weights of hierarchical quorums.
func hierarchy(m config.Membership) (groups, weights map[zab.Sid]int64) {
	groups, weights = make(map[zab.Sid]int64), make(map[zab.Sid]int64)
	for _, g := range m.Groups {
		for _, id := range g.Servers {
			groups[zab.Sid(id)], weights[zab.Sid(id)] = g.ID, m.Weight(id)
		}
	}
	return groups, weights
}

// Config is the same list as zoo.cfg knows it.
func Config(m quorum.Membership) (config.Membership, error) {
	out, err := config.ParseMembership(m.Text)
	out.Version = int64(m.Version)
	return out, err
}

// Proposed finds in a recovered tree the membership that is newer than the one of a
// version, which zoo.cfg names; nil for none. It was proposed, and is perhaps committed:
// what a server recovers holds both. A list that cannot be read is an error.
func Proposed(t *tree.Tree, version zab.Zxid) (*quorum.Membership, error) {
	n, ok := t.Get(tree.ConfigPath)
	if !ok || len(n.Data()) == 0 {
		return nil, nil
	}
	m, err := Parse(string(n.Data()))
	if err != nil || m.Version <= version {
		return nil, err
	}
	return &m, nil
}

// Rules are the settings that a change of members has to respect.
type Rules struct {
	MultiAddress bool // multiAddress.enabled
	Standalone   bool // standaloneEnabled: one participant is too few
}

// Reconfigure makes the text of the membership that a reconfig request asks for, from
// the text of the present one; version is that of the new one. Errors are a
// [proto.Code]: SYSTEMERROR, BADVERSION, BADARGUMENTS or, for what Apache's parser makes
// no quorums of, MARSHALLINGERROR.
//
// Source: PrepRequestProcessor.java (pRequest2Txn, case reconfig).
func (r Rules) Reconfigure(present string, ask proto.ReconfigRequest, version int64) (string, error) {
	m, err := config.ParseMembership(present)
	if err != nil || strings.TrimSpace(present) == "" {
		return "", fmt.Errorf("%w: the present configuration cannot be read: %w", proto.ErrSystem, err)
	}
	if ask.ConfigID != -1 && ask.ConfigID != m.Version {
		return "", fmt.Errorf("%w: the configuration is of version %x, not %x", proto.ErrBadVersion, m.Version, ask.ConfigID)
	}
	next, err := m.Apply(config.Change{
		Joining: ask.Joining, Leaving: ask.Leaving, NewMembers: ask.Members, Whole: ask.Whole, MultiAddress: r.MultiAddress,
	}, r.Standalone)
	if err != nil {
		return "", fmt.Errorf("%w: %w", refusal(err), err)
	}
	next.Version = version
	return next.Text(), nil
}

// refusal is what a client is told of a change that cannot be met.
func refusal(err error) proto.Code {
	if errors.Is(err, config.ErrMalformed) {
		return proto.ErrMarshalling
	}
	return proto.ErrBadArguments
}
