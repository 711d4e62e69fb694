package server

import (
	"context"
	"net"
	"strconv"

	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/membership"
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
	q := &quorum.Reconfig{Version: zab.Zxid(s.cfg.Version), Parse: membership.Parse, Seen: s.proposed, Activate: s.activate}
	var err error
	if q.Next, err = membership.Proposed(r.Tree, q.Version); err != nil {
		s.log.Warn("the configuration in the database cannot be read; that of zoo.cfg counts", "znode", tree.ConfigPath, "err", err)
	}
	return q
}

// proposed keeps a membership that may come into force, as Apache does. The log
// holds it as well, so that what cannot be written is no reason to stop.
func (s *Server) proposed(q quorum.Membership) {
	m, err := membership.Config(q)
	if err == nil {
		err = config.WriteNextMembership(s.cfg.File, m)
	}
	if err != nil {
		s.log.Error("the proposed membership is not kept beside zoo.cfg", "version", q.Version.String(), "err", err)
	}
}

// activate acts on the membership in force from now on.
func (s *Server) activate(q quorum.Membership) {
	m, err := membership.Config(q)
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
