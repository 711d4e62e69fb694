package server

import (
	"cmp"
	"maps"
	"slices"
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/pipeline"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/session"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// lastOp is how cons names an operation (Request.op2String, ServerCnxn.java).
func lastOp(op proto.Op) string {
	names := map[proto.Op]string{
		proto.OpPing: "PING", proto.OpCreateSession: "SESS", proto.OpMulti: "MULT", proto.OpMultiRead: "MLTR",
		proto.OpCreate: "CREA", proto.OpCreate2: "CREA", proto.OpCreateContainer: "CREA", proto.OpCreateTTL: "CREA",
		proto.OpDelete: "DELE", proto.OpDeleteContainer: "DELE", proto.OpSetData: "SETD", proto.OpReconfig: "RECO",
		proto.OpSetACL: "SETA", proto.OpCloseSession: "CLOS", proto.OpSync: "SYNC", proto.OpCheck: "CHEC",
		proto.OpExists: "EXIS", proto.OpGetData: "GETD", proto.OpSetWatches: "SETW", proto.OpSetWatches2: "STW2",
		proto.OpAddWatch: "ADDW", proto.OpGetACL: "GETA", proto.OpGetChildren: "GETC", proto.OpGetChildren2: "GETC",
		proto.OpGetAllChildrenNumber: "GETACN", proto.OpCheckWatches: "CHKW", proto.OpRemoveWatches: "REMW",
		proto.OpWhoAmI: "HOMI", proto.OpGetEphemerals: "GETE",
	}
	if name, ok := names[op]; ok {
		return name
	}
	return "NA"
}

// connections lists the clients; with their sessions for the word cons.
func (w *words) connections(sessions bool) []fourletter.Connection {
	list := w.s.pipeline.Connections()
	slices.SortFunc(list, func(a, b pipeline.ConnInfo) int { return cmp.Compare(a.Remote, b.Remote) })
	out := w.strangers()
	for _, c := range list {
		fc := fourletter.Connection{Address: c.Remote, Interest: 1, Queued: int64(c.Queued), Received: c.Received, Sent: c.Sent}
		if sessions && c.Session != 0 {
			fc.Session = w.sessionStats(c)
		}
		out = append(out, fc)
	}
	return out
}

// strangers are the connections that are no clients: the one that asks, and
// those that have said nothing yet (NIOServerCnxn.java, dumpConnectionInfo).
func (w *words) strangers() []fourletter.Connection {
	var out []fourletter.Connection
	for _, c := range w.s.strangers() {
		fc := fourletter.Connection{Address: c.Remote, Interest: 1}
		if c.Asking { // its word is the packet that was received
			fc.Interest, fc.Received = 0, 1
		}
		out = append(out, fc)
	}
	slices.SortFunc(out, func(a, b fourletter.Connection) int { return cmp.Compare(a.Address, b.Address) })
	return out
}

func (w *words) sessionStats(c pipeline.ConnInfo) *fourletter.SessionStats {
	return &fourletter.SessionStats{
		ID: fourletter.SessionID(c.Session), LastOp: lastOp(c.LastOp), Established: c.Opened, Timeout: c.Timeout,
		LastCxid: uint64(uint32(c.LastXid)), HasCxid: c.LastXid >= 0, LastZxid: fourletter.Zxid(c.LastZxid),
		LastResponse: c.LastResponse.Sub(w.s.start).Milliseconds(), LastLatency: c.LastLatency,
		MinLatency: c.Latency.Min(), AvgLatency: int64(c.Latency.Avg()), MaxLatency: c.Latency.Max(),
	}
}

// readOnly tells whether this server serves only reads.
func (w *words) readOnly() bool { return w.s.pipeline.ReadOnly() }

func (w *words) hash() (a fourletter.HashAnswer) {
	w.s.pipeline.View(func(t *tree.Tree) {
		for _, d := range t.DigestLog() {
			a.Digests = append(a.Digests, fourletter.ZxidDigest{Zxid: fourletter.Zxid(d.Zxid), Digest: d.Digest})
		}
	})
	return a
}

func (w *words) watchesBySession() []fourletter.SessionPaths {
	var out []fourletter.SessionPaths
	for id, paths := range w.s.pipeline.WatchedPaths() {
		slices.Sort(paths)
		out = append(out, fourletter.SessionPaths{ID: fourletter.SessionID(id), Paths: paths})
	}
	slices.SortFunc(out, func(a, b fourletter.SessionPaths) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (w *words) watchesByPath() []fourletter.PathSessions {
	byPath := make(map[string][]fourletter.SessionID)
	for id, paths := range w.s.pipeline.WatchedPaths() {
		for _, path := range paths {
			byPath[path] = append(byPath[path], fourletter.SessionID(id))
		}
	}
	var out []fourletter.PathSessions
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		slices.Sort(byPath[path])
		out = append(out, fourletter.PathSessions{Path: path, Sessions: byPath[path]})
	}
	return out
}

func (w *words) dump() fourletter.DumpAnswer {
	a := fourletter.DumpAnswer{HasConnections: true}
	a.Learner = w.mode() != fourletter.ModeLeader && w.mode() != fourletter.ModeStandalone
	a.Sets = sessionSets(w.s.pipeline.ExpiryBuckets())
	if _, a.HasLocal = w.s.pipeline.LocalSessions(); a.HasLocal {
		a.LocalSets = sessionSets(w.s.pipeline.LocalExpiryBuckets())
	}
	w.s.pipeline.View(func(t *tree.Tree) {
		for id, timeout := range t.Sessions {
			if a.Learner {
				a.Global = append(a.Global, fourletter.SessionTimeout{ID: fourletter.SessionID(id), Timeout: time.Duration(timeout) * time.Millisecond})
			}
			if paths := t.Ephemerals(id); len(paths) > 0 {
				a.Ephemerals = append(a.Ephemerals, fourletter.SessionPaths{ID: fourletter.SessionID(id), Paths: paths})
			}
		}
	})
	slices.SortFunc(a.Global, func(a, b fourletter.SessionTimeout) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(a.Ephemerals, func(a, b fourletter.SessionPaths) int { return cmp.Compare(a.ID, b.ID) })
	a.Connections = w.connectionSets()
	return a
}

func sessionSets(buckets []session.Bucket, at func(session.Bucket) time.Time) (sets []fourletter.SessionSet) {
	for _, b := range buckets {
		set := fourletter.SessionSet{At: at(b)}
		for _, id := range b.IDs {
			set.Sessions = append(set.Sessions, fourletter.SessionID(id))
		}
		sets = append(sets, set)
	}
	return sets
}

// connectionSets groups the connections by when they are closed if nothing
// comes from them, to the granularity of nio.sessionlessCnxnTimeout
// (NIOServerCnxnFactory.java, touchCnxn).
func (w *words) connectionSets() []fourletter.ConnectionSet {
	unit := max(w.s.cfg.SessionlessTimeout, time.Second)
	sets := make(map[int64][]fourletter.DumpConnection)
	add := func(heard time.Time, timeout time.Duration, c fourletter.DumpConnection) {
		at := heard.Add(timeout).Truncate(unit).Add(unit).Unix()
		sets[at] = append(sets[at], c)
	}
	for _, c := range w.s.strangers() {
		add(time.Now(), unit, fourletter.DumpConnection{Address: c.Remote})
	}
	for _, c := range w.s.pipeline.Connections() {
		heard := c.Opened
		if c.LastResponse.After(heard) {
			heard = c.LastResponse
		}
		timeout := c.Timeout
		if timeout == 0 {
			timeout = unit
		}
		add(heard, timeout, fourletter.DumpConnection{Address: c.Remote, Session: fourletter.SessionID(c.Session)})
	}
	var out []fourletter.ConnectionSet
	for _, at := range slices.Sorted(maps.Keys(sets)) {
		out = append(out, fourletter.ConnectionSet{At: time.Unix(at, 0), Connections: sets[at]})
	}
	return out
}
