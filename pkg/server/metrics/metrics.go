package metrics

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// Metrics is everything that a server counts and measures. The tag of a field
// is its name in Apache ZooKeeper, as the word mntr (behind "zk_") and
// Prometheus show it; "advanced" marks the summaries of which they show more
// quantiles than the median, and "key" the label of a set. Times are in ms.
//
// All of it is safe for concurrent use. Make one with [New].
type Metrics struct {
	// Clients, as the client port sees them.
	BytesReceived    Counter `zk:"bytes_received_count"`                  // of requests, with their length
	NotServingClosed Counter `zk:"cnxn_closed_without_zk_server_running"` // refused while there was no leader
	ResponseBytes    Counter `zk:"response_bytes"`                        // of replies
	WatchBytes       Counter `zk:"watch_bytes"`                           // of watch events

	// Guards are the protections.
	Guards Guards

	// Requests.
	ReadLatency        Summary    `zk:"readlatency,advanced"`                // from receipt to reply
	UpdateLatency      Summary    `zk:"updatelatency,advanced"`              // the same of writes
	PropagationLatency Summary    `zk:"propagation_latency,advanced"`        // from a transaction's time on the leader until it is applied here
	CommitLatency      Summary    `zk:"commit_propagation_latency,advanced"` // the same until it is known here to be committed
	PrepQueued         Counter    `zk:"prep_processor_request_queued"`
	PrepQueueSize      Summary    `zk:"prep_processor_queue_size"` // writes that are taken up at once
	PrepQueueTime      Summary    `zk:"prep_processor_queue_time_ms,advanced"`
	PrepTime           Summary    `zk:"prep_process_time"`       // a write's share of its batch
	ReadBytes          SummarySet `zk:"read_per_namespace,key"`  // bytes, by the first part of the path
	WriteBytes         SummarySet `zk:"write_per_namespace,key"` // the same

	// Watches: how many fired at each change that fired any.
	WatchesCreated  Summary `zk:"node_created_watch_count"`
	WatchesDeleted  Summary `zk:"node_deleted_watch_count"`
	WatchesChanged  Summary `zk:"node_changed_watch_count"`
	WatchesChildren Summary `zk:"node_children_watch_count"`

	// Sessions and the state.
	SessionsExpired  Counter `zk:"stale_sessions_expired"`
	DigestMismatches Counter `zk:"digest_mismatches_count"`
	Unrecoverable    Counter `zk:"unrecoverable_error_count"`

	// The ensemble.
	Looking           Counter    `zk:"looking_count"` // elections entered
	ElectionTime      Summary    `zk:"election_time"`
	DiffSyncs         Counter    `zk:"diff_count"` // learners brought up to date with transactions
	SnapSyncs         Counter    `zk:"snap_count"` // and with a snapshot
	FollowerSyncTime  Summary    `zk:"follower_sync_time"`
	ObserverSyncTime  Summary    `zk:"observer_sync_time"`
	UnavailableTime   Summary    `zk:"unavailable_time"`        // between serving and serving again
	LeaderUnavailable Summary    `zk:"leader_unavailable_time"` // the same when this server then leads
	Proposals         Counter    `zk:"proposal_count"`
	Commits           Counter    `zk:"commit_count"`
	QuorumAckLatency  Summary    `zk:"quorum_ack_latency,advanced"` // from a proposal until a quorum has it
	AckLatency        SummarySet `zk:"ack_latency,advanced,key"`    // until a learner has acknowledged it, by sid
	LearnerQueue      SummarySet `zk:"learner_handler_qp_size,key"` // packets that are taken up at once for a learner, by sid
	LearnerProposals  Counter    `zk:"learner_proposal_received_count"`
	LearnerCommits    Counter    `zk:"learner_commit_received_count"`
	Revalidate        Counter    `zk:"revalidate_count"` // sessions that learners asked the leader about

	// The disk.
	FsyncTime      Summary `zk:"fsynctime"`
	SnapshotTime   Summary `zk:"snapshottime"`
	SnapshotErrors Counter `zk:"snapshot_error_count"`
	LoadTime       Summary `zk:"dbinittime"`
	StartSnapTime  Summary `zk:"startup_snap_load_time"`
	StartTxnsTime  Summary `zk:"startup_txns_load_time"`
	StartTxns      Summary `zk:"startup_txns_loaded"`
	SyncQueued     Counter `zk:"sync_processor_request_queued"`
	SyncQueueSize  Summary `zk:"sync_processor_queue_size"` // batches of transactions that are taken up at once
	SyncBatchSize  Summary `zk:"sync_processor_batch_size"` // transactions that share a sync
	SyncTime       Summary `zk:"sync_process_time"`         // to append and sync what was taken up
	SyncQueueTime  Summary `zk:"sync_processor_queue_time_ms,advanced"`
	SyncWholeTime  Summary `zk:"sync_processor_queue_and_flush_time_ms,advanced"`

	// Snapshots and restores that were asked for.
	SnapshotsLimited Counter `zk:"snapshot_rate_limited_count"`
	RestoreErrors    Counter `zk:"restore_error_count"`
	RestoresLimited  Counter `zk:"restore_rate_limited_count"`
	RestoreTime      Summary `zk:"restore_time"`

	// QuotaExceeded counts by the first part of the path.
	QuotaExceeded CounterSet `zk:"quota_exceeded_error_per_namespace,key"`

	list []instrument

	mu     sync.Mutex
	gauges []func(*Gauges)
}

// An instrument is a field of Metrics.
type instrument struct {
	name     string
	advanced bool
	what     any // *Counter, *Summary, *CounterSet or *SummarySet
}

// New returns Metrics that stand at 0.
func New() *Metrics {
	m := new(Metrics)
	m.listFields(reflect.ValueOf(m).Elem())
	return m
}

// listFields lists the instruments that a struct has for fields, and those of
// structs in it.
func (m *Metrics) listFields(v reflect.Value) {
	for i := range v.NumField() {
		if v.Type().Field(i).Type == reflect.TypeFor[Guards]() {
			m.listFields(v.Field(i))
		}
		tag, ok := v.Type().Field(i).Tag.Lookup("zk")
		if !ok {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		m.list = append(m.list, instrument{
			name: name, advanced: strings.Contains(options, "advanced"), what: v.Field(i).Addr().Interface(),
		})
	}
}

// Or returns m, or new Metrics that nobody reads when m is nil.
func Or(m *Metrics) *Metrics {
	if m == nil {
		return New()
	}
	return m
}

// Reset sets everything but gauges back to 0 (the word srst).
func (m *Metrics) Reset() {
	for _, in := range m.list {
		in.what.(interface{ reset() }).reset()
	}
}

// Gauges takes the figures of the moment.
type Gauges struct{ see Seer }

// Int adds a whole figure. The name is one of [GaugeNames].
func (g *Gauges) Int(name string, v int64) { g.see.Gauge(name, "", float64(v), true) }

// Float adds a figure with a fraction.
func (g *Gauges) Float(name string, v float64) { g.see.Gauge(name, "", v, false) }

// Keyed adds a whole figure of a set of gauges.
func (g *Gauges) Keyed(name, key string, v int64) { g.see.Gauge(name, key, float64(v), true) }

// GaugesFrom lets read tell figures of the moment whenever someone asks.
func (m *Metrics) GaugesFrom(read func(*Gauges)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gauges = append(m.gauges, read)
}

// A Seer is shown metrics, one after the other. A key is "" but for a member
// of a set.
type Seer interface {
	Gauge(name, key string, v float64, whole bool)
	Counter(name, key string, v int64)
	Summary(name, key string, s *Summary, advanced bool)
}

// Each shows all metrics: the gauges, and then the rest in the order of the
// fields.
func (m *Metrics) Each(see Seer) {
	m.mu.Lock()
	gauges := m.gauges
	m.mu.Unlock()
	for _, read := range gauges {
		read(&Gauges{see: see})
	}
	for _, in := range m.list {
		switch x := in.what.(type) {
		case *Counter:
			see.Counter(in.name, "", x.Load())
		case *Summary:
			see.Summary(in.name, "", x, in.advanced)
		case *CounterSet:
			x.keys.each(func(key string, c *Counter) { see.Counter(in.name, key, c.Load()) })
		case *SummarySet:
			x.keys.each(func(key string, s *Summary) { see.Summary(in.name, key, s, in.advanced) })
		}
	}
}

// Kind is what a metric is.
type Kind string

// The kinds, in Prometheus' words.
const (
	KindGauge   Kind = "gauge"
	KindCounter Kind = "counter"
	KindSummary Kind = "summary"
)

// A Name is one metric that a server may show.
type Name struct {
	Name string
	Kind Kind
	Key  bool // a set by key
}

// Names lists every metric that a server may show, gauges first.
func Names() []Name {
	var all []Name
	for _, g := range GaugeNames() {
		all = append(all, Name{Name: g, Kind: KindGauge, Key: strings.HasSuffix(g, "_per_namespace")})
	}
	for _, in := range New().list {
		n := Name{Name: in.name}
		switch in.what.(type) {
		case *Counter:
			n.Kind = KindCounter
		case *Summary:
			n.Kind = KindSummary
		case *CounterSet:
			n.Kind, n.Key = KindCounter, true
		case *SummarySet:
			n.Kind, n.Key = KindSummary, true
		default:
			panic(fmt.Sprintf("metrics: %s is no instrument", in.name)) // a fault of this package, which its tests find
		}
		all = append(all, n)
	}
	return all
}

// GaugeNames lists the gauges. Those of a leader are not shown by others, and
// those of an ensemble not by a server that stands alone.
func GaugeNames() []string {
	return []string{
		"avg_latency", "max_latency", "min_latency", "packets_received", "packets_sent", "num_alive_connections",
		"outstanding_requests", "uptime", "znode_count", "watch_count", "ephemerals_count", "approximate_data_size",
		"global_sessions", "local_sessions", "open_file_descriptor_count", "max_file_descriptor_count",
		"last_client_response_size", "max_client_response_size", "min_client_response_size", "auth_failed_count",
		"fsync_threshold_exceed_count", "connection_drop_probability", "outstanding_tls_handshake",
		"quorum_size", "learners", "synced_followers", "synced_observers",
		"pending_syncs", "leader_uptime", "last_proposal_size", "max_proposal_size", "min_proposal_size",
		"quota_count_limit_per_namespace", "quota_bytes_limit_per_namespace",
		"quota_count_usage_per_namespace", "quota_bytes_usage_per_namespace",
	}
}
