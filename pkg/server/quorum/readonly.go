package quorum

import (
	"time"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// offerReads lets the machine serve reads once a leader has been looked for in
// vain for a while. Every change of role ends that (QuorumPeer.java, run).
func (p *Peer) offerReads(now time.Time) {
	if !p.cfg.ReadOnly || p.readOnly || p.place.Role != zab.Looking || now.Sub(p.counts.lookingSince) < p.cfg.ReadOnlyWait {
		return
	}
	p.readOnly = true
	p.log.Info("no leader found: clients that only read are served", "after", p.cfg.ReadOnlyWait)
	looking := zab.RoleChange{Role: zab.Looking, Phase: zab.Election, Leader: zab.None}
	p.whenBased(func() { p.machine.Term(Term{RoleChange: looking, ReadOnly: true}) })
}
