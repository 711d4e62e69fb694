package zab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestTraces plays the conversations in testdata. Run with -rewrite to write down
// what the servers now say; the difference is for review. The commands:
//
//	ensemble voters=N [observers=N] [window=N] [fromlog] [forcesnap]  N servers 1..N, not started
//	disk SID log=(1.1,1.2) accepted=E current=E  what a server finds at its start
//	     [purged] [base=1.1]                     the log files are gone; replayed from that zxid
//	     [whole=1.1]                             up to there it came in one snapshot
//	disk SID rejoin accepted=E                   its history was set aside, to come back with the leader's
//	start SID... [window=N]                      boot, from the disk
//	crash SID [keep=N]                           of what was asked of the disk N operations survive
//	cut SID SID, heal SID SID                    end, allow again, contact
//	break SID SID                                break a learner's connection to its leader
//	tick [SID...] [n=N]                          N ticks pass, everywhere or there
//	mail SID SID [n=N]                           deliver N election messages
//	deliver SID SID [n=N]                        deliver N packets of the link from one to the other
//	lose SID SID                                 lose the election messages from one to the other
//	sync SID [n=N]                               what was asked of the disk is done
//	propose SID DATA
//	settle [ticks=N]                             deliver and sync all; then let N ticks pass, delivering all
//	state
//
// Pings are not shown. With quiet a command prints only the outcome, not what was said. After every
// command the world's judge has looked; what it says starts with FAULT.
func TestTraces(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		tr := &tracer{}
		datadriven.RunTest(t, path, tr.run)
		if tr.world != nil && len(tr.faults) > 0 {
			t.Errorf("promises broken: %v", tr.faults)
		}
	})
}

// tracer runs the commands of one file.
type tracer struct {
	*world
	out strings.Builder
}

func (tr *tracer) run(t *testing.T, d *datadriven.TestData) string {
	tr.out.Reset()
	if d.Cmd == "ensemble" {
		tr.ensemble(t, d)
		return ""
	}
	commands := map[string]func(*testing.T, *datadriven.TestData){
		"disk": tr.setDisk, "start": tr.start, "crash": tr.crash, "cut": tr.cut, "heal": tr.heal, "break": tr.breakLink,
		"tick": tr.tick, "mail": tr.deliverMail, "deliver": tr.deliver, "lose": tr.lose, "sync": tr.sync,
		"propose": tr.propose, "settle": tr.settle, "state": tr.state,
	}
	command := commands[d.Cmd]
	if command == nil {
		d.Fatalf(t, "no such command: %s", d.Cmd)
	}
	if tr.trace = tr.print; d.HasArg("quiet") {
		tr.trace = func(string, ...any) {}
	}
	command(t, d)
	if d.HasArg("quiet") {
		tr.state(t, d)
	}
	if tr.out.Len() == 0 {
		return "ok"
	}
	return tr.out.String()
}

// print adds a line to the transcript; pings would drown the rest.
func (tr *tracer) print(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !strings.Contains(line, " PING ") {
		fmt.Fprintln(&tr.out, line)
	}
}

// sids returns the arguments that are numbers.
func sids(d *datadriven.TestData) []Sid {
	var list []Sid
	for _, arg := range d.CmdArgs {
		if n, err := strconv.Atoi(arg.Key); err == nil && len(arg.Vals) == 0 {
			list = append(list, Sid(n))
		}
	}
	return list
}

// number returns the value of key=N.
func number(t *testing.T, d *datadriven.TestData, key string, otherwise int) int {
	d.MaybeScanArgs(t, key, &otherwise)
	return otherwise
}

func (tr *tracer) ensemble(t *testing.T, d *datadriven.TestData) {
	c := fastConfig(number(t, d, "voters", 3), number(t, d, "observers", 0))
	c.WindowCount, c.FromLog = number(t, d, "window", 100), d.HasArg("fromlog")
	c.ForceSnap = d.HasArg("forcesnap")
	tr.world = newWorld(c)
}

func (tr *tracer) setDisk(t *testing.T, d *datadriven.TestData) {
	n := tr.node(sids(d)[0])
	arg, _ := d.Arg("log")
	for _, z := range arg.Vals {
		n.disk = append(n.disk, Proposal{Zxid: parseZxid(t, z), Data: []byte("old" + z)})
	}
	n.files = slices.Clone(n.disk)
	if d.HasArg("purged") {
		n.files = nil
	}
	if arg, ok := d.Arg("whole"); ok {
		n.whole = parseZxid(t, arg.Vals[0])
	}
	if arg, ok := d.Arg("base"); ok {
		n.base = parseZxid(t, arg.Vals[0])
	}
	n.epochs = Epochs{int64(number(t, d, "accepted", 0)), int64(number(t, d, "current", 0))}
	n.rejoin = d.HasArg("rejoin")
}

func parseZxid(t *testing.T, s string) Zxid {
	epoch, counter, _ := strings.Cut(s, ".")
	e, err1 := strconv.ParseInt(epoch, 10, 32)
	c, err2 := strconv.ParseUint(counter, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("zxid %q: want epoch.counter", s)
	}
	return MakeZxid(e, uint32(c))
}

func (tr *tracer) start(t *testing.T, d *datadriven.TestData) {
	for _, sid := range sids(d) {
		tr.print("%d starts", sid)
		tr.node(sid).start(number(t, d, "window", 100))
	}
}

func (tr *tracer) crash(t *testing.T, d *datadriven.TestData) {
	n := tr.node(sids(d)[0])
	n.crash(number(t, d, "keep", 0))
	tr.print("%d crashed; its disk: log %s accepted %d current %d", n.sid, short(n.disk), n.epochs.Accepted, n.epochs.Current)
}

func (tr *tracer) cut(_ *testing.T, d *datadriven.TestData)  { tr.world.cut(sids(d)[0], sids(d)[1]) }
func (tr *tracer) heal(_ *testing.T, d *datadriven.TestData) { tr.world.heal(sids(d)[0], sids(d)[1]) }

// linksBetween returns the links of two servers, whichever leads.
func (tr *tracer) linksBetween(a, b Sid) []*link {
	var found []*link
	for _, l := range tr.links {
		if l.learner == a && l.leader == b || l.learner == b && l.leader == a {
			found = append(found, l)
		}
	}
	return found
}

func (tr *tracer) breakLink(_ *testing.T, d *datadriven.TestData) {
	for _, l := range tr.linksBetween(sids(d)[0], sids(d)[1]) {
		tr.world.breakLink(l)
	}
}

func (tr *tracer) tick(t *testing.T, d *datadriven.TestData) {
	for range number(t, d, "n", 1) {
		for _, n := range tr.nodes {
			if list := sids(d); len(list) == 0 || slices.Contains(list, n.sid) {
				tr.world.tick(n)
			}
		}
	}
}

func (tr *tracer) deliverMail(t *testing.T, d *datadriven.TestData) {
	r := route{sids(d)[0], sids(d)[1]}
	for range number(t, d, "n", 1) {
		if len(tr.mail[r]) == 0 {
			d.Fatalf(t, "no mail from %d to %d", r.from, r.to)
		}
		tr.world.deliverMail(r)
	}
}

func (tr *tracer) lose(_ *testing.T, d *datadriven.TestData) {
	r := route{sids(d)[0], sids(d)[1]}
	for _, p := range tr.mail[r] {
		tr.print("%s lost", show(p))
	}
	delete(tr.mail, r)
}

// deliver makes a link's next moves in one direction; a connection that is not yet
// made, or that broke, counts as a move of the end that acts on it.
func (tr *tracer) deliver(t *testing.T, d *datadriven.TestData) {
	from, to := sids(d)[0], sids(d)[1]
	for range number(t, d, "n", 1) {
		if !tr.deliverOne(from, to) {
			d.Fatalf(t, "nothing under way from %d to %d", from, to)
		}
	}
}

func (tr *tracer) deliverOne(from, to Sid) bool {
	for _, l := range tr.linksBetween(from, to) {
		switch {
		case l.leader == to && !l.up && len(l.downAt) == 0:
			tr.connect(l)
		case l.leader == to && len(l.toLeader) > 0:
			tr.deliverUp(l)
		case l.learner == to && len(l.toLearner) > 0:
			tr.deliverDown(l)
		case slices.Contains(l.downAt, to):
			tr.noticeDown(l, to)
		default:
			continue
		}
		return true
	}
	return false
}

func (tr *tracer) sync(t *testing.T, d *datadriven.TestData) {
	tr.node(sids(d)[0]).sync(number(t, d, "n", 1<<30))
}

func (tr *tracer) propose(_ *testing.T, d *datadriven.TestData) {
	n := tr.node(sids(d)[0])
	p := Proposal{Zxid: n.peer.NextZxid(), Data: []byte(d.CmdArgs[1].Key)}
	if err := n.peer.Propose(p); err != nil {
		tr.print("refused: %v", err)
	}
	n.collect()
}

// settle lets everything that is under way arrive, one after the other.
func (tr *tracer) settle(t *testing.T, d *datadriven.TestData) {
	for tick := number(t, d, "ticks", 0); ; tick-- {
		for tr.settleOne() {
		}
		if tick == 0 {
			return
		}
		for _, n := range tr.nodes {
			tr.world.tick(n)
		}
	}
}

// settleOne makes one move of each kind that is possible, and all disks sync.
func (tr *tracer) settleOne() bool {
	moves := tr.moves()
	if len(moves) > 0 {
		moves[0].do()
	}
	synced := false
	for _, n := range tr.nodes {
		if len(n.todo) > 0 {
			n.sync(1 << 30)
			synced = true
		}
	}
	return synced || len(moves) > 0
}

func (tr *tracer) state(*testing.T, *datadriven.TestData) {
	for _, n := range tr.nodes {
		if n.peer == nil {
			tr.print("%d: down", n.sid)
			continue
		}
		st := n.peer.Status()
		mode := ""
		if st.Sync != SyncNone {
			mode = ", by " + st.Sync.String()
		}
		tr.print("%d: %s%s; accepted %d current %d; log %s tree %s", n.sid, showPlace(st.RoleChange), mode,
			st.Epochs.Accepted, st.Epochs.Current, short(n.log), short(n.applied))
		for _, l := range st.Learners {
			tr.print("   learner %d: observer %t synced %t %s acked %s", l.Sid, l.Observer, l.Synced, l.Sync, dotted(l.Acked))
		}
	}
	tr.print("committed: %s", short(tr.order))
}
