package quorum

import (
	"fmt"
	"sync"
	"time"

	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// diskJob is what one Ready asks of the disk, done in the order of the fields.
type diskJob struct {
	mark      uint64
	truncate  *zab.Zxid
	install   *zab.Zxid
	staged    Staged // for install
	proposals []zab.Proposal
	members   func() // writes memberships down; nil for none
	epochs    *zab.Epochs
	since     time.Time // when it was queued
}

// disk does what is queued for it, in order and on one goroutine. Everything that
// queued up while it was busy shares one sync.
type disk struct {
	log     Log
	base    base
	m       *metrics.Metrics
	durable func(mark uint64) // everything up to mark is on disk
	failed  func(error)       // called once; nothing is done after it

	// Used by run only.
	dirty bool // something is appended and not synced
	batch int  // how many transactions that is

	mu     sync.Mutex
	work   *sync.Cond
	queue  []diskJob
	closed bool
}

// base changes what the log stands on; a [Machine] does.
type base interface {
	Truncate(zab.Zxid) error
	Install(Staged, zab.Zxid) error
}

func newDisk(log Log, b base, m *metrics.Metrics, durable func(uint64), failed func(error)) *disk {
	d := &disk{log: log, base: b, m: m, durable: durable, failed: failed}
	d.work = sync.NewCond(&d.mu)
	return d
}

// put queues a job; it does not wait.
func (d *disk) put(j diskJob) {
	d.mu.Lock()
	defer d.mu.Unlock()
	j.since = time.Now()
	d.queue = append(d.queue, j)
	d.work.Signal()
}

// close makes run return when it has done what it is at. What still waits is
// dropped: nobody was told that it is on disk.
func (d *disk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.work.Signal()
}

// take waits for work; it returns none when the disk is closed.
func (d *disk) take() []diskJob {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) == 0 && !d.closed {
		d.work.Wait()
	}
	jobs := d.queue
	d.queue = nil
	if d.closed {
		return nil
	}
	return jobs
}

// run works until close, or until the disk fails.
func (d *disk) run() {
	for {
		jobs := d.take()
		if jobs == nil {
			return
		}
		if err := d.do(jobs); err != nil {
			d.failed(err)
			return
		}
		d.durable(jobs[len(jobs)-1].mark)
	}
}

// do performs jobs; the appends of consecutive ones share a sync.
func (d *disk) do(jobs []diskJob) error {
	start := time.Now()
	d.m.SyncQueueSize.Observe(int64(len(jobs)))
	for _, j := range jobs {
		d.m.SyncQueued.Add(int64(len(j.proposals)))
		d.m.SyncQueueTime.Observe(start.Sub(j.since).Milliseconds())
		if err := d.one(j); err != nil {
			return err
		}
	}
	if err := d.sync(); err != nil {
		return err
	}
	d.m.SyncTime.Since(start)
	for _, j := range jobs {
		d.m.SyncWholeTime.Since(j.since)
	}
	return nil
}

// one performs a job but for the sync after its appends.
func (d *disk) one(j diskJob) error {
	if j.truncate != nil || j.install != nil {
		if err := d.rebase(j); err != nil {
			return err
		}
	}
	if len(j.proposals) > 0 {
		d.dirty = true
		d.batch += len(j.proposals)
		if err := d.log.Append(j.proposals); err != nil {
			return fmt.Errorf("append %s to the log: %w", j.proposals[0].Zxid, err)
		}
	}
	if j.members != nil {
		if err := d.sync(); err != nil { // a membership is never ahead of its proposal
			return err
		}
		j.members()
	}
	if j.epochs == nil {
		return nil
	}
	if err := d.sync(); err != nil {
		return err
	}
	if err := d.log.WriteEpochs(*j.epochs); err != nil {
		return fmt.Errorf("write the epochs: %w", err)
	}
	return nil
}

// sync makes what was appended durable.
func (d *disk) sync() error {
	if !d.dirty {
		return nil
	}
	d.dirty = false
	d.m.SyncBatchSize.Observe(int64(d.batch))
	d.batch = 0
	if err := d.log.Sync(); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	return nil
}

// rebase truncates the log or installs a snapshot, behind what was appended.
func (d *disk) rebase(j diskJob) error {
	if err := d.sync(); err != nil {
		return err
	}
	if j.truncate != nil {
		if err := d.base.Truncate(*j.truncate); err != nil {
			return fmt.Errorf("truncate the log after %s: %w", *j.truncate, err)
		}
	}
	if j.install != nil {
		if err := d.base.Install(j.staged, *j.install); err != nil {
			return fmt.Errorf("install the leader's snapshot of %s: %w", *j.install, err)
		}
	}
	return nil
}
