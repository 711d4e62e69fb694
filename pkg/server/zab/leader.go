package zab

import (
	"fmt"
	"math"
	"slices"
)

// leading is the state of a peer that leads or is about to (Leader.java).
type leading struct {
	stage    leaderStage
	wait     int          // ticks left of InitLimit for this stage; unused when established
	electors map[Sid]bool // the voters that elected us and have not been seen looking since
	learners []*learner   // those with a link, by sid

	epoch    int64        // the highest proposed so far; settled from stage promising on
	promises map[Sid]bool // voters that have told their acceptedEpoch, ourselves included
	initial  Epochs       // our epochs when elected
	last     Zxid         // our last zxid when elected

	own   bool // our own acknowledgement of NEWLEADER: currentEpoch is on disk
	acked Zxid // the last of our own proposals on our own disk

	ticks int // since the start, for pings and quorum checks

	heir *Sid // who is to lead instead; we only wait for the learners to be told
}

// leaderStage is how far a leader has come.
type leaderStage uint8

const (
	proposing     leaderStage = iota // waits for a quorum's acceptedEpoch
	promising                        // writes its acceptedEpoch
	confirming                       // waits for a quorum's ACKEPOCH
	synchronizing                    // waits for a quorum's ACK of NEWLEADER
	established                      // serves
)

// lead takes up leadership after an election.
func (p *Peer) lead(electors map[Sid]bool) {
	p.leading = &leading{
		wait: p.cfg.InitLimit, electors: electors,
		epoch: max(p.epochs.Accepted, p.floor) + 1, promises: map[Sid]bool{p.cfg.Self: true},
		initial: p.epochs, last: p.history.logged,
	}
	p.enter(RoleChange{Role: Leading, Phase: Discovery, Leader: p.cfg.Self})
	p.settleEpoch()
}

// stepLeading dispatches what a learner sends after FOLLOWERINFO.
func (p *Peer) stepLeading(in Packet) error {
	l := p.leading.learner(in.From)
	if l == nil {
		return fmt.Errorf("%w: %s from server %d, which has not registered", ErrCloseLink, in.Kind, in.From)
	}
	l.silent = 0
	switch in.Kind {
	case AckEpoch:
		return p.onAckEpoch(l, in)
	case Ack:
		return p.onAck(l, in)
	case Ping:
		return nil
	default:
		return p.drop(l, "%s is not a learner's to send", in.Kind)
	}
}

// drop ends the link to one learner that breaks the rules.
func (p *Peer) drop(l *learner, format string, args ...any) error {
	p.leading.remove(l.sid)
	p.out.hangup(l.sid)
	return fmt.Errorf("%w: learner %d dropped: %s", ErrProtocol, l.sid, fmt.Sprintf(format, args...))
}

// onLearnerInfo admits a learner; its link replaces a former one.
func (p *Peer) onLearnerInfo(in Packet) error {
	switch {
	case p.leading == nil:
		return fmt.Errorf("%w: %s from server %d: we are %s", ErrCloseLink, in.Kind, in.From, p.place.Role)
	case in.Epoch < 0 || in.Epoch >= math.MaxInt32-1:
		return fmt.Errorf("%w: %w: %s from server %d: acceptedEpoch %d out of range", ErrCloseLink, ErrProtocol, in.Kind, in.From, in.Epoch)
	}
	if in.Members != nil && p.cfg.Reconfig && in.Members.Version > p.newest().Version {
		return fmt.Errorf("%w: server %d has the membership of %s, we have that of %s", ErrCloseLink, in.From, in.Members.Version, p.newest().Version)
	}
	lead := p.leading
	votes := p.votes(in.From) // an observer's promise is as good: it may be a voter of the proposed membership
	if lead.stage > proposing && in.Epoch > lead.epoch && votes {
		// It will never join this epoch, and no other is due before we fail.
		p.floor = max(p.floor, in.Epoch)
		epoch := lead.epoch
		p.look()
		return fmt.Errorf("%w: stepped down from epoch %d: server %d has promised epoch %d", ErrCloseLink, epoch, in.From, in.Epoch)
	}
	p.out.forgetLink(in.From)
	l := &learner{sid: in.From, observer: in.Kind == ObserverInfo}
	lead.add(l)
	if lead.stage == proposing {
		lead.epoch = max(lead.epoch, in.Epoch+1)
		lead.promises[in.From] = votes
		p.settleEpoch()
		return nil
	}
	if lead.stage >= confirming {
		p.inform(l)
	}
	return nil
}

// settleEpoch fixes the new epoch, above all that a quorum has promised, and
// promises it ourselves before anybody hears of it.
func (p *Peer) settleEpoch() {
	lead := p.leading
	if lead.stage != proposing || !p.hasQuorum(func(sid Sid) bool { return lead.promises[sid] }) {
		return
	}
	lead.stage = promising
	p.setEpochs(Epochs{Accepted: lead.epoch, Current: p.epochs.Current})
	p.whenDurable(func() {
		lead.stage, lead.wait = confirming, p.cfg.InitLimit
		for _, l := range lead.learners {
			p.inform(l)
		}
		p.settleHistory()
	})
}

func (p *Peer) inform(l *learner) {
	l.stage = informed
	p.send(l.sid, Packet{Kind: LeaderInfo, Epoch: p.leading.epoch, Zxid: MakeZxid(p.leading.epoch, 0)})
}

// onAckEpoch takes a learner's promise to the new epoch, and the end of its log.
// Until a quorum has promised nobody may know more than we do. Afterwards what a
// learner has beyond our history cannot have been committed, and will be cut off.
func (p *Peer) onAckEpoch(l *learner, in Packet) error {
	lead := p.leading
	switch {
	case l.stage != informed || l.held != nil:
		return p.drop(l, "ACKEPOCH out of turn")
	case in.Zxid < -1 || in.Zxid.Epoch() > lead.epoch || in.Epoch < -1 || in.Epoch > lead.epoch:
		return p.drop(l, "ACKEPOCH with zxid %s and currentEpoch %d makes no sense in epoch %d", in.Zxid, in.Epoch, lead.epoch)
	case lead.stage != confirming || in.Epoch == -1 || !lead.knowsLess(in.Epoch, in.Zxid):
	case l.observer || p.members.mayElect(l.sid): // an observer has nothing that is not committed
		return p.drop(l, "it is ahead of us: epoch %d zxid %s, we have epoch %d zxid %s", in.Epoch, in.Zxid, lead.initial.Current, lead.last)
	case p.mayBind(l, in):
		l.held = &in
		return nil
	}
	p.confirm(l, in)
	if lead.stage == confirming {
		p.admitHeld()
		p.settleHistory()
	} else {
		p.startSync(l)
	}
	return nil
}

func (p *Peer) confirm(l *learner, in Packet) {
	l.stage, l.last, l.current, l.held = confirmed, in.Zxid, in.Epoch, nil
	l.counts = in.Epoch != -1 && in.Zxid != -1
}

// admitHeld confirms who does not bind us, by what others have told meanwhile.
func (p *Peer) admitHeld() {
	for again := true; again; {
		again = false
		for _, l := range p.leading.learners {
			if l.held != nil && !p.mayBind(l, *l.held) {
				p.confirm(l, *l.held)
				again = true
			}
		}
	}
}

// mayBind reports whether what a learner has and we have not may have been committed
// though it is no voter of the membership in force: by those of one that is proposed,
// whose leader knew it to be in force. Otherwise it is nobody else's.
func (p *Peer) mayBind(l *learner, in Packet) bool {
	mayHave := func(sid Sid) bool {
		o := p.leading.learner(sid)
		return sid == l.sid || sid != p.cfg.Self && (o == nil || !o.lacks(in.Epoch, in.Zxid))
	}
	for i, m := range p.next {
		if m.mayElect(l.sid) && m.HasQuorum(mayHave) && p.mayBeInForce(i) {
			return true
		}
	}
	return false
}

// mayBeInForce reports whether a proposed membership may be committed, by what the voters
// of the one before it have told. All but the last are.
func (p *Peer) mayBeInForce(i int) bool {
	before, m := p.members, p.next[i]
	if i > 0 {
		before = p.next[i-1]
	}
	return i < len(p.next)-1 || before.HasQuorum(func(sid Sid) bool {
		o := p.leading.learner(sid)
		return o == nil || !o.lacks(m.Version.Epoch(), m.Version)
	})
}

// lacks reports whether a learner has told that it does not have a history to its end.
// One without an epoch may have lost it.
func (l *learner) lacks(current int64, last Zxid) bool {
	return l.stage >= confirmed && l.counts && l.current > 0 && (l.current < current || l.last < last)
}

// knowsLess reports whether a history is more recent than ours (StateSummary.java).
func (l *leading) knowsLess(epoch int64, last Zxid) bool {
	return epoch > l.initial.Current || epoch == l.initial.Current && last > l.last
}

// settleHistory makes our history that of the new epoch once a quorum has
// promised the epoch, so that no other history can be committed any more.
func (p *Peer) settleHistory() {
	lead := p.leading
	if !p.hasLearnerQuorum(func(l *learner) bool { return l.counts }) {
		return
	}
	lead.stage, lead.wait = synchronizing, p.cfg.InitLimit
	p.number(lead.epoch)
	p.enter(RoleChange{Role: Leading, Phase: Synchronization, Leader: p.cfg.Self, Epoch: lead.epoch})
	p.setEpochs(Epochs{Accepted: lead.epoch, Current: lead.epoch})
	p.whenDurable(func() {
		lead.own = true
		p.establish()
	})
	for _, l := range lead.learners {
		if l.held != nil { // what it has more cannot have been committed
			p.confirm(l, *l.held)
		}
		if l.stage == confirmed {
			p.startSync(l)
		}
	}
}

// hasLearnerQuorum reports whether we and the learners for which in holds are a quorum.
func (p *Peer) hasLearnerQuorum(in func(*learner) bool) bool {
	return p.hasQuorum(func(sid Sid) bool {
		if sid == p.cfg.Self {
			return true
		}
		l := p.leading.learner(sid)
		return l != nil && in(l)
	})
}

// startSync brings a learner to our committed state and into the broadcast. What
// is proposed but not committed follows NEWLEADER, see the package comment.
func (p *Peer) startSync(l *learner) {
	plan := p.history.plan(l.last)
	l.stage, l.sync = syncing, plan.mode
	kind := map[SyncMode]Kind{SyncDiff: Diff, SyncTrunc: Trunc, SyncSnap: Snap}[plan.mode]
	p.send(l.sid, Packet{Kind: kind, Zxid: plan.zxid, Log: plan.log})
	for _, pr := range plan.send {
		p.send(l.sid, Packet{Kind: Propose, Zxid: pr.Zxid, Data: pr.Data, Members: pr.Members})
		p.send(l.sid, Packet{Kind: Commit, Zxid: pr.Zxid})
	}
	p.send(l.sid, Packet{Kind: NewLeader, Zxid: MakeZxid(p.leading.epoch, 0), Epoch: p.leading.epoch, Members: p.membersToJoin()})
	if l.observer {
		return
	}
	for _, pr := range p.history.pending {
		p.sendProposal(l, pr)
	}
}

// membersToJoin is the membership a learner takes on with our history: once we
// serve the committed one, for a proposed one comes as a proposal; before that the
// proposed one too, for it is in force when we serve.
func (p *Peer) membersToJoin() *Membership {
	if p.leading.stage == established {
		return p.members
	}
	return p.newest()
}

// onNewLeaderAck takes a learner's word that it has our history on disk. Its
// second ACK of the same zxid answers UPTODATE and means nothing more.
func (p *Peer) onNewLeaderAck(l *learner) {
	if l.stage != syncing {
		return
	}
	l.stage, l.owedTime = synced, 0
	if p.leading.stage == established {
		p.serve(l)
		p.commitAcked()
		return
	}
	p.establish()
}

// establish starts service once a quorum has our history on disk.
func (p *Peer) establish() {
	lead := p.leading
	if lead.stage != synchronizing || !lead.own || !p.hasLearnerQuorum(func(l *learner) bool { return l.stage >= synced }) {
		return
	}
	lead.stage = established
	p.vote.PeerEpoch = lead.epoch
	p.activate(p.newest())
	if !p.members.IsVoter(p.cfg.Self) {
		p.look() // it is not ours to lead any more
		return
	}
	p.enter(RoleChange{Role: Leading, Phase: Broadcast, Leader: p.cfg.Self, Epoch: lead.epoch, Serving: true})
	for _, l := range lead.learners {
		if l.stage == synced {
			p.serve(l)
		}
	}
}

func (p *Peer) serve(l *learner) {
	l.stage, l.silent = served, 0
	p.send(l.sid, Packet{Kind: UpToDate, Zxid: -1})
}

// tickLeading keeps time for the leader: its own bounds, its learners', pings
// each half TickTime, and each whole one the check that those with a link, which
// are heard from, are a quorum still.
func (p *Peer) tickLeading() {
	lead := p.leading
	lead.ticks++
	if lead.stage != established || lead.heir != nil {
		if lead.wait--; lead.wait <= 0 {
			p.giveWay()
			return
		}
	}
	for _, l := range slices.Clone(lead.learners) {
		if p.tickLearner(l) {
			lead.remove(l.sid)
			p.out.hangup(l.sid)
		}
	}
	half := p.cfg.TickTime / 2
	switch {
	case lead.ticks%half != 0:
		return
	case lead.stage == established && lead.ticks/half%2 == 0 && !p.hasLearnerQuorum(func(*learner) bool { return true }):
		p.look()
		return
	}
	for _, l := range lead.learners {
		if l.stage >= syncing {
			p.send(l.sid, Packet{Kind: Ping, Zxid: max(p.history.logged, MakeZxid(lead.epoch, 0))})
		}
	}
}

// tickLearner reports whether the learner has been silent, or has kept a proposal
// unacknowledged, for too long.
func (p *Peer) tickLearner(l *learner) bool {
	l.silent++
	if l.owed != 0 {
		l.owedTime++
	}
	switch {
	case l.stage < synced:
		return l.silent > p.cfg.InitLimit+p.cfg.SyncLimit
	case l.stage == synced: // it waits for us
		return false
	default:
		return l.silent > p.cfg.SyncLimit || l.owed != 0 && l.owedTime > p.cfg.SyncLimit
	}
}
