package simulation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// coverage counts what runs have reached, by name. It may be shared by goroutines.
type coverage struct {
	mu   sync.Mutex
	runs int
	seen map[string]int
}

// saw notes that a run has reached something.
func (w *world) saw(what string) { w.reached[what]++ }

// sawIf notes it if it is so.
func (w *world) sawIf(is bool, what string) {
	if is {
		w.saw(what)
	}
}

// add takes in what one run has reached.
func (c *coverage) add(reached map[string]int) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	for what, n := range reached {
		c.seen[what] += n
	}
}

// missing names what runs should have reached and did not.
func (c *coverage) missing() []string {
	return slices.DeleteFunc(slices.Clone(paths()), func(what string) bool { return c.seen[what] > 0 })
}

// String is a line for everything that was reached.
func (c *coverage) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(c.seen)) {
		fmt.Fprintf(&b, "%10d  %s\n", c.seen[what], what)
	}
	return b.String()
}

// report prints what the runs reached; enough of them must have reached every path.
func (c *coverage) report(t *testing.T) {
	t.Logf("%d seeds reached\n%s", c.runs, c)
	if missing := c.missing(); !t.Failed() && c.runs >= defaultSeeds && len(missing) > 0 {
		t.Errorf("%d seeds never reached: %s", c.runs, strings.Join(missing, "; "))
	}
}

// paths is what the seeds of a whole run must reach, each.
func paths() []string {
	return []string{
		"fault: crash", "fault: power lost at an operation of the disk", "fault: EIO", "fault: disk full", "fault: files damaged", "fault: disk stuck", "fault: disk slow", "fault: short write",
		"fault: link broken", "fault: direction cut", "fault: ring", "fault: clock jump",
		"election: won", "election: won with a membership in flight",
		"epoch: full", "epoch: later than the fifth",
		"sync: DIFF", "sync: DIFF with transactions", "sync: TRUNC", "sync: SNAP", "sync: from the log", "disk: log truncated", "disk: snapshot installed",
		"session: expired", "session: moved", "session: closed by its client",
		"ensemble: groups", "ensemble: weight 0", "ensemble: two observers", "ensemble: one voter",
		"reconfig: one joins", "reconfig: one leaves", "reconfig: role changes", "reconfig: port changes", "reconfig: whole list", "reconfig: groups",
		"reconfig: committed", "reconfig: never committed", "reconfig: committed by a later leader", "reconfig: leader removed", "reconfig: leader moves",
		"reconfig: leader hands over", "reconfig: observer promoted", "reconfig: voter demoted", "reconfig: crash between proposal and commit",
		"reconfig: crash between commit and activation", "reconfig: no voter stays",
		"reconfig: refused, no quorum of the new", "reconfig: refused, another under way", "reconfig: refused, bad version", "reconfig: refused, bad list",
		"members: joined with an empty directory", "members: came back with old data", "members: starts by an old list", "members: list not written",
		"members: installed anew", "members: history set aside", "members: rejoined",
		"purge: files removed", "purge: nothing to remove", "purge: power lost in it",
	}
}

// TestCoverageCanMiss: a path that nothing reached is named.
func TestCoverageCanMiss(t *testing.T) {
	var c coverage
	all := map[string]int{}
	for _, what := range paths() {
		all[what] = 1
	}
	delete(all, "sync: TRUNC")
	c.add(all)
	if got := c.missing(); !slices.Equal(got, []string{"sync: TRUNC"}) {
		t.Errorf("missing %q", got)
	}
	c.add(map[string]int{"sync: TRUNC": 2})
	if got := c.missing(); len(got) > 0 || c.runs != 2 || !strings.Contains(c.String(), "2  sync: TRUNC\n") {
		t.Errorf("missing %q after %d runs of\n%s", got, c.runs, &c)
	}
}

// sawDisk notes why a server ended or does not start.
func (s *server) sawDisk(err error) {
	s.sawIf(errors.Is(err, faultdisk.ErrStopped), "fault: power lost at an operation of the disk")
	s.sawIf(errors.Is(err, syscall.EIO), "fault: EIO")
	s.sawIf(errors.Is(err, syscall.ENOSPC), "fault: disk full")
}

// sawSend notes what a leader does with a learner.
func (s *server) sawSend(out zab.Packet) {
	switch out.Kind {
	case zab.Diff:
		s.saw("sync: DIFF")
	case zab.Trunc:
		s.saw("sync: TRUNC")
	case zab.Snap:
		s.saw("sync: SNAP")
	case zab.Propose:
		s.sawIf(s.sent.Kind == zab.Diff && s.sent.To == out.To, "sync: DIFF with transactions")
	case zab.CommitAndActivate, zab.InformAndActivate:
		s.sawIf(out.Leader != s.sid, "reconfig: leader hands over")
	}
	s.sent = out
}
