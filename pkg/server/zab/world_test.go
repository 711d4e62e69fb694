package zab

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// world is an ensemble in a box: peers, their disks, the network between them,
// and a judge that checks Zab's promises after every move. It is what a driver
// does, without goroutines, clock, sockets or files.
type world struct {
	config Config // template; Self and what is on disk differ
	nodes  []*node
	mail   map[route][]Packet // election messages under way
	links  []*link            // learner to leader, oldest first
	cuts   map[route]bool     // lower sid first

	order   []Proposal    // what is committed, in order
	leaders map[int64]Sid // epoch -> its established leader
	faults  []string      // broken promises
	trace   func(format string, args ...any)
}

// route is a direction between two servers.
type route struct{ from, to Sid }

// node is a server: a peer and what a driver keeps for it.
type node struct {
	*world
	sid     Sid
	peer    *Peer // nil: down
	disk    []Proposal
	files   []Proposal // what the log files hold of it, and maybe what an Install left standing
	base    Zxid       // from where on they are known to be the history
	whole   Zxid       // up to here the history came in one snapshot: no way back before it
	epochs  Epochs     // on disk
	rejoin  bool       // until there is a current epoch, the history is lost
	todo    []diskWork // asked of the disk, not yet done
	log     []Proposal // the disk as it will be after todo
	applied []Proposal // the tree
	place   RoleChange
	snap    []Proposal  // the snapshot received last
	members *Membership // on disk: the one in force; nil: that of the start
	seen    *Membership // on disk: proposed after it
}

// diskWork is a Ready with the snapshot its Install is about.
type diskWork struct {
	Ready
	snap []Proposal
}

// link is a learner's connection to its leader.
type link struct {
	learner, leader Sid
	up, known       bool // connected; the leader has seen FOLLOWERINFO
	toLeader        []Packet
	toLearner       []Packet
	snaps           [][]Proposal // of the Snap packets in toLearner
	downAt          []Sid        // ends that have yet to notice that it broke
}

func newWorld(c Config) *world {
	w := &world{config: c, mail: map[route][]Packet{}, cuts: map[route]bool{}, leaders: map[int64]Sid{}, trace: func(string, ...any) {}}
	for _, sid := range slices.Concat(c.Ensemble.Voters, c.Ensemble.Observers) {
		w.nodes = append(w.nodes, &node{world: w, sid: sid})
	}
	return w
}

func (w *world) node(sid Sid) *node {
	for _, n := range w.nodes {
		if n.sid == sid {
			return n
		}
	}
	return nil
}

func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
	w.trace("FAULT: %s", w.faults[len(w.faults)-1])
}

// start boots a server from its disk, telling the peer of at most window proposals.
func (n *node) start(window int) {
	c := n.config
	c.Self, c.Epochs, c.LastZxid = n.sid, n.epochs, lastOf(n.disk)
	c.Rejoin = n.rejoin && n.epochs.Current == 0
	c.Window = slices.Clone(n.disk[max(0, len(n.disk)-window):])
	if m := n.members; m != nil {
		c.Ensemble, c.Version, c.Addresses = m.Ensemble, m.Version, m.Addresses
	}
	if c.Next = n.seen; c.Reconfig {
		if m := membersOf(n.disk); m != nil && (c.Next == nil || m.Version > c.Next.Version) {
			c.Next = m
		}
	}
	peer, err := New(c)
	if err != nil {
		n.fault("restart of %d: %v", n.sid, err)
		return
	}
	n.peer, n.place = peer, RoleChange{}
	n.log, n.applied = slices.Clone(n.disk), slices.Clone(n.disk)
	n.collect()
}

// crash stops a server at once. Of what was asked of the disk and not confirmed
// the first keep operations survive.
func (n *node) crash(keep int) {
	for _, r := range n.todo {
		keep = n.write(r, keep)
	}
	n.peer, n.todo, n.log, n.applied, n.place, n.snap = nil, nil, nil, nil, RoleChange{}, nil
	for _, l := range slices.Clone(n.links) {
		if l.learner == n.sid || l.leader == n.sid {
			n.breakLink(l)
		}
	}
	maps.DeleteFunc(n.mail, func(r route, _ []Packet) bool { return r.from == n.sid || r.to == n.sid })
}

// write does up to keep of a Ready's operations on the disk; it returns how many are left.
func (n *node) write(r diskWork, keep int) int {
	do := func(asked bool, operation func()) {
		if asked && keep > 0 {
			operation()
			keep--
		}
	}
	do(r.Truncate != nil, func() {
		if *r.Truncate < n.whole {
			n.fault("%d: truncates to %v, its history begins with a snapshot of %v", n.sid, *r.Truncate, n.whole)
		}
		n.disk, n.files, n.base = upTo(n.disk, *r.Truncate), upTo(n.files, *r.Truncate), min(n.base, *r.Truncate)
	})
	do(r.Install != nil, func() {
		n.disk, n.files, n.base, n.whole = r.snap, upTo(n.files, *r.Install), *r.Install, *r.Install
	})
	for _, p := range r.Append {
		do(true, func() { n.disk, n.files = append(slices.Clip(n.disk), p), append(slices.Clip(n.files), p) })
	}
	do(r.Seen != nil, func() { n.seen = r.Seen })
	do(r.Activate != nil, func() { n.members = r.Activate })
	do(r.Epochs != nil, func() {
		if r.Epochs.Accepted < n.epochs.Accepted || r.Epochs.Current < n.epochs.Current {
			n.fault("%d: epochs go back from %v to %v", n.sid, n.epochs, *r.Epochs)
		}
		n.epochs = *r.Epochs
	})
	return keep
}

// sync makes what the first count Readys asked for durable, and says so.
func (n *node) sync(count int) {
	if count = min(count, len(n.todo)); n.peer == nil || count == 0 {
		return
	}
	done := n.todo[:count]
	n.todo = n.todo[count:]
	for _, r := range done {
		n.write(r, 1<<30)
	}
	n.trace("%d durable", n.sid)
	n.peer.Durable(done[count-1].Mark)
	n.collect()
}

// collect does what the peer's Readys ask for.
func (n *node) collect() {
	for n.peer.HasReady() {
		r := n.peer.Ready()
		n.describe(r)
		n.handle(r)
	}
	n.judge()
}

func (n *node) handle(r Ready) {
	if r.Role != nil && !r.Role.Serving {
		n.place = *r.Role
	}
	n.change(r)
	for _, p := range r.Commit {
		n.apply(p)
	}
	for _, p := range r.Send {
		n.send(p)
	}
	for _, sid := range r.Hangup {
		if l := n.linkWith(sid); l != nil {
			n.hangUp(l, n.sid)
		}
	}
	if r.Dial != nil {
		n.links = append(n.links, &link{learner: n.sid, leader: *r.Dial})
	}
	if r.Role != nil && r.Role.Serving {
		n.place = *r.Role
		n.serve()
	}
}

// change does a Ready's changes to the log as the peer sees it.
func (n *node) change(r Ready) {
	if r.Truncate != nil {
		n.log = upTo(n.log, *r.Truncate)
		n.applied = slices.Clone(n.log)
	}
	if r.Install != nil {
		if lastOf(n.snap) != *r.Install {
			n.fault("%d: told to install %v, received %v", n.sid, *r.Install, lastOf(n.snap))
		}
		n.log, n.applied = slices.Clone(n.snap), slices.Clone(n.snap)
	}
	for _, p := range r.Append {
		if !lastOf(n.log).precedes(p.Zxid) {
			n.fault("%d: gap: log ends at %v, appended %v", n.sid, lastOf(n.log), p.Zxid)
		}
		n.log = append(n.log, p)
	}
	if r.NeedsDisk() {
		n.todo = append(n.todo, diskWork{r, n.snap})
	}
}

// apply puts a committed proposal into the tree; an established leader's commits
// are the ensemble's.
func (n *node) apply(p Proposal) {
	i := len(n.applied)
	if i >= len(n.log) || !same(n.log[i], p) {
		n.fault("%d: commit %v is not number %d of its log", n.sid, p.Zxid, i)
	}
	n.applied = append(n.applied, p)
	if n.place.Role == Leading && n.place.Serving {
		n.order = append(n.order, p)
		if !same(n.order[min(i, len(n.order)-1)], p) || len(n.order) != len(n.applied) {
			n.fault("leader %d: commit %v is number %d there and number %d of all", n.sid, p.Zxid, i, len(n.order)-1)
		}
	}
}

// serve checks what makes it right to serve clients.
func (n *node) serve() {
	if n.place.Role != Leading {
		return
	}
	if other, ok := n.leaders[n.place.Epoch]; ok {
		n.fault("epoch %d is led by %d and by %d", n.place.Epoch, other, n.sid)
	}
	n.leaders[n.place.Epoch] = n.sid
	if !isPrefix(n.order, n.applied) {
		n.fault("leader %d of epoch %d: committed history %v, it has %v", n.sid, n.place.Epoch, short(n.order), short(n.applied))
	}
	n.order = slices.Clone(n.applied)
	if !n.inForce().HasQuorum(func(sid Sid) bool { return n.node(sid).epochs.Current >= n.place.Epoch }) {
		n.fault("leader %d serves, but epoch %d is not on a quorum's disks", n.sid, n.place.Epoch)
	}
}

// inForce is the ensemble that the last committed change of membership made.
func (w *world) inForce() Ensemble {
	if m := membersOf(w.order); m != nil {
		return m.Ensemble
	}
	return w.config.Ensemble
}

// membersOf is the newest membership in a history, or nil.
func membersOf(h []Proposal) *Membership {
	for _, p := range slices.Backward(h) {
		if p.Members != nil {
			return p.Members
		}
	}
	return nil
}

// judge checks the promises that hold at any time.
func (n *node) judge() {
	if n.place.Serving && !isPrefix(n.applied, n.order) {
		n.fault("%d serves %v, committed is %v", n.sid, short(n.applied), short(n.order))
	}
	if !n.inForce().HasQuorum(func(sid Sid) bool { return isPrefix(n.order, n.node(sid).disk) }) {
		n.fault("%v is committed, but not on a quorum's disks", lastOf(n.order))
	}
}

// send puts a packet on its way.
func (n *node) send(p Packet) {
	if p.Kind == Notification {
		if !n.isCut(p.From, p.To) && n.node(p.To).peer != nil {
			n.mail[route{p.From, p.To}] = append(n.mail[route{p.From, p.To}], p)
		}
		return
	}
	n.judgeWord(p)
	switch l := n.linkWith(p.To); {
	case l == nil || len(l.downAt) > 0:
	case l.learner == n.sid:
		l.toLeader = append(l.toLeader, p)
	case p.Log != nil && n.sendLog(l, p):
	default:
		l.toLearner = append(l.toLearner, p)
		if p.Kind == Snap {
			l.snaps = append(l.snaps, slices.Clone(n.applied))
		}
	}
}

// judgeWord checks that what a packet says is true on the sender's disk.
func (n *node) judgeWord(p Packet) {
	ok := true
	switch p.Kind {
	case LeaderInfo:
		ok = n.epochs.Accepted == p.Epoch
	case AckEpoch:
		asks := p.Zxid == 0 && p.Epoch == -1 // for a snapshot
		ok = n.epochs.Accepted == n.peer.following.epoch && (lastOf(n.disk) == p.Zxid || asks)
	case Ack:
		ok = n.epochs.Current == p.Zxid.Epoch() && len(upTo(n.disk, p.Zxid)) >= len(upTo(n.log, p.Zxid))
	case Snap:
		ok = lastOf(n.applied) == p.Zxid
	}
	if !ok {
		n.fault("%s: the disk has epochs %v and ends at %v, the tree at %v", show(p), n.epochs, lastOf(n.disk), lastOf(n.applied))
	}
}

// linkWith returns the newest link with sid that this end knows of.
func (n *node) linkWith(sid Sid) *link {
	for _, l := range slices.Backward(n.links) {
		if l.learner == n.sid && l.leader == sid || l.known && l.leader == n.sid && l.learner == sid {
			if len(l.downAt) == 0 || slices.Contains(l.downAt, n.sid) {
				return l
			}
		}
	}
	return nil
}

func (w *world) isCut(a, b Sid) bool { return w.cuts[route{min(a, b), max(a, b)}] }

// cut ends all contact between two servers; heal makes it possible again.
func (w *world) cut(a, b Sid) {
	w.cuts[route{min(a, b), max(a, b)}] = true
	delete(w.mail, route{a, b})
	delete(w.mail, route{b, a})
	for _, l := range slices.Clone(w.links) {
		if min(a, b) == min(l.learner, l.leader) && max(a, b) == max(l.learner, l.leader) {
			w.breakLink(l)
		}
	}
}

func (w *world) heal(a, b Sid) { delete(w.cuts, route{min(a, b), max(a, b)}) }

// breakLink loses what is under way; each end notices in its own time.
func (w *world) breakLink(l *link) {
	if len(l.downAt) == 0 {
		l.downAt = []Sid{l.learner, l.leader}
	}
	l.toLeader, l.toLearner, l.snaps = nil, nil, nil
	for _, sid := range slices.Clone(l.downAt) {
		if w.node(sid).peer == nil {
			w.ended(l, sid)
		}
	}
}

// hangUp closes a link at one end; what is under way to the other may still arrive.
func (w *world) hangUp(l *link, sid Sid) {
	if len(l.downAt) == 0 {
		l.downAt = []Sid{l.learner, l.leader}
	}
	w.ended(l, sid)
	for _, other := range slices.Clone(l.downAt) {
		if w.node(other).peer == nil {
			w.ended(l, other)
		}
	}
}

// ended notes that one end knows that the link is gone.
func (w *world) ended(l *link, sid Sid) {
	l.downAt = slices.DeleteFunc(l.downAt, func(s Sid) bool { return s == sid })
	if len(l.downAt) == 0 || len(l.downAt) == 1 && l.downAt[0] == l.leader && !l.known {
		w.links = slices.DeleteFunc(w.links, func(o *link) bool { return o == l })
	}
}

// move is something that can happen next.
type move struct {
	name string
	do   func()
}

// moves lists what the network may do next, in a fixed order.
func (w *world) moves() []move {
	var all []move
	for _, r := range slices.SortedFunc(maps.Keys(w.mail), func(a, b route) int {
		return int((a.from-b.from)*1000 + a.to - b.to)
	}) {
		all = append(all, move{fmt.Sprintf("mail %d-%d", r.from, r.to), func() { w.deliverMail(r) }})
	}
	for _, l := range w.links {
		all = append(all, l.moves(w)...)
	}
	return all
}

func (l *link) moves(w *world) []move {
	var all []move
	add := func(what string, do func()) {
		all = append(all, move{fmt.Sprintf("%s %d-%d", what, l.learner, l.leader), do})
	}
	for _, sid := range l.downAt {
		add("lost", func() { w.noticeDown(l, sid) })
	}
	switch {
	case len(l.downAt) > 0:
	case !l.up:
		add("dial", func() { w.connect(l) })
	}
	if len(l.toLeader) > 0 && (len(l.downAt) == 0 || slices.Contains(l.downAt, l.leader)) {
		add("up", func() { w.deliverUp(l) })
	}
	if len(l.toLearner) > 0 && (len(l.downAt) == 0 || slices.Contains(l.downAt, l.learner)) {
		add("down", func() { w.deliverDown(l) })
	}
	return all
}

func (w *world) deliverMail(r route) {
	p := w.mail[r][0]
	if w.mail[r] = w.mail[r][1:]; len(w.mail[r]) == 0 {
		delete(w.mail, r)
	}
	w.step(p)
}

func (w *world) step(p Packet) {
	n := w.node(p.To)
	w.trace("%s", show(p))
	p.Unable = p.Kind == Trunc && p.Zxid < n.whole
	err := n.peer.Step(p)
	n.collect()
	if err == nil {
		return
	}
	w.trace("  refused: %v", err)
	if l := n.linkWith(p.From); errors.Is(err, ErrCloseLink) && l != nil {
		w.hangUp(l, n.sid)
	}
}

// connect answers a dial: only a server that leads has its quorum port open.
func (w *world) connect(l *link) {
	learner, leader := w.node(l.learner), w.node(l.leader)
	if leader.peer == nil || leader.place.Role != Leading || w.isCut(l.learner, l.leader) {
		w.links = slices.DeleteFunc(w.links, func(o *link) bool { return o == l })
		w.trace("%d cannot reach %d", l.learner, l.leader)
		learner.peer.LinkDown(l.leader)
	} else {
		l.up = true
		w.trace("%d connected to %d", l.learner, l.leader)
		learner.peer.LinkUp(l.leader)
	}
	learner.collect()
}

func (w *world) deliverUp(l *link) {
	p := l.toLeader[0]
	l.toLeader = l.toLeader[1:]
	n := w.node(l.leader)
	if !l.known {
		if n.place.Role != Leading {
			w.breakLink(l)
			return
		}
		if old := n.linkWith(l.learner); old != nil { // the new one replaces it
			w.breakLink(old)
			w.ended(old, l.leader)
		}
		l.known = true
	}
	w.step(p)
}

func (w *world) deliverDown(l *link) {
	p := l.toLearner[0]
	l.toLearner = l.toLearner[1:]
	if p.Kind == Snap {
		w.node(l.learner).snap = l.snaps[0]
		l.snaps = l.snaps[1:]
		p.Members = membersOf(w.node(l.learner).snap)
	}
	w.step(p)
}

// noticeDown tells one end that the link is gone.
func (w *world) noticeDown(l *link, sid Sid) {
	n, other := w.node(sid), l.leader
	if sid == l.leader {
		other = l.learner
	}
	current := n.linkWith(other) == l
	w.ended(l, sid)
	if current {
		w.trace("%d loses the link to %d", sid, other)
		n.peer.LinkDown(other)
		n.collect()
	}
}

func lastOf(h []Proposal) Zxid {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1].Zxid
}

func upTo(h []Proposal, z Zxid) []Proposal {
	i := slices.IndexFunc(h, func(p Proposal) bool { return p.Zxid > z })
	if i < 0 {
		return h
	}
	return h[:i:i]
}

func same(a, b Proposal) bool { return a.Zxid == b.Zxid && string(a.Data) == string(b.Data) }

func isPrefix(a, b []Proposal) bool {
	return len(a) <= len(b) && (len(a) == 0 || same(a[len(a)-1], b[len(a)-1]))
}

// short prints the end of a history.
func short(h []Proposal) string {
	var b strings.Builder
	for _, p := range h[max(0, len(h)-5):] {
		fmt.Fprintf(&b, " %s", dotted(p.Zxid))
	}
	return fmt.Sprintf("%d:[%s]", len(h), strings.TrimSpace(b.String()))
}

// dotted prints a zxid as epoch.counter.
func dotted(z Zxid) string {
	switch {
	case z == None:
		return "none"
	case z == -1:
		return "-1"
	}
	return fmt.Sprintf("%d.%d", z.Epoch(), z.Counter())
}
