package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/admin"
	"github.com/zkctl/zkctl/pkg/server/audit"
	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/front"
	"github.com/zkctl/zkctl/pkg/server/membership"
	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/pipeline"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tlsconf"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// standaloneSid is the server id of a server without an ensemble, as in
// Apache; it shows in the first byte of session ids.
const standaloneSid zab.Sid = 1

// maxExtendedSid is the greatest server id with extendedTypesEnabled
// (EphemeralType.java, validateServerId).
const maxExtendedSid zab.Sid = 0xfe

// Options is what a Server needs beside its zoo.cfg.
type Options struct {
	// Version is what srvr and mntr tell, such as
	// "3.9.3-zkctl-1.0.0, built on 2026-01-01 00:00 UTC".
	Version string
	// Logger takes what an operator should know.
	Logger *slog.Logger
	// Ready is called once, when the ports are open and the database is loaded;
	// nil for nothing. An ensemble may not have a leader yet.
	Ready func()
}

// A Server is one ZooKeeper server, alone or in an ensemble.
type Server struct {
	cfg   *config.Config
	opts  Options
	log   *slog.Logger
	start time.Time

	membership atomic.Pointer[config.Membership] // in force; nil: that of cfg

	auth      *auth.Policy
	store     *storage.Store
	pipeline  *pipeline.Pipeline
	order     consensus
	peer      *quorum.Peer    // the order of an ensemble; nil when standalone
	keys      *tlsconf.Keys   // of the client ports; nil without TLS
	fronts    []*front.Server // one for each client port
	words     words
	httpPorts []*admin.Server // AdminServer and metrics
	adminKeys *tlsconf.Keys   // of the AdminServer; nil without TLS
	metrics   *metrics.Metrics

	quorumSASL *quorum.SASL  // nil without SASL between servers
	quorumKeys *tlsconf.Keys // of the ports between servers; nil without TLS

	audit     *audit.Log // nil without audit.enable
	auditUser string
	started   bool // of Run's goroutine
}

// consensus puts writes in order: the ensemble, or this server alone.
type consensus interface {
	quorum.Order
	Run(context.Context) error
	Alive(context.Context) error
}

// New returns a Server for a configuration that was loaded without faults and
// whose myid has been read.
func New(cfg *config.Config, opts Options) *Server {
	return &Server{cfg: cfg, opts: opts, log: opts.Logger, start: time.Now(), metrics: metrics.New()}
}

// Run serves until ctx ends, and returns nil then, or until the server cannot
// go on. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.cfg.ExtendedTypesEnabled && s.self() > maxExtendedSid {
		return fmt.Errorf("myid %d: with extendedTypesEnabled it is at most %d, as sessions of greater ones look like TTL znodes", s.self(), maxExtendedSid)
	}
	var err error
	if s.auth, err = s.newPolicy(); err != nil {
		return err
	}
	if err := s.loadKeys(); err != nil {
		return err
	}
	if err := s.loadQuorumSecurity(); err != nil {
		return err
	}
	store, err := storage.Open(s.storageOptions())
	if err != nil {
		return err
	}
	s.store = store
	err = s.runAudited(ctx)
	cerr := store.Close()
	if err != nil && errors.Is(cerr, storage.ErrFailed) {
		cerr = nil // err says already what failed
	}
	return errors.Join(err, cerr)
}

// runAudited is run with an audit log, if there is to be one.
func (s *Server) runAudited(ctx context.Context) error {
	end, err := s.openAudit()
	if err != nil {
		return err
	}
	defer func() { end(s.started) }()
	return s.run(ctx)
}

func (s *Server) storageOptions() storage.Options {
	c := s.cfg
	return storage.Options{
		DataDir: c.DataDir, LogDir: c.DataLogDir,
		NoAutoCreate: !c.DBAutocreate, NoMakeDirs: !c.DatadirAutocreate,
		PreAllocKB: c.PreAllocSize, ForceSync: c.ForceSync, FsyncWarn: c.FsyncWarningThreshold,
		TrustEmpty: c.SnapshotTrustEmpty, MaxRecord: 2 * c.JuteMaxBuffer, WindowCount: c.CommitLogCount, WindowBytes: int64(windowBytes(c)),
		Compression: storage.Compression(c.SnapshotCompression),
		Tree:        tree.Options{ExtendedTypes: c.ExtendedTypesEnabled, Emulate353TTL: c.Emulate353TTLNodes},
		Logger:      s.log, Metrics: s.metrics,
	}
}

func (s *Server) run(ctx context.Context) error {
	recovered, err := s.store.Recover(ctx)
	if err != nil {
		return err
	}
	for _, w := range recovered.Warnings {
		s.log.Warn(w)
	}
	s.log.Info("database loaded", "zxid", fmt.Sprintf("0x%x", recovered.LastZxid), "znodes", recovered.Tree.NodeCount(), "transactions replayed", recovered.Replayed)
	if err := s.checkRecovered(recovered); err != nil {
		return err
	}
	s.pipeline = pipeline.New(s.pipelineConfig(), s.store, recovered)
	if err := s.newOrder(recovered); err != nil {
		return err
	}
	if s.cfg.Distributed() {
		s.pipeline.SetMembership(s.members().Text(), s.cfg.Version)
	}
	s.words.s, s.words.allowed = s, s.cfg.Whitelist
	s.words.traceMask.Store(defaultTraceMask)
	s.countRecovery(recovered)
	s.metrics.GaugesFrom(s.figures)
	if err := s.listen(ctx); err != nil {
		return err
	}
	if s.httpPorts, err = s.openHTTP(ctx); err != nil {
		return errors.Join(err, s.closePorts())
	}
	return s.serve(ctx)
}

// checkRecovered refuses what this server must not go on with.
func (s *Server) checkRecovered(r *storage.Recovered) error {
	if r.LastZxid < 0 {
		return fmt.Errorf("%s is empty and db.autocreate=false: for a new ensemble make the file %s, to rejoin one restore the data",
			s.cfg.DataDir, filepath.Join(s.cfg.DataDir, "initialize"))
	}
	switch {
	case s.cfg.Distributed() && r.EpochsErr == nil && r.Rejoin:
		s.log.Warn("this server's history was set aside: it has no vote until it has copied the state from a leader that the others elected")
	case s.cfg.Distributed():
		return r.EpochsErr
	case r.Rejoin:
		return fmt.Errorf("the history in %s was set aside to be copied from a leader, but %s names no other server; move the files back from beside it, and remove %s",
			s.cfg.DataDir, s.cfg.File, storage.RejoinName)
	}
	return nil
}

// serve runs the parts until ctx ends or one of them fails.
func (s *Server) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.pipeline.Start(s.order)
	var wg sync.WaitGroup
	run := func(name string, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	for _, f := range s.fronts {
		run("client port", f.Serve)
	}
	for _, h := range s.httpPorts {
		run("HTTP", h.Serve)
	}
	for _, k := range []*tlsconf.Keys{s.keys, s.adminKeys, s.quorumKeys} {
		if k != nil {
			run("certificates", k.Watch)
		}
	}
	run("consensus", s.order.Run)
	run("pipeline", s.watchFailure)
	if s.cfg.PurgeInterval > 0 {
		run("purge", s.purgeLoop)
	}
	s.started = true
	s.audit.Write(audit.Event{User: s.auditUser, Operation: audit.ServerStart, Result: audit.Success})
	if s.opts.Ready != nil {
		s.opts.Ready()
	}
	<-ctx.Done()
	wg.Wait()
	s.pipeline.Stop()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Alive returns when the goroutines that everything depends on have answered:
// the one that applies transactions and the consensus loop. The error says
// which has not until ctx ends. It may be called from [Options.Ready] on.
func (s *Server) Alive(ctx context.Context) error {
	return errors.Join(s.order.Alive(ctx), s.pipeline.Alive(ctx))
}

func (s *Server) watchFailure(ctx context.Context) error {
	select {
	case err := <-s.pipeline.Failed():
		return err
	case <-ctx.Done():
		return nil
	}
}

// windowBytes bounds the committed transactions that are kept for learners that
// lag, beside their number: 500 of the largest would be half a gigabyte.
func windowBytes(c *config.Config) int { return max(64<<20, 4*c.JuteMaxBuffer) }

func (s *Server) self() zab.Sid {
	if s.cfg.Distributed() {
		return zab.Sid(s.cfg.MyID)
	}
	return standaloneSid
}

func (s *Server) pipelineConfig() pipeline.Config {
	c := s.cfg
	out := pipeline.Config{
		Self: s.self(), TickTime: c.TickTime,
		MinSessionTimeout: c.MinSessionTimeout, MaxSessionTimeout: c.MaxSessionTimeout,
		SnapCount: c.SnapCount, SnapSize: max(c.SnapSizeLimitInKb, 0) << 10,
		ExtendedTypes: c.ExtendedTypesEnabled, Emulate353TTL: c.Emulate353TTLNodes, Digests: c.DigestEnabled,
		LocalSessions: c.LocalSessionsEnabled && c.Distributed(), LocalUpgrade: c.LocalSessionsUpgradingEnabled,
		Auth: s.auth, EagerACL: c.EagerACLCheck && c.Distributed(), // Apache's server alone does not look
		ContainerCheck: c.ContainerCheckInterval, ContainerMaxNeverUsed: c.ContainerMaxNeverUsed,
		ContainersPerMinute: c.ContainerMaxPerMinute, NoClosePaths: !c.CloseSessionTxnEnabled,
		Standalone: !c.Distributed(),
		LeaderIdle: !c.LeaderServes, EnforceQuota: c.EnforceQuota,
		ConnThrottle:    pipeline.ConnThrottle(c.ConnThrottle),
		RequestThrottle: requestThrottle(c.RequestThrottle),
		LargeRequests:   pipeline.LargeRequests{Threshold: c.RequestThrottle.LargeThreshold, MaxBytes: c.RequestThrottle.LargeMaxBytes},
		RequestMemory:   max(64<<20, 4*int64(c.JuteMaxBuffer)),
		Logger:          s.log, Metrics: s.metrics,
		Audit: s.audit, AuditUser: s.auditUser,
	}
	if c.ReconfigEnabled {
		out.Reconfigure = membership.Rules{MultiAddress: c.MultiAddressEnabled, Standalone: c.StandaloneEnabled}.Reconfigure
	}
	return out
}

func requestThrottle(r config.RequestThrottle) pipeline.RequestThrottle {
	return pipeline.RequestThrottle{
		MaxRequests: r.MaxRequests, StallTime: r.StallTime, DropStale: r.DropStale,
		StaleConnectionCheck: r.StaleConnectionCheck, StaleLatencyCheck: r.StaleLatencyCheck, OpWaitTime: r.OpWaitTime,
	}
}

// frontConfig is what both client ports have in common.
func (s *Server) frontConfig() front.Config {
	c := s.cfg
	return front.Config{
		MaxPerIP: c.MaxClientCnxns, MaxConns: c.MaxCnxns, MaxFrame: c.JuteMaxBuffer,
		SilentTimeout: c.SessionlessTimeout, OutstandingLimit: s.outstandingLimit(), Backlog: c.ClientPortListenBacklog,
		KeepAlive: c.ClientTCPKeepAlive,
		IsWord:    s.words.known, Word: s.words.answer, Logger: s.log,
	}
}

// outstandingLimit is this server's share of globalOutstandingLimit
// (ZooKeeperServer.getInProcess and its overrides: a voter among more than two
// has limit/(voters-1)).
func (s *Server) outstandingLimit() int {
	limit, voters := s.cfg.GlobalOutstandingLimit, len(s.cfg.Voters())
	if !s.cfg.Distributed() || voters <= 2 || s.cfg.PeerType == config.Observer {
		return limit
	}
	return max(limit/(voters-1), 1)
}

// newOrder makes what puts writes in order.
func (s *Server) newOrder(r *storage.Recovered) error {
	log := &diskLog{store: s.store, pipeline: s.pipeline, maxSize: max(s.cfg.TxnLogSizeLimitInKb, 0) << 10}
	if !s.cfg.Distributed() {
		s.order = quorum.NewSolo(zab.Zxid(r.LastZxid), log, s.pipeline, s.log, s.metrics)
		return nil
	}
	peer, err := quorum.NewPeer(s.quorumConfig(r), log, s.pipeline)
	if err != nil {
		return err
	}
	s.order, s.peer = peer, peer
	return nil
}

func (s *Server) quorumConfig(r *storage.Recovered) quorum.Config {
	c := s.cfg
	q := quorum.Config{
		Self: zab.Sid(c.MyID), TickTime: c.TickTime, InitLimit: c.InitLimit, SyncLimit: c.SyncLimit,
		CnxTimeout: c.CnxTimeout, ListenOnAllIPs: c.QuorumListenOnAllIPs, Text: c.QuorumText(),
		Epochs: zab.Epochs(r.Epochs), LastZxid: zab.Zxid(r.LastZxid), Rejoin: r.Rejoin, WindowCount: c.CommitLogCount, WindowBytes: windowBytes(c),
		ReadOnly: c.ReadOnlyModeEnabled, BindTries: c.ElectionPortBindRetry, NotifyMin: c.MinNotificationInterval,
		SASL: s.quorumSASL, TLS: s.quorumTLS(), History: s.history(), ForceSnap: c.ForceSnapshotSync,
		Logger: s.log, Metrics: s.metrics,
	}
	if c.ElectionPortBindRetry == 0 {
		q.BindTries = -1 // for ever
	}
	if _, set := c.Raw["fastleader.maxNotificationInterval"]; set {
		q.NotifyMax = c.MaxNotificationInterval // quorum's own default is shorter than Apache's
	}
	m := membership.Of(c.Membership())
	q.Members, q.Groups, q.Weights, q.Reconfig = m.Members, m.Groups, m.Weights, s.reconfig(r)
	if !r.HasEpochs { // the first start in an ensemble (QuorumPeer.loadDataBase)
		epoch := zab.Zxid(r.LastZxid).Epoch()
		q.Epochs = zab.Epochs{Accepted: epoch, Current: epoch}
	}
	for _, rec := range r.Window {
		q.Window = append(q.Window, zab.Proposal{Zxid: zab.Zxid(rec.Zxid), Data: rec.Data})
	}
	return q
}

// diskLog lets quorum write to the store.
type diskLog struct {
	store    *storage.Store
	pipeline *pipeline.Pipeline
	maxSize  int64 // of a log file in bytes, 0 for any (txnLogSizeLimitInKb)
	buf      []storage.Record
}

// Append implements [quorum.Log].
func (l *diskLog) Append(ps []zab.Proposal) error {
	if l.pipeline.RollWanted() || l.maxSize > 0 && l.store.LogSize() > l.maxSize {
		if err := l.store.Roll(); err != nil {
			return err
		}
	}
	l.buf = l.buf[:0]
	for _, p := range ps {
		l.buf = append(l.buf, storage.Record{Zxid: int64(p.Zxid), Data: p.Data})
	}
	return l.store.Append(l.buf)
}

// Sync implements [quorum.Log].
func (l *diskLog) Sync() error { return l.store.Sync() }

// WriteEpochs implements [quorum.Log].
func (l *diskLog) WriteEpochs(e zab.Epochs) error { return l.store.WriteEpochs(storage.Epochs(e)) }
