package simulation

import (
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

var (
	seedFlag  = flag.Int64("simulation.seed", 0, "replay the simulation of this seed alone, with its trace")
	seedsFlag = flag.Int64("simulation.seeds", defaultSeeds, "how many seeds to simulate; a twentieth of them with -short")
	firstFlag = flag.Int64("simulation.first", 1, "the first seed")
	stepsFlag = flag.Int("simulation.steps", 1500, "moves of each simulation before the faults end")
)

// defaultSeeds are how many seeds are played by default; that many reach every path.
const defaultSeeds = 2000

// TestSimulation runs ensembles through everything that can go wrong, then ends the
// faults and expects all servers to come together with one and the same tree.
func TestSimulation(t *testing.T) {
	if *seedFlag != 0 {
		synctest.Test(t, func(t *testing.T) {
			if err := simulate(*seedFlag, t.Logf); err != nil {
				t.Error(err)
			}
		})
		return
	}
	seeds := *seedsFlag
	if testing.Short() {
		seeds = max(seeds/20, 1)
	}
	var reached coverage
	t.Cleanup(func() { reached.report(t) })
	const workers = 2
	for worker := range int64(workers) {
		t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
			t.Parallel()
			for seed := *firstFlag + worker; seed < *firstFlag+seeds && !t.Failed(); seed += workers {
				synctest.Test(t, func(t *testing.T) {
					if err := play(seed, nil, &reached); err != nil {
						t.Errorf("seed %d: %v\n  replay: go test ./test/simulation -run TestSimulation -v -simulation.seed %d -simulation.steps %d",
							seed, err, seed, *stepsFlag)
					}
				})
			}
		})
	}
}

// TestReplay plays a seed twice: its traces are the same, to the letter.
func TestReplay(t *testing.T) {
	for seed := range int64(5) {
		var traces [2]strings.Builder
		for i := range traces {
			synctest.Test(t, func(*testing.T) {
				_ = simulate(seed+1, func(format string, args ...any) { fmt.Fprintf(&traces[i], format+"\n", args...) })
			})
		}
		if a, b := traces[0].String(), traces[1].String(); a != b {
			t.Errorf("seed %d goes two ways: %s", seed+1, difference(a, b))
		}
	}
}

func difference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("line %d\n  %s\n  %s", i+1, as[i], bs[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(as), len(bs))
}

// newWorld makes an ensemble of 1 to 5 voters, maybe with an observer.
func newWorld(seed int64, trace func(string, ...any)) *world {
	rnd := rand.New(rand.NewSource(seed))
	if trace == nil {
		trace = func(string, ...any) {}
	}
	w := &world{rnd: rnd, mail: map[route][]zab.Packet{}, cuts: map[route]bool{}, history: newHistory(), reached: map[string]int{}, trace: trace}
	w.config = zab.Config{
		WindowCount:  []int{3, 20, 500}[rnd.Intn(3)],
		FromLog:      seed/2%2 == 0, // not drawn: the seeds in the notes are to stay what they were
		FinalizeWait: 3, NotifyMin: 4, NotifyMax: 16, TickTime: 4, InitLimit: 40, SyncLimit: 20, DialRetry: 2, DialTries: 5,
	}
	for i := range w.populate() {
		sid := zab.Sid(i + 1)
		w.servers = append(w.servers, &server{world: w, sid: sid, fd: faultdisk.New(), rnd: rand.New(rand.NewSource(seed<<8 + int64(sid)))})
	}
	var clock int64
	for i := range 3 {
		w.clients = append(w.clients, &client{world: w, id: i, clock: &clock})
	}
	if w.changes.on {
		w.clients = append(w.clients, &client{world: w, id: 3, clock: &clock, operator: true})
	}
	return w
}

func simulate(seed int64, trace func(string, ...any)) error { return play(seed, trace, nil) }

// play plays one seed and adds what it reached to what others did.
func play(seed int64, trace func(string, ...any), reached *coverage) error {
	w := newWorld(seed, trace)
	defer func() { reached.add(w.reached) }()
	defer w.stop()
	for _, s := range w.members() {
		s.start()
	}
	w.calm(200)
	trouble := w.rnd.Intn(25) // of 1000 moves
	for i := 0; i < *stepsFlag && !w.over(); i++ {
		w.move(trouble)
	}
	if !w.over() {
		w.heal()
	}
	if !w.over() {
		w.linearizable()
		w.abandoned()
	}
	if len(w.faults) > 0 {
		return errors.New(strings.Join(w.faults[:min(len(w.faults), 5)], "\n  "))
	}
	return nil
}

// stop ends all goroutines.
func (w *world) stop() {
	for _, c := range w.clients {
		if c.conn != nil {
			c.conn.Close()
		}
	}
	for _, s := range w.servers {
		if s.pipe != nil {
			s.stopPipe()
		}
	}
	synctest.Wait()
}

// move makes one random move; of 1000, trouble are faults.
func (w *world) move(trouble int) {
	if w.rnd.Intn(1000) < trouble {
		w.fail()
		return
	}
	s := w.servers[w.rnd.Intn(len(w.servers))]
	switch k := w.rnd.Intn(40); {
	case k == 0:
		s.start()
	case k <= 2:
		w.ticks()
	case k <= 9:
		s.work(1 + w.rnd.Intn(4))
	case k <= 15:
		w.clients[w.rnd.Intn(len(w.clients))].act()
	default:
		if moves := w.moves(); len(moves) > 0 {
			moves[w.rnd.Intn(len(moves))].do()
		}
	}
}

// ticks lets one tick pass.
func (w *world) ticks() {
	w.advance(tick)
	for _, s := range w.servers {
		if s.peer != nil {
			s.peer.Tick()
			s.collect()
		}
	}
}

// fail makes something go wrong.
func (w *world) fail() {
	a, b := w.servers[w.rnd.Intn(len(w.servers))], w.servers[w.rnd.Intn(len(w.servers))]
	if w.rnd.Intn(8) == 0 {
		w.maintain(a)
		return
	}
	switch k := w.rnd.Intn(18); {
	case k <= 1 && a.peer != nil:
		w.trace("crash %d", a.sid)
		w.saw("fault: crash")
		a.crash(a.keep())
	case k <= 4 && a.peer != nil:
		n := w.rnd.Intn(12)
		w.trace("%d will lose power in %d operations of its disk", a.sid, n)
		a.fd.StopAfter(n)
	case k <= 6 && a.peer != nil:
		op := []string{"write", "sync", "rename", "create", "syncdir", "allocate"}[w.rnd.Intn(6)]
		w.trace("%d: %s fails from now on", a.sid, op)
		a.fd.Fail(op, "*", syscall.EIO)
	case k == 7 && a.peer != nil:
		w.trace("%d: the disk will be full", a.sid)
		a.fd.Limit(a.fd.Used() + faultdisk.Sector*(1+w.rnd.Intn(8)))
	case k == 8:
		w.decay(a)
	case k == 9 && len(w.links) > 0:
		l := w.links[w.rnd.Intn(len(w.links))]
		w.trace("break %d-%d", l.learner, l.leader)
		w.saw("fault: link broken")
		w.breakLink(l)
	case k == 10 && a != b:
		w.trace("cut %d to %d", a.sid, b.sid)
		w.saw("fault: direction cut")
		w.cut(a.sid, b.sid)
	case k == 11:
		w.ring()
	case k == 12:
		w.trace("the clock jumps")
		w.saw("fault: clock jump")
		w.advance(time.Duration(w.rnd.Intn(6000)) * time.Millisecond)
	case k == 13:
		w.clients[w.rnd.Intn(len(w.clients))].leave()
	case k <= 15:
		w.trouble(a)
	default:
		w.trace("the network heals")
		clear(w.cuts)
	}
}

// ring lets each server talk to its neighbours only.
func (w *world) ring() {
	w.trace("ring")
	w.saw("fault: ring")
	n := len(w.servers)
	for i, a := range w.servers {
		for j, b := range w.servers {
			if d := (i - j + n) % n; d > 1 && d < n-1 {
				w.cut(a.sid, b.sid)
			}
		}
	}
}

// calm plays without faults.
func (w *world) calm(moves int) {
	for range moves {
		w.move(0)
	}
}

// heal ends the faults: within a bounded time one leader serves, all follow it, what
// a client asks is done, and all trees are the same.
func (w *world) heal() {
	w.trace("faults end")
	w.healing = true
	clear(w.cuts)
	for _, s := range w.servers {
		s.fd.Fail("", "", nil)
		s.fd.Limit(0)
		s.fd.StopAfter(1 << 30)
		s.fd.Short(0, nil)
		s.well()
	}
	w.converge()
}

// converge waits until all are one ensemble again.
func (w *world) converge() {
	before, rounds := -1, 0
	for ; rounds < 600 && !w.over(); rounds++ {
		w.startWanted()
		if !w.canDecide() {
			return // corruption was named, and too many others are missing for a rejoin
		}
		w.ticks()
		w.settle()
		switch {
		case !w.together():
			before = -1
		case before < 0:
			before = len(w.history.order)
		case rounds%4 == 0 && len(w.history.order) < before+20:
			for _, c := range w.clients {
				c.act()
			}
		case len(w.history.order) >= before+20:
			if w.equal() {
				return
			}
		}
	}
	if !w.over() {
		w.fault("no recovery:\n    %s", w.describe())
	}
}

// settle delivers and writes until nothing is under way.
func (w *world) settle() {
	for range 20000 {
		for _, s := range w.servers {
			s.work(1 << 30)
		}
		moves := w.moves()
		if len(moves) == 0 || w.over() {
			return
		}
		moves[w.rnd.Intn(len(moves))].do()
	}
	w.fault("the servers never fall silent:\n    %s", w.describe())
}

// together reports whether one leader serves and all that can follow it.
func (w *world) together() bool {
	var places []zab.RoleChange
	for _, s := range w.members() {
		if s.why == "" {
			places = append(places, s.place)
		}
	}
	return oneLeader(places)
}

// equal reports whether all servers have everything, and checks that their trees are
// the same: znodes, ACLs, sessions.
func (w *world) equal() bool {
	trees := map[zab.Sid]*tree.Tree{}
	for _, s := range w.members() {
		if s.pipe == nil || s.pipe.LastZxid() < int64(lastOf(w.history.order)) {
			return false
		}
		s.pipe.View(func(t *tree.Tree) { trees[s.sid] = t })
	}
	w.demand(sameTrees(trees))
	w.agree()
	return true
}

// describe writes all of a tree: sessions, then znodes by path.
func describe(t *tree.Tree, to *strings.Builder) {
	var sessions []string
	t.Sessions(func(id int64, timeout int32) bool {
		sessions = append(sessions, fmt.Sprintf("%#x %d", id, timeout))
		return true
	})
	slices.Sort(sessions)
	fmt.Fprintln(to, sessions, t.SessionsWithEphemerals())
	describeNode(t, "/", to)
}

func describeNode(t *tree.Tree, at string, to *strings.Builder) {
	n, _ := t.Get(at)
	stat := n.Persisted()
	if at == tree.ConfigPath { // each server writes it for itself, by its own clock
		stat.Mtime, stat.Ctime = 0, 0
	}
	fmt.Fprintf(to, "%s %q %v %+v\n", at, n.Data(), n.ACL(), stat)
	names := n.ChildNames(nil)
	slices.Sort(names)
	for _, name := range names {
		describeNode(t, path.Join(at, name), to)
	}
}

// linearizable looks at what the clients were answered, znode by znode.
func (w *world) linearizable() {
	var calls []porcupine.Operation
	for _, c := range w.clients {
		c.listen()
		c.finish(result{})
		calls = append(calls, c.calls...)
	}
	w.demand(fitAnOrder(calls))
}

func (w *world) describe() string {
	var lines []string
	for _, s := range w.servers {
		lines = append(lines, s.String())
	}
	return strings.Join(lines, "\n    ")
}
