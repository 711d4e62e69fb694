package zab

import "slices"

// Ready is work the driver owes the peer, in the order of the fields, except that
// a Role that does not serve is to be acted on before all else. Readys are to be
// worked off in the order they were handed out.
type Ready struct {
	// Mark numbers the Readys, from 1. Hand it to [Peer.Durable] when Truncate,
	// Install, Append and Epochs of this and all earlier Readys are on disk.
	Mark uint64

	// Truncate cuts the log after this zxid; the tree is then what the disk holds up to it.
	Truncate *Zxid
	// Install makes the snapshot of this zxid, received from the leader, the
	// durable state and the tree. The log starts again after it.
	Install *Zxid
	// Append adds to the log.
	Append []Proposal
	// Seen is a membership that was proposed, to be kept beside the one in force
	// (Apache's file zoo.cfg.dynamic.next). A proposed one is in the log as well.
	Seen *Membership
	// Activate is the membership in force from now on.
	Activate *Membership
	// Epochs are to be written once all the above is synced.
	Epochs *Epochs

	// Commit applies to the tree, each proposal once. It need not wait for the
	// disk: a proposal may be committed before it is durable here.
	Commit []Proposal
	// Send leaves for other servers; for each of them in this order. A Snap packet
	// is followed by a snapshot of the tree exactly as it is after Commit.
	Send []Packet
	// Hangup closes the links to these servers, and gives up dialling them.
	Hangup []Sid
	// Dial asks for a connection to this leader's quorum port. LinkUp or LinkDown is the answer.
	Dial *Sid
	// Role tells what the peer now does. Nil: as before.
	Role *RoleChange
}

// NeedsDisk reports whether the Ready asks for something to be made durable.
func (r Ready) NeedsDisk() bool {
	return r.Truncate != nil || r.Install != nil || len(r.Append) > 0 || r.Epochs != nil || r.Seen != nil || r.Activate != nil
}

// RoleChange is a peer's new place in the ensemble.
type RoleChange struct {
	Role    Role
	Phase   Phase
	Leader  Sid   // None while looking
	Epoch   int64 // the leader's epoch; 0 until it is known
	Serving bool  // clients may be served
}

// outbox gathers work into Readys. A Ready has one order of execution, so work
// that would have to come before what the newest Ready already holds opens
// another.
type outbox struct {
	queue []Ready
	mark  uint64 // of the newest Ready opened
	disk  uint64 // mark of the newest Ready that needs the disk
	snap  uint64 // mark of the newest Ready that sends a snapshot
	taken uint64 // mark of the newest Ready handed over
}

// take hands over the oldest Ready.
func (o *outbox) take() Ready {
	if len(o.queue) == 0 {
		return Ready{}
	}
	r := o.queue[0]
	o.queue = slices.Delete(o.queue, 0, 1)
	o.taken = r.Mark
	return r
}

// newest returns the Ready to add to: the newest, or another if that one must
// come first.
func (o *outbox) newest(mustFollow func(*Ready) bool) *Ready {
	if n := len(o.queue); n > 0 && !mustFollow(&o.queue[n-1]) {
		return &o.queue[n-1]
	}
	o.mark++
	o.queue = append(o.queue, Ready{Mark: o.mark})
	return &o.queue[len(o.queue)-1]
}

func never(*Ready) bool  { return false }
func always(*Ready) bool { return true }

// newestForDisk is newest for work whose completion Durable reports.
func (o *outbox) newestForDisk(mustFollow func(*Ready) bool) *Ready {
	r := o.newest(mustFollow)
	o.disk = r.Mark
	return r
}

func (o *outbox) truncate(z Zxid) {
	o.newestForDisk(func(r *Ready) bool { return r.NeedsDisk() || len(r.Commit) > 0 }).Truncate = &z
}

func (o *outbox) install(z Zxid) {
	o.newestForDisk(func(r *Ready) bool { return r.NeedsDisk() || len(r.Commit) > 0 }).Install = &z
}

func (o *outbox) append(p Proposal) {
	r := o.newestForDisk(func(r *Ready) bool { return r.Epochs != nil })
	r.Append = append(r.Append, p)
}

func (o *outbox) seen(m *Membership) {
	o.newestForDisk(func(r *Ready) bool { return r.Seen != nil || r.Activate != nil || r.Epochs != nil }).Seen = m
}

func (o *outbox) activate(m *Membership) {
	o.newestForDisk(func(r *Ready) bool { return r.Activate != nil || r.Epochs != nil }).Activate = m
}

func (o *outbox) epochs(e Epochs) { o.newestForDisk(never).Epochs = &e }

func (o *outbox) commit(p Proposal) {
	r := o.newest(func(r *Ready) bool { return r.Mark == o.snap }) // that snapshot is without this commit
	r.Commit = append(r.Commit, p)
}

func (o *outbox) send(p Packet) {
	r := o.newest(func(r *Ready) bool { return p.Kind != Notification && slices.Contains(r.Hangup, p.To) })
	r.Send = append(r.Send, p)
	if p.Kind == Snap {
		o.snap = r.Mark
	}
}

func (o *outbox) hangup(sid Sid) {
	r := o.newest(never)
	r.Hangup = append(r.Hangup, sid)
}

func (o *outbox) dial(sid Sid) {
	o.newest(func(r *Ready) bool { return r.Dial != nil }).Dial = &sid
}

func (o *outbox) role(c RoleChange) {
	mustFollow := always
	if c.Serving {
		mustFollow = func(r *Ready) bool { return r.Role != nil }
	}
	o.newest(mustFollow).Role = &c
}

// forgetLink drops what is still queued for a link that another has replaced.
func (o *outbox) forgetLink(sid Sid) {
	for i := range o.queue {
		r := &o.queue[i]
		r.Send = slices.DeleteFunc(r.Send, func(p Packet) bool { return p.Kind != Notification && p.To == sid })
		r.Hangup = slices.DeleteFunc(r.Hangup, func(s Sid) bool { return s == sid })
	}
}
