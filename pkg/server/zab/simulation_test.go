package zab

import (
	"flag"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

var (
	seedFlag  = flag.Int64("seed", 0, "replay the simulation of this seed alone, with its trace")
	seedsFlag = flag.Int64("seeds", 300, "how many seeds to simulate; a sixth of them with -short")
	stepsFlag = flag.Int("steps", 3000, "moves of each simulation before the faults end")
)

// fastConfig has short limits, so that every one of them runs out in a simulation.
func fastConfig(voters, observers int) Config {
	var e Ensemble
	for i := range Sid(voters) {
		e.Voters = append(e.Voters, i+1)
	}
	for i := range Sid(observers) {
		e.Observers = append(e.Observers, Sid(voters)+i+1)
	}
	return Config{
		Ensemble: e, WindowCount: 20,
		FinalizeWait: 3, NotifyMin: 4, NotifyMax: 16, TickTime: 4, InitLimit: 40, SyncLimit: 20, DialRetry: 2, DialTries: 5,
	}
}

// simulation plays a hostile run on a world: any seed, always the same run.
type simulation struct {
	*world
	rnd      *rand.Rand
	proposed int
	changed  int
	calm     bool // no more changes of membership, which may replace the leader
}

// TestSimulation runs ensembles through random deliveries, broken links, partitions
// and crashes that lose what was not durable, then ends the faults and expects
// the ensemble to come together and commit. The world's judge watches all along.
func TestSimulation(t *testing.T) {
	if *seedFlag != 0 {
		if err := simulate(*seedFlag, t.Logf); err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := *seedsFlag
	if testing.Short() {
		seeds /= 6
	}
	for seed := range seeds {
		if err := simulate(seed+1, nil); err != nil {
			t.Errorf("seed %d: %v\n  replay: go test -run TestSimulation -v -seed %d", seed+1, err, seed+1)
			return
		}
	}
}

func simulate(seed int64, trace func(string, ...any)) error {
	rnd := rand.New(rand.NewSource(seed))
	c := fastConfig([]int{1, 2, 3, 3, 3, 4, 5, 5}[rnd.Intn(8)], rnd.Intn(3)/2)
	c.Jitter = rnd.Intn
	if rnd.Intn(4) == 0 && len(c.Ensemble.Voters) >= 3 { // hierarchical, one voter without weight
		c.Ensemble.Groups, c.Ensemble.Weights = map[Sid]int64{}, map[Sid]int64{c.Ensemble.Voters[0]: 0}
		for _, sid := range c.Ensemble.Voters {
			c.Ensemble.Groups[sid] = int64(sid) % 2
		}
	}
	c.Reconfig = rnd.Intn(2) == 0
	if c.FromLog = rnd.Intn(2) == 0; c.FromLog {
		c.WindowCount = 1 + rnd.Intn(5)
	}
	c.ForceSnap = seed%10 == 0
	s := &simulation{world: newWorld(c), rnd: rnd}
	if c.Reconfig { // servers that may join
		for range rnd.Intn(3) {
			s.nodes = append(s.nodes, &node{world: s.world, sid: Sid(len(s.nodes) + 1)})
		}
	}
	if trace != nil {
		s.trace = trace
	}
	for _, n := range s.nodes {
		n.start(0)
	}
	trouble := rnd.Intn(30) // of 1000 moves
	for i := 0; i < *stepsFlag && len(s.faults) == 0; i++ {
		s.move(trouble)
	}
	if len(s.faults) == 0 {
		s.recover()
	}
	if len(s.faults) > 0 {
		return fmt.Errorf("%s%s", strings.Join(s.faults, "\n  "), s.describeAll())
	}
	return nil
}

func (s *simulation) anyNode() *node { return s.nodes[s.rnd.Intn(len(s.nodes))] }

// move makes one random move; of 1000, trouble are faults.
func (s *simulation) move(trouble int) {
	if s.rnd.Intn(1000) < trouble {
		s.fail()
		return
	}
	n := s.anyNode()
	switch k := s.rnd.Intn(20); {
	case k == 0:
		if n.peer == nil {
			s.trace("start %d", n.sid)
			s.tidy(n)
			n.start(s.rnd.Intn(2) * s.rnd.Intn(30))
		}
	case k <= 2:
		s.tick(n)
	case k <= 5:
		n.sync(1 + s.rnd.Intn(4))
	case k <= 7:
		s.propose()
	default:
		if moves := s.moves(); len(moves) > 0 {
			moves[s.rnd.Intn(len(moves))].do()
		}
	}
}

// tidy lets a server replay from a later snapshot than before, and purges its log.
func (s *simulation) tidy(n *node) {
	if s.config.FromLog && s.rnd.Intn(4) == 0 && len(n.disk) > 0 {
		n.base = max(n.base, n.disk[s.rnd.Intn(len(n.disk))].Zxid)
		n.files = n.files[s.rnd.Intn(len(n.files)+1)/2:]
	}
}

// fail makes something go wrong.
func (s *simulation) fail() {
	a, b := s.anyNode(), s.anyNode()
	switch k := s.rnd.Intn(11); {
	case k <= 2 && a.peer != nil:
		s.trace("crash %d", a.sid)
		a.crash(s.rnd.Intn(2) * s.rnd.Intn(10))
	case k == 3: // lose election messages: newer ones replace them
		for r := range s.mail {
			if r.to == a.sid {
				delete(s.mail, r)
			}
		}
	case k <= 5 && a.peer != nil && a.peer.election != nil:
		s.misjudge(a)
	case k <= 6 && len(s.links) > 0:
		l := s.links[s.rnd.Intn(len(s.links))]
		s.trace("break %d-%d", l.learner, l.leader)
		s.breakLink(l)
	case k <= 8 && a != b:
		s.trace("cut %d %d", a.sid, b.sid)
		s.cut(a.sid, b.sid)
	default:
		s.trace("heal all")
		clear(s.cuts)
	}
}

// misjudge ends a server's election with a leader out of thin air. Elections only
// make progress likely; what keeps the promises must not depend on their outcome.
func (s *simulation) misjudge(n *node) {
	v := Vote{Leader: s.config.Ensemble.Voters[s.rnd.Intn(len(s.config.Ensemble.Voters))], Round: n.peer.round}
	s.trace("%d believes that %d is elected", n.sid, v.Leader)
	n.peer.conclude(v, func(Sid) bool { return true })
	n.collect()
}

func (w *world) tick(n *node) {
	if n.peer != nil {
		n.peer.Tick()
		n.collect()
	}
}

// propose proposes at any server that serves as leader, old ones included.
func (s *simulation) propose() {
	for _, n := range s.nodes {
		if n.peer == nil || n.peer.NextZxid() == 0 {
			continue
		}
		s.proposed++
		p := Proposal{Zxid: n.peer.NextZxid(), Data: fmt.Appendf(nil, "%d@%d", s.proposed, n.sid)}
		if s.config.Reconfig && !s.calm && s.rnd.Intn(10) == 0 {
			p.Members = s.change(n, p.Zxid)
		}
		s.trace("propose %s at %d", dotted(p.Zxid), n.sid)
		if err := n.peer.Propose(p); err != nil {
			s.fault("propose %v at %d: %v", p.Zxid, n.sid, err)
		}
		n.collect()
	}
}

// change makes up a membership that may be proposed at n, or is nil.
func (s *simulation) change(n *node, z Zxid) *Membership {
	m := &Membership{Version: z, Addresses: map[Sid]string{}}
	for _, other := range s.nodes {
		switch s.rnd.Intn(4) {
		case 0, 1:
			m.Voters = append(m.Voters, other.sid)
		case 2:
			m.Observers = append(m.Observers, other.sid)
		}
		if s.rnd.Intn(5) == 0 {
			m.Addresses[other.sid] = fmt.Sprint("moved by ", z)
		}
	}
	if err := n.peer.CheckReconfig(m.Ensemble); err != nil {
		return nil
	}
	s.changed++
	s.trace("  %d changes the ensemble to %v, observers %v", n.sid, m.Voters, m.Observers)
	return m
}

// recover ends the faults. Within a bounded time one leader must serve, everybody
// follow it, and a proposal be applied everywhere.
func (s *simulation) recover() {
	clear(s.cuts)
	s.calm = true
	s.trace("faults end")
	for _, n := range s.nodes {
		if n.peer == nil {
			n.start(s.rnd.Intn(30))
		}
	}
	goal := 0
	for range 600 {
		for _, n := range s.nodes {
			s.tick(n)
		}
		s.settle()
		if len(s.faults) > 0 {
			return
		}
		switch {
		case !s.together():
			goal = 0
		case goal == 0:
			before := s.proposed
			if s.propose(); s.proposed > before { // a leader that makes room does not propose
				goal = len(s.order) + 1
			}
		case len(s.order) >= goal && !slices.ContainsFunc(s.nodes, func(n *node) bool { return len(n.applied) < len(s.order) }):
			s.agreeOnMembers()
			return
		}
	}
	s.fault("no recovery: %s", s.describeAll())
}

// agreeOnMembers checks, when all serve, that all have the membership in force.
func (s *simulation) agreeOnMembers() {
	want := s.nodes[0].peer.members
	if m := membersOf(s.order); m != nil && m.Version > want.Version {
		want = m
	}
	for _, n := range s.nodes {
		if s.config.Reconfig && n.peer.members.Version != want.Version {
			s.fault("%d goes by %s, others by %s", n.sid, n.peer.members, want)
		}
	}
}

// settle delivers and syncs until nothing is under way.
func (s *simulation) settle() {
	for range 20000 {
		for _, n := range s.nodes {
			n.sync(1 << 30)
		}
		moves := s.moves()
		if len(moves) == 0 {
			return
		}
		moves[s.rnd.Intn(len(moves))].do()
		if len(s.faults) > 0 {
			return
		}
	}
	s.fault("the servers never fall silent: %s", s.describeAll())
}

// together reports whether one leader serves and all others follow it.
func (w *world) together() bool {
	for _, n := range w.nodes {
		if !n.place.Serving || n.place.Leader != w.nodes[0].place.Leader {
			return false
		}
	}
	return true
}

func (w *world) describeAll() string {
	var b strings.Builder
	for _, n := range w.nodes {
		if n.peer == nil {
			fmt.Fprintf(&b, "\n    %d: down", n.sid)
			continue
		}
		st := n.peer.Status()
		fmt.Fprintf(&b, "\n    %d: %s; accepted %d current %d logged %s committed %s; %s", n.sid, showPlace(st.RoleChange),
			st.Epochs.Accepted, st.Epochs.Current, dotted(st.LastLogged), dotted(st.LastCommitted), showVote(st.Vote))
		if n.config.Reconfig {
			fmt.Fprintf(&b, "; %s", n.peer.members)
			for _, m := range n.peer.next {
				fmt.Fprintf(&b, ", then %s", m)
			}
		}
	}
	return b.String()
}
