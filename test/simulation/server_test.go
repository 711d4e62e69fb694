package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/zkctl/zkctl/pkg/server/pipeline"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// server is one of the ensemble: what package quorum drives, and what the driver
// knows of it besides.
type server struct {
	*world
	sid   zab.Sid
	rnd   *rand.Rand // of its goroutines
	fd    *faultdisk.Disk
	store *storage.Store
	pipe  *pipeline.Pipeline
	peer  *zab.Peer // nil: down
	why   string    // it does not start any more: corruption that it found

	jobs     []job
	place    zab.RoleChange
	rebasing uint64
	held     []func()
	received *received
	syncs    []pendingSync
	applied  zab.Zxid

	mu    sync.Mutex
	inbox []func() // from the pipeline

	log      []zab.Proposal   // as the peer sees it
	written  []zab.Proposal   // as the disk has been told
	synced   []zab.Proposal   // as the disk has confirmed
	before   zab.Zxid         // the last of synced before the newest batch
	instead  [][]zab.Proposal // what an interrupted truncation or install may have made of it
	epochs   zab.Epochs       // as the disk has confirmed them
	damage   damage           // to files at rest
	mute     bool             // it has no vote: its history was set aside
	slowness slowness

	committedLog []zab.Proposal // as it was applied when the server ended

	reconfig *quorum.Reconfig // nil when members cannot change
	version  zab.Zxid         // of the membership in force here
	down     chan struct{}    // closed when the server ends
	absent   bool             // it ran when it was no member
	again    bool             // it was installed anew
	sent     zab.Packet       // the last one
}

// job is what one Ready asks of the disk.
type job struct {
	zab.Ready
	received *received
}

// received is a snapshot that came from the leader.
type received struct {
	staged  quorum.Staged
	history []zab.Proposal
}

type pendingSync struct {
	after zab.Zxid
	from  zab.Sid
	done  func()
}

const dataDir = "/data"

// start boots the server from its disk.
func (s *server) start() {
	if s.peer != nil || s.why != "" {
		s.rejoin()
		return
	}
	r, err := s.recover()
	if err != nil {
		s.refused(err)
		return
	}
	c := s.config
	c.Self, c.LastZxid, c.Jitter = s.sid, zab.Zxid(r.LastZxid), s.rnd.Intn
	c.Epochs = zab.Epochs(r.Epochs)
	if !r.HasEpochs {
		c.Epochs = zab.Epochs{Accepted: c.LastZxid.Epoch(), Current: c.LastZxid.Epoch()}
	}
	s.mute, c.Rejoin = r.Rejoin, r.Rejoin
	s.remember(c.LastZxid, c.Epochs)
	list, err := s.adoptList(&c, r)
	if err != nil {
		s.refused(err)
		return
	}
	s.sawStart(r.Fresh)
	for _, rec := range r.Window {
		c.Window = append(c.Window, zab.Proposal{Zxid: zab.Zxid(rec.Zxid), Data: rec.Data})
	}
	peer, err := zab.New(c)
	if err != nil {
		s.refused(err)
		return
	}
	s.pipe = pipeline.New(pipeline.Config{
		Self: s.sid, TickTime: 4 * tick, MinSessionTimeout: 20 * tick, MaxSessionTimeout: 200 * tick,
		SnapCount: 16, Jitter: s.rnd.Int63n, Digests: true, Logger: slog.New(slog.DiscardHandler),
		Reconfigure: s.reconfigure(), Auth: s.auth,
	}, s.store, r)
	s.peer, s.place, s.down = peer, zab.RoleChange{}, make(chan struct{})
	s.pipe.SetMembership(list.Text(), list.Version)
	s.pipe.Start(s)
	s.trace("%d starts at %s, epochs %v", s.sid, c.LastZxid, c.Epochs)
	s.collect()
}

func (s *server) recover() (*storage.Recovered, error) {
	var err error
	s.store, err = storage.Open(storage.Options{
		DataDir: dataDir, PreAllocKB: 4, ForceSync: true, WindowCount: s.config.WindowCount, FS: s.fd,
	})
	if err != nil {
		return nil, err
	}
	r, err := s.store.Recover(context.Background())
	if err == nil {
		err = r.EpochsErr
	}
	return r, err
}

// refused judges why a server does not start.
func (s *server) refused(err error) {
	s.trace("%d does not start: %v", s.sid, err)
	s.sawDisk(err)
	if isDiskFault(err) {
		s.crash(s.keep())
		return
	}
	s.why = err.Error()
	s.demand(s.wayOut(err))
}

// remember finds what the disk held among what it may hold.
func (s *server) remember(last zab.Zxid, epochs zab.Epochs) {
	found := s.instead
	for _, h := range append(found, s.written, s.committedLog) { // a snapshot may be ahead of the log: of what is committed
		if h = upTo(h, last); lastOf(h) == last {
			s.log = h
			break
		}
	}
	r := recovery{last: last, synced: lastOf(s.synced), epochs: epochs, kept: s.epochs, known: lastOf(s.log) == last, changing: len(s.instead) > 0}
	if s.mute { // it counts for nothing, so it may lack anything
		r.changing, r.kept.Current = true, 0
		if s.damaged("acceptedEpoch") {
			r.kept.Accepted = 0
		}
	}
	if s.damaged(storage.ReachedName) && len(s.damage.done) > 1 {
		s.trace("%d starts; what could tell of missing files was damaged, too", s.sid)
		s.undecided = true
	} else if err := r.check(s.sid); err != nil && s.untold(r) {
		s.trace("%v; nothing told of it", err)
		s.undecided = true
	} else if err != nil && s.tampered() {
		s.fault("%v (%s)", err, strings.Join(s.damage.done, ", "))
	} else {
		s.demand(err)
	}
	s.epochs = epochs
	s.log = slices.Clone(s.log)
	s.written, s.synced, s.before, s.instead = s.log, s.log, min(s.before, last), nil
	s.applied = 0
}

// crash ends the server at once. Of what is not durable, keep decides.
func (s *server) crash(keep faultdisk.Keep) {
	if s.pipe != nil {
		s.fd.StopAfter(0)
		s.sawCrash()
		s.stopPipe()
	}
	s.fd = s.fd.Crash(keep)
	s.ended()
}

// exit ends the process; the machine goes on.
func (s *server) exit(err error) {
	s.trace("%d stops: %v", s.sid, err)
	s.sawDisk(err)
	if errors.Is(err, faultdisk.ErrStopped) {
		s.crash(s.keep())
		return
	}
	s.sawCrash()
	s.stopPipe()
	s.fd.Restart()
	s.fd.Fail("", "", nil)
	s.fd.Limit(0)
	s.fd.Short(0, nil)
	if s.world.rnd.Intn(2) == 0 {
		s.fd.Evict(s.keep())
	}
	s.ended()
	if !isDiskFault(err) {
		s.why = err.Error()
		s.demand(s.wayOut(err))
	}
}

// keep is how a crash of this seed treats what was not synced.
func (s *server) keep() faultdisk.Keep {
	switch s.world.rnd.Intn(3) {
	case 0:
		return faultdisk.Nothing
	case 1:
		return faultdisk.All
	}
	return func() bool { return s.world.rnd.Intn(2) == 0 }
}

func (s *server) ended() {
	s.committedLog = upTo(s.log, s.applied)
	s.pipe, s.store, s.peer, s.jobs, s.held, s.rebasing, s.received, s.syncs = nil, nil, nil, nil, nil, 0, nil, nil
	s.inbox, s.place, s.slowness.writing = nil, zab.RoleChange{}, nil
	for _, l := range slices.Clone(s.links) {
		if l.learner == s.sid || l.leader == s.sid {
			s.breakLink(l)
		}
	}
	for r := range s.mail {
		if r.to == s.sid {
			delete(s.mail, r)
		}
	}
}

// collect does what the peer and the pipeline ask for until they ask for nothing.
func (s *server) collect() {
	for s.peer != nil {
		if s.peer.HasReady() {
			s.execute(s.peer.Ready())
			continue
		}
		s.answerCommitted()
		synctest.Wait()
		events := s.take()
		if len(events) == 0 && !s.peer.HasReady() {
			break
		}
		for _, event := range events {
			event()
		}
	}
	s.judge()
}

func (s *server) take() []func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.inbox
	s.inbox = nil
	return events
}

func (s *server) put(event func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inbox = append(s.inbox, event)
}

// execute does what package quorum's does, in its order.
func (s *server) execute(r zab.Ready) {
	if r.Role != nil && !r.Role.Serving {
		s.enter(*r.Role)
	}
	s.takeMembers(r)
	s.toDisk(r)
	s.commit(r.Commit)
	for _, out := range r.Send {
		switch out.Kind {
		case zab.Commit, zab.Inform, zab.CommitAndActivate, zab.InformAndActivate:
			s.answerSyncs(out.To, out.Zxid)
		}
		s.dispatch(out)
	}
	for _, sid := range r.Hangup {
		if l := s.linkWith(sid); l != nil {
			s.hangUp(l, s.sid)
		}
	}
	if r.Dial != nil {
		s.links = append(s.links, &link{learner: s.sid, leader: *r.Dial})
	}
	if r.Role != nil && r.Role.Serving {
		s.enter(*r.Role)
		s.serve()
	}
}

func (s *server) enter(place zab.RoleChange) {
	s.place = place
	term := quorum.Term{RoleChange: place}
	if place.Role == zab.Leading && place.Serving {
		term.Next = s.peer.NextZxid()
	}
	s.trace("%d: %s %s, leader %d, epoch %d, serving %t", s.sid, place.Role, place.Phase, place.Leader, place.Epoch, place.Serving)
	s.whenBased(func() { s.pipe.Term(term) })
}

func (s *server) whenBased(do func()) {
	if s.rebasing == 0 {
		do()
		return
	}
	s.held = append(s.held, do)
}

// toDisk queues a Ready's work for the disk, and follows what it does to the log.
func (s *server) toDisk(r zab.Ready) {
	if !r.NeedsDisk() {
		return
	}
	j := job{Ready: r}
	if r.Truncate != nil {
		s.log = upTo(s.log, *r.Truncate)
		s.applied = *r.Truncate
	}
	if r.Install != nil {
		if j.received, s.received = s.received, nil; j.received == nil {
			s.fault("%d is to install a snapshot that did not come", s.sid)
			return
		}
		s.log = slices.Clone(j.received.history)
		s.applied = *r.Install
	}
	if r.Truncate != nil || r.Install != nil {
		s.rebasing = r.Mark
	}
	s.log = append(slices.Clip(s.log), r.Append...)
	s.jobs = append(s.jobs, j)
}

// work does the first count jobs with one sync, as quorum's disk does.
func (s *server) work(count int) {
	done := s.slowness.writing
	if count = min(count, len(s.jobs)); s.peer == nil || count == 0 && done == nil || s.waits() {
		return
	}
	if done == nil {
		done = s.jobs[:count]
		s.jobs = s.jobs[count:]
		for _, j := range done {
			if err := s.one(j); err != nil {
				s.exit(err)
				return
			}
		}
		if s.slowness.writing = done; s.waits() {
			return
		}
	}
	s.slowness.writing = nil
	if err := s.sync(); err != nil {
		s.exit(err)
		return
	}
	mark := done[len(done)-1].Mark
	s.trace("%d durable up to %s", s.sid, lastOf(s.synced))
	if s.rebasing <= mark {
		s.rebasing = 0
		held := s.held
		s.held = nil
		for _, do := range held {
			do()
		}
	}
	s.peer.Durable(mark)
	s.collect()
}

func (s *server) one(j job) error {
	s.sawIf(j.Truncate != nil, "disk: log truncated")
	s.sawIf(j.Install != nil, "disk: snapshot installed")
	if j.Truncate != nil {
		if err := s.rebase(upTo(s.written, *j.Truncate), func() error { return s.pipe.Truncate(*j.Truncate) }); err != nil {
			return err
		}
	}
	if j.Install != nil {
		if err := s.rebase(j.received.history, func() error { return s.pipe.Install(j.received.staged, *j.Install) }); err != nil {
			return err
		}
	}
	if len(j.Append) > 0 {
		if err := s.append(j.Append); err != nil {
			return err
		}
	}
	if err := s.keepMembers(j.Ready); err != nil {
		return err
	}
	if j.Epochs == nil {
		return nil
	}
	if err := s.sync(); err != nil {
		return err
	}
	if err := s.store.WriteEpochs(storage.Epochs(*j.Epochs)); err != nil {
		return err
	}
	if s.epochs = *j.Epochs; s.epochs.Current > 0 {
		s.copied()
	}
	return nil
}

func (s *server) rebase(after []zab.Proposal, do func() error) error {
	if err := s.sync(); err != nil {
		return err
	}
	s.instead = append(s.instead, after)
	if err := do(); err != nil {
		return err
	}
	s.written, s.synced, s.instead = after, after, nil
	return nil
}

func (s *server) append(ps []zab.Proposal) error {
	if s.pipe.RollWanted() {
		if err := s.store.Roll(); err != nil {
			return err
		}
	}
	var records []storage.Record
	for _, p := range ps {
		records = append(records, storage.Record{Zxid: int64(p.Zxid), Data: p.Data})
	}
	s.written = append(slices.Clip(s.written), ps...)
	return s.store.Append(records)
}

func (s *server) sync() error {
	if err := s.store.Sync(); err != nil {
		return err
	}
	if lastOf(s.synced) != lastOf(s.written) {
		s.before = lastOf(s.synced)
	}
	s.synced = s.written
	return nil
}

// commit gives the pipeline what is committed, and a client's sync between.
func (s *server) commit(ps []zab.Proposal) {
	for _, p := range ps {
		s.answerSyncs(s.sid, p.Zxid)
		s.whenBased(func() { s.pipe.Commit([]zab.Proposal{p}) })
		s.applied = p.Zxid
		s.demand(s.mayCommit(p))
		s.demand(s.history.commit(s.sid, p, s.log, s.place))
	}
}

// dispatch sends a packet of zab's.
func (s *server) dispatch(out zab.Packet) {
	if out.Kind == zab.Notification {
		s.send(out)
		return
	}
	s.sawSend(out)
	it := item{packet: &out}
	if out.Kind == zab.Ping && s.place.Role != zab.Leading {
		it.touches = s.pipe.Touched()
	}
	if out.Kind == zab.Snap {
		it.snapshot = &snapshot{history: upTo(s.log, out.Zxid)}
		s.whenBased(func() { s.fill(it.snapshot) })
	}
	s.queue(out.To, it)
}

func (s *server) fill(to *snapshot) {
	var b bytes.Buffer
	snap, err := s.pipe.Snapshot()
	if err == nil {
		_, err = snap.WriteTo(&b)
	}
	if err != nil || zab.Zxid(snap.Zxid()) != lastOf(to.history) {
		s.fault("%d makes a snapshot of %#x for %s: %v", s.sid, snap.Zxid(), lastOf(to.history), err)
	}
	to.bytes, to.ready = b.Bytes(), true
}

// receive takes a snapshot in.
func (s *server) receive(from *snapshot) bool {
	staged, err := s.pipe.Receive(bytes.NewReader(from.bytes))
	if err != nil {
		s.fault("%d cannot read the leader's snapshot: %v", s.sid, err)
		return false
	}
	s.received = &received{staged, from.history}
	return true
}

// judge checks what holds at any time.
func (s *server) judge() {
	if s.peer == nil {
		return
	}
	select {
	case err := <-s.pipe.Failed():
		s.fault("%d cannot go on: %v", s.sid, err)
	default:
	}
	if n := s.pipe.Metrics().DigestMismatches.Load(); n > 0 {
		s.fault("%d has %d digests that differ", s.sid, n)
	}
	s.pipe.View(func(t *tree.Tree) { s.demand(s.history.tree(s.sid, zab.Zxid(t.LastZxid()), t.Digest())) })
	s.demand(s.history.changed(s.holds))
	s.demand(s.history.durable(s.inForce().HasQuorum, s.holds))
}

// serve checks what makes it right to serve clients.
func (s *server) serve() {
	mine := upTo(s.log, max(s.peer.Status().LastCommitted, s.applied))
	if s.place.Role == zab.Leading {
		before := s.inForce()
		s.demand(s.history.lead(s.place.Epoch, s.sid, mine))
		s.sawLeader(before)
		s.demand(s.history.entitled(s.sid))
	} else {
		s.demand(s.history.follow(s.sid, mine))
	}
}

// demand makes a broken promise a fault.
func (w *world) demand(err error) {
	if err != nil {
		w.fault("%v", err)
	}
}

func (s *server) String() string {
	if s.peer == nil {
		return fmt.Sprintf("%d: down %s", s.sid, s.why)
	}
	st := s.peer.Status()
	return fmt.Sprintf("%d: %s %s serving %t, leader %d, epochs %v, logged %s committed %s, disk %s, %d jobs; %s; vote %+v", s.sid, st.Role, st.Phase, st.Serving,
		st.Leader, st.Epochs, st.LastLogged, st.LastCommitted, lastOf(s.synced), len(s.jobs), st.Members, st.Vote)
}

// timeout bounds a client's patience.
const timeout = 60 * time.Second
