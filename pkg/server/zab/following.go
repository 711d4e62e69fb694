package zab

import (
	"fmt"
	"slices"
)

// following is the state of a follower or observer (Learner.java).
type following struct {
	leader Sid
	stage  followStage
	epoch  int64 // the leader's; set with LEADERINFO
	whole  bool  // a snapshot was asked for

	tries  int // failed attempts to reach the leader
	redial int // ticks until the next one; 0: one is under way
	silent int // ticks since the leader was last heard

	members *Membership // that came with NEWLEADER

	queue []Proposal // received during synchronisation and not yet logged
	ready int        // how many of these are committed: the first ones
}

// followStage is how far a learner has come.
type followStage uint8

const (
	dialing     followStage = iota
	registering             // FOLLOWERINFO sent; waits for LEADERINFO
	accepting               // writes acceptedEpoch
	choosing                // ACKEPOCH sent; waits for DIFF, TRUNC or SNAP
	catchingUp              // waits for NEWLEADER
	joining                 // writes what it received, and currentEpoch
	joined                  // NEWLEADER acknowledged; waits for UPTODATE
	inService
)

// follow begins to follow, or observe, a leader.
func (p *Peer) follow(leader Sid) {
	p.following = &following{leader: leader}
	p.enterLearner(Discovery, false)
	if p.left == leader { // what it says now is hardly better: not as fast as the network can
		p.following.redial = p.cfg.DialRetry
	} else {
		p.out.dial(leader)
	}
	p.left = None
}

// enterLearner tells the driver of the learner's progress.
func (p *Peer) enterLearner(phase Phase, serving bool) {
	role := Following
	if p.isObserver() {
		role = Observing
	}
	p.enter(RoleChange{Role: role, Phase: phase, Leader: p.following.leader, Epoch: p.following.epoch, Serving: serving})
}

// dialFailed waits a little for the leader to open its port, then gives it up.
func (p *Peer) dialFailed() {
	f := p.following
	if f.tries++; f.tries >= p.cfg.DialTries {
		p.look()
		return
	}
	f.redial = p.cfg.DialRetry
}

// register introduces us to the leader.
func (p *Peer) register() {
	p.following.stage, p.following.silent = registering, 0
	kind := FollowerInfo
	if p.isObserver() {
		kind = ObserverInfo
	}
	p.send(p.following.leader, Packet{Kind: kind, Epoch: p.epochs.Accepted, Zxid: MakeZxid(p.epochs.Accepted, 0), Members: p.members})
}

// tickFollowing redials, and leaves a leader that has been silent for too long.
func (p *Peer) tickFollowing() {
	f := p.following
	if f.redial > 0 {
		if f.redial--; f.redial == 0 {
			p.out.dial(f.leader)
		}
	}
	limit := p.cfg.InitLimit
	if f.stage >= joined {
		limit = p.cfg.SyncLimit
	}
	if f.silent++; f.silent > limit {
		p.look()
	}
}

// stepFollowing dispatches what the leader sends.
func (p *Peer) stepFollowing(in Packet) error {
	f := p.following
	if f.stage == dialing {
		return fmt.Errorf("%w: %s from leader %d by a link that is not up", ErrCloseLink, in.Kind, in.From)
	}
	f.silent = 0
	switch in.Kind {
	case LeaderInfo:
		return p.onLeaderInfo(in)
	case Diff, Trunc, Snap:
		return p.onSyncMode(in)
	case NewLeader:
		return p.onNewLeader(in)
	case UpToDate:
		return p.onUpToDate()
	case Propose:
		return p.onPropose(in)
	case Commit, CommitAndActivate:
		return p.onCommit(in)
	case Inform, InformAndActivate:
		return p.onInform(in)
	case Ping:
		return p.onPing(in)
	default:
		return p.leave("%s is not a leader's to send", in.Kind)
	}
}

// leave gives up a leader that breaks the rules, to join again from what is logged.
func (p *Peer) leave(format string, args ...any) error {
	leader := p.following.leader
	p.left = leader
	p.look()
	return fmt.Errorf("%w: leader %d left: %s", ErrProtocol, leader, fmt.Sprintf(format, args...))
}

// onLeaderInfo promises the new epoch, on disk before in words. An epoch promised
// before is answered by -1, so that no two leaders can count us for the same one.
func (p *Peer) onLeaderInfo(in Packet) error {
	f := p.following
	switch {
	case f.stage != registering:
		return p.leave("LEADERINFO out of turn")
	case in.Epoch < p.epochs.Accepted:
		return p.leave("its epoch %d is below our acceptedEpoch %d", in.Epoch, p.epochs.Accepted)
	case in.Epoch > maxEpoch:
		return p.leave("its epoch %d is out of range", in.Epoch)
	}
	current := p.epochs.Current
	last := p.history.logged
	if in.Epoch == p.epochs.Accepted {
		current = -1
		if f.whole = p.whole == in.Epoch; f.whole {
			last = 0
		}
	}
	f.epoch, f.stage = in.Epoch, accepting
	p.setEpochs(Epochs{Accepted: in.Epoch, Current: p.epochs.Current})
	p.whenDurable(func() {
		f.stage = choosing
		p.send(f.leader, Packet{Kind: AckEpoch, Zxid: last, Epoch: current})
		p.enterLearner(Synchronization, false)
	})
	return nil
}

// onSyncMode prepares our history for what the leader will send.
func (p *Peer) onSyncMode(in Packet) error {
	f := p.following
	switch {
	case f.stage != choosing:
		return p.leave("%s out of turn", in.Kind)
	case in.Zxid < 0 || in.Zxid.Epoch() > f.epoch:
		return p.leave("%s of %s in epoch %d", in.Kind, in.Zxid, f.epoch)
	case f.whole && in.Kind != Snap:
		p.whole = -f.epoch
		return p.leave("%s of %s where only a snapshot helps", in.Kind, in.Zxid)
	}
	f.stage = catchingUp
	switch in.Kind {
	case Trunc:
		return p.onTrunc(in)
	case Snap:
		p.sync = SyncSnap
		p.out.install(in.Zxid)
		p.history.install(in.Zxid)
		p.forget()
		p.see(in.Members)
	default:
		p.sync = SyncDiff
	}
	return nil
}

// onTrunc takes back what the leader does not have. That cannot be done when all of
// it came in one snapshot, of a leader that was lost. Then we come once more, and
// say that we have nothing: with an epoch of -1, which both times goes with an epoch
// that is accepted already, the leader counts nothing of it. Our own history stays
// until the snapshot takes its place. Apache's servers end here.
func (p *Peer) onTrunc(in Packet) error {
	p.sync = SyncTrunc
	epoch := p.following.epoch
	switch {
	case in.Zxid > p.history.logged:
		return p.leave("TRUNC to %s, but our log ends at %s", in.Zxid, p.history.logged)
	case in.Unable && in.Zxid < p.history.logged && p.whole != -epoch:
		p.whole = epoch
		err := p.leave("TRUNC to %s, to which nothing on our disk leads; it is asked for a snapshot", in.Zxid)
		p.left = None
		return err
	case in.Zxid < p.history.logged:
		p.out.truncate(in.Zxid)
		p.history.truncate(in.Zxid)
		p.forget()
	}
	return nil
}

// onNewLeader takes on the leader's history: what is committed goes to the disk
// and the tree, then currentEpoch to the disk, then the ACK to the leader.
func (p *Peer) onNewLeader(in Packet) error {
	f := p.following
	switch {
	case f.stage != catchingUp:
		return p.leave("NEWLEADER out of turn")
	case in.Zxid != MakeZxid(f.epoch, 0):
		return p.leave("NEWLEADER %s in epoch %d", in.Zxid, f.epoch)
	}
	f.stage = joining
	p.takeReady()
	p.takeMembers(in.Members)
	p.setEpochs(Epochs{Accepted: p.epochs.Accepted, Current: f.epoch})
	p.unmute = p.out.disk
	p.whenDurable(func() {
		f.stage = joined
		p.mute, p.whole = false, 0
		p.send(f.leader, Packet{Kind: Ack, Zxid: MakeZxid(f.epoch, 0)})
	})
	return nil
}

// takeReady logs and applies what was received and is known to be committed.
func (p *Peer) takeReady() {
	f := p.following
	for _, pr := range f.queue[:f.ready] {
		p.log(pr)
		p.commitNext()
	}
	f.queue, f.ready = f.queue[f.ready:], 0
}

// onUpToDate starts service. What is left is logged and acknowledged, and applied
// as far as it is committed.
func (p *Peer) onUpToDate() error {
	f := p.following
	if f.stage != joined {
		return p.leave("UPTODATE out of turn")
	}
	f.stage = inService
	p.vote.PeerEpoch = f.epoch
	p.send(f.leader, Packet{Kind: Ack, Zxid: MakeZxid(f.epoch, 0)})
	if !p.isObserver() {
		p.ackQueue()
	} else {
		p.takeReady() // nothing else concerns an observer
	}
	f.queue = nil
	if m := f.members; m != nil && (m.Version.Counter() == 0 || m.Version <= p.history.committed) && p.activate(m) {
		p.look() // as an observer that is to follow, or the other way round
		return nil
	}
	p.enterLearner(Broadcast, true)
	return nil
}

// takeMembers notes the membership that goes with the leader's history. What we had
// heard proposed beside it was never committed.
func (p *Peer) takeMembers(m *Membership) {
	if !p.cfg.Reconfig || m == nil {
		return
	}
	p.following.members = m
	p.next = slices.DeleteFunc(p.next, func(m *Membership) bool { return m.Version > p.history.logged && !p.queued(m) })
	p.see(m)
}

// queued reports whether a proposal that waits to be logged makes m.
func (p *Peer) queued(m *Membership) bool {
	return slices.ContainsFunc(p.following.queue, func(pr Proposal) bool { return pr.Zxid == m.Version })
}

// ackQueue logs and acknowledges what was received, and applies what is committed.
func (p *Peer) ackQueue() {
	f := p.following
	for _, pr := range f.queue {
		p.logAndAck(pr)
	}
	for range f.ready {
		p.commitNext()
	}
}

// onPing answers the leader. Before UPTODATE a leader of Apache's expects nothing but ACK.
func (p *Peer) onPing(in Packet) error {
	if p.following.stage == inService {
		p.send(in.From, Packet{Kind: Ping, Zxid: in.Zxid})
	}
	return nil
}
