package server

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/admin"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/pipeline"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// commands lists what the AdminServer offers (Commands.java).
func (a *adminServer) commands() []admin.Command {
	data := func(f func() admin.Object) func(admin.Request) admin.Response {
		return func(admin.Request) admin.Response { return admin.Response{Data: f()} }
	}
	word := func(name string) func(admin.Request) admin.Response {
		return func(admin.Request) admin.Response { a.w.fixed(name); return admin.Response{} }
	}
	return []admin.Command{
		{Name: "configuration", Aliases: []string{"conf", "config"}, NeedsServer: true, Run: data(a.configuration)},
		{Name: "connection_stat_reset", Aliases: []string{"crst"}, NeedsServer: true, Run: word(fourletter.Crst)},
		{Name: "connections", Aliases: []string{"cons"}, NeedsServer: true, Run: data(func() admin.Object { return a.connections(true) })},
		{Name: "dirs", NeedsServer: true, Run: a.dirs},
		{Name: "dump", NeedsServer: true, Run: data(a.dump)},
		{Name: "environment", Aliases: []string{"env", "envi"}, Run: data(a.environment)},
		{Name: "get_trace_mask", Aliases: []string{"gtmk"}, Run: data(func() admin.Object { return admin.Object{{Name: "tracemask", Value: a.w.traceMask.Load()}} })},
		{Name: "hash", NeedsServer: true, Run: data(a.hash)},
		{Name: "initial_configuration", Aliases: []string{"icfg"}, NeedsServer: true, Run: data(func() admin.Object { return admin.Object{{Name: "initial_configuration", Value: a.initial}} })},
		{Name: "is_read_only", Aliases: []string{"isro"}, NeedsServer: true, Run: data(func() admin.Object { return admin.Object{{Name: "read_only", Value: a.w.readOnly()}} })},
		{Name: "last_snapshot", Aliases: []string{"lsnp"}, NeedsServer: true, Run: data(a.lastSnapshot)},
		{Name: "leader", Aliases: []string{"lead"}, NeedsServer: true, Run: data(a.leader)},
		{Name: "monitor", Aliases: []string{"mntr"}, Run: data(a.monitor)},
		{Name: "observer_connection_stat_reset", Aliases: []string{"orst"}, NeedsServer: true, Run: data(a.resetObservers)},
		{Name: "observers", Aliases: []string{"obsr"}, NeedsServer: true, Run: func(r admin.Request) admin.Response { return admin.Response{Data: a.observers(r.Context)} }},
		{Name: "restore", Aliases: []string{"rest"}, NeedsServer: true, Post: true, Restricted: true, Run: a.restore},
		{Name: "ruok", NeedsServer: true, Run: data(func() admin.Object { return nil })},
		{Name: "server_stats", Aliases: []string{"srvr"}, NeedsServer: true, Run: data(a.serverStats)},
		{Name: "set_trace_mask", Aliases: []string{"stmk"}, Run: a.setTraceMask},
		{Name: "snapshot", Aliases: []string{"snap"}, NeedsServer: true, Restricted: true, Run: a.snapshot},
		{Name: "stat_reset", Aliases: []string{"srst"}, NeedsServer: true, Run: word(fourletter.Srst)},
		{Name: "stats", Aliases: []string{"stat"}, NeedsServer: true, Run: data(func() admin.Object { return append(a.serverStats(), a.connections(false)...) })},
		{Name: "system_properties", Aliases: []string{"sysp"}, Run: data(a.properties)},
		{Name: "voting_view", NeedsServer: true, Run: data(a.votingView)},
		{Name: "watch_summary", Aliases: []string{"wchs"}, NeedsServer: true, Run: data(a.watchSummary)},
		{Name: "watches", Aliases: []string{"wchc"}, NeedsServer: true, Run: data(a.watches)},
		{Name: "watches_by_path", Aliases: []string{"wchp"}, NeedsServer: true, Run: data(a.watchesByPath)},
		{Name: "zabstate", Run: data(a.zabState)},
	}
}

func (a *adminServer) configuration() admin.Object {
	c := a.w.s.cfg
	id := int64(0)
	if c.Distributed() {
		id = c.MyID
	}
	return admin.Object{
		{Name: "client_port", Value: portOrNone(c.ClientPort)},
		{Name: "data_dir", Value: absolute(c.DataDir) + "/version-2"},
		{Name: "data_log_dir", Value: absolute(c.DataLogDir) + "/version-2"},
		{Name: "tick_time", Value: c.TickTime.Milliseconds()},
		{Name: "max_client_cnxns", Value: c.MaxClientCnxns},
		{Name: "min_session_timeout", Value: c.MinSessionTimeout.Milliseconds()},
		{Name: "max_session_timeout", Value: c.MaxSessionTimeout.Milliseconds()},
		{Name: "server_id", Value: id},
		{Name: "client_port_listen_backlog", Value: c.ClientPortListenBacklog},
	}
}

// connections lists those of plain and of TLS ports apart; all that is known of
// them, or the first fields only.
func (a *adminServer) connections(full bool) admin.Object {
	plain, secure := []admin.Object{}, []admin.Object{}
	list := a.w.s.pipeline.Connections()
	slices.SortFunc(list, func(a, b pipeline.ConnInfo) int { return cmp.Compare(a.Remote, b.Remote) })
	for _, c := range list {
		o := admin.Object{
			{Name: "remote_socket_address", Value: c.Remote}, {Name: "interest_ops", Value: 1},
			{Name: "outstanding_requests", Value: c.Queued}, {Name: "packets_received", Value: c.Received},
			{Name: "packets_sent", Value: c.Sent},
		}
		if full {
			o = append(o, a.session(c)...)
		}
		if c.Secure {
			secure = append(secure, o)
		} else {
			plain = append(plain, o)
		}
	}
	return admin.Object{{Name: "connections", Value: plain}, {Name: "secure_connections", Value: secure}}
}

func (a *adminServer) session(c pipeline.ConnInfo) admin.Object {
	return admin.Object{
		{Name: "session_id", Value: c.Session}, {Name: "last_operation", Value: lastOp(c.LastOp)},
		{Name: "established", Value: c.Opened.UnixMilli()}, {Name: "session_timeout", Value: c.Timeout.Milliseconds()},
		{Name: "last_cxid", Value: c.LastXid}, {Name: "last_zxid", Value: c.LastZxid},
		{Name: "last_response_time", Value: c.LastResponse.Sub(a.w.s.start).Milliseconds()},
		{Name: "last_latency", Value: c.LastLatency}, {Name: "min_latency", Value: c.Latency.Min()},
		{Name: "avg_latency", Value: int64(c.Latency.Avg())}, {Name: "max_latency", Value: c.Latency.Max()},
	}
}

func (a *adminServer) dirs(admin.Request) admin.Response {
	data, logs, err := a.w.s.store.DirSizes()
	if err != nil {
		return admin.Response{Error: err.Error()}
	}
	return admin.Response{Data: admin.Object{{Name: "datadir_size", Value: data}, {Name: "logdir_size", Value: logs}}}
}

func (a *adminServer) dump() admin.Object {
	expiry, owners := admin.Object{}, admin.Object{}
	buckets, _ := a.w.s.pipeline.ExpiryBuckets()
	local, _ := a.w.s.pipeline.LocalExpiryBuckets()
	for _, b := range append(buckets, local...) {
		expiry.Add(strconv.FormatInt(b.At, 10), b.IDs)
	}
	for _, e := range a.w.dump().Ephemerals {
		owners.Add(strconv.FormatInt(int64(e.ID), 10), e.Paths)
	}
	return admin.Object{{Name: "expiry_time_to_session_ids", Value: expiry}, {Name: "session_id_to_ephemeral_paths", Value: owners}}
}

func (a *adminServer) environment() (out admin.Object) {
	for _, p := range a.w.envi().Pairs {
		out.Add(p.Key, p.Value)
	}
	return out
}

func (a *adminServer) hash() admin.Object {
	list := []admin.Object{}
	for _, d := range a.w.hash().Digests {
		list = append(list, admin.Object{
			{Name: "zxid", Value: int64(d.Zxid)}, {Name: "digest", Value: int64(d.Digest)}, {Name: "digest_version", Value: tree.DigestVersion},
		})
	}
	return admin.Object{{Name: "digests", Value: list}}
}

func (a *adminServer) lastSnapshot() admin.Object {
	info := a.w.s.store.Stats().LastSnapshot
	if info.Path == "" {
		return admin.Object{{Name: "zxid", Value: "ffffffffffffffff"}, {Name: "timestamp", Value: int64(0)}}
	}
	return admin.Object{{Name: "zxid", Value: strconv.FormatInt(info.Zxid, 16)}, {Name: "timestamp", Value: fileTime(info.Path)}}
}

func (a *adminServer) leader() admin.Object {
	p := a.w.s.peer
	if p == nil {
		return admin.Object{{Name: "error", Value: "server is not initialized"}}
	}
	st := p.Status()
	leader, _ := a.w.s.members().Server(int64(st.Leader))
	host := ""
	if len(leader.Addresses) > 0 {
		host = ipOf(leader.Addresses[0].Host)
	}
	return admin.Object{
		{Name: "is_leader", Value: st.Role == zab.Leading}, {Name: "leader_id", Value: int64(st.Leader)}, {Name: "leader_ip", Value: host},
	}
}

// monitor is mntr with numbers for numbers.
func (a *adminServer) monitor() admin.Object {
	out := admin.Object{{Name: "version", Value: a.w.s.opts.Version}, {Name: "server_state", Value: a.w.mode()}}
	if p := a.w.s.peer; p != nil {
		out.Add("peer_state", peerState(p.Status().Status))
	}
	a.w.s.metrics.Each(metrics.Flat(func(name string, v float64, whole bool) {
		if whole {
			out.Add(name, int64(v))
		} else {
			out.Add(name, v)
		}
	}))
	return out
}

// observers lists the observers that follow this leader.
func (a *adminServer) observers(ctx context.Context) admin.Object {
	list, synced := []admin.Object{}, 0
	if p := a.w.s.peer; p != nil {
		st := p.Status()
		synced = st.SyncedObservers
		for _, l := range p.Links(ctx) {
			if l.Observer {
				list = append(list, admin.Object{
					{Name: "remote_socket_address", Value: "/" + l.Remote}, {Name: "sid", Value: int64(l.Sid)},
					{Name: "established", Value: l.Since.UnixMilli()}, {Name: "queued_packets", Value: l.Queued},
					{Name: "queued_packets_size", Value: l.QueuedBytes}, {Name: "packets_received", Value: l.Received},
					{Name: "packets_sent", Value: l.Sent}, {Name: "requests", Value: l.Requests},
					{Name: "last_zxid", Value: int64(l.Acked)},
				})
			}
		}
	}
	return admin.Object{{Name: "synced_observers", Value: synced}, {Name: "observers", Value: list}}
}

func (a *adminServer) resetObservers() admin.Object {
	if p := a.w.s.peer; p != nil {
		p.ResetLinks()
	}
	return nil
}

func sizes(last, least, greatest int64) admin.Object {
	return admin.Object{{Name: "last_buffer_size", Value: last}, {Name: "min_buffer_size", Value: least}, {Name: "max_buffer_size", Value: greatest}}
}

func (a *adminServer) serverStats() admin.Object {
	s := a.w.s
	srvr, r := a.w.srvr(), &s.pipeline.Stats().Responses
	responses := sizes(r.Last(), r.Min(), r.Max())
	stats := admin.Object{
		{Name: "packets_sent", Value: srvr.Sent}, {Name: "packets_received", Value: srvr.Received},
		{Name: "fsync_threshold_exceed_count", Value: s.store.Stats().SlowSyncs},
		{Name: "client_response_stats", Value: responses},
	}
	if data, logs, err := s.store.DirSizes(); err == nil {
		stats = append(stats, admin.Object{{Name: "data_dir_size", Value: data}, {Name: "log_dir_size", Value: logs}}...)
	}
	stats = append(stats, admin.Object{
		{Name: "last_processed_zxid", Value: int64(srvr.Zxid)}, {Name: "provider_null", Value: false},
		{Name: "server_state", Value: a.w.mode()}, {Name: "outstanding_requests", Value: srvr.Outstanding},
		{Name: "avg_latency", Value: srvr.Latency.Avg}, {Name: "max_latency", Value: srvr.Latency.Max},
		{Name: "min_latency", Value: srvr.Latency.Min}, {Name: "num_alive_client_connections", Value: srvr.Connections},
		{Name: "auth_failed_count", Value: s.pipeline.Stats().AuthFailed.Load()},
		{Name: "uptime", Value: time.Since(s.start).Milliseconds()},
	}...)
	out := admin.Object{
		{Name: "version", Value: s.opts.Version}, {Name: "read_only", Value: a.w.readOnly()},
		{Name: "server_stats", Value: stats}, {Name: "client_response", Value: responses},
	}
	if p := srvr.Proposals; p != nil {
		out.Add("proposal_stats", sizes(p.Last, p.Min, p.Max))
	}
	out.Add("node_count", srvr.NodeCount)
	return out
}

func (a *adminServer) setTraceMask(r admin.Request) admin.Response {
	text := r.Query.Get("traceMask")
	mask, err := strconv.ParseInt(text, 10, 64)
	switch {
	case !r.Query.Has("traceMask"):
		return admin.Response{Data: admin.Object{{Name: "error", Value: "setTraceMask requires long traceMask argument"}}}
	case err != nil:
		return admin.Response{Data: admin.Object{{Name: "error", Value: "setTraceMask requires long traceMask argument, got " + text}}}
	}
	a.w.traceMask.Store(mask)
	return admin.Response{Data: admin.Object{{Name: "tracemask", Value: mask}}}
}

// properties lists what was configured as the Java server's properties.
func (a *adminServer) properties() (out admin.Object) {
	for _, e := range a.w.s.cfg.Explain() {
		if _, given := a.w.s.cfg.Raw[e.Key]; given {
			out.Add("zookeeper."+e.Key, e.Value)
		}
	}
	slices.SortFunc(out, func(a, b admin.Member) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (a *adminServer) votingView() admin.Object {
	view := admin.Object{}
	for _, m := range a.w.s.members().Servers {
		if m.Role == config.Observer {
			continue
		}
		var quorum, election []string
		for _, addr := range m.Addresses {
			quorum = append(quorum, hostPort(addr.Host, addr.QuorumPort))
			election = append(election, hostPort(addr.Host, addr.ElectionPort))
		}
		client := ""
		switch {
		case m.ClientPort != 0:
			client = hostPort(m.ClientHost, m.ClientPort)
		case m.ID == a.w.s.cfg.MyID:
			client = a.clientAddress()
		}
		view.Add(strconv.FormatInt(m.ID, 10), admin.Object{
			{Name: "server_addresses", Value: quorum}, {Name: "election_addresses", Value: election},
			{Name: "client_address", Value: client}, {Name: "learner_type", Value: m.Role.String()},
		})
	}
	return admin.Object{{Name: "current_config", Value: view}}
}

func (a *adminServer) clientAddress() string {
	c := a.w.s.cfg
	if c.ClientPort == 0 {
		return ""
	}
	return hostPort(cmp.Or(c.ClientPortAddress, "0.0.0.0"), c.ClientPort)
}

func (a *adminServer) watchSummary() admin.Object {
	c := a.w.s.pipeline.WatchCounts()
	return admin.Object{{Name: "num_connections", Value: c.Watchers}, {Name: "num_paths", Value: c.Paths}, {Name: "num_total_watches", Value: c.Watches}}
}

func (a *adminServer) watches() admin.Object {
	out := admin.Object{}
	for _, s := range a.w.watchesBySession() {
		out.Add(strconv.FormatInt(int64(s.ID), 10), s.Paths)
	}
	return admin.Object{{Name: "session_id_to_watched_paths", Value: out}}
}

func (a *adminServer) watchesByPath() admin.Object {
	out := admin.Object{}
	for _, p := range a.w.watchesByPath() {
		ids := make([]int64, 0, len(p.Sessions))
		for _, id := range p.Sessions {
			ids = append(ids, int64(id))
		}
		out.Add(p.Path, ids)
	}
	return admin.Object{{Name: "path_to_session_ids", Value: out}}
}

// zabState tells where a member of an ensemble is in the protocol.
func (a *adminServer) zabState() admin.Object {
	p := a.w.s.peer
	if p == nil {
		return admin.Object{{Name: "voting", Value: false}, {Name: "zabstate", Value: ""}}
	}
	st, zxid := p.Status(), a.w.state().zxid
	self, listed := a.w.s.members().Server(a.w.s.cfg.MyID)
	if !listed { // one that has left, or has not joined yet
		self = a.w.s.cfg.Self()
	}
	return admin.Object{
		{Name: "myid", Value: self.ID}, {Name: "is_leader", Value: st.Role == zab.Leading},
		{Name: "quorum_address", Value: addressBean(self, func(a config.Address) int { return a.QuorumPort })},
		{Name: "election_address", Value: addressBean(self, func(a config.Address) int { return a.ElectionPort })},
		{Name: "client_address", Value: a.clientAddress()}, {Name: "voting", Value: self.Role == config.Participant},
		{Name: "last_zxid", Value: fmt.Sprintf("0x%x", uint64(zxid))}, {Name: "zab_epoch", Value: zab.Zxid(zxid).Epoch()},
		{Name: "zab_counter", Value: int64(zab.Zxid(zxid).Counter())}, {Name: "zabstate", Value: st.Phase.String()},
	}
}

// addressBean has the fields of Java's MultipleAddresses.java. The addresses are
// this server's own: those that the host has now can be reached.
func addressBean(m config.Server, port func(config.Address) int) admin.Object {
	all, reached, wild, hosts := []string{}, []string{}, []string{}, []string{}
	ports := []int64{}
	for _, a := range m.Addresses {
		address := hostPort(a.Host, port(a))
		all = append(all, address)
		if local(a.Host) {
			reached = append(reached, address)
		}
		wild = append(wild, hostPort("0.0.0.0", port(a)))
		hosts = append(hosts, a.Host)
		ports = append(ports, int64(port(a)))
	}
	reachedOrAll := reached
	if len(reached) == 0 {
		reachedOrAll = all
	}
	return admin.Object{
		{Name: "empty", Value: len(all) == 0}, {Name: "all_addresses", Value: all}, {Name: "all_reachable_addresses", Value: reached},
		{Name: "one", Value: first(all)}, {Name: "reachable_address", Value: first(reachedOrAll)},
		{Name: "wildcard_addresses", Value: wild}, {Name: "all_ports", Value: ports}, {Name: "all_host_strings", Value: hosts},
		{Name: "all_reachable_addresses_or_all", Value: reachedOrAll}, {Name: "reachable_or_one", Value: first(reachedOrAll)},
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// local tells whether a host name or address is one of this host's now: only
// then can a socket be bound to it.
func local(host string) bool {
	c, err := net.ListenPacket("udp", hostPort(host, 0))
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// ipOf is the address of a host, as Java's getHostAddress gives it; the name
// itself when it has none now.
func ipOf(host string) string {
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
		return ip.String()
	}
	addrs, err := net.LookupIP(host)
	if err != nil || len(addrs) == 0 {
		return host
	}
	return addrs[0].String()
}
