package quorum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// Peer is this server in an ensemble. Create it with [NewPeer] and run it once.
type Peer struct {
	cfg     Config
	log     *slog.Logger
	machine Machine
	inbox   *inbox
	disk    *disk
	started atomic.Bool
	status  atomic.Pointer[Status]
	version atomic.Int64 // of the membership in force

	directory  *directory
	complaints complaints

	// Set by Run before any other goroutine starts.
	ctx      context.Context // ends with Run
	running  sync.WaitGroup  // all goroutines but those of election
	election *election

	// Used by the loop only.
	zab      *zab.Peer
	place    zab.RoleChange    // as the machine was last told
	readOnly bool              // it was told to serve reads meanwhile
	links    map[zab.Sid]*link // the registered ones
	dialling *dialAttempt      // nil when none is under way
	acceptor *acceptor         // nil unless we lead
	staged   Staged            // received with the SNAP being stepped
	rebasing uint64            // mark of the last job that changes the log's base; 0 when done
	held     []func()          // what the machine is told once that is done
	members  Membership        // in force
	next     []Member          // proposed, else nil
	applied  zab.Zxid          // last proposal given to Machine.Commit while leading
	syncs    []pendingSync     // leader: not answered yet, in order
	vain     int               // attempts to join a leader that failed in a row
	failure  error             // why the loop has to end
	history  History           // nil: learners before the window get snapshots
	counts   counters
}

// counters are what Status tells beyond zab's own state.
type counters struct {
	lookingSince  time.Time
	electionTime  time.Duration
	proposalSizes sizes
	measures
}

// NewPeer prepares a peer. It fails, naming every fault, when the configuration is
// wrong or contradicts what the disk holds (zab.ErrEpochs).
func NewPeer(cfg Config, log Log, machine Machine) (*Peer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("quorum: server %d: %w", cfg.Self, err)
	}
	z, err := zab.New(cfg.zab())
	if err != nil {
		return nil, fmt.Errorf("quorum: %w", err)
	}
	p := &Peer{
		cfg: cfg, log: cfg.Logger.With("sid", cfg.Self), machine: machine, inbox: newInbox(),
		zab: z, links: map[zab.Sid]*link{}, members: cfg.membership(), history: cfg.History,
	}
	p.version.Store(int64(p.members.Version))
	if cfg.Reconfig != nil && cfg.Reconfig.Next != nil {
		p.next = cfg.Reconfig.Next.Members
	}
	p.directory = newDirectory(cfg.Self, p.next, cfg.Members)
	p.disk = newDisk(log, machine, cfg.Metrics, p.onDurable, p.onDiskFailure)
	p.publish()
	return p, nil
}

// Run takes part in the ensemble until ctx ends or something fails that it cannot
// go on with: the election port cannot be opened, or the disk fails. The machine
// has been told the end of its term, and all sockets are closed, when Run returns.
// It may be called once.
func (p *Peer) Run(ctx context.Context) error {
	if p.started.Swap(true) {
		return errors.New("quorum: Run was called before")
	}
	var stop context.CancelFunc
	p.ctx, stop = context.WithCancel(ctx)
	defer stop()
	var err error
	p.election, err = openElection(p.ctx, p.cfg, p.directory, p.inForce, p.onNotification)
	if err != nil {
		p.inbox.close()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("quorum: server %d: %w", p.cfg.Self, err)
	}
	p.running.Go(p.disk.run)
	p.counts.lookingSince = time.Now()
	p.counts.idleSince = p.counts.lookingSince
	p.loop()
	p.end(stop)
	if p.failure != nil {
		return fmt.Errorf("quorum: server %d stopped: %w", p.cfg.Self, p.failure)
	}
	return nil
}

// loop owns all state until Run's context ends or a failure is noted.
func (p *Peer) loop() {
	clock := time.NewTicker(p.cfg.Tick)
	defer clock.Stop()
	for p.settle(); p.failure == nil; p.settle() {
		select {
		case <-p.ctx.Done():
			return
		case <-clock.C:
			p.zab.Tick()
			p.offerReads(time.Now())
			p.publish()
		case <-p.inbox.wake:
			for _, event := range p.inbox.take() {
				event()
			}
		}
	}
}

// settle does what zab asks for until it asks for nothing more.
func (p *Peer) settle() {
	for p.failure == nil && p.zab.HasReady() {
		p.execute(p.zab.Ready())
	}
	p.answerCommitted()
}

// end closes everything and waits for the goroutines.
func (p *Peer) end(stop context.CancelFunc) {
	stop()
	p.disk.close()
	p.closeLinks()
	p.inbox.close() // a connection in an event that came too late is closed by its context
	p.election.close()
	p.running.Wait()
	over := zab.RoleChange{Role: zab.Looking, Phase: zab.Election, Leader: zab.None}
	p.machine.Term(Term{RoleChange: over})
	last := Status{Status: zab.Status{RoleChange: over}, Self: p.cfg.Self, QuorumSize: p.Status().QuorumSize}
	p.status.Store(&last)
}

// fail notes why the loop has to end; the first reason counts.
func (p *Peer) fail(err error) {
	if p.failure == nil {
		p.failure = err
	}
}

// onNotification hands a notification to the loop; readers of the election port call it.
func (p *Peer) onNotification(n zab.Packet) bool {
	return p.inbox.putWhenRoom(func() {
		if err := p.zab.Step(n); err != nil {
			p.log.Debug("notification refused", "err", err)
		}
	})
}

// onDurable is the disk's report.
func (p *Peer) onDurable(mark uint64) {
	p.inbox.put(func() {
		if p.rebasing <= mark {
			p.rebasing = 0
			p.release()
		}
		p.zab.Durable(mark)
	})
}

func (p *Peer) onDiskFailure(err error) {
	p.inbox.put(func() { p.fail(err) })
}

// whenBased tells the machine something once the log's base is no longer being
// changed: at once, as a rule.
func (p *Peer) whenBased(do func()) {
	if p.rebasing == 0 {
		do()
		return
	}
	p.held = append(p.held, do)
}

func (p *Peer) release() {
	held := p.held
	p.held = nil
	for _, do := range held {
		do()
	}
}
