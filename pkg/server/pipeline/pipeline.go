// Package pipeline is a request's way through the server. A write goes
//
//	Conn -> prepare (on the leader) -> Order (propose, log, commit) -> apply -> Conn
//
// and a read is answered from the tree where the client is connected. What a
// client can rely on (ZooKeeper's consistency guarantees) is kept by three
// rules:
//
//   - Transactions are applied by one goroutine, in zxid order, under the write
//     lock of Pipeline.mu. What a transaction causes, watch events and the
//     reply to the writer, is queued to the connections before that lock is
//     released, and a read queues its reply before it releases the read lock.
//     So a client never sees a reply that reflects a change before the event
//     that tells of it.
//   - A connection's requests are answered in the order they came: once one has
//     to wait for its transaction, those behind it wait too.
//   - Nothing waits for the disk or the network under a lock.
//
// Goroutines: each connection's own (reads, and handing over writes), one that
// prepares writes while this server leads, one that applies, one that expires
// sessions while this server leads, and one for each snapshot being written.
// Lock order: Pipeline.mu, Pipeline.conns.mu, Conn.mu, term.mu, then what the
// watch tables, the session table, the inboxes, the order and a connection's
// output hold for themselves.
//
// Whatever is handed to the order or to the prepare goroutine is handed over
// under term.mu (term.do): once a term has ended nothing of it follows.
//
// Source: the chain of RequestProcessors in Apache ZooKeeper
// (PrepRequestProcessor.java, ProposalRequestProcessor.java,
// CommitProcessor.java, FinalRequestProcessor.java), arranged differently.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/audit"
	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/session"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/watch"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// Config is what a Pipeline needs to know. All fields are required unless
// they say otherwise.
type Config struct {
	// Self is this server's sid; 1 for a server that stands alone.
	Self zab.Sid
	// TickTime is the unit of session expiry.
	TickTime time.Duration
	// MinSessionTimeout and MaxSessionTimeout bound what clients may negotiate.
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// SnapCount is how many transactions are logged between two snapshots, at
	// most; half of it is the least. At least 2.
	SnapCount int
	// SnapSize is how many bytes are logged between two snapshots; 0 is no limit.
	SnapSize int64
	// Jitter returns a number in [0, n), n > 0; servers take their snapshots at different
	// times by it. Nil is by chance.
	Jitter func(n int64) int64
	// ExtendedTypes makes TTL znodes known (extendedTypesEnabled), and
	// Emulate353TTL those that 3.5.3 wrote (emulate353TTLNodes).
	ExtendedTypes, Emulate353TTL bool
	// LocalSessions makes sessions that only this server knows
	// (localSessionsEnabled; a server that stands alone has none). LocalUpgrade
	// makes one known to all when it creates an ephemeral znode
	// (localSessionsUpgradingEnabled).
	LocalSessions, LocalUpgrade bool
	// Digests puts the tree's digest into transactions (digest.enabled).
	Digests bool
	// EnforceQuota refuses writes that break a hard limit of a quota (enforceQuota).
	EnforceQuota bool
	// ConnThrottle limits how fast sessions are asked for; without tokens it does not.
	ConnThrottle ConnThrottle
	// RequestThrottle and LargeRequests are Apache's protections from too many and
	// too large requests, off unless they are set.
	RequestThrottle RequestThrottle
	LargeRequests   LargeRequests
	// RequestMemory is how many bytes requests of more than 4 KiB may hold, all
	// together, until they are answered; those that do not fit are not read yet.
	// Default 64 MiB.
	RequestMemory int64
	// Auth decides who may do what; nil is [auth.Default].
	Auth *auth.Policy
	// EagerACL checks ACLs here before a write goes to the leader, which checks
	// them again (enableEagerACLCheck).
	EagerACL bool
	// ContainerCheck is how often the leader looks for containers and TTL
	// znodes to remove (znode.container.checkIntervalMs); 0 is never.
	ContainerCheck time.Duration
	// ContainerMaxNeverUsed is how long a container may stay that never had a
	// child (znode.container.maxNeverUsedIntervalMs); 0 is for ever.
	ContainerMaxNeverUsed time.Duration
	// ContainersPerMinute bounds how many of these go in a minute
	// (znode.container.maxPerMinute); 0 is no bound.
	ContainersPerMinute int
	// NoClosePaths leaves the list of ephemerals out of closeSession
	// transactions (closeSessionTxn.enabled=false).
	NoClosePaths bool
	// Reconfigure makes the text of the membership that a reconfig request asks for,
	// from the text of the present one; version is that of the new one. Its errors
	// are a [proto.Code] or BADARGUMENTS. Nil: reconfigEnabled=false.
	Reconfigure func(present string, r proto.ReconfigRequest, version int64) (string, error)
	// Standalone says that there is no ensemble to reconfigure.
	Standalone bool
	// LeaderIdle keeps clients off this server while it leads (leaderServes=no).
	LeaderIdle bool
	// Audit takes what clients change (audit.enable), AuditUser is whom it names for
	// what the server does by itself; nil for nobody.
	Audit     *audit.Log
	AuditUser string
	// Metrics takes what is counted and measured; nil for nobody.
	Metrics *metrics.Metrics
	// Logger takes what an operator should know.
	Logger *slog.Logger
}

// A Pipeline serves clients from a replicated tree. It implements
// [quorum.Machine]; its other methods are safe for concurrent use.
type Pipeline struct {
	cfg   Config
	store *storage.Store
	log   *slog.Logger
	order quorum.Order
	ids   *session.IDs
	start time.Time

	mu         sync.RWMutex // the tree, and the order of replies and events
	tree       *tree.Tree
	fuzzy      bool // the tree may be ahead of its zxid; see checkDigest
	membership membership

	watches    *watch.Manager[*Conn]
	memory     memory
	multiReads chan struct{} // has room for those that may be answered at once
	bucket     *bucket       // nil when sessions may be asked for without limit
	throttle   *throttle     // nil when requests are let in at once
	conns      connTable
	stats      Stats
	m          *metrics.Metrics

	applying *inbox[applyItem]
	writes   *inbox[prepItem]

	term     atomic.Pointer[term] // the current term while serving, else nil
	floor    atomic.Int64         // the zxid at which the current epoch begins
	touched  session.Touches
	snapshot snapshotState
	wg       sync.WaitGroup
	failed   chan error // the first reason why the server cannot go on
}

// A tracker knows through which server each session is served.
type tracker = session.Tracker[zab.Sid]

type localTracker = session.Local[zab.Sid]

// A term is one time of serving clients. What belongs to it ends with it: a
// request, a sync or an expiry that comes late does not reach the next.
type term struct {
	quorum.Term
	sessions *tracker      // the leader's, else nil
	local    *localTracker // sessions that only this server knows; nil when there are none
	syncs    fifo          // a learner's clients' syncs on their way to the leader
	stop     chan struct{} // closed when it ends

	mu    sync.RWMutex // held for reading while something is handed to the order
	ended bool
}

func (t *term) leading() bool { return t.Role == zab.Leading }

// do calls f unless the term has ended; it does not end meanwhile.
func (t *term) do(f func()) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.ended {
		return errNotServing
	}
	f()
	return nil
}

func (t *term) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	close(t.stop)
}

// New returns a Pipeline over what was recovered from the store. Start must be
// called before it is used.
func New(cfg Config, store *storage.Store, recovered *storage.Recovered) *Pipeline {
	if cfg.Auth == nil {
		cfg.Auth = auth.Default()
	}
	p := &Pipeline{
		cfg: cfg, store: store, log: cfg.Logger, start: time.Now(), m: metrics.Or(cfg.Metrics),
		ids:      session.NewIDs(int64(cfg.Self), time.Now().UnixMilli()),
		tree:     recovered.Tree,
		watches:  watch.New[*Conn](),
		applying: newInbox[applyItem](),
		writes:   newInbox[prepItem](),
		failed:   make(chan error, 1),

		multiReads: make(chan struct{}, max(4, runtime.GOMAXPROCS(0))),
	}
	p.memory.limit, p.memory.large, p.memory.evict = cfg.RequestMemory, cfg.LargeRequests, p.evictArrivals
	if p.memory.limit <= 0 {
		p.memory.limit = defaultRequestMemory
	}
	p.bucket = newBucket(cfg.ConnThrottle, p.monotonic)
	p.throttle = newThrottle(cfg.RequestThrottle, p)
	p.conns.init()
	p.stats.Guards = &p.m.Guards
	p.stats.Responses.reset()
	p.snapshot.plan(cfg)
	return p
}

// Start begins to apply and to prepare; order is where writes go.
func (p *Pipeline) Start(order quorum.Order) {
	p.order = order
	p.wg.Go(p.applyLoop)
	p.wg.Go(p.prepareLoop)
	if p.throttle != nil {
		p.wg.Go(p.throttle.run)
	}
}

// Stop ends every connection and goroutine. What has been committed is
// applied first.
func (p *Pipeline) Stop() {
	p.endTerm()
	if p.throttle != nil {
		p.throttle.close()
	}
	p.writes.close()
	p.applying.close()
	p.wg.Wait()
}

// Failed yields the error after which the server must not go on, if there
// ever is one.
func (p *Pipeline) Failed() <-chan error { return p.failed }

func (p *Pipeline) fail(err error) {
	p.m.Unrecoverable.Inc()
	p.log.Error("the server cannot go on", "err", err)
	select {
	case p.failed <- err:
	default:
	}
}

// Stats counts what was done.
func (p *Pipeline) Stats() *Stats { return &p.stats }

// Serving tells whether clients are served, if only those that read.
func (p *Pipeline) Serving() bool { return p.term.Load() != nil }

// ReadOnly tells whether only clients that only read are served.
func (p *Pipeline) ReadOnly() bool {
	cur := p.term.Load()
	return cur != nil && cur.ReadOnly
}

// Term implements [quorum.Machine].
func (p *Pipeline) Term(t quorum.Term) {
	if !t.Serving && !t.ReadOnly {
		p.endTerm()
		return
	}
	if cur := p.term.Load(); cur != nil && cur.Term == t {
		return
	}
	p.endTerm()
	p.beginTerm(t)
}

// beginTerm opens the server to clients. Everything committed before has been
// applied (endTerm waits for that). When it returns the server is ready for
// what learners ask of a leader: their first request may be next in the loop.
func (p *Pipeline) beginTerm(t quorum.Term) {
	cur := &term{Term: t, stop: make(chan struct{})}
	p.touched.Drain(nil)
	if !t.ReadOnly { // else nobody has said what the epoch's history is
		p.setFuzzy(false)
		p.floor.Store(int64(zab.MakeZxid(t.Epoch, 0)))
	}
	if p.cfg.LocalSessions {
		cur.local = session.NewLocal[zab.Sid](p.cfg.TickTime.Milliseconds())
		p.wg.Go(func() { p.expireLocalLoop(cur) })
	}
	if cur.leading() {
		cur.sessions = p.newTracker()
		p.writes.put(prepItem{begin: p.newPreparer(cur)})
		p.closeOrphans()
		p.wg.Go(func() { p.expireLoop(cur) })
		p.wg.Go(func() { p.containerLoop(cur) })
	}
	p.term.Store(cur)
	if t.ReadOnly {
		p.log.Info("serving clients that only read")
		return
	}
	p.log.Info("serving clients", "role", t.Role.String(), "epoch", t.Epoch, "leader", int64(t.Leader))
}

// closeOrphans ends sessions that own ephemerals and are not in the session
// table, as a directory of an older server may hold. Apache deletes their
// znodes on the leader alone (ZooKeeperServer.loadData); a transaction does it
// on every server.
func (p *Pipeline) closeOrphans() {
	p.mu.RLock()
	orphans := p.tree.OrphanSessions()
	p.mu.RUnlock()
	for _, id := range orphans {
		p.log.Warn("closing a session that has ephemerals and is not in the session table", "session", sessionText(id))
		p.closeSession(id)
	}
}

// endTerm ends the present term, if there is one, when all that was committed
// in it has been applied.
func (p *Pipeline) endTerm() {
	p.drain()
	cur := p.term.Swap(nil)
	if cur == nil {
		return
	}
	cur.end()
	p.writes.clear()
	p.writes.put(prepItem{end: true})
	p.conns.closeAll()
	p.conns.forget()
}

// drain waits until everything that was given to Commit has been applied.
func (p *Pipeline) drain() {
	done := make(chan struct{})
	if p.applying.put(applyItem{run: func() { close(done) }}) {
		<-done
	}
}

// newTracker starts every session's timer anew, as a new leader does.
func (p *Pipeline) newTracker() *tracker {
	sessions := session.NewTracker[zab.Sid](p.cfg.TickTime.Milliseconds())
	now := p.monotonic()
	p.mu.RLock()
	defer p.mu.RUnlock()
	for id, timeout := range p.tree.Sessions {
		sessions.Add(id, timeout, now)
	}
	return sessions
}

// monotonic is ms on a clock that does not go back.
func (p *Pipeline) monotonic() int64 { return time.Since(p.start).Milliseconds() }

// Commit implements [quorum.Machine].
func (p *Pipeline) Commit(ps []zab.Proposal) { p.applying.put(applyItem{proposals: ps}) }

// LastZxid is how far this server is: the zxid of the last transaction
// applied, or where the epoch begins when there was none in it yet. A client
// that comes from a leader of Apache's has seen the latter (Leader.java,
// startZkServer) and is not ahead of us. Our own replies tell only
// transactions, so that no follower of Apache's finds our clients ahead of it.
func (p *Pipeline) LastZxid() int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return max(p.tree.LastZxid(), p.floor.Load())
}

// Alive returns when the goroutine that applies has answered, and with an
// error when it has not until ctx ends.
func (p *Pipeline) Alive(ctx context.Context) error {
	done := make(chan struct{})
	if !p.applying.put(applyItem{run: func() {
		p.mu.Lock() // who holds it for ever is found as well
		defer p.mu.Unlock()
		close(done)
	}}) {
		return errStopped
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("transactions are not applied: %w", ctx.Err())
	}
}

// View calls f with the tree, which must not be used afterwards. Nothing is
// applied meanwhile, so f is quick.
func (p *Pipeline) View(f func(*tree.Tree)) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	f(p.tree)
}

// A snapshotState decides when the next snapshot is due. Servers of an
// ensemble take theirs at different times, by chance (SyncRequestProcessor.java).
type snapshotState struct {
	logged  atomic.Int64 // transactions since the last one
	bytes   atomic.Int64
	limit   atomic.Int64
	maxSize atomic.Int64
	running atomic.Bool
	roll    atomic.Bool // the log is to go on in a new file
}

func (s *snapshotState) plan(cfg Config) {
	s.logged.Store(0)
	s.bytes.Store(0)
	jitter := cfg.Jitter
	if jitter == nil {
		jitter = rand.Int64N
	}
	half := int64(max(cfg.SnapCount, 2) / 2)
	s.limit.Store(half + jitter(max(half, 1)))
	if half := cfg.SnapSize / 2; half > 0 {
		s.maxSize.Store(half + jitter(half))
	}
}

func (s *snapshotState) due() bool {
	size := s.maxSize.Load()
	return s.logged.Load() > s.limit.Load() || size > 0 && s.bytes.Load() > size
}

// countForSnapshot counts what was applied, and starts a snapshot when one is due. It
// runs in the apply goroutine under the lock; taking the snapshot is quick,
// writing it happens aside.
func (p *Pipeline) countForSnapshot(n, bytes int) {
	s := &p.snapshot
	s.logged.Add(int64(n))
	s.bytes.Add(int64(bytes))
	if !s.due() || !s.running.CompareAndSwap(false, true) {
		return
	}
	s.plan(p.cfg)
	s.roll.Store(true)
	snap := p.tree.Snapshot()
	p.wg.Go(func() {
		defer s.running.Store(false)
		p.writeSnapshot(snap)
	})
}

func (p *Pipeline) writeSnapshot(snap *tree.Snapshot) {
	var digest *uint64
	if p.cfg.Digests {
		d := snap.Digest()
		digest = &d
	}
	info, err := p.store.WriteSnapshot(snap, digest)
	if err != nil {
		p.m.SnapshotErrors.Inc()
		what := "snapshot not written; the log is kept and another try follows"
		if errors.Is(err, storage.ErrFailed) {
			what = "snapshot not written; the disk is not trusted any more, and the server stops with the next write"
		}
		p.log.Error(what, "err", err)
		return
	}
	p.m.SnapshotTime.Observe(info.Took.Milliseconds())
	p.log.Info("snapshot written", "file", info.Path, "took", info.Took)
}

// RollWanted tells, once after each snapshot was begun, that the log should go
// on in a new file.
func (p *Pipeline) RollWanted() bool { return p.snapshot.roll.CompareAndSwap(true, false) }

// errStopped is why a connection ends with its server.
var errStopped = errors.New("the server left its role")
