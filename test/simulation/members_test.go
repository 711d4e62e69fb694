package simulation

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/membership"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// changes is what a run knows of memberships that change.
type changes struct {
	on      bool // reconfigEnabled
	rules   membership.Rules
	initial config.Membership
	leave   bool // when faults end, who is no member is shut down
	moved   int  // how often a port was changed
}

// entry is a server's line in a list; moved tells its port from an earlier one.
func (w *world) entry(sid zab.Sid, observer bool, moved int) config.Server {
	role := config.Participant
	if observer {
		role = config.Observer
	}
	return config.Server{
		ID: int64(sid), Role: role, ClientHost: "0.0.0.0", ClientPort: 2181,
		Addresses: []config.Address{{Host: fmt.Sprintf("10.0.0.%d", sid), QuorumPort: 20000 + moved, ElectionPort: 3888}},
	}
}

// found makes the list that the run begins with: groups and weights in some runs.
func (w *world) found(voters, observers int) {
	m := config.Membership{}
	for i := range voters + observers {
		m.Servers = append(m.Servers, w.entry(zab.Sid(i+1), i >= voters, 0))
	}
	if voters >= 3 && w.rnd.Intn(4) == 0 {
		w.group(&m)
	}
	w.changes.initial = m
	first := membership.Of(m).Zab()
	w.config.Ensemble, w.history.initial = first.Ensemble, first
	w.sawIf(observers >= 2, "ensemble: two observers")
	w.sawIf(voters == 1, "ensemble: one voter")
}

// group makes quorums of a list hierarchical.
func (w *world) group(m *config.Membership) {
	groups := 2 + w.rnd.Intn(2)
	m.Groups, m.Weights = nil, map[int64]int64{}
	for g := range groups {
		m.Groups = append(m.Groups, config.Group{ID: int64(g + 1)})
	}
	for i, s := range m.Voters() {
		g := &m.Groups[i%groups]
		g.Servers = append(g.Servers, s.ID)
		m.Weights[s.ID] = int64(1 + w.rnd.Intn(2))
	}
	m.Groups = slices.DeleteFunc(m.Groups, func(g config.Group) bool { return len(g.Servers) == 0 })
	w.saw("ensemble: groups")
	if w.rnd.Intn(2) == 0 && len(m.Voters()) > 2 {
		m.Weights[m.Voters()[w.rnd.Intn(len(m.Voters()))].ID] = 0
		w.saw("ensemble: weight 0")
	}
}

// note remembers the membership that a proposal makes.
func (h *history) note(p zab.Proposal) error {
	m, err := (&quorum.Reconfig{Parse: membership.Parse}).MembersOf(p.Data)
	if m != nil {
		h.members[p.Zxid] = m
	}
	return err
}

// newestIn is the newest membership in a history, or nil.
func (h *history) newestIn(order []zab.Proposal) *zab.Membership {
	if len(h.members) > 0 {
		for _, p := range slices.Backward(order) {
			if m := h.members[p.Zxid]; m != nil {
				return m
			}
		}
	}
	return nil
}

// inForce is the membership that the last committed change made.
func (h *history) inForce() *zab.Membership { return h.inForceAfter(h.order) }

func (h *history) inForceAfter(order []zab.Proposal) *zab.Membership {
	if m := h.newestIn(order); m != nil {
		return m
	}
	return h.initial
}

// changed demands of every change that is committed that it, with all before it, is on
// the disks of a quorum of the membership before it, and of the one that it makes.
func (h *history) changed(holds func(zab.Sid, []zab.Proposal) bool) error {
	for ; h.judged < len(h.order); h.judged++ {
		m := h.members[h.order[h.judged].Zxid]
		if m == nil {
			continue
		}
		order := h.order[:h.judged+1]
		on := func(sid zab.Sid) bool { return holds(sid, order) }
		if before := h.inForceAfter(h.order[:h.judged]); !before.HasQuorum(on) || !m.HasQuorum(on) {
			return fmt.Errorf("the change of members to %s is committed, but not on the disks of a quorum of it and of %s", m, before)
		}
	}
	return nil
}

// inForce is who the ensemble is.
func (w *world) inForce() *zab.Membership { return w.history.inForce() }

func lists(m *zab.Membership, sid zab.Sid) bool {
	return m != nil && (m.IsVoter(sid) || m.IsObserver(sid))
}

// wanted tells whether a server is needed: it is a member, or of a membership that
// somebody has logged or still goes by.
func (w *world) wanted(sid zab.Sid) bool {
	if lists(w.inForce(), sid) {
		return true
	}
	return slices.ContainsFunc(w.servers, func(s *server) bool {
		return lists(w.history.newestIn(s.log), sid) || lists(w.history.newestIn(s.written), sid) ||
			s.goesBy().IsVoter(sid) // whom else could it ask for the newest?
	})
}

// goesBy is the membership that a server has, or would start with.
func (s *server) goesBy() *zab.Membership {
	if s.peer != nil {
		return s.peer.Status().Members
	}
	text, err := disk.ReadFile(s.fd, listFile, 1<<20)
	if err != nil {
		return &zab.Membership{}
	}
	list, err := config.ParseMembership(string(text))
	s.demand(err)
	return membership.Of(list).Zab()
}

// canDecide tells whether those that start are enough, in whatever membership has to
// be counted.
func (w *world) canDecide() bool {
	able := func(s *server) bool { return s.why == "" && !s.mute }
	if !w.isQuorum(able) {
		return false
	}
	// When its list was not written nobody may know that the membership is in force. What
	// was before it has to agree, too.
	var known *zab.Membership
	for _, s := range w.servers {
		if s.peer == nil || !able(s) {
			continue
		}
		if m := s.peer.Status().Members; known == nil || m.Version > known.Version {
			known = m
		}
	}
	return known == nil || known.Version >= w.inForce().Version ||
		known.HasQuorum(func(sid zab.Sid) bool { return able(w.server(sid)) })
}

// isQuorum tells whether servers are enough to decide, by the membership in force and
// by each that somebody has logged behind it.
func (w *world) isQuorum(in func(*server) bool) bool {
	are := func(sid zab.Sid) bool { return in(w.server(sid)) }
	return w.inForce().HasQuorum(are) && !slices.ContainsFunc(w.servers, func(s *server) bool {
		m := w.history.newestIn(s.log)
		return m != nil && m.Version > w.inForce().Version && !m.HasQuorum(are)
	})
}

// members are the servers of the ensemble.
func (w *world) members() []*server {
	return slices.DeleteFunc(slices.Clone(w.servers), func(s *server) bool { return !lists(w.inForce(), s.sid) })
}

const (
	confDir  = "/conf"
	listFile = confDir + "/zoo.cfg.dynamic"
	nextFile = listFile + ".next"
)

// memberList is what zoo.cfg names: a file that [config.ActivateMembership] replaces as
// a whole. A server that has none is new: its operator writes it down.
func (s *server) memberList() (config.Membership, error) {
	text, err := disk.ReadFile(s.fd, listFile, 1<<20)
	if err == nil {
		return config.ParseMembership(string(text))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return config.Membership{}, err
	}
	m := s.changes.initial
	if s.sid > zab.Sid(len(m.Servers)) || s.again {
		if m, err = s.firstList(); err != nil {
			return m, err
		}
	}
	if err := s.fd.MkdirAll(confDir, 0o755); err != nil {
		return m, err
	}
	return m, disk.WriteAtomic(s.fd, listFile, []byte(m.Text()), 0o644)
}

// firstList is what an operator gives a server that is to join: the members as they
// are, with the version or without, itself among them or not.
func (s *server) firstList() (config.Membership, error) {
	m, err := membership.Config(s.present())
	if err != nil || len(m.Groups) > 0 {
		return m, err
	}
	k := s.world.rnd.Intn(3)
	if k == 0 {
		return m, nil
	}
	m.Version = 0
	if _, listed := m.Server(int64(s.sid)); k == 1 && !listed {
		m.Servers = append(m.Servers, s.entry(s.sid, true, 0))
		slices.SortFunc(m.Servers, func(a, b config.Server) int { return int(a.ID - b.ID) })
	}
	return m, nil
}

// present is the membership in force as package quorum knows it.
func (w *world) present() quorum.Membership {
	if m := w.history.newestIn(w.history.order); m != nil {
		return quorum.Membership{Text: m.Text, Version: m.Version}
	}
	return membership.Of(w.changes.initial)
}

// adoptList makes of a list, and of what was recovered, what zab starts from.
func (s *server) adoptList(c *zab.Config, r *storage.Recovered) (config.Membership, error) {
	list, err := s.memberList()
	if err != nil {
		return list, err
	}
	m := membership.Of(list).Zab()
	c.Ensemble, c.Addresses, c.Text = m.Ensemble, m.Addresses, m.Text
	s.reconfig, s.version = nil, 0
	if !s.changes.on {
		return list, nil
	}
	c.Reconfig, c.Version, s.version = true, m.Version, m.Version
	s.reconfig = &quorum.Reconfig{Parse: membership.Parse}
	next, err := membership.Proposed(r.Tree, m.Version)
	if err == nil && next != nil {
		c.Next = next.Zab()
		s.saw("members: starts by an old list")
	}
	return list, err
}

// heard reads what a packet says about memberships, as package quorum does.
func (s *server) heard(p zab.Packet) zab.Packet {
	told := p.Members
	p.Members = nil
	if s.reconfig == nil {
		return p
	}
	var err error
	switch p.Kind {
	case zab.Propose, zab.Inform, zab.InformAndActivate:
		p.Members, err = s.reconfig.MembersOf(p.Data)
	case zab.Snap:
		p.Members, err = s.reconfig.Read(s.pipe.MembersIn(s.received.staged), s.version)
	case zab.NewLeader, zab.Notification:
		if told != nil {
			p.Members, err = s.reconfig.Read(fmt.Sprintf("%sversion=%x", told.Text, int64(told.Version)), s.version)
		}
	case zab.FollowerInfo, zab.ObserverInfo:
		if told != nil {
			p.Members = &zab.Membership{Version: told.Version}
		}
	}
	if err != nil {
		s.fault("%d cannot read the membership in %s: %v", s.sid, p.Kind, err)
	}
	return p
}

// takeMembers acts on the membership that is in force from now on.
func (s *server) takeMembers(r zab.Ready) {
	if r.Activate != nil {
		s.version = r.Activate.Version
	}
}

// keepMembers writes memberships down. When that fails the log still holds them.
func (s *server) keepMembers(r zab.Ready) error {
	if r.Seen == nil && r.Activate == nil {
		return nil
	}
	if err := s.sync(); err != nil { // a membership is never ahead of its proposal
		return err
	}
	if m := r.Seen; m != nil {
		if err := s.keepList(nextFile, m); err != nil {
			return err
		}
	}
	m := r.Activate
	if m == nil {
		return nil
	}
	s.pipe.SetMembership(m.Text+fmt.Sprintf("version=%x", int64(m.Version)), int64(m.Version))
	return s.keepList(listFile, m)
}

func (s *server) keepList(name string, m *zab.Membership) error {
	if s.world.rnd.Intn(20) == 0 {
		s.saw("members: list not written")
		return nil
	}
	err := disk.WriteAtomic(s.fd, name, fmt.Appendf(nil, "%sversion=%x", m.Text, int64(m.Version)), 0o644)
	if errors.Is(err, faultdisk.ErrStopped) {
		return err
	}
	s.sawIf(err != nil, "members: list not written")
	return nil
}

// CheckReconfig implements [quorum.Order].
func (s *server) CheckReconfig(epoch int64, text string) error {
	if s.reconfig == nil {
		return zab.ErrReconfig
	}
	m, err := s.reconfig.Parse(text)
	if err != nil {
		return err
	}
	answer, down := make(chan error, 1), s.down
	s.put(func() {
		if !s.leads(epoch) {
			answer <- zab.ErrNotLeader
			return
		}
		answer <- s.peer.CheckReconfig(m.Zab().Ensemble)
	})
	select {
	case err := <-answer:
		return err
	case <-down:
		return zab.ErrNotLeader
	}
}

// stopPipe ends the goroutines of the pipeline.
func (s *server) stopPipe() {
	close(s.down)
	s.pipe.Stop()
}

// maintain does an operator's work with one server: a purge, or a new installation of
// who is no member.
func (w *world) maintain(s *server) {
	if s.peer == nil && w.changes.on && w.rnd.Intn(2) == 0 {
		if !w.wanted(s.sid) && lastOf(s.written) != 0 {
			s.reinstall()
		}
		return
	}
	s.purge()
}

// reinstall empties a server that is no member: it may be asked to join again.
func (s *server) reinstall() {
	s.trace("%d is installed anew", s.sid)
	s.saw("members: installed anew")
	s.fd, s.why, s.again, s.before = faultdisk.New(), "", true, 0
	s.damage, s.mute = damage{}, false
	s.log, s.written, s.synced, s.instead, s.committedLog, s.epochs = nil, nil, nil, nil, nil, zab.Epochs{}
}

// agree demands, when all is quiet, that all members go by the membership in force.
func (w *world) agree() {
	want := w.members()[0].peer.Status().Members
	if m := w.inForce(); m.Version > 0 && m.Version != want.Version {
		want = m
	}
	for _, s := range w.members() {
		m := s.peer.Status().Members
		if m.Version != want.Version || m.Text != want.Text {
			w.fault("%d goes by %s, others by %s", s.sid, m, want)
		}
		if s.place.Role == zab.Leading && !w.inForce().IsVoter(s.sid) {
			w.fault("%d leads and is no voter of %s", s.sid, w.inForce())
		}
	}
}

// sawStart notes how a server comes into the ensemble.
func (s *server) sawStart(fresh bool) {
	switch member := lists(s.inForce(), s.sid); {
	case !s.changes.on:
	case fresh && len(s.history.order) > 0 && s.sid > zab.Sid(len(s.changes.initial.Servers)):
		s.saw("members: joined with an empty directory")
	case !fresh && member && s.absent:
		s.saw("members: came back with old data")
		s.absent = false
	case !member:
		s.absent = true
	}
}

// sawCrash notes at which point of a change a server ended.
func (s *server) sawCrash() {
	if m := s.history.newestIn(s.log); m != nil && m.Version > s.applied {
		s.saw("reconfig: crash between proposal and commit")
	}
	for _, j := range s.jobs {
		s.sawIf(j.Activate != nil && j.Activate.Version.Counter() != 0, "reconfig: crash between commit and activation")
	}
}

// sawChange notes what a committed change does; it was proposed by the leader of its epoch.
func (w *world) sawChange(p zab.Proposal, leader *server) {
	m, before := w.history.members[p.Zxid], w.history.inForceAfter(upTo(w.history.order, p.Zxid-1))
	if m == nil || before == nil {
		return
	}
	w.saw("reconfig: committed")
	w.sawIf(p.Zxid.Epoch() != leader.place.Epoch, "reconfig: committed by a later leader")
	w.sawIf(!lists(m, leader.sid), "reconfig: leader removed")
	w.sawIf(lists(m, leader.sid) && m.Addresses[leader.sid] != before.Addresses[leader.sid], "reconfig: leader moves")
	w.sawIf(len(m.Groups) > 0, "reconfig: groups")
	w.sawIf(!slices.ContainsFunc(before.Voters, m.IsVoter), "reconfig: no voter stays")
	for _, s := range w.servers {
		w.sawIf(before.IsObserver(s.sid) && m.IsVoter(s.sid), "reconfig: observer promoted")
		w.sawIf(before.IsVoter(s.sid) && m.IsObserver(s.sid), "reconfig: voter demoted")
	}
	w.trace("members: %s", m)
}

// sawRefusal notes how a request to change members ended.
func (w *world) sawRefusal(code proto.Code) {
	switch code {
	case proto.ErrNewConfigNoQuorum:
		w.saw("reconfig: refused, no quorum of the new")
	case proto.ErrReconfigInProgress:
		w.saw("reconfig: refused, another under way")
	case proto.ErrBadVersion:
		w.saw("reconfig: refused, bad version")
	case proto.ErrBadArguments:
		w.saw("reconfig: refused, bad list")
	}
}

// populate makes up the ensemble, and tells how many servers there are: 1 to 5 voters,
// observers, and maybe some that may join.
func (w *world) populate() int {
	voters, observers, spare := []int{1, 2, 3, 3, 3, 3, 5}[w.rnd.Intn(7)], []int{0, 0, 0, 1, 2}[w.rnd.Intn(5)], 0
	w.changes.on = w.rnd.Intn(3) > 0
	w.changes.leave = w.rnd.Intn(2) == 0
	w.changes.rules.Standalone = w.rnd.Intn(2) == 0
	if w.changes.on {
		spare = w.rnd.Intn(3)
	}
	if w.rnd.Intn(6) == 0 {
		w.config.EpochSize = uint32(30 + w.rnd.Intn(60))
	}
	w.auth, _ = auth.New(auth.Config{SkipACL: true})
	w.found(voters, observers)
	return voters + observers + spare
}

// reconfigure makes new lists, where members can change.
func (s *server) reconfigure() func(string, proto.ReconfigRequest, int64) (string, error) {
	if !s.changes.on {
		return nil
	}
	return s.changes.rules.Reconfigure
}

// startWanted starts the servers that are needed when faults have ended; the others
// go on, or are shut down.
func (w *world) startWanted() {
	for _, s := range w.servers {
		switch wanted := w.wanted(s.sid); {
		case wanted || !w.changes.leave:
			s.start()
		case s.peer != nil:
			w.trace("%d is shut down", s.sid)
			s.crash(faultdisk.All)
		}
	}
}

// entitled demands that who leads and serves has a vote in the membership in force.
func (h *history) entitled(sid zab.Sid) error {
	if m := h.inForce(); m != nil && !m.IsVoter(sid) {
		return fmt.Errorf("%d leads, and has no vote in %s", sid, m)
	}
	return nil
}

// mayCommit demands that who decides what is committed has a vote; it may commit the
// change that takes it away.
func (s *server) mayCommit(p zab.Proposal) error {
	if s.place.Role != zab.Leading || !s.place.Serving {
		return nil
	}
	if m := s.history.members[p.Zxid]; m != nil {
		s.sawChange(p, s)
	}
	return s.history.entitled(s.sid)
}

// sawLeader notes what is special about an election that was won.
func (s *server) sawLeader(before *zab.Membership) {
	s.saw("election: won")
	s.sawIf(s.place.Epoch > 5, "epoch: later than the fifth")
	for _, p := range s.history.order[max(0, len(s.history.order)-20):] {
		if m := s.history.members[p.Zxid]; m != nil && m.Version > before.Version {
			s.saw("election: won with a membership in flight")
			s.saw("reconfig: committed by a later leader")
		}
	}
}
