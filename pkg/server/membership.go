package server

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// members is who is in the ensemble now.
func (s *Server) members() config.Membership {
	if m := s.membership.Load(); m != nil {
		return *m
	}
	return s.cfg.Membership()
}

// reconfig is what lets the membership change, or nil. The newest one may stand
// in the log and not in zoo.cfg: proposed, and perhaps committed.
func (s *Server) reconfig(r *storage.Recovered) *quorum.Reconfig {
	if !s.cfg.ReconfigEnabled {
		return nil
	}
	q := &quorum.Reconfig{Version: zab.Zxid(s.cfg.Version), Parse: parseMembership, Seen: s.proposed, Activate: s.activate}
	n, ok := r.Tree.Get(tree.ConfigPath)
	if !ok {
		return q
	}
	switch m, err := parseMembership(string(n.Data())); {
	case len(n.Data()) == 0:
	case err != nil:
		s.log.Warn("the configuration in the database cannot be read; that of zoo.cfg counts", "znode", tree.ConfigPath, "err", err)
	case m.Version > q.Version:
		q.Next = &m
	}
	return q
}

// parseMembership reads the text that servers tell each other.
func parseMembership(text string) (quorum.Membership, error) {
	m, err := config.ParseMembership(text)
	if err != nil {
		return quorum.Membership{}, err
	}
	return quorumMembership(m), nil
}

func quorumMembership(m config.Membership) quorum.Membership {
	out := quorum.Membership{Version: zab.Zxid(m.Version), Text: m.Lines()}
	for _, server := range m.Servers {
		out.Members = append(out.Members, member(server))
	}
	if len(m.Groups) > 0 {
		out.Groups, out.Weights = hierarchy(m)
	}
	return out
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

// configMembership is the same as zoo.cfg knows it.
func configMembership(m quorum.Membership) (config.Membership, error) {
	out, err := config.ParseMembership(m.Text)
	out.Version = int64(m.Version)
	return out, err
}

// proposed keeps a membership that may come into force, as Apache does. The log
// holds it as well, so that what cannot be written is no reason to stop.
func (s *Server) proposed(q quorum.Membership) {
	m, err := configMembership(q)
	if err == nil {
		err = config.WriteNextMembership(s.cfg.File, m)
	}
	if err != nil {
		s.log.Error("the proposed membership is not kept beside zoo.cfg", "version", q.Version.String(), "err", err)
	}
}

// activate acts on the membership in force from now on.
func (s *Server) activate(q quorum.Membership) {
	m, err := configMembership(q)
	if err != nil {
		s.log.Error("the membership cannot be read", "version", q.Version.String(), "err", err)
		return
	}
	before := s.members()
	s.membership.Store(&m)
	s.pipeline.SetMembership(m.Text(), m.Version)
	if err := config.ActivateMembership(s.cfg.File, m, s.cfg.MyID); err != nil {
		s.log.Error("zoo.cfg does not name the membership in force; it will when the server can write it", "version", q.Version.String(), "err", err)
	}
	s.moveClientPort(before, m)
}

// moveClientPort follows the client address that the membership gives this server.
func (s *Server) moveClientPort(before, now config.Membership) {
	self, ok := now.Server(s.cfg.MyID)
	if !ok || self.ClientPort == 0 || s.cfg.ClientPort == 0 {
		return
	}
	addr := net.JoinHostPort(self.ClientHost, strconv.Itoa(self.ClientPort))
	if was, listed := before.Server(s.cfg.MyID); listed && was.ClientHost == self.ClientHost && was.ClientPort == self.ClientPort ||
		addr == s.fronts[0].Addr().String() {
		return
	}
	if err := s.fronts[0].Move(context.Background(), addr); err != nil {
		s.log.Error("the client port cannot move where the membership says; clients find it where it was", "to", addr, "err", err)
		return
	}
	s.log.Info("the client port has moved", "to", addr)
}

// reconfigure makes the membership that a reconfig request asks for.
func (s *Server) reconfigure(present string, r proto.ReconfigRequest, version int64) (string, error) {
	m, err := config.ParseMembership(present)
	if err != nil || strings.TrimSpace(present) == "" {
		return "", fmt.Errorf("%w: the present configuration cannot be read: %w", proto.ErrSystem, err)
	}
	if r.ConfigID != -1 && r.ConfigID != m.Version {
		return "", fmt.Errorf("%w: the configuration is of version %x, not %x", proto.ErrBadVersion, m.Version, r.ConfigID)
	}
	next, err := m.Apply(config.Change{
		Joining: r.Joining, Leaving: r.Leaving, NewMembers: r.Members, MultiAddress: s.cfg.MultiAddressEnabled,
	}, s.cfg.StandaloneEnabled)
	if err != nil {
		return "", fmt.Errorf("%w: %w", proto.ErrBadArguments, err)
	}
	next.Version = version
	return next.Text(), nil
}
