package pipeline

import (
	"time"

	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// Metrics is where everything here is counted.
func (p *Pipeline) Metrics() *metrics.Metrics { return p.m }

// replied counts a reply of size bytes to a request that took so long.
func (p *Pipeline) replied(kind opKind, took time.Duration) {
	p.stats.Sent.Add(1)
	if kind == writeOp {
		p.m.UpdateLatency.Observe(took.Milliseconds())
	} else {
		p.m.ReadLatency.Observe(took.Milliseconds())
	}
}

// responded counts the bytes of a reply.
func (p *Pipeline) responded(size int) {
	p.stats.Responses.add(int64(size))
	p.m.ResponseBytes.Add(int64(size))
}

// notified counts the bytes of an event.
func (p *Pipeline) notified(size int) {
	p.stats.Responses.add(int64(size))
	p.m.WatchBytes.Add(int64(size))
}

// Latency sums up how long requests took, from receipt to reply.
func (p *Pipeline) Latency() Latency {
	r, u := &p.m.ReadLatency, &p.m.UpdateLatency
	l := Latency{Max: max(r.Max(), u.Max())}
	switch reads, updates := r.Count(), u.Count(); {
	case reads > 0 && updates > 0:
		l.Min = min(r.Min(), u.Min())
		l.Avg = float64(r.Sum()+u.Sum()) / float64(reads+updates)
	case reads > 0:
		l.Min, l.Avg = r.Min(), r.Avg()
	case updates > 0:
		l.Min, l.Avg = u.Min(), u.Avg()
	}
	return l
}

// Latency is in ms.
type Latency struct {
	Min, Max int64
	Avg      float64
}

// statBytes is what a znode's stat counts for in figures by namespace
// (DataTree.java, STAT_OVERHEAD_BYTES).
const statBytes = 6*8 + 5*4

// readBytes counts a read of a znode by namespace.
func (p *Pipeline) readBytes(path string, n int) {
	if ns := namespace(path); ns != "" {
		p.m.ReadBytes.Observe(ns, int64(len(path)+n+statBytes))
	}
}

// wroteBytes counts a write by namespace.
func (p *Pipeline) wroteBytes(path string, n int) {
	if ns := namespace(path); ns != "" {
		p.m.WriteBytes.Observe(ns, int64(len(path)+n+statBytes))
	}
}

// applied measures a transaction that has been applied.
func (p *Pipeline) countWrite(body txn.Body) {
	switch b := body.(type) {
	case *txn.Create:
		p.wroteBytes(b.Path, len(b.Data))
	case *txn.SetData:
		p.wroteBytes(b.Path, len(b.Data))
	case *txn.Delete:
		p.wroteBytes(b.Path, 0)
	case *txn.Multi:
		for i := range b.Parts {
			p.countWrite(b.Parts[i].Body)
		}
	}
}

// countCommitted measures transactions when they are known to be committed,
// and countApplied when they have been applied. Their times are those of the
// leader's clock.
func (p *Pipeline) countCommitted(ts []*txn.Txn) {
	now := time.Now().UnixMilli()
	for _, t := range ts {
		p.m.CommitLatency.Observe(now - t.Time)
	}
}

func (p *Pipeline) countApplied(ts []*txn.Txn) {
	now := time.Now().UnixMilli()
	for _, t := range ts {
		p.m.PropagationLatency.Observe(now - t.Time)
		p.countWrite(t.Body)
	}
}

// countFired measures how many watches a change fired, when it fired any
// (WatchManager.java, triggerWatch).
func (p *Pipeline) countFired(typ proto.EventType, n int) {
	if n == 0 {
		return
	}
	switch typ {
	case proto.EventCreated:
		p.m.WatchesCreated.Observe(int64(n))
	case proto.EventDeleted:
		p.m.WatchesDeleted.Observe(int64(n))
	case proto.EventDataChanged:
		p.m.WatchesChanged.Observe(int64(n))
	case proto.EventChildrenChanged:
		p.m.WatchesChildren.Observe(int64(n))
	}
}

// queueWrite hands a write or sync to the prepare goroutine.
func (p *Pipeline) queueWrite(it prepItem) {
	it.since = int64(time.Since(p.start))
	p.m.PrepQueued.Inc()
	p.writes.put(it)
}

// countPrepared measures writes that were prepared from start on, a time on
// the pipeline's clock.
func (p *Pipeline) countPrepared(items []prepItem, start time.Duration) {
	if len(items) == 0 {
		return
	}
	for i := range items {
		p.m.PrepQueueTime.Observe((int64(start) - items[i].since) / int64(time.Millisecond))
	}
	took := time.Since(p.start) - start
	p.m.PrepTime.ObserveN((took / time.Duration(len(items))).Milliseconds(), len(items))
}
