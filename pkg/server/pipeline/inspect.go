package pipeline

import (
	"fmt"
	"io"
	"time"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/session"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/watch"
)

// ConnInfo is what is known of a connection.
type ConnInfo struct {
	Remote         string // "ip:port"
	Queued         int    // requests not answered yet
	Received, Sent int64  // packets
	Session        int64  // 0 before the handshake
	Timeout        time.Duration
	LastOp         proto.Op // 0 before the first; createSession after the handshake
	LastXid        int32    // -1 before the first
	LastZxid       int64
	LastResponse   time.Time
	LastLatency    int64 // ms
	Latency        *Summary
	Opened         time.Time
	Secure         bool // by TLS
}

// Connections lists the connections, in no particular order.
func (p *Pipeline) Connections() []ConnInfo {
	var out []ConnInfo
	for _, c := range p.conns.list() {
		s := &c.stat
		out = append(out, ConnInfo{
			Remote: c.remote, Queued: c.Waiting(), Received: s.recv.Load(), Sent: s.sent.Load(),
			Session: c.session.Load(), Timeout: c.SessionTimeout(), LastOp: proto.Op(s.last.Load()),
			LastXid: s.lastXid.Load(), LastZxid: s.lastZxid.Load(), LastResponse: time.UnixMilli(s.lastResponse.Load()),
			LastLatency: s.lastLatency.Load(), Latency: &s.latency, Opened: c.opened, Secure: c.secure,
		})
	}
	return out
}

// ConnectionCount is how many connections there are.
func (p *Pipeline) ConnectionCount() int { return p.conns.len() }

// WatchCounts counts the watches that exists and getData left (wchs).
func (p *Pipeline) WatchCounts() watch.Summary { return p.watches.Summary(watch.Data) }

// WatchCount is how many watches there are of either table, as mntr tells
// (DataTree.java, getWatchCount).
func (p *Pipeline) WatchCount() int {
	return p.watches.Count(watch.Data) + p.watches.Count(watch.Child)
}

// WatchedPaths lists what each session watches with exists and getData.
func (p *Pipeline) WatchedPaths() map[int64][]string {
	out := make(map[int64][]string)
	for c, paths := range p.watches.ByWatcher(watch.Data) {
		out[c.session.Load()] = paths
	}
	return out
}

// ResetConnectionStats forgets the figures of the connections (the word crst).
func (p *Pipeline) ResetConnectionStats() {
	for _, c := range p.conns.list() {
		c.stat.recv.Store(0)
		c.stat.sent.Store(0)
		c.stat.latency.reset()
	}
}

// ExpiryBuckets says when which sessions expire; nil on a learner, which does
// not know. At is turned into the wall clock's time.
func (p *Pipeline) ExpiryBuckets() (buckets []session.Bucket, at func(session.Bucket) time.Time) {
	at = func(b session.Bucket) time.Time { return p.start.Add(time.Duration(b.At) * time.Millisecond) }
	if cur := p.term.Load(); cur != nil && cur.leading() {
		buckets = cur.sessions.Buckets()
	}
	return buckets, at
}

// LocalSessions counts the sessions that only this server knows; false when it
// makes none.
func (p *Pipeline) LocalSessions() (int, bool) {
	if cur := p.term.Load(); cur != nil && cur.local != nil {
		return cur.local.Len(), true
	}
	return 0, false
}

// LocalExpiryBuckets says when which local sessions expire, and is otherwise as
// [Pipeline.ExpiryBuckets].
func (p *Pipeline) LocalExpiryBuckets() (buckets []session.Bucket, at func(session.Bucket) time.Time) {
	_, at = p.ExpiryBuckets()
	if cur := p.term.Load(); cur != nil && cur.local != nil {
		buckets = cur.local.Buckets()
	}
	return buckets, at
}

// Receive implements [quorum.Machine].
func (p *Pipeline) Receive(r io.Reader) (quorum.Staged, error) {
	t, err := tree.Read(r, p.kinds())
	if err != nil {
		return nil, fmt.Errorf("snapshot from the leader: %w", err)
	}
	return t, nil
}

// MembersIn implements [quorum.Machine].
func (p *Pipeline) MembersIn(s quorum.Staged) string {
	if t, ok := s.(*tree.Tree); ok {
		if n, ok := t.Get(tree.ConfigPath); ok {
			return string(n.Data())
		}
	}
	return ""
}

func (p *Pipeline) kinds() tree.Options {
	return tree.Options{ExtendedTypes: p.cfg.ExtendedTypes, Emulate353TTL: p.cfg.Emulate353TTL}
}

// RootRights tells whether what a client at peer says of itself gives every
// right on the root znode: nil, [proto.ErrAuthFailed] or [proto.ErrNoAuth]
// (Commands.java, AuthRequest).
func (p *Pipeline) RootRights(scheme string, data []byte, peer auth.Peer) error {
	ids, err := p.cfg.Auth.Authenticate(scheme, data, peer)
	if err != nil {
		return err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	root, ok := p.tree.Get("/")
	if !ok {
		return proto.ErrNoNode
	}
	for _, perm := range []int32{proto.PermRead, proto.PermWrite, proto.PermCreate, proto.PermDelete, proto.PermAdmin} {
		if err := p.cfg.Auth.Check(root.ACL(), perm, ids); err != nil {
			return err
		}
	}
	return nil
}

// TakeSnapshot writes a snapshot of the tree as it is, whole with digest and
// last zxid.
func (p *Pipeline) TakeSnapshot() (storage.SnapshotInfo, error) {
	p.mu.Lock()
	snap := p.tree.Snapshot()
	p.mu.Unlock()
	digest := snap.Digest()
	info, err := p.store.WriteSnapshot(snap, &digest)
	if err != nil {
		p.m.SnapshotErrors.Inc()
		return info, err
	}
	p.m.SnapshotTime.Observe(info.Took.Milliseconds())
	return info, nil
}
