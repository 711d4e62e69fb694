package server

import (
	"math"
	"os"
	"syscall"
	"time"

	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// figures are the gauges of a server: what is read when somebody asks.
//
// Source: ZooKeeperServer.java (registerMetrics), LeaderZooKeeperServer.java,
// QuorumZooKeeperServer.java.
func (s *Server) figures(g *metrics.Gauges) {
	s.requestFigures(g)
	st := s.words.state()
	g.Int("znode_count", st.znodes)
	g.Int("watch_count", int64(s.pipeline.WatchCount()))
	g.Int("ephemerals_count", st.ephemerals)
	g.Int("approximate_data_size", st.dataSize)
	g.Int("global_sessions", st.global)
	local, _ := s.pipeline.LocalSessions()
	g.Int("local_sessions", int64(local))
	g.Int("auth_failed_count", s.pipeline.Stats().AuthFailed.Load())
	g.Int("uptime", time.Since(s.start).Milliseconds())
	g.Int("fsync_threshold_exceed_count", s.store.Stats().SlowSyncs)
	if open, limit, ok := fileDescriptors(); ok {
		g.Int("open_file_descriptor_count", open)
		g.Int("max_file_descriptor_count", limit)
	}
	g.Int("outstanding_tls_handshake", s.handshakes())
	g.Float("connection_drop_probability", s.pipeline.DropProbability())
	s.quorumFigures(g)
	for ns, q := range s.pipeline.QuotaByNamespace() {
		g.Keyed("quota_count_limit_per_namespace", ns, q.CountLimit)
		g.Keyed("quota_bytes_limit_per_namespace", ns, q.BytesLimit)
		g.Keyed("quota_count_usage_per_namespace", ns, q.Count)
		g.Keyed("quota_bytes_usage_per_namespace", ns, q.Bytes)
	}
}

func (s *Server) requestFigures(g *metrics.Gauges) {
	stats, latency := s.pipeline.Stats(), s.pipeline.Latency()
	g.Float("avg_latency", math.Round(latency.Avg*1e4)/1e4)
	g.Int("max_latency", latency.Max)
	g.Int("min_latency", latency.Min)
	g.Int("packets_received", stats.Received.Load())
	g.Int("packets_sent", stats.Sent.Load())
	g.Int("num_alive_connections", int64(s.connectionCount()))
	g.Int("outstanding_requests", stats.Outstanding())
	g.Int("last_client_response_size", stats.Responses.Last())
	g.Int("max_client_response_size", stats.Responses.Max())
	g.Int("min_client_response_size", stats.Responses.Min())
}

func (s *Server) quorumFigures(g *metrics.Gauges) {
	if s.peer == nil {
		return
	}
	st := s.peer.Status()
	g.Int("quorum_size", int64(len(s.members().Servers)))
	if st.Role != zab.Leading {
		return
	}
	g.Int("learners", int64(st.Followers+st.Observers))
	g.Int("synced_followers", int64(st.SyncedFollowers))
	g.Int("synced_observers", int64(st.SyncedObservers))
	g.Int("pending_syncs", int64(st.PendingSyncs))
	if !st.LeadingSince.IsZero() {
		g.Int("leader_uptime", time.Since(st.LeadingSince).Milliseconds())
	}
	g.Int("last_proposal_size", int64(st.LastProposal))
	g.Int("max_proposal_size", int64(st.MaxProposal))
	g.Int("min_proposal_size", int64(st.MinProposal))
}

// countRecovery measures the start.
func (s *Server) countRecovery(r *storage.Recovered) {
	s.metrics.LoadTime.Observe(r.Took.Milliseconds())
	s.metrics.StartSnapTime.Observe(r.Snapshot.Took.Milliseconds())
	s.metrics.StartTxnsTime.Observe((r.Took - r.Snapshot.Took).Milliseconds())
	s.metrics.StartTxns.Observe(r.Replayed)
}

// connectionCount is how many connections there are on the client ports, the
// one that asks included, as Apache counts them.
func (s *Server) connectionCount() (n int) {
	for _, f := range s.fronts {
		n += f.Count()
	}
	return n
}

func fileDescriptors() (open, limit int64, ok bool) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, 0, false
	}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, 0, false
	}
	return int64(len(entries)), int64(min(l.Cur, math.MaxInt64)), true
}

// state is what srvr and mntr tell of the tree, read at one moment.
type state struct {
	zxid                                 int64
	znodes, ephemerals, dataSize, global int64
}

func (w *words) state() (s state) {
	w.s.pipeline.View(func(t *tree.Tree) {
		s = state{
			zxid: t.LastZxid(), znodes: int64(t.NodeCount()), ephemerals: int64(t.EphemeralCount()),
			dataSize: t.DataSize(), global: int64(t.SessionCount()),
		}
	})
	if w.s.peer == nil {
		return s
	}
	// A server that serves in an epoch is in it even before the epoch's first
	// transaction, and says so (Leader.java, startZkServer).
	if st := w.s.peer.Status(); w.s.pipeline.Serving() && !w.s.pipeline.ReadOnly() {
		s.zxid = max(s.zxid, int64(zab.MakeZxid(st.Epochs.Current, 0)))
	}
	return s
}
