package pipeline

import (
	"errors"
	"fmt"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// A reconfigPlan is what a reconfig request comes to, worked out before the
// transaction is made: whether a quorum of the new members is at hand is for the
// order to say, which must not be asked under the tree's lock.
type reconfigPlan struct {
	text string // the new configuration, as it will stand in /zookeeper/config
	err  error
}

// prepareReconfig turns a reconfig request into a transaction and proposes it.
// No other proposal comes between, so that the version, which is the zxid, is
// known beforehand.
//
// Source: PrepRequestProcessor.java (pRequest2Txn, case reconfig).
func (p *Pipeline) prepareReconfig(cur *leading, it *prepItem) {
	w := &it.write
	p.mu.RLock()
	cur.prep.changes.tree = p.tree
	cur.prep.changes.settle(p.tree.LastZxid())
	plan := p.planReconfig(cur.prep, w)
	p.mu.RUnlock()
	if plan.err == nil {
		plan.err = reconfigCode(p.order.CheckReconfig(cur.epoch, plan.text))
	}
	w.plan = &plan
	p.mu.RLock()
	t := cur.prep.prepare(w)
	p.mu.RUnlock()
	if t == nil {
		p.refuseUnreadable(cur, it)
		return
	}
	if plan.err != nil {
		p.log.Info("reconfiguration refused", "session", sessionText(w.Session), "why", plan.err)
	}
	p.order.Propose(cur.epoch, []zab.Proposal{{Zxid: zab.Zxid(t.Zxid), Data: t.Append(nil)}})
}

// planReconfig makes the new configuration. The order of the checks is Apache's.
func (p *Pipeline) planReconfig(prep *preparer, w *write) reconfigPlan {
	fail := func(err error) reconfigPlan { return reconfigPlan{err: err} }
	var r proto.ReconfigRequest
	d := jute.NewDecoder(w.Body)
	r.Decode(d)
	switch {
	case d.Err() != nil:
		return fail(fmt.Errorf("%w: %w", errUnreadable, d.Err()))
	case p.cfg.Reconfigure == nil:
		return fail(proto.ErrReconfigDisabled)
	}
	if err := prep.checkSession(w); err != nil {
		return fail(err)
	}
	if p.cfg.Standalone {
		return fail(fmt.Errorf("%w: a server that stands alone has no ensemble", proto.ErrUnimplemented))
	}
	node, err := prep.changes.get(tree.ConfigPath)
	switch {
	case err != nil:
		return fail(err)
	case node.stored.Mzxid > p.tree.LastZxid():
		return fail(fmt.Errorf("%w: that of 0x%x", proto.ErrReconfigInProgress, node.stored.Mzxid))
	}
	text, err := p.cfg.Reconfigure(string(node.data), r, prep.next)
	return reconfigPlan{text: text, err: err}
}

// reconfigCode is what a client is told when the order refuses a membership.
func reconfigCode(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, zab.ErrNoQuorum):
		return fmt.Errorf("%w: %w", proto.ErrNewConfigNoQuorum, err)
	case errors.Is(err, zab.ErrReconfig):
		return fmt.Errorf("%w: %w", proto.ErrReconfigInProgress, err)
	}
	return fmt.Errorf("%w: %w", proto.ErrSystem, err)
}

// reconfig makes the transaction of a plan.
func (p *preparer) reconfig(w *write, t *txn.Txn) (txn.Body, error) {
	if w.plan.err != nil {
		return nil, w.plan.err
	}
	node, err := p.changes.get(tree.ConfigPath)
	if err != nil {
		return nil, err
	}
	if err := p.auth.Check(node.acl, proto.PermWrite, w.Auth); err != nil {
		return nil, err
	}
	p.changes.edit(t.Zxid, node, func(c *change) {
		c.data = []byte(w.plan.text)
		c.stored.Version = -1
		c.stored.Mzxid, c.stored.Mtime = t.Zxid, t.Time
	})
	return &txn.SetData{Path: tree.ConfigPath, Data: []byte(w.plan.text), Version: -1}, nil
}

// SetMembership puts the text of the ensemble's configuration into
// /zookeeper/config, unless what is there is newer. It is no transaction: each
// server does it for itself (DataTree.java, initConfigInZKDatabase).
func (p *Pipeline) SetMembership(text string, version int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.membership = membership{text, version}
	p.writeMembership()
}

// A membership is what /zookeeper/config holds.
type membership struct {
	text    string
	version int64
}

// writeMembership is to be called when the tree is another; p.mu is held.
func (p *Pipeline) writeMembership() {
	if p.membership.text == "" {
		return
	}
	n, ok := p.tree.Get(tree.ConfigPath)
	if ok && (n.Mzxid() > p.membership.version && p.cfg.Reconfigure != nil || string(n.Data()) == p.membership.text) {
		return
	}
	p.tree.SetConfig([]byte(p.membership.text), p.membership.version, time.Now().UnixMilli())
}
