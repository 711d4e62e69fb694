package simulation

import (
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"testing/synctest"
	"time"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// tick is the time between two calls of zab's Tick.
const tick = 20 * time.Millisecond

// world is an ensemble: its servers, the network between them, and what has been
// promised to clients.
type world struct {
	rnd     *rand.Rand
	config  zab.Config // template; Self and what is on disk differ
	servers []*server
	mail    map[route][]zab.Packet // election messages under way
	links   []*link                // learner to leader, oldest first
	cuts    map[route]bool         // directions in which nothing passes
	clients []*client
	history history
	changes changes
	auth    *auth.Policy   // of all servers: it may be asked by everybody
	reached map[string]int // what the run has reached
	faults  []string       // broken promises
	healing bool           // the faults have ended

	// undecided ends a run that shows nothing more: a bit flipped in what a server
	// synced last, which cannot be told from a write that a crash tore.
	undecided bool
	trace     func(format string, args ...any)
}

// route is a direction between two servers.
type route struct{ from, to zab.Sid }

// link is a learner's connection to its leader.
type link struct {
	learner, leader zab.Sid
	up, known       bool // connected; the leader has seen FOLLOWERINFO
	toLeader        []item
	toLearner       []item
	downAt          []zab.Sid // ends that have yet to notice that it broke
}

// item is what a link carries: a packet of zab's, or one of what is relayed beside.
type item struct {
	packet     *zab.Packet
	snapshot   *snapshot // behind a Snap packet
	request    *quorum.Request
	sync       bool
	revalidate *revalidation
	touches    []quorum.Touch // in a Ping
}

// snapshot is a stream with the history that it stands for; ready when it is made.
type snapshot struct {
	ready   bool
	bytes   []byte
	history []zab.Proposal
}

type revalidation struct {
	session int64
	timeout int32
	valid   bool
}

func (w *world) server(sid zab.Sid) *server { return w.servers[sid-1] }

func (w *world) over() bool { return w.undecided || len(w.faults) > 0 }

func (w *world) fault(format string, args ...any) {
	if w.undecided {
		return
	}
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
	w.trace("FAULT: %s", w.faults[len(w.faults)-1])
}

// advance lets time pass for everybody.
func (w *world) advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	w.collectAll()
}

func (w *world) collectAll() {
	for _, s := range w.servers {
		s.collect()
	}
}

// send puts an election message on its way; a full queue drops the oldest.
func (w *world) send(p zab.Packet) {
	r := route{p.From, p.To}
	if w.cuts[r] || w.server(p.To).peer == nil {
		return
	}
	w.mail[r] = append(w.mail[r], p)
}

// linkWith returns the newest link of s with sid that its end knows of.
func (s *server) linkWith(sid zab.Sid) *link {
	for _, l := range slices.Backward(s.links) {
		if l.learner == s.sid && l.leader == sid || l.known && l.leader == s.sid && l.learner == sid {
			if len(l.downAt) == 0 || slices.Contains(l.downAt, s.sid) {
				return l
			}
		}
	}
	return nil
}

// queue puts an item on the link to sid; without one it is lost.
func (s *server) queue(sid zab.Sid, it item) {
	switch l := s.linkWith(sid); {
	case l == nil || len(l.downAt) > 0:
	case l.learner == s.sid:
		l.toLeader = append(l.toLeader, it)
	default:
		l.toLearner = append(l.toLearner, it)
	}
}

// breakLink loses what is under way; each end notices in its own time.
func (w *world) breakLink(l *link) {
	l.toLeader, l.toLearner = nil, nil
	w.close(l)
}

// close ends a link; what is under way may still arrive.
func (w *world) close(l *link) {
	if len(l.downAt) == 0 {
		l.downAt = []zab.Sid{l.learner, l.leader}
	}
	for _, sid := range slices.Clone(l.downAt) {
		if w.server(sid).peer == nil {
			w.ended(l, sid)
		}
	}
}

// hangUp closes a link at the end that knows.
func (w *world) hangUp(l *link, sid zab.Sid) {
	w.close(l)
	w.ended(l, sid)
}

// ended notes that one end knows that the link is gone.
func (w *world) ended(l *link, sid zab.Sid) {
	l.downAt = slices.DeleteFunc(l.downAt, func(s zab.Sid) bool { return s == sid })
	if len(l.downAt) == 0 || len(l.downAt) == 1 && l.downAt[0] == l.leader && !l.known {
		w.links = slices.DeleteFunc(w.links, func(o *link) bool { return o == l })
	}
}

// move is something that the network can do next.
type move struct {
	name string
	do   func()
}

// moves lists what the network may do next, in a fixed order.
func (w *world) moves() []move {
	var all []move
	for _, r := range slices.SortedFunc(maps.Keys(w.mail), func(a, b route) int { return int((a.from-b.from)*100 + a.to - b.to) }) {
		if len(w.mail[r]) > 0 && !w.cuts[r] {
			all = append(all, move{fmt.Sprintf("mail %d-%d", r.from, r.to), func() { w.deliverMail(r) }})
		}
	}
	for _, l := range w.links {
		all = append(all, w.linkMoves(l)...)
	}
	return all
}

func (w *world) linkMoves(l *link) []move {
	var all []move
	add := func(what string, do func()) {
		all = append(all, move{fmt.Sprintf("%s %d-%d", what, l.learner, l.leader), do})
	}
	for _, sid := range l.downAt {
		add("lost", func() { w.noticeDown(l, sid) })
	}
	if len(l.downAt) == 0 && !l.up {
		add("dial", func() { w.connect(l) })
	}
	up := len(l.downAt) == 0 || slices.Contains(l.downAt, l.leader)
	if len(l.toLeader) > 0 && up && !w.cuts[route{l.learner, l.leader}] {
		add("up", func() { w.deliverUp(l) })
	}
	down := len(l.downAt) == 0 || slices.Contains(l.downAt, l.learner)
	if len(l.toLearner) > 0 && down && !w.cuts[route{l.leader, l.learner}] {
		if s := l.toLearner[0].snapshot; s == nil || s.ready {
			add("down", func() { w.deliverDown(l) })
		}
	}
	return all
}

func (w *world) deliverMail(r route) {
	p := w.mail[r][0]
	w.mail[r] = w.mail[r][1:]
	w.step(p)
}

func (w *world) step(p zab.Packet) {
	s := w.server(p.To)
	if s.peer == nil {
		return
	}
	w.trace("%s %d>%d %s", p.Kind, p.From, p.To, p.Zxid)
	err := s.peer.Step(s.heard(p))
	s.collect()
	if err == nil {
		return
	}
	w.trace("  refused: %v", err)
	if l := s.linkWith(p.From); errors.Is(err, zab.ErrCloseLink) && l != nil {
		w.hangUp(l, s.sid)
	}
}

// connect answers a dial: only a server that leads has its quorum port open.
func (w *world) connect(l *link) {
	learner, leader := w.server(l.learner), w.server(l.leader)
	if leader.peer == nil || leader.place.Role != zab.Leading || w.cuts[route{l.learner, l.leader}] || w.cuts[route{l.leader, l.learner}] {
		w.links = slices.DeleteFunc(w.links, func(o *link) bool { return o == l })
		learner.peer.LinkDown(l.leader)
	} else {
		l.up = true
		learner.peer.LinkUp(l.leader)
	}
	learner.collect()
}

func (w *world) deliverUp(l *link) {
	it := l.toLeader[0]
	l.toLeader = l.toLeader[1:]
	s := w.server(l.leader)
	if !l.known {
		if s.place.Role != zab.Leading {
			w.breakLink(l)
			return
		}
		if old := s.linkWith(l.learner); old != nil { // the new one replaces it
			w.breakLink(old)
			w.ended(old, l.leader)
		}
		l.known = true
	}
	if it.packet != nil {
		w.step(*it.packet)
	}
	if s.peer != nil {
		s.relayed(l.learner, it)
		s.collect()
	}
}

func (w *world) deliverDown(l *link) {
	w.catchUp(l)
	it := l.toLearner[0]
	l.toLearner = l.toLearner[1:]
	s := w.server(l.learner)
	if it.snapshot != nil && !s.receive(it.snapshot) {
		w.hangUp(l, s.sid)
		s.peer.LinkDown(l.leader)
		s.collect()
		return
	}
	if it.packet != nil {
		p := *it.packet
		if p.Kind == zab.Trunc {
			p.Unable = !s.pipe.CanTruncate(p.Zxid)
		}
		w.step(p)
	}
	if s.peer != nil {
		s.answered(it)
		s.collect()
	}
}

// noticeDown tells one end that the link is gone.
func (w *world) noticeDown(l *link, sid zab.Sid) {
	s, other := w.server(sid), l.leader
	if sid == l.leader {
		other = l.learner
	}
	current := s.linkWith(other) == l
	w.ended(l, sid)
	if current {
		w.trace("%d loses the link to %d", sid, other)
		s.peer.LinkDown(other)
		s.collect()
	}
}

// cut stops a direction. Election messages under way are lost, and a link lasts until
// somebody's patience ends.
func (w *world) cut(from, to zab.Sid) {
	w.cuts[route{from, to}] = true
	delete(w.mail, route{from, to})
}
