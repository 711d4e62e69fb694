package zab

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
)

// bench is one peer whose counterparts the test plays.
type bench struct {
	*testing.T
	*Peer
	role RoleChange
	sent []Packet // since the last call of take
	hung []Sid
}

func newBench(t *testing.T, self Sid, change func(*Config)) *bench {
	c := fastConfig(3, 1)
	c.Self = self
	if change != nil {
		change(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{T: t, Peer: p}
}

// settle collects all work; the disk is quick.
func (b *bench) settle() {
	for b.HasReady() {
		r := b.Ready()
		b.sent = append(b.sent, r.Send...)
		b.hung = append(b.hung, r.Hangup...)
		if r.Role != nil {
			b.role = *r.Role
		}
		b.Durable(r.Mark)
	}
}

// take returns what was sent since it was last called.
func (b *bench) take() []Packet {
	b.settle()
	sent := b.sent
	b.sent = nil
	return sent
}

// step hands in packets that must be accepted.
func (b *bench) step(list ...Packet) {
	b.Helper()
	for _, p := range list {
		if err := b.Step(p); err != nil {
			b.Fatalf("%s: %v", show(p), err)
		}
		b.settle()
	}
}

func (b *bench) tick(n int) {
	for range n {
		b.Tick()
		b.settle()
	}
}

// voteOf is a notification of a voter that is settled on a leader.
func voteOf(from, leader Sid) Packet {
	role := Following
	if from == leader {
		role = Leading
	}
	return Packet{Kind: Notification, From: from, Role: role, Version: 2, Vote: Vote{Leader: leader, PeerEpoch: 5, Round: 9}}
}

// newFollower returns a peer of sid 1 (4: the observer) that follows 3 and has
// acknowledged epoch 6; the leader's next words are DIFF, TRUNC or SNAP.
func newFollower(t *testing.T, self Sid) *bench {
	b := newBench(t, self, func(c *Config) {
		c.Epochs, c.LastZxid = Epochs{5, 5}, MakeZxid(5, 2)
		c.Window = []Proposal{{Zxid: MakeZxid(5, 1)}, {Zxid: MakeZxid(5, 2)}}
	})
	b.step(voteOf(2, 3), voteOf(3, 3))
	b.LinkUp(3)
	b.step(Packet{Kind: LeaderInfo, From: 3, Epoch: 6, Zxid: MakeZxid(6, 0)})
	b.take()
	return b
}

// serveFollower brings a follower into service, its log ending at 5.2.
func serveFollower(t *testing.T, self Sid) *bench {
	b := newFollower(t, self)
	b.step(Packet{Kind: Diff, From: 3, Zxid: MakeZxid(5, 2)}, Packet{Kind: NewLeader, From: 3, Zxid: MakeZxid(6, 0)},
		Packet{Kind: UpToDate, From: 3, Zxid: -1})
	if !b.role.Serving {
		t.Fatalf("not in service: %+v", b.role)
	}
	b.take()
	return b
}

// newEstablished returns a leader of sid 3 in epoch 1 whose follower is 2.
func newEstablished(t *testing.T) *bench {
	b := newBench(t, 3, nil)
	own := Vote{Leader: 3, Round: 1}
	b.step(Packet{Kind: Notification, From: 1, Vote: own}, Packet{Kind: Notification, From: 2, Vote: own})
	b.step(Packet{Kind: FollowerInfo, From: 2}, Packet{Kind: AckEpoch, From: 2}, Packet{Kind: Ack, From: 2, Zxid: MakeZxid(1, 0)})
	if !b.role.Serving || b.role.Role != Leading {
		t.Fatalf("not established: %+v", b.role)
	}
	b.take()
	return b
}

// TestFollowerLeaves: a leader that breaks the rules is left, whatever it says.
func TestFollowerLeaves(t *testing.T) {
	joining := func(t *testing.T) *bench { return newFollower(t, 1) }
	syncing := func(t *testing.T) *bench {
		b := joining(t)
		b.step(Packet{Kind: Diff, From: 3, Zxid: MakeZxid(5, 2)})
		return b
	}
	serving := func(t *testing.T) *bench { return serveFollower(t, 1) }
	proposed := func(start func(*testing.T) *bench) func(*testing.T) *bench {
		return func(t *testing.T) *bench {
			b := start(t)
			b.step(Packet{Kind: Propose, From: 3, Zxid: MakeZxid(6, 1)}, Packet{Kind: Propose, From: 3, Zxid: MakeZxid(6, 2)})
			b.take()
			return b
		}
	}
	for _, c := range []struct {
		name  string
		start func(*testing.T) *bench
		in    Packet
	}{
		{"LEADERINFO twice", joining, Packet{Kind: LeaderInfo, Epoch: 6}},
		{"PROPOSAL before DIFF", joining, Packet{Kind: Propose, Zxid: MakeZxid(6, 1)}},
		{"COMMIT before DIFF", joining, Packet{Kind: Commit, Zxid: MakeZxid(6, 1)}},
		{"NEWLEADER before DIFF", joining, Packet{Kind: NewLeader, Zxid: MakeZxid(6, 0)}},
		{"UPTODATE before NEWLEADER", syncing, Packet{Kind: UpToDate}},
		{"TRUNC of what it has not", joining, Packet{Kind: Trunc, Zxid: MakeZxid(5, 3)}},
		{"SNAP of another epoch", joining, Packet{Kind: Snap, Zxid: MakeZxid(7, 1)}},
		{"DIFF twice", syncing, Packet{Kind: Diff, Zxid: MakeZxid(5, 2)}},
		{"NEWLEADER of another epoch", syncing, Packet{Kind: NewLeader, Zxid: MakeZxid(7, 0)}},
		{"gap during synchronisation", syncing, Packet{Kind: Propose, Zxid: MakeZxid(5, 4)}},
		{"later epoch not at its start", syncing, Packet{Kind: Propose, Zxid: MakeZxid(6, 2)}},
		{"COMMIT of nothing during synchronisation", syncing, Packet{Kind: Commit, Zxid: MakeZxid(6, 1)}},
		{"INFORM to a follower", syncing, Packet{Kind: Inform, Zxid: MakeZxid(6, 1)}},
		{"gap", serving, Packet{Kind: Propose, Zxid: MakeZxid(6, 2)}},
		{"proposal of an old epoch", serving, Packet{Kind: Propose, Zxid: MakeZxid(5, 3)}},
		{"proposal of a later epoch", serving, Packet{Kind: Propose, Zxid: MakeZxid(7, 1)}},
		{"COMMIT of nothing", serving, Packet{Kind: Commit, Zxid: MakeZxid(6, 1)}},
		{"COMMIT of another", proposed(serving), Packet{Kind: Commit, Zxid: MakeZxid(6, 2)}},
		{"COMMIT of another during synchronisation", proposed(syncing), Packet{Kind: Commit, Zxid: MakeZxid(6, 2)}},
		{"UPTODATE twice", serving, Packet{Kind: UpToDate}},
		{"ACK from the leader", serving, Packet{Kind: Ack}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.start(t)
			c.in.From = 3
			if err := b.Step(c.in); !errors.Is(err, ErrProtocol) {
				t.Errorf("error %v", err)
			}
			if b.settle(); b.role.Role != Looking || !slices.Contains(b.hung, 3) {
				t.Errorf("still %s, hung up on %v", b.role.Role, b.hung)
			}
		})
	}
}

// TestFollowerRejectsEpoch: a promise to a higher epoch is kept, and one epoch
// is acknowledged as new only once.
func TestFollowerRejectsEpoch(t *testing.T) {
	start := func() *bench {
		b := newBench(t, 1, func(c *Config) { c.Epochs = Epochs{7, 5} })
		b.step(voteOf(2, 3), voteOf(3, 3))
		b.LinkUp(3)
		b.take()
		return b
	}
	b := start()
	b.step(Packet{Kind: LeaderInfo, From: 3, Epoch: 7})
	if sent := b.take(); len(sent) != 1 || sent[0].Kind != AckEpoch || sent[0].Epoch != -1 {
		t.Errorf("the epoch promised before: answer %v", sent)
	}
	for _, epoch := range []int64{6, math.MaxInt32 + 1} {
		b := start()
		if err := b.Step(Packet{Kind: LeaderInfo, From: 3, Epoch: epoch}); !errors.Is(err, ErrProtocol) {
			t.Errorf("epoch %d: error %v", epoch, err)
		}
	}
}

// A follower that got a snapshot, and lost its leader before NEWLEADER, goes by the
// membership in the snapshot as well: the history with it is its own now.
func TestMembershipOfSnapshot(t *testing.T) {
	b := newFollower(t, 1)
	b.cfg.Reconfig = true
	m := &Membership{Ensemble: Ensemble{Voters: []Sid{1, 4, 5}}, Version: MakeZxid(5, 3)}
	b.step(Packet{Kind: Snap, From: 3, Zxid: MakeZxid(5, 7), Members: m})
	b.LinkDown(3)
	b.settle()
	if b.hasQuorum(func(sid Sid) bool { return sid <= 2 }) || !b.hasQuorum(func(sid Sid) bool { return sid <= 4 }) {
		t.Errorf("goes by %v and %v, want %v counted too", b.members, b.next, m)
	}
}

// TestRepetitions: what a learner has already is dropped and harms nothing.
func TestRepetitions(t *testing.T) {
	b := serveFollower(t, 1)
	one := Packet{Kind: Propose, From: 3, Zxid: MakeZxid(6, 1)}
	commit := Packet{Kind: Commit, From: 3, Zxid: MakeZxid(6, 1)}
	b.step(one, one, commit, commit, one, Packet{Kind: Commit, From: 3, Zxid: MakeZxid(5, 1)})
	if st := b.Status(); st.LastLogged != one.Zxid || st.LastCommitted != one.Zxid {
		t.Errorf("logged %s committed %s", st.LastLogged, st.LastCommitted)
	}
	if sent := b.take(); len(sent) != 1 {
		t.Errorf("acknowledged %d times", len(sent))
	}
}

// TestObserver logs and applies INFORM and acknowledges nothing of it.
func TestObserver(t *testing.T) {
	b := newFollower(t, 4)
	b.step(Packet{Kind: Diff, From: 3, Zxid: MakeZxid(5, 2)},
		Packet{Kind: Inform, From: 3, Zxid: MakeZxid(6, 1)}, Packet{Kind: NewLeader, From: 3, Zxid: MakeZxid(6, 0)},
		Packet{Kind: Inform, From: 3, Zxid: MakeZxid(6, 2)}, Packet{Kind: UpToDate, From: 3},
		Packet{Kind: Inform, From: 3, Zxid: MakeZxid(6, 3)}, Packet{Kind: Ping, From: 3, Zxid: MakeZxid(6, 3)})
	if st := b.Status(); st.Role != Observing || st.LastCommitted != MakeZxid(6, 3) {
		t.Errorf("%s, committed %s", st.Role, st.LastCommitted)
	}
	for _, p := range b.take() {
		if p.Kind != Ping && p.Zxid != MakeZxid(6, 0) {
			t.Errorf("sent %s", show(p))
		}
	}
	if err := b.Step(Packet{Kind: Propose, From: 3, Zxid: MakeZxid(6, 4)}); !errors.Is(err, ErrProtocol) || b.Status().Role != Observing {
		t.Errorf("PROPOSAL to an observer: %v, now %s", err, b.Status().Role)
	}
	if err := b.Step(Packet{Kind: Inform, From: 3, Zxid: MakeZxid(6, 9)}); !errors.Is(err, ErrProtocol) || b.Status().Role != Looking {
		t.Errorf("a gap: %v, now %s", err, b.Status().Role)
	}
}

// TestLeaderDrops: a learner that breaks the rules goes, the leader stays.
func TestLeaderDrops(t *testing.T) {
	for _, c := range []struct {
		name string
		in   Packet
		is   error
	}{
		{"from a stranger", Packet{Kind: Ack, From: 1}, ErrCloseLink},
		{"epoch out of range", Packet{Kind: FollowerInfo, From: 1, Epoch: math.MaxInt32}, ErrCloseLink},
		{"second ACKEPOCH", Packet{Kind: AckEpoch, From: 2}, ErrProtocol},
		{"ACK of what was not sent", Packet{Kind: Ack, From: 2, Zxid: MakeZxid(1, 1)}, ErrProtocol},
		{"ACK of another epoch's NEWLEADER", Packet{Kind: Ack, From: 2, Zxid: MakeZxid(2, 0)}, ErrProtocol},
		{"a leader's packet", Packet{Kind: Commit, From: 2}, ErrProtocol},
		{"unknown kind", Packet{Kind: 99, From: 2}, ErrProtocol},
		{"ACKEPOCH of a later epoch", Packet{Kind: AckEpoch, From: 2, Epoch: 9}, ErrProtocol},
		{"unknown state", Packet{Kind: Notification, From: 2, Role: 7}, ErrProtocol},
		{"own sid", Packet{Kind: Ack, From: 3}, ErrCloseLink},
	} {
		b := newEstablished(t)
		if err := b.Step(c.in); !errors.Is(err, c.is) {
			t.Errorf("%s: error %v", c.name, err)
		}
		if b.settle(); b.role.Role != Leading {
			t.Errorf("%s: no longer leading", c.name)
		}
	}
}

// TestLearnerAhead: before a quorum has promised, whoever knows more than the leader is dropped.
func TestLearnerAhead(t *testing.T) {
	b := newBench(t, 3, nil)
	own := Vote{Leader: 3, Round: 1}
	b.step(Packet{Kind: Notification, From: 1, Vote: own}, Packet{Kind: Notification, From: 2, Vote: own},
		Packet{Kind: FollowerInfo, From: 1}, Packet{Kind: FollowerInfo, From: 2})
	if err := b.Step(Packet{Kind: AckEpoch, From: 1, Zxid: MakeZxid(0, 1)}); !errors.Is(err, ErrProtocol) {
		t.Errorf("error %v", err)
	}
	b.step(Packet{Kind: AckEpoch, From: 2, Epoch: -1})
	if b.role.Phase != Discovery || !slices.Contains(b.hung, 1) {
		t.Errorf("%s, hung up on %v: -1 must not count", b.role.Phase, b.hung)
	}
	b.step(Packet{Kind: FollowerInfo, From: 1}, Packet{Kind: AckEpoch, From: 1})
	if b.role.Phase != Synchronization {
		t.Errorf("phase %s", b.role.Phase)
	}
}

func TestPropose(t *testing.T) {
	b := newBench(t, 3, nil)
	if err := b.Propose(Proposal{Zxid: 1}); !errors.Is(err, ErrNotLeader) || b.NextZxid() != 0 {
		t.Errorf("while looking: %v", err)
	}
	b = newEstablished(t)
	if err := b.Propose(Proposal{Zxid: MakeZxid(1, 2)}); !errors.Is(err, ErrZxid) {
		t.Errorf("wrong zxid: %v", err)
	}
	if err := b.Propose(Proposal{Zxid: b.NextZxid()}); err != nil || b.NextZxid() != MakeZxid(1, 2) {
		t.Errorf("%v, next is %s", err, b.NextZxid())
	}
	b.history.logged = MakeZxid(1, maxCounter-1)
	if err := b.Propose(Proposal{Zxid: b.NextZxid()}); !errors.Is(err, ErrEpochFull) || b.Status().Role == Leading {
		t.Errorf("epoch used up: %v, now %s", err, b.Status().Role)
	}
}

// TestLimits lets every limit run out.
func TestLimits(t *testing.T) {
	t.Run("leader never hears of a quorum", func(t *testing.T) {
		b := newBench(t, 3, nil)
		own := Vote{Leader: 3, Round: 1}
		b.step(Packet{Kind: Notification, From: 1, Vote: own}, Packet{Kind: Notification, From: 2, Vote: own})
		if b.tick(b.cfg.InitLimit); b.role.Role != Looking {
			t.Errorf("%+v", b.role)
		}
	})
	t.Run("leader's follower falls silent", func(t *testing.T) {
		b := newEstablished(t)
		if b.tick(b.cfg.SyncLimit); b.role.Role != Leading {
			t.Errorf("too early: %+v", b.role)
		}
		if b.tick(b.cfg.TickTime + 1); b.role.Role != Looking {
			t.Errorf("%+v", b.role)
		}
	})
	t.Run("follower answers pings but not proposals", func(t *testing.T) {
		b := newEstablished(t)
		if err := b.Propose(Proposal{Zxid: b.NextZxid()}); err != nil {
			t.Fatal(err)
		}
		for range b.cfg.SyncLimit + 1 {
			b.step(Packet{Kind: Ping, From: 2})
			b.tick(1)
		}
		if !slices.Contains(b.hung, 2) {
			t.Errorf("still there, hung up on %v", b.hung)
		}
	})
	t.Run("bytes of a snapshot are a sign of life", func(t *testing.T) {
		b := newEstablished(t)
		for range 10 * b.cfg.SyncLimit {
			b.Heard(2)
			b.tick(1)
		}
		if b.role.Role != Leading {
			t.Errorf("%+v", b.role)
		}
		f := newFollower(t, 1)
		for range 10 * f.cfg.InitLimit {
			f.Heard(3)
			f.tick(1)
		}
		if f.role.Role != Following {
			t.Errorf("%+v", f.role)
		}
	})
	t.Run("leader falls silent", func(t *testing.T) {
		b := serveFollower(t, 1)
		if b.tick(b.cfg.SyncLimit + 1); b.role.Role != Looking {
			t.Errorf("%+v", b.role)
		}
	})
	t.Run("leader cannot be reached", func(t *testing.T) {
		b := newBench(t, 1, nil)
		b.step(voteOf(2, 3), voteOf(3, 3))
		for range b.cfg.DialTries {
			if b.role.Role != Following {
				t.Fatalf("too early: %+v", b.role)
			}
			b.LinkDown(3)
			b.tick(b.cfg.DialRetry)
		}
		if b.role.Role != Looking {
			t.Errorf("%+v", b.role)
		}
	})
}

// TestAlone: an ensemble of one needs nobody, but its disk.
func TestAlone(t *testing.T) {
	b := newBench(t, 1, func(c *Config) { c.Ensemble = Ensemble{Voters: []Sid{1}} })
	if r := b.Ready(); r.Role == nil || r.Role.Role != Leading || r.Epochs == nil || r.Epochs.Accepted != 1 {
		t.Fatalf("first Ready: %+v", r)
	}
	if b.HasReady() {
		t.Fatalf("goes on before acceptedEpoch is durable: %+v", b.Ready())
	}
	b.Durable(99)
	b.settle()
	if !b.role.Serving {
		t.Fatalf("%+v", b.role)
	}
	if err := b.Propose(Proposal{Zxid: b.NextZxid()}); err != nil {
		t.Fatal(err)
	}
	r := b.Ready()
	if len(r.Append) != 1 || len(r.Commit) != 0 {
		t.Errorf("%+v", r)
	}
	b.Durable(r.Mark)
	if r := b.Ready(); len(r.Commit) != 1 {
		t.Errorf("not committed: %+v", r)
	}
}

// FuzzPeer feeds a peer anything in any order: it must not panic, and its Readys
// must keep their word.
func FuzzPeer(f *testing.F) {
	f.Add(byte(1), []byte{})
	f.Add(byte(3), []byte{0, 1, 0, 3, 1, 0, 2, 0, 3, 1, 1, 1, 0, 0, 0, 4, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, self byte, script []byte) {
		b := newBench(t, Sid(self%4)+1, func(c *Config) {
			c.Epochs, c.LastZxid = Epochs{1, 1}, MakeZxid(1, 1)
			c.Window = []Proposal{{Zxid: MakeZxid(1, 1)}}
		})
		log := MakeZxid(1, 1)
		for ; len(script) >= 5; script = script[5:] {
			b.fuzzStep(script)
			for b.HasReady() {
				log = b.checkReady(b.Ready(), log)
			}
		}
	})
}

// fuzzStep makes an input of five bytes.
func (b *bench) fuzzStep(s []byte) {
	from := Sid(s[1]%5) + 1
	zxid := MakeZxid(int64(int8(s[2]))%4, uint32(s[3]%4))
	switch kind := s[0] % 24; kind {
	case 20:
		b.Tick()
	case 21:
		b.LinkUp(from)
	case 22:
		b.LinkDown(from)
	case 23:
		b.Durable(uint64(binary.BigEndian.Uint16(s[1:])))
	case 19:
		_ = b.Propose(Proposal{Zxid: b.NextZxid()})
	default:
		_ = b.Step(Packet{
			Kind: Kind(kind), From: from, Zxid: zxid, Epoch: int64(int8(s[4])) % 8, Role: Role(s[2] % 5), Version: int(s[3]),
			Vote: Vote{Leader: Sid(s[2]%4) + 1, Zxid: zxid, PeerEpoch: int64(s[3] % 4), Round: int64(s[4] % 8)},
		})
	}
}

// checkReady follows the log through a Ready and returns its end.
func (b *bench) checkReady(r Ready, log Zxid) Zxid {
	if r.Truncate != nil {
		if *r.Truncate > log {
			b.Fatalf("truncate to %s, log ends at %s", *r.Truncate, log)
		}
		log = *r.Truncate
	}
	if r.Install != nil {
		log = *r.Install
	}
	for _, p := range r.Append {
		if !log.precedes(p.Zxid) {
			b.Fatalf("append %s after %s", p.Zxid, log)
		}
		log = p.Zxid
	}
	for _, p := range r.Commit {
		if p.Zxid > log {
			b.Fatalf("commit %s, log ends at %s", p.Zxid, log)
		}
	}
	return log
}

// TestEarlyAck: some Java followers acknowledge proposals before NEWLEADER; that
// counts only once they have taken on the epoch.
func TestEarlyAck(t *testing.T) {
	b := newEstablished(t)
	if err := b.Propose(Proposal{Zxid: b.NextZxid()}); err != nil {
		t.Fatal(err)
	}
	b.LinkDown(2)
	b.step(Packet{Kind: FollowerInfo, From: 1}, Packet{Kind: AckEpoch, From: 1}, Packet{Kind: Ack, From: 1, Zxid: MakeZxid(1, 1)})
	if st := b.Status(); st.LastCommitted != 0 {
		t.Errorf("committed %s", st.LastCommitted)
	}
	b.step(Packet{Kind: Ack, From: 1, Zxid: MakeZxid(1, 0)})
	if st := b.Status(); st.LastCommitted != MakeZxid(1, 1) {
		t.Errorf("committed %s", st.LastCommitted)
	}
}

// TestReplacedLink: what was queued for a learner's former link does not reach the new one.
func TestReplacedLink(t *testing.T) {
	b := newEstablished(t)
	if err := b.Propose(Proposal{Zxid: b.NextZxid()}); err != nil {
		t.Fatal(err)
	}
	if err := b.Step(Packet{Kind: FollowerInfo, From: 2, Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	for _, p := range b.take() {
		if p.Kind != LeaderInfo {
			t.Errorf("sent %s", show(p))
		}
	}
}

// BenchmarkCommit is the leader's share of one write in an ensemble of three.
func BenchmarkCommit(b *testing.B) {
	c := fastConfig(3, 0)
	c.Self = 3
	p, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	drain := func() {
		for p.HasReady() {
			p.Durable(p.Ready().Mark)
		}
	}
	own := Vote{Leader: 3, Round: 1}
	for _, in := range []Packet{
		{Kind: Notification, From: 1, Vote: own}, {Kind: Notification, From: 2, Vote: own},
		{Kind: FollowerInfo, From: 1}, {Kind: FollowerInfo, From: 2}, {Kind: AckEpoch, From: 1}, {Kind: AckEpoch, From: 2},
		{Kind: Ack, From: 1, Zxid: MakeZxid(1, 0)}, {Kind: Ack, From: 2, Zxid: MakeZxid(1, 0)},
	} {
		if err := p.Step(in); err != nil {
			b.Fatal(err)
		}
		drain()
	}
	data := make([]byte, 100)
	for b.Loop() {
		z := p.NextZxid()
		if err := p.Propose(Proposal{Zxid: z, Data: data}); err != nil {
			b.Fatal(err)
		}
		drain()
		for from := range Sid(2) {
			if err := p.Step(Packet{Kind: Ack, From: from + 1, Zxid: z}); err != nil {
				b.Fatal(err)
			}
		}
		drain()
	}
	if p.Status().LastCommitted == 0 {
		b.Fatal("nothing was committed")
	}
}

// TestNewEpoch: it is above what any of the quorum has promised, ourselves included.
func TestNewEpoch(t *testing.T) {
	for _, c := range []struct{ own, other, want int64 }{{0, 0, 1}, {4, 2, 5}, {2, 4, 5}} {
		b := newBench(t, 3, func(config *Config) { config.Epochs.Accepted = c.own })
		own := Vote{Leader: 3, Round: 1}
		b.step(Packet{Kind: Notification, From: 1, Vote: own}, Packet{Kind: Notification, From: 2, Vote: own})
		b.take()
		b.step(Packet{Kind: FollowerInfo, From: 1, Epoch: c.other})
		if sent := b.take(); len(sent) != 1 || sent[0].Kind != LeaderInfo || sent[0].Epoch != c.want {
			t.Errorf("own %d, learner's %d: %v", c.own, c.other, sent)
		}
	}
}

// TestUnconfirmedLeader: followers' word is not enough, the leader must say that it leads.
func TestUnconfirmedLeader(t *testing.T) {
	b := newBench(t, 1, func(c *Config) { c.Ensemble = Ensemble{Voters: []Sid{1, 2, 3, 4, 5}} })
	b.step(voteOf(2, 3), voteOf(4, 3), voteOf(5, 3))
	if b.role.Role != Looking {
		t.Errorf("%+v", b.role)
	}
	b.step(voteOf(3, 3))
	if b.role.Role != Following || b.role.Leader != 3 {
		t.Errorf("%+v", b.role)
	}
}

// TestLateVoters: a voter that stays in an earlier round, since by its membership we
// have no vote, is answered once a tick, or the two of us would never stop.
func TestLateVoters(t *testing.T) {
	b := newBench(t, 1, nil)
	late := Packet{Kind: Notification, From: 2, Role: Looking, Version: 2, Vote: Vote{Leader: 2, Round: 1}}
	b.step(Packet{Kind: Notification, From: 3, Role: Looking, Version: 2, Vote: Vote{Leader: 3, Round: 2}})
	b.take()
	answers := func() (n int) {
		for _, p := range b.take() {
			if p.Kind == Notification && p.To == 2 {
				n++
			}
		}
		return n
	}
	b.step(late, late, late)
	if n := answers(); n != 1 {
		t.Errorf("%d answers to what was said three times", n)
	}
	other := late
	other.Vote.Zxid = 1
	b.step(other)
	if n := answers(); n != 1 {
		t.Errorf("%d answers to another vote", n)
	}
	b.Tick()
	b.take()
	b.step(late)
	if n := answers(); n != 1 {
		t.Errorf("%d answers after a tick", n)
	}
}

// TestPauseAfterRefusal: a leader whose epoch is below what was promised is not dialled
// again at once.
func TestPauseAfterRefusal(t *testing.T) {
	b := newFollower(t, 1)
	b.LinkDown(3)
	b.step(voteOf(2, 3), voteOf(3, 3))
	b.LinkUp(3)
	if err := b.Step(Packet{Kind: LeaderInfo, From: 3, Epoch: 4, Zxid: MakeZxid(4, 0)}); !errors.Is(err, ErrProtocol) {
		t.Fatal(err)
	}
	b.settle()
	if err := errors.Join(b.Step(voteOf(2, 3)), b.Step(voteOf(3, 3))); err != nil || b.following == nil {
		t.Fatalf("it follows nobody: %v", err)
	}
	dialled := func() bool {
		is := false
		for b.HasReady() {
			r := b.Ready()
			is = is || r.Dial != nil
			b.Durable(r.Mark)
		}
		return is
	}
	if dialled() {
		t.Error("dialled at once")
	}
	for range b.cfg.DialRetry {
		b.Tick()
	}
	if !dialled() {
		t.Error("not dialled after a pause")
	}
}
