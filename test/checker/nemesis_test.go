package checker

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
	"github.com/zkctl/zkctl/test/testbed"
)

// nemesisFaults are what happens to hosts. All end by mend.
func (f *fleet) nemesisFaults() []fault {
	single := append(f.hostFaults(), f.networkFaults()...)
	two := func(r *rand.Rand, leader int) {
		order := r.Perm(len(single))
		for _, i := range order[:2] {
			f.t.Logf("       … %s", single[i].name)
			single[i].begin(r, leader)
		}
	}
	return append(single,
		fault{"two at once", two, f.mend},
		fault{"full disk of the leader", func(_ *rand.Rand, leader int) { f.fill(leader) }, f.mend},
		fault{"full disk of another", func(r *rand.Rand, leader int) { f.fill(another(f.Len(), r, leader)) }, f.mend},
		fault{"rolling restart", func(*rand.Rand, int) { f.must(f.zkctl("restart", "--yes")) }, f.mend},
	)
}

// hostFaults are those of processes and whole hosts.
func (f *fleet) hostFaults() []fault {
	on := func(name string, do func(sid int)) []fault {
		return []fault{
			{name + " the leader", func(_ *rand.Rand, leader int) { f.ifUsable(leader, do) }, f.mend},
			{name + " another", func(r *rand.Rand, leader int) { f.ifUsable(another(f.Len(), r, leader), do) }, f.mend},
		}
	}
	all := func(do func(sid int)) func(*rand.Rand, int) {
		return func(*rand.Rand, int) {
			for sid := 1; sid <= f.Len(); sid++ {
				f.ifUsable(sid, do)
			}
		}
	}
	kill := func(sid int) { f.signal(sid, "KILL") }
	faults := append(on("kill -9", kill), fault{"kill -9 all", all(kill), f.mend})
	faults = append(faults, on("SIGSTOP", func(sid int) { f.signal(sid, "STOP"); f.stopped[sid] = true })...)
	faults = append(faults, on("freeze the host of", func(sid int) {
		f.must(f.host(sid).Pause(f.t.Context()))
		f.frozen[sid] = true
	})...)
	power := func(sid int) { f.must(f.host(sid).Kill(f.t.Context())) }
	return append(append(faults, on("power off", power)...), fault{"power off all", all(power), f.mend})
}

// ifUsable leaves alone a host that another fault has stopped already.
func (f *fleet) ifUsable(sid int, do func(sid int)) {
	if f.usable(sid) {
		do(sid)
	}
}

// networkFaults are those of the switch between the hosts, and of their cables.
func (f *fleet) networkFaults() []fault {
	simple := func(name string, do func(leader int)) fault {
		return fault{name, func(_ *rand.Rand, leader int) { do(leader) }, f.mend}
	}
	return []fault{
		simple("isolate the leader", func(leader int) { f.apart([]int{leader}) }),
		{"leader in a minority", func(r *rand.Rand, leader int) { f.apart(minority(f.Len(), r, leader)) }, f.mend},
		simple("leader is not heard", func(leader int) { f.others(leader, func(o string) { f.oneWay(f.host(leader).Name, o) }) }),
		simple("leader does not hear", func(leader int) { f.others(leader, func(o string) { f.oneWay(o, f.host(leader).Name) }) }),
		{"ring", func(r *rand.Rand, _ int) { f.ring(r.Perm(f.Len())) }, f.mend},
		simple("unplug the leader", func(leader int) { f.must(f.host(leader).Unplug(f.t.Context())) }),
		{"unplug another", func(r *rand.Rand, leader int) {
			f.must(f.host(another(f.Len(), r, leader)).Unplug(f.t.Context()))
		}, f.mend},
		{"slow and lossy", f.shape, f.mend},
	}
}

// others does something for the name of each host but one.
func (f *fleet) others(sid int, do func(name string)) {
	for other := 1; other <= f.Len(); other++ {
		if other != sid {
			do(f.host(other).Name)
		}
	}
}

func (f *fleet) oneWay(from, to string) {
	f.t.Helper()
	f.must(f.tb.CutOneWay(f.t.Context(), from, to))
}

// apart cuts a side off from the rest. Clients reach both.
func (f *fleet) apart(side []int) {
	f.t.Helper()
	in := make(map[int]bool)
	for _, sid := range side {
		in[sid] = true
	}
	for a := range in {
		for b := 1; b <= f.Len(); b++ {
			if !in[b] {
				f.must(f.tb.Cut(f.t.Context(), f.host(a).Name, f.host(b).Name))
			}
		}
	}
}

// ring leaves each host only its two neighbours in the order given; of three the
// ring stays open, as nothing would be cut otherwise.
func (f *fleet) ring(order []int) {
	f.t.Helper()
	n := len(order)
	for i := range n {
		for j := i + 2; j < n; j++ {
			if n == 3 || j-i != n-1 {
				f.must(f.tb.Cut(f.t.Context(), f.tb.Host(order[i]).Name, f.tb.Host(order[j]).Name))
			}
		}
	}
}

// shape makes all links between hosts slow, and some frames get lost.
func (f *fleet) shape(r *rand.Rand, _ int) {
	f.t.Helper()
	const most = 60 // ms, one way
	s := testbed.Shape{Delay: time.Duration(r.IntN(most)) * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.02 + r.Float64()/20}
	for a := 1; a <= f.Len(); a++ {
		for b := a + 1; b <= f.Len(); b++ {
			f.must(f.tb.Shape(f.t.Context(), f.host(a).Name, f.host(b).Name, s))
		}
	}
}

// fill uses up a host's disk and waits until its server, which can write no more,
// has ended. Clients write all the time, so it notices. Where systemd starts it again
// and again, it does not serve.
func (f *fleet) fill(sid int) {
	f.t.Helper()
	f.full[sid] = true
	f.must(f.host(sid).FillDisk(f.t.Context(), "/var/lib"))
	ensemble.Eventually(f.t, "the server with the full disk to stop", func() bool {
		return f.systemd && !f.serves(sid) || !f.systemd && !f.runs(sid)
	})
}

// work lets clients work on registers, numbers and a lock. They pause between
// operations: what is left at the end is read znode by znode.
func work(ctx context.Context, t *testing.T, on cluster, r *rand.Rand, rec *recorder, l *log) (*sync.WaitGroup, []*zk.Conn) {
	const (
		registerPause = 10 * time.Millisecond
		numberPause   = 100 * time.Millisecond
	)
	clients := new(sync.WaitGroup)
	var conns []*zk.Conn
	client := func(id int) *zk.Conn {
		c := connect(t, on, id)
		conns = append(conns, c)
		return c
	}
	for id := range 2 * on.Len() {
		w := &worker{id: id, conn: client(id), fresh: barrier, rec: rec, known: make(map[string]int32),
			rand: rand.New(rand.NewPCG(r.Uint64(), 0)), pause: registerPause}
		clients.Go(func() { w.run(ctx) })
	}
	for id := range 2 {
		c, holder := client(id), client(id+1)
		clients.Go(func() {
			for ctx.Err() == nil {
				takeNumber(c, l)
				<-time.After(numberPause)
			}
		})
		clients.Go(func() { takeLock(ctx, holder, l) })
	}
	return clients, conns
}

// TestNemesis has hosts with disks, networks and power of their own go wrong in
// turn, under clients. Not among the faults are jumps of the clock: the hosts share
// the machine's kernel and with it one clock. For the same reason what a host
// without power had handed to its kernel is there after the next boot; test/simulation
// has clocks and disks of its own.
func TestNemesis(t *testing.T) {
	if testing.Short() {
		t.Skip("boots hosts")
	}
	if err := flags.check(); err != nil {
		t.Fatal(err)
	}
	if err := testbed.Check(); err != nil {
		t.Skip(err)
	}
	r := random(t)
	f := newFleet(t, *flags.hosts, testbed.Flavour(*flags.init))
	prepare(t, f, "/r", "/numbers", "/lock", "/guarded")
	rec := &recorder{began: time.Now()}
	var l log
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	clients, conns := work(ctx, t, f, r, rec, &l)
	disturb(t, f, r, f.nemesisFaults(), *flags.nemesis)
	stop()
	clients.Wait()
	judge(t, rec.ops)
	judgeLog(t, f, &l, conns)
	sameTrees(t, f)
	f.checkLogs()
}
