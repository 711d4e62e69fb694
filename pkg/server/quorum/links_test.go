package quorum

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// A snapshot may take longer than any limit as long as its bytes move.
func TestLongSnapshot(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	for _, s := range e.servers {
		s.cfg.WindowCount = 1
		s.cfg.InitLimit, s.cfg.SyncLimit = 5, 3 // 1 s, 600 ms
		s.bulk = 32 << 20
	}
	net := e.mesh()
	e.start(2, 3)
	leader := e.leader()
	e.write(leader, 5, "x")
	for _, proxies := range net[1] {
		proxies[0].setPace(2 * time.Millisecond) // for each 32 KiB: two seconds
	}
	begin := time.Now()
	e.start(1)
	e.leader()
	e.equal()
	if took := time.Since(begin); took < 2*time.Second {
		t.Skipf("the transfer took %s only: nothing is shown", took)
	}
	if s := e.servers[1]; s.received != 1 || s.installs != 1 {
		t.Errorf("%d snapshots were received and %d installed, want 1", s.received, s.installs)
	}
}

// A learner whose machine refuses the snapshot does not serve, and tries again.
func TestBrokenSnapshot(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	for _, s := range e.servers {
		s.cfg.WindowCount = 1
	}
	e.start(2, 3)
	e.write(e.leader(), 5, "x")
	s := e.servers[1]
	s.refuse = 2
	e.start(1)
	e.leader()
	e.equal()
	if s.received < 3 || s.installs != 1 {
		t.Errorf("%d snapshots received, %d installed", s.received, s.installs)
	}
}

// The machine of a leader cannot make a snapshot: that learner does not join, the
// others go on.
func TestNoSnapshotToSend(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	for _, s := range e.servers {
		s.cfg.WindowCount = 1
		s.snapshotFault = errInjected
	}
	e.start(2, 3)
	leader := e.leader()
	e.write(leader, 5, "x")
	e.start(1)
	waitFor(t, "it was asked for a snapshot", func() bool { return view(leader.memory, func() bool { return leader.snapshots > 1 }) })
	if e.servers[1].serving() {
		t.Error("a learner without a snapshot serves")
	}
	leader.propose([]byte("y"))
	waitFor(t, "the others go on", func() bool { return strings.Contains(leader.contents(), "=y\n") })
	for _, s := range e.servers {
		view(s.memory, func() error { s.snapshotFault = nil; return nil })
	}
	e.leader()
	e.equal()
}

func TestDialPause(t *testing.T) {
	for vain, want := range map[int]time.Duration{
		0: 0, 1: 0, 2: 20 * time.Millisecond, 3: 40 * time.Millisecond, 7: 640 * time.Millisecond, 8: time.Second, 1000: time.Second,
	} {
		if got := dialPause(vain); got != want {
			t.Errorf("after %d vain attempts the pause is %s, want %s", vain, got, want)
		}
	}
}

func TestOutboundBound(t *testing.T) {
	o := newOutbound()
	item := outItem{packet: packet{data: make([]byte, 100)}}
	for _, tt := range []struct {
		bound int
		want  bool
	}{{50, true}, {50, false}, {0, true}, {1000, true}, {200, false}} {
		if got := o.put(item, tt.bound); got != tt.want {
			t.Errorf("bound %d with %d bytes waiting: %v", tt.bound, o.bytes, got)
		}
	}
	items, open := o.take()
	if len(items) != 3 || !open {
		t.Errorf("%d items, open %v", len(items), open)
	}
	for _, i := range items {
		o.written(i)
	}
	if o.bytes != 0 {
		t.Errorf("%d bytes are left of nothing", o.bytes)
	}
	o.close()
	if _, open := o.take(); open || !o.put(item, 1) {
		t.Error("a closed queue must swallow what is put")
	}
}

// The disk does the parts of a job in order, syncs before what must come after the
// appends, and nothing after a failure.
func TestDiskOrder(t *testing.T) {
	z := zab.Zxid(1)
	tests := []struct {
		name string
		jobs []diskJob
		fail string
		want string
	}{
		{"one sync for all", []diskJob{{proposals: []zab.Proposal{{Zxid: 1}}}, {proposals: []zab.Proposal{{Zxid: 2}}}}, "", "append append sync"},
		{"epochs after sync", []diskJob{{proposals: []zab.Proposal{{Zxid: 1}}, epochs: &zab.Epochs{}}, {proposals: []zab.Proposal{{Zxid: 2}}}}, "", "append sync epochs append sync"},
		{"base after sync", []diskJob{{proposals: []zab.Proposal{{Zxid: 1}}}, {truncate: &z, install: &z, proposals: []zab.Proposal{{Zxid: 2}}}}, "", "append sync truncate install append sync"},
		{"epochs only", []diskJob{{epochs: &zab.Epochs{}}}, "", "epochs"},
		{"append fails", []diskJob{{proposals: []zab.Proposal{{Zxid: 1}}, epochs: &zab.Epochs{}}}, "append", "append"},
		{"sync fails", []diskJob{{proposals: []zab.Proposal{{Zxid: 1}}, epochs: &zab.Epochs{}}}, "sync", "append sync"},
		{"truncate fails", []diskJob{{truncate: &z, epochs: &zab.Epochs{}}}, "truncate", "truncate"},
		{"install fails", []diskJob{{install: &z, epochs: &zab.Epochs{}}}, "install", "install"},
		{"epochs fail", []diskJob{{epochs: &zab.Epochs{}}, {proposals: []zab.Proposal{{Zxid: 1}}}}, "epochs", "epochs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &recorder{fail: tt.fail}
			d := newDisk(r, r, metrics.New(), nil, nil)
			err := d.do(tt.jobs)
			if got := strings.Join(r.calls, " "); got != tt.want {
				t.Errorf("did %q, want %q", got, tt.want)
			}
			if errors.Is(err, errInjected) != (tt.fail != "") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// recorder is a log and base that fails at one call.
type recorder struct {
	calls []string
	fail  string
}

func (r *recorder) call(name string) error {
	r.calls = append(r.calls, name)
	if name == r.fail {
		return errInjected
	}
	return nil
}

func (r *recorder) Append([]zab.Proposal) error    { return r.call("append") }
func (r *recorder) Sync() error                    { return r.call("sync") }
func (r *recorder) WriteEpochs(zab.Epochs) error   { return r.call("epochs") }
func (r *recorder) CanTruncate(zab.Zxid) bool      { return true }
func (r *recorder) Truncate(zab.Zxid) error        { return r.call("truncate") }
func (r *recorder) Install(Staged, zab.Zxid) error { return r.call("install") }
