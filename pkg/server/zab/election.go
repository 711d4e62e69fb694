package zab

import (
	"cmp"
	"fmt"
)

// election is the state of a peer that looks for a leader (FastLeaderElection.java).
type election struct {
	initial  Vote // for ourselves; an observer votes for nobody
	proposal Vote // the best seen this round

	cast    map[Sid]ballot // recvset: this round's votes, our own included
	settled map[Sid]ballot // outofelection: what servers that follow or lead told

	late map[Sid]Vote // of an earlier round, answered since the last tick

	finalize int  // ticks until the proposal, which has a quorum, is final; 0: no quorum
	wary     bool // who was elected before went on looking: wait for better votes even when all agree
	trial    int  // ticks until we stand no more; 0: that is not limited
	pause    int  // between repetitions of our vote
	repeat   int  // ticks until the next one
}

// ballot is a vote as its sender told it.
type ballot struct {
	Vote
	role    Role
	version int
}

// agrees is how Vote.java compares ballots: exactly while one of the senders is
// looking, otherwise by leader and epoch, the latter only if both or neither of
// them knows of versions.
func (b ballot) agrees(o ballot) bool {
	switch {
	case b.role == Looking || o.role == Looking:
		return b.Vote == o.Vote
	case (b.version > 0) != (o.version > 0):
		return b.Leader == o.Leader
	default:
		return b.Leader == o.Leader && b.PeerEpoch == o.PeerEpoch
	}
}

// startElection begins a new round with a vote for ourselves. Who is yet to become a
// voter does not stand as a rule, since others may not know of that and the votes would
// be split. But it may have what the proposed membership has committed by itself, so that
// a leader with less gives up: then it stands once, for as long as InitLimit.
func (p *Peer) startElection() {
	p.round++
	initial := Vote{Leader: None, Zxid: None, PeerEpoch: None}
	voter := p.members.IsVoter(p.cfg.Self)
	trial := !voter && p.trial && p.isVoter()
	p.trial = false
	if (voter || trial) && !p.mute {
		initial = Vote{Leader: p.cfg.Self, Zxid: p.history.logged, PeerEpoch: p.epochs.Current}
	}
	p.election = &election{
		initial: initial, cast: map[Sid]ballot{}, settled: map[Sid]ballot{}, late: map[Sid]Vote{},
		pause: p.cfg.NotifyMin, repeat: p.cfg.NotifyMin + p.cfg.Jitter(p.cfg.NotifyMin),
	}
	if trial {
		p.election.trial = p.cfg.InitLimit
	}
	p.propose(initial)
	p.countVotes()
}

func (p *Peer) isVoter() bool { return p.votes(p.cfg.Self) }

// beats is the order of votes: epoch, then zxid, then sid. Of two with the same history
// whoever has a vote already goes before who is yet to have one: others may not know of
// that. A server without
// weight never wins, and loses against every other: its own vote for itself would
// stand for ever, where a membership that is proposed counts it. (Apache's does.)
func (p *Peer) beats(a, b Vote) bool {
	if p.members.IsVoter(b.Leader) && p.members.weight(b.Leader) == 0 && a.Leader != None {
		return p.members.weight(a.Leader) != 0
	}
	has := func(v Vote) int {
		if p.members.IsVoter(v.Leader) {
			return 1
		}
		return 0
	}
	order := cmp.Or(cmp.Compare(a.PeerEpoch, b.PeerEpoch), cmp.Compare(a.Zxid, b.Zxid), cmp.Compare(has(a), has(b)), cmp.Compare(a.Leader, b.Leader))
	return order > 0 && p.members.weight(a.Leader) != 0
}

// propose makes v, as of this round, our vote and tells every voter.
func (p *Peer) propose(v Vote) {
	v.Round = p.round
	p.election.proposal = v
	if p.isVoter() && !p.mute {
		p.election.cast[p.cfg.Self] = ballot{Vote: v}
	}
	p.announce()
}

func (p *Peer) announce() {
	for _, sid := range p.voters() {
		if sid != p.cfg.Self {
			p.notify(sid, p.election.proposal)
		}
	}
}

func (p *Peer) notify(to Sid, v Vote) {
	p.send(to, Packet{Kind: Notification, Vote: v, Role: p.place.Role, Version: notificationVersion, Members: p.members})
}

// answer tells a voter what it seems not to know. Observers do not answer: it would
// not count, and be answered in turn, without end. A follower without a vote may
// have one in a membership that it has not heard of.
func (p *Peer) answer(to Sid, v Vote) {
	if !p.mute && (p.isVoter() || p.place.Role == Following) {
		p.notify(to, v)
	}
}

// tellObserver answers a server without a vote that looks for the leader.
func (p *Peer) tellObserver(in Packet) {
	if in.Role == Looking {
		v := p.currentVote()
		v.Round = p.round
		p.answer(in.From, v)
	}
}

// currentVote is what we tell about the leader.
func (p *Peer) currentVote() Vote {
	if p.election != nil {
		return p.election.proposal
	}
	return p.vote
}

// onNotification answers who has to be answered and counts the vote.
func (p *Peer) onNotification(in Packet) error {
	if in.Role > Observing {
		return fmt.Errorf("%w: notification from server %d: unknown state %d", ErrProtocol, in.From, in.Role)
	}
	p.compareMembers(in)
	if !p.votes(in.From) {
		p.tellObserver(in)
		return nil
	}
	if p.election == nil && in.Role == Looking && p.isDeserted(in) {
		p.look()
		if p.election != nil {
			p.election.wary = true
		}
	}
	switch {
	case p.election == nil:
		if in.Role == Looking {
			p.answer(in.From, p.vote)
		}
	case !p.votes(in.Vote.Leader) && (in.Vote.Leader != None || in.Role != Looking):
	case in.Role == Looking && !p.mute:
		p.onVote(in)
	case in.Role == Following || in.Role == Leading:
		p.onSettled(in)
	}
	return nil
}

// compareMembers lets whoever looks for a leader by an old membership know ours.
func (p *Peer) compareMembers(in Packet) {
	switch {
	case in.Members == nil || !p.cfg.Reconfig:
	case p.election != nil && in.Members.Version > p.members.Version:
		p.adopt(in.Members)
	case in.Role == Looking && in.Members.Version < p.members.Version:
		p.notify(in.From, p.currentVote())
	}
}

// adopt takes over a newer membership that another server has been told to be
// committed, and elects anew with it (FastLeaderElection.java, WorkerReceiver).
func (p *Peer) adopt(m *Membership) {
	was := p.members
	p.activate(m)
	if !p.members.same(was) {
		p.startElection()
	}
}

// isDeserted reports whether a voter that looks for a leader takes away what our
// role rests on: the server we are about to follow, or, before we serve, the
// quorum that elected us. One that still votes as we concluded is only slower.
func (p *Peer) isDeserted(in Packet) bool {
	switch {
	case in.Vote == p.vote:
		return false
	case p.following != nil:
		return p.following.leader == in.From && p.following.stage == dialing
	case p.leading.stage == established:
		return false
	}
	delete(p.leading.electors, in.From)
	return !p.hasQuorum(func(sid Sid) bool {
		return p.leading.electors[sid] || p.leading.learner(sid) != nil
	})
}

// onVote takes the vote of a server that is looking, too.
func (p *Peer) onVote(in Packet) {
	e := p.election
	switch {
	case in.Vote.Round < p.round:
		p.answerLate(in)
		return
	case in.Vote.Round > p.round:
		p.round = in.Vote.Round
		clear(e.cast)
		best := e.initial
		if p.beats(in.Vote, best) {
			best = in.Vote
		}
		p.propose(best)
	case p.beats(in.Vote, e.proposal):
		p.propose(in.Vote)
	}
	e.cast[in.From] = ballot{Vote: in.Vote}
	p.countVotes()
}

// answerLate tells the present round to who is in an earlier one, once a tick: a voter
// by whose membership we have no vote answers, too, and stays where it is, so that the
// two of us would go on as fast as the network does.
func (p *Peer) answerLate(in Packet) {
	if e := p.election; e.late[in.From] != in.Vote {
		e.late[in.From] = in.Vote
		p.answer(in.From, e.proposal)
	}
}

// countVotes looks whether a quorum shares our proposal. It is final when nobody
// is left who could know a better one, or when none turns up for a while.
func (p *Peer) countVotes() {
	e := p.election
	agree := func(sid Sid) bool { return e.cast[sid].Vote == e.proposal }
	switch {
	case e.proposal.Leader == None || !p.hasQuorum(agree):
		e.finalize = 0
	case p.allVoters(agree) && !e.wary:
		p.conclude(e.proposal, agree)
	case e.finalize == 0:
		e.finalize = p.cfg.FinalizeWait
	}
}

func (p *Peer) allVoters(in func(Sid) bool) bool {
	for _, sid := range p.voters() {
		if !in(sid) {
			return false
		}
	}
	return true
}

// onSettled takes what a server that leads or follows tells of its leader. A
// quorum of such, the leader among them, is joined, whatever its round.
func (p *Peer) onSettled(in Packet) {
	e := p.election
	told := ballot{in.Vote, in.Role, in.Version}
	if in.Vote.Round == p.round {
		e.cast[in.From] = ballot{Vote: in.Vote, role: in.Role}
		if p.joinable(e.cast, told) {
			return
		}
	}
	e.settled[in.From] = told
	p.joinable(e.settled, told)
}

// joinable ends the election with told if a quorum agrees with it and its leader
// confirms that it leads; if that is to be us, it must be by this round's votes.
func (p *Peer) joinable(ballots map[Sid]ballot, told ballot) bool {
	agree := func(sid Sid) bool {
		b, ok := ballots[sid]
		return ok && b.agrees(told)
	}
	confirmed := ballots[told.Leader].role == Leading
	if told.Leader == p.cfg.Self {
		confirmed = told.Round == p.round && !p.mute
	}
	// What is only proposed may never have reached those who have a leader.
	if !confirmed || !p.members.HasQuorum(agree) {
		return false
	}
	p.conclude(told.Vote, agree)
	return true
}

// conclude ends the election.
func (p *Peer) conclude(v Vote, agree func(Sid) bool) {
	p.election = nil
	p.vote, p.round = v, v.Round
	if v.Leader != p.cfg.Self {
		p.follow(v.Leader)
		return
	}
	electors := map[Sid]bool{}
	for _, sid := range p.voters() {
		electors[sid] = sid == p.cfg.Self || agree(sid)
	}
	p.lead(electors)
}

// tickElection lets a winning vote ripen, and repeats our vote when it brought no decision.
func (p *Peer) tickElection() {
	e := p.election
	clear(e.late)
	if e.finalize > 0 {
		if e.finalize--; e.finalize == 0 {
			p.conclude(e.proposal, func(sid Sid) bool { return e.cast[sid].Vote == e.proposal })
			return
		}
	}
	if e.trial > 0 {
		if e.trial--; e.trial == 0 {
			p.startElection()
			return
		}
	}
	if e.repeat--; e.repeat <= 0 {
		p.announce()
		e.pause = min(2*e.pause, p.cfg.NotifyMax)
		e.repeat = e.pause + p.cfg.Jitter(e.pause)
	}
}
