package zab

// Status is a view of a peer for monitoring.
type Status struct {
	RoleChange // role, phase, leader, its epoch, and whether clients may be served

	Sync          SyncMode // how this learner was synchronised
	Epochs        Epochs
	LastLogged    Zxid
	LastCommitted Zxid
	Vote          Vote  // the present proposal while looking, else what ended the election
	Round         int64 // of the present or last election
	Learners      []LearnerStatus
	Members       *Membership // in force
}

// LearnerStatus is the leader's view of one learner.
type LearnerStatus struct {
	Sid      Sid
	Observer bool
	Synced   bool // has acknowledged NEWLEADER
	Sync     SyncMode
	Acked    Zxid // last proposal it acknowledged on this link; 0 if none
}

// Status returns the peer's present state. Learners are sorted by sid.
func (p *Peer) Status() Status {
	s := Status{
		RoleChange: p.place, Sync: p.sync, Epochs: p.epochs,
		LastLogged: p.history.logged, LastCommitted: p.history.committed,
		Vote: p.currentVote(), Round: p.round, Members: p.members,
	}
	if p.leading != nil {
		for _, l := range p.leading.learners {
			s.Learners = append(s.Learners, LearnerStatus{l.sid, l.observer, l.stage >= synced, l.sync, l.acked})
		}
	}
	return s
}
