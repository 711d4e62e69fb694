package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// An applyItem is work for the apply goroutine: proposals, or something to
// run when everything before it has been applied.
type applyItem struct {
	proposals []zab.Proposal
	run       func()
}

// applyBatch bounds how many transactions are applied before readers get
// their turn.
const applyBatch = 200

func (p *Pipeline) applyLoop() {
	var items []applyItem
	broken := false
	for {
		var ok bool
		if items, ok = p.applying.take(items); !ok {
			return
		}
		var batch []*txn.Txn
		bytes := 0
		flush := func() {
			if len(batch) > 0 {
				p.applyTxns(batch, bytes)
				batch, bytes = batch[:0], 0
			}
		}
		for _, it := range items {
			for _, pr := range it.proposals {
				if broken {
					break // nothing may follow what could not be applied
				}
				t, err := txn.Decode(pr.Data)
				if err != nil {
					broken = true
					p.fail(fmt.Errorf("committed proposal %v cannot be read: %w", pr.Zxid, err))
					break
				}
				batch, bytes = append(batch, t), bytes+len(pr.Data)
				if len(batch) == applyBatch {
					flush()
				}
			}
			if it.run != nil {
				flush()
				it.run()
			}
		}
		flush()
	}
}

// applyTxns applies transactions and queues what they cause: events to the
// watchers and replies to the clients connected here.
func (p *Pipeline) applyTxns(ts []*txn.Txn, bytes int) {
	p.countCommitted(ts)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range ts {
		res := p.tree.Apply(t)
		p.checkDigest(t)
		p.sessionApplied(t)
		p.fire(&res)
		p.conns.applied(t, &res)
		p.auditClosed(t, &res)
	}
	p.countForSnapshot(len(ts), bytes)
	p.countApplied(ts)
}

// checkDigest compares the tree with what the leader says it should be. A leader
// of Apache's goes on changing its tree while it writes it to a learner, so that
// what was committed meanwhile may be in a snapshot already when it is applied
// here; it commits all of that before NEWLEADER, so when a term begins the tree is
// what its zxid says (LearnerHandler.java, DataTree.compareDigest).
func (p *Pipeline) checkDigest(t *txn.Txn) {
	if t.Digest == nil || t.Digest.Version != txn.DigestVersion || !p.cfg.Digests || p.fuzzy {
		return
	}
	if have := p.tree.Digest(); have != t.Digest.Tree {
		first := p.m.DigestMismatches.Load() == 0 // only this goroutine counts them
		if p.m.DigestMismatches.Inc(); first {
			p.log.Error("the tree differs from the leader's: digests do not match from here on",
				"zxid", fmt.Sprintf("0x%x", t.Zxid), "type", t.Type.String(), "have", have, "want", t.Digest.Tree)
		}
	}
}

// sessionApplied keeps the leader's session timers in step with the session
// table, and what is in that table is not local.
func (p *Pipeline) sessionApplied(t *txn.Txn) {
	cur := p.term.Load()
	if cur == nil || t.Type != proto.OpCreateSession && t.Type != proto.OpCloseSession {
		return
	}
	if cur.local != nil {
		cur.local.Committed(t.ClientID)
	}
	if !cur.leading() {
		return
	}
	switch b := t.Body.(type) {
	case *txn.CreateSession:
		cur.sessions.Add(t.ClientID, b.Timeout, p.monotonic())
	case *txn.CloseSession:
		cur.sessions.Remove(t.ClientID)
	}
}

// fire sends the events of a transaction to those who watch and may read the
// znode (CVE-2024-23944).
func (p *Pipeline) fire(res *tree.Result) {
	for i := range res.Parts {
		p.fire(&res.Parts[i])
	}
	for _, e := range res.Events {
		fired := 0
		p.watches.Trigger(e.Type, e.Path, func(c *Conn) {
			fired++
			if p.cfg.Auth.Allowed(e.ACL, proto.PermRead, c.ids()) {
				c.event(e.Type, e.Path, res.Zxid)
			}
		})
		p.countFired(e.Type, fired)
	}
}

// Snapshot implements [quorum.Machine].
func (p *Pipeline) Snapshot() (quorum.Snapshot, error) {
	p.drain()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tree.Snapshot(), nil
}

// CanTruncate implements [quorum.Machine].
func (p *Pipeline) CanTruncate(zxid zab.Zxid) bool {
	err := p.store.CanTruncate(int64(zxid))
	if err != nil {
		p.log.Warn("cannot go back as the leader asks; asking it for a snapshot instead", "to", zxid.String(), "err", err)
	}
	return err == nil
}

// Truncate implements [quorum.Machine].
func (p *Pipeline) Truncate(zxid zab.Zxid) error {
	p.drain()
	if err := p.store.Truncate(int64(zxid)); err != nil {
		return fmt.Errorf("truncate to %v as the leader asks: %w", zxid, err)
	}
	start := time.Now()
	r, err := p.store.Recover(context.Background())
	if err != nil {
		return fmt.Errorf("reload after truncating to %v: %w", zxid, err)
	}
	// Counter 0 is no transaction: the log may end before it.
	if r.LastZxid > int64(zxid) || r.LastZxid < int64(zxid) && zxid.Counter() != 0 {
		return fmt.Errorf("truncated to %v as the leader asked, but the history now ends at 0x%x: zkctl server rejoin copies the state anew", zxid, r.LastZxid)
	}
	p.replaceTree(r.Tree)
	p.log.Info("truncated and reloaded", "zxid", zxid.String(), "took", time.Since(start))
	return nil
}

// Install implements [quorum.Machine].
func (p *Pipeline) Install(s quorum.Staged, zxid zab.Zxid) error {
	t, ok := s.(*tree.Tree)
	if !ok {
		return fmt.Errorf("no snapshot was received for %v", zxid)
	}
	p.drain()
	t.SetLastZxid(int64(zxid))
	// Without a digest: that of a fuzzy tree would be held against the log that
	// follows, by whoever starts from this file.
	if err := p.store.Install(t.Snapshot(), nil); err != nil {
		return fmt.Errorf("store the leader's snapshot of %v: %w", zxid, err)
	}
	p.replaceTree(t)
	p.setFuzzy(true)
	p.log.Info("installed the leader's snapshot", "zxid", zxid.String(), "znodes", t.NodeCount())
	return nil
}

func (p *Pipeline) setFuzzy(fuzzy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fuzzy = fuzzy
}

func (p *Pipeline) replaceTree(t *tree.Tree) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tree = t
	p.writeMembership()
	p.snapshot.plan(p.cfg)
}
