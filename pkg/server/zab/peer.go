package zab

import "fmt"

// Peer is one server's part in the protocol. See the package comment for how to
// drive it; it must not be used by two goroutines at once.
type Peer struct {
	cfg     Config
	mute    bool   // history is lost, see Config.Rejoin
	unmute  uint64 // mark of the disk with which that ends; 0 is not known yet
	epochs  Epochs // as last written or asked to be written
	history history
	members *Membership   // committed
	next    []*Membership // proposed after it, oldest first; all but the last are committed, and have yet to be put in force

	out     outbox
	durable uint64     // everything up to the Ready of this mark is on disk
	after   []deferred // waits for the disk, by ascending mark

	place RoleChange // what the driver was last told
	sync  SyncMode
	vote  Vote  // what ended the last election
	round int64 // logicalclock: number of the present or last election
	floor int64 // a voter has promised this epoch to someone: lead only above it
	trial bool  // stand in the next election though we are yet to become a voter, see startElection
	left  Sid   // leader that was given up since it broke the rules; None when another was found
	whole int64 // the leader of this epoch is to send a snapshot, see onTrunc; negative: it would not

	// One of these is set, by role.
	election  *election
	leading   *leading
	following *following
}

// deferred is what a peer may do, or say, once the disk has caught up.
type deferred struct {
	mark uint64
	do   func()
}

// New returns a peer that looks for a leader; in an ensemble of one voter that is
// settled at once. It fails, naming every fault, when the configuration is wrong,
// and with [ErrEpochs] when what the disk holds contradicts itself.
func New(c Config) (*Peer, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("zab: server %d: %w", c.Self, err)
	}
	p := &Peer{
		cfg: c, epochs: c.Epochs, history: newHistory(c), place: RoleChange{Leader: None}, left: None,
		members: &Membership{Ensemble: c.Ensemble, Version: c.Version, Addresses: c.Addresses, Text: c.Text},
	}
	if c.Reconfig && c.Next != nil && c.Next.Version > c.Version {
		p.next = []*Membership{c.Next}
		p.forget()
	}
	p.mute = c.Rejoin
	p.adoptLoggedEpoch()
	p.startElection()
	return p, nil
}

// adoptLoggedEpoch raises currentEpoch to that of the last transaction. The two
// differ when a peer stopped in the middle of joining: transactions or a snapshot
// of the leader's are on disk, currentEpoch is not yet. To raise it is safe:
// currentEpoch promises that the peer has the history its leader began with, and
// a leader's first own transaction comes after all of that, so whoever holds one
// has taken on that history. (Apache refuses to start, or asks its own marker file.)
func (p *Peer) adoptLoggedEpoch() {
	if e := p.history.logged.Epoch(); e > p.epochs.Current && !p.mute {
		p.setEpochs(Epochs{Accepted: p.epochs.Accepted, Current: e})
	}
}

// Tick tells the peer that one tick has passed.
func (p *Peer) Tick() {
	switch {
	case p.election != nil:
		p.tickElection()
	case p.leading != nil:
		p.tickLeading()
	default:
		p.tickFollowing()
	}
}

// Step hands in a packet. Packets of one sender must come in the order sent, and
// those of a link only while it is the newest to that server. An error reports a
// packet that was refused; the peer has already done what follows from that,
// except that the driver has to close the link if the error is [ErrCloseLink].
func (p *Peer) Step(in Packet) error {
	if in.From == p.cfg.Self {
		return fmt.Errorf("%w: %s from server %d, our own number: two servers share a myid", ErrCloseLink, in.Kind, in.From)
	}
	switch in.Kind {
	case Notification:
		return p.onNotification(in)
	case FollowerInfo, ObserverInfo:
		return p.onLearnerInfo(in)
	}
	switch {
	case p.leading != nil:
		return p.stepLeading(in)
	case p.following != nil && p.following.leader == in.From:
		return p.stepFollowing(in)
	default:
		return fmt.Errorf("%w: %s from server %d: no such link (%s)", ErrCloseLink, in.Kind, in.From, p.place.Role)
	}
}

// LinkUp tells that the connection a Dial asked for stands. That of a dial which a
// Hangup has given up is not to be reported.
func (p *Peer) LinkUp(sid Sid) {
	if f := p.following; f != nil && f.leader == sid && f.stage == dialing {
		p.register()
	}
}

// LinkDown tells that a Dial failed, or that the link to the leader or to a
// learner is gone. The end of a link that another to the same server has
// replaced, or that a Hangup closed, is not to be reported.
func (p *Peer) LinkDown(sid Sid) {
	switch {
	case p.leading != nil:
		p.leading.remove(sid)
		if heir := p.leading.heir; heir != nil && *heir == sid {
			p.giveWay()
		}
	case p.following == nil || p.following.leader != sid:
	case p.following.stage == dialing:
		p.dialFailed()
	default:
		p.trial = p.following.stage == choosing && p.hasMoreThan(p.vote)
		p.look()
	}
}

// hasMoreThan reports whether our history is more recent than that of who was elected.
func (p *Peer) hasMoreThan(v Vote) bool {
	return p.epochs.Current > v.PeerEpoch || p.epochs.Current == v.PeerEpoch && p.history.logged > v.Zxid
}

// Heard tells that there is life on the link with sid beside the packets handed to
// Step: bytes of a large snapshot moved, or a forwarded request came.
func (p *Peer) Heard(sid Sid) {
	if p.following != nil && p.following.leader == sid {
		p.following.silent = 0
	}
	if p.leading != nil {
		if l := p.leading.learner(sid); l != nil {
			l.silent = 0
		}
	}
}

// SentLog tells that a learner was sent the log where its Snap packet allowed it.
func (p *Peer) SentLog(sid Sid) {
	if p.leading != nil {
		if l := p.leading.learner(sid); l != nil && l.sync == SyncSnap {
			l.sync = SyncDiff
		}
	}
}

// Durable tells that everything the Readys up to the one of this mark asked for is
// on disk.
func (p *Peer) Durable(mark uint64) {
	p.durable = max(p.durable, min(mark, p.out.taken))
	if p.mute && p.unmute != 0 && p.unmute <= p.durable {
		p.mute = false // the leader's history is ours, on disk, also when it leads no more
		if p.election != nil {
			p.startElection()
		}
	}
	for len(p.after) > 0 && p.after[0].mark <= p.durable {
		do := p.after[0].do
		p.after = p.after[1:]
		do()
	}
}

// HasReady reports whether there is work to collect.
func (p *Peer) HasReady() bool { return len(p.out.queue) > 0 }

// Ready hands over the oldest work and forgets it; call it until HasReady is false.
func (p *Peer) Ready() Ready { return p.out.take() }

// whenDurable does what may only be done when all that was asked of the disk so
// far is done: at once, or in a later call of Durable. It is forgotten when the
// role ends before.
func (p *Peer) whenDurable(do func()) {
	if p.out.disk <= p.durable {
		do()
		return
	}
	p.after = append(p.after, deferred{p.out.disk, do})
}

// look ends the present role and starts an election.
func (p *Peer) look() {
	p.retire()
	p.startElection()
}

// retire ends the present role. All that is logged counts as history from now on,
// so what is not yet applied is applied.
func (p *Peer) retire() {
	leading, following := p.leading, p.following
	p.leading, p.following, p.after, p.sync = nil, nil, nil, SyncNone
	p.enter(RoleChange{Role: Looking, Phase: Election, Leader: None})
	if leading != nil {
		for _, l := range leading.learners {
			p.out.hangup(l.sid)
		}
	}
	if following != nil {
		p.out.hangup(following.leader)
	}
	for len(p.history.pending) > 0 {
		p.commitNext()
	}
	p.adoptLoggedEpoch()
	p.forget()
}

// enter takes a place in the ensemble and tells the driver.
func (p *Peer) enter(place RoleChange) {
	p.place = place
	p.out.role(place)
}

func (p *Peer) setEpochs(e Epochs) {
	if e != p.epochs {
		p.epochs = e
		p.out.epochs(e)
	}
}

func (p *Peer) send(to Sid, out Packet) {
	out.From, out.To = p.cfg.Self, to
	p.out.send(out)
}

// log appends a proposal to the history and to the log.
func (p *Peer) log(pr Proposal) {
	p.history.append(pr)
	p.out.append(pr)
}

// commitNext hands the oldest uncommitted proposal out to be applied.
func (p *Peer) commitNext() Proposal {
	pr := p.history.commitNext()
	p.out.commit(pr)
	return pr
}
