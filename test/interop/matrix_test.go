package interop

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/test/ensemble"
)

var matrix = flag.Bool("interop.matrix", false, "every mixture of servers, each way to lose a leader, instead of a sample")

// A lineup is who takes part in an ensemble, and who comes to lead it how.
type lineup struct {
	voters, observers []kind
	steps             []step
}

// A step makes a server of a kind the leader, by the loss of the one that leads.
type step struct {
	to  kind
	how loss
}

func (l lineup) String() string {
	short := func(list []kind) string {
		var words []string
		for _, k := range list {
			word := k.version()
			if word == "" {
				word = "ours"
			}
			words = append(words, word)
		}
		return strings.Join(words, ",")
	}
	if len(l.observers) == 0 {
		return short(l.voters)
	}
	return short(l.voters) + " observed by " + short(l.observers)
}

// sample has each line of Apache's lead ours and follow ours, each way to lose a
// leader in both directions, three and five voters, and observers of both kinds.
func sample() []lineup {
	how := losses()
	there := func(to kind, l loss) []step { return []step{{to, l}, {ours, l}} }
	return []lineup{
		{voters: []kind{ours, apache39, ours}, steps: slices.Concat(there(apache39, how[3]), there(apache39, how[2]))},
		{voters: []kind{apache, ours, apache34}, steps: slices.Concat(there(apache, how[0]), there(apache34, how[1]))},
		{voters: []kind{ours, apache34, apache39, apache, ours}, steps: there(apache, how[3])},
		{voters: []kind{apache39, ours, ours}, observers: []kind{ours, apache}, steps: there(apache39, how[0])},
	}
}

// wholeMatrix is every multiset of three and of five voters with at least one of
// ours and one of Apache's, and every one of three voters of which two servers,
// one of ours and one of Apache's, are observers. Three voters go through all ways
// to lose a leader with every line, five through all ways, with the lines in turn.
func wholeMatrix() []lineup {
	var all []lineup
	for _, n := range []int{3, 5} {
		for i, voters := range multisets(n) {
			all = append(all, lineup{voters: voters, steps: reigns(voters, i, n == 3)})
		}
	}
	lines := []kind{apache34, apache, apache39}
	for i, voters := range append(multisets(3), []kind{ours, ours, ours}) {
		all = append(all, lineup{voters: voters, observers: []kind{ours, lines[i%3]}, steps: reigns(voters, i, false)})
	}
	return all
}

// multisets are all of n kinds with at least one of ours and one other; who comes
// first, and so has which sid, changes from one to the next.
func multisets(n int) [][]kind {
	var all [][]kind
	var extend func(some []kind, from int)
	kinds := []kind{ours, apache34, apache, apache39}
	extend = func(some []kind, from int) {
		if len(some) == n {
			turn := len(all) % n
			all = append(all, slices.Concat(some[turn:], some[:turn]))
			return
		}
		for i := from; i < len(kinds); i++ {
			extend(append(slices.Clip(some), kinds[i]), i)
		}
	}
	for i := 1; i < len(kinds); i++ { // the one of Apache's that there has to be
		extend([]kind{ours, kinds[i]}, 0)
	}
	return distinct(all)
}

// distinct leaves the first of lists that hold the same.
func distinct(all [][]kind) [][]kind {
	var out [][]kind
	seen := make(map[string]bool)
	for _, list := range all {
		name := fmt.Sprint(slices.Sorted(slices.Values(list)))
		if !seen[name] {
			seen[name] = true
			out = append(out, list)
		}
	}
	return out
}

// reigns lets a line of Apache's and ours lead in turn, for every way to lose a
// leader: each line each time, or one a time, beginning with the ith.
func reigns(voters []kind, i int, each bool) []step {
	var lines []kind
	for _, k := range voters {
		if k != ours && !slices.Contains(lines, k) {
			lines = append(lines, k)
		}
	}
	if len(lines) == 0 {
		lines = []kind{ours}
	}
	var steps []step
	for turn, how := range losses() {
		now := lines
		if !each {
			now = []kind{lines[(i+turn)%len(lines)]}
		}
		for _, line := range now {
			steps = append(steps, step{line, how}, step{ours, how})
		}
	}
	return steps
}

// Servers of all kinds serve together and lead each other, while clients write.
func TestMixedEnsembles(t *testing.T) {
	all := sample()
	if *matrix {
		all = wholeMatrix()
	}
	for _, l := range all {
		t.Run(l.String(), l.play)
	}
}

func (l lineup) play(t *testing.T) {
	m := newMixture(t, l.voters, l.observers)
	steps := l.steps
	if m.k.of(m.e.WaitLeader()) != ours { // so that the first step is from ours, too
		steps = slices.Concat([]step{{ours, losses()[0]}}, steps)
	}
	for round, s := range steps {
		before, sid := m.e.WaitLeader(), m.heir(s.to)
		if sid == 0 {
			t.Fatalf("server %d leads and there is no other of kind %s", before, s.to)
		}
		m.crown(sid, s.how, fmt.Sprintf("/round-%d", round))
		t.Logf("round %d: server %d, %s, was %s, and %d, %s, leads", round, before, m.k.of(before), s.how.name, sid, m.k.of(sid))
		m.look()
	}
	m.ws.end(t)
	settle(t, m.e, m.ws, m.rovers)
}

// look takes every client through every server, and sees that the observers observe.
func (m *mixture) look() {
	m.t.Helper()
	m.ws.home()
	for home, r := range m.rovers {
		r.whole()
		r.through(m.e, home)
		r.hop(m.e, home)
	}
	for sid := m.e.Voters() + 1; sid <= m.e.Len(); sid++ {
		if role := m.e.Status(sid).Role; role != fourletter.ModeObserver {
			m.t.Errorf("server %d, %s, is %s, not an observer", sid, m.k.of(sid), role)
		}
	}
	checkDigests(m.t, m.e)
}

// settle looks at what is left when nobody writes any more.
func settle(t *testing.T, e *ensemble.Ensemble, ws *writers, rovers map[int]*rover) {
	t.Helper()
	for _, r := range rovers {
		r.whole()
	}
	last := dial(t, e.Addr(1))
	for _, r := range rovers {
		r.Close()
		last.sync()
		if last.exists(r.ephemeral) {
			t.Errorf("%s outlives its session, which was closed", r.ephemeral)
		}
	}
	ws.check(t, sameTrees(t, e))
	checkDigests(t, e)
}

// The matrix is all there is, and the sample has what it says.
func TestMatrixIsWhole(t *testing.T) {
	if three, five := len(multisets(3)), len(multisets(5)); three != 9 || five != 34 {
		t.Errorf("%d mixtures of three and %d of five, want 9 and 34", three, five)
	}
	for name, list := range map[string][]lineup{"sample": sample(), "matrix": wholeMatrix()} {
		done := make(map[string]bool)
		for _, l := range list {
			for _, s := range l.steps {
				if !slices.Contains(l.voters, s.to) {
					t.Errorf("%s: %s: no %s is there to lead", name, l, s.to)
				}
				done[string(s.to)], done[s.how.name] = true, true
			}
		}
		if len(done) != 4+len(losses()) {
			t.Errorf("%s: leaders and ways are %v", name, done)
		}
	}
}
