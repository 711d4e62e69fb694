package checker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A fault is something done to servers and how it ends.
type fault struct {
	name  string
	begin func(r *rand.Rand, leader int)
	end   func()
}

// another is a server that is not the one given, of so many.
func another(servers int, r *rand.Rand, than int) int {
	return 1 + (than+r.IntN(servers-1))%servers
}

// kills are the faults under which a sync is enough to read the latest.
func kills(e *ensemble.Ensemble) []fault {
	return []fault{
		{"kill the leader", func(_ *rand.Rand, leader int) { e.Kill(leader) }, e.RestartAll},
		{"kill another", func(r *rand.Rand, leader int) { e.Kill(another(e.Len(), r, leader)) }, e.RestartAll},
		{"stop the leader", func(_ *rand.Rand, leader int) { e.Stop(leader) }, e.RestartAll},
		{"kill all", func(_ *rand.Rand, _ int) { e.KillAll() }, e.RestartAll},
	}
}

// allFaults adds those that leave a leader that does not know that it is none.
func allFaults(e *ensemble.Ensemble) []fault {
	resume := func() { // those that are not paused go on anyway
		for sid := 1; sid <= e.Len(); sid++ {
			e.Resume(sid)
		}
	}
	return append(kills(e),
		fault{"pause the leader", func(_ *rand.Rand, leader int) { e.Pause(leader) }, resume},
		fault{"pause another", func(r *rand.Rand, leader int) { e.Pause(another(e.Len(), r, leader)) }, resume},
		fault{"isolate the leader", func(_ *rand.Rand, leader int) { e.Isolate(leader) }, e.Heal},
		fault{"leader in a minority", func(r *rand.Rand, leader int) { e.Partition(minority(e.Len(), r, leader)) }, e.Heal},
		fault{"leader is not heard", func(_ *rand.Rand, leader int) { oneWay(e, leader, true) }, e.Heal},
		fault{"leader does not hear", func(_ *rand.Rand, leader int) { oneWay(e, leader, false) }, e.Heal},
		fault{"cut one link", func(r *rand.Rand, leader int) { e.Cut(leader, another(e.Len(), r, leader)) }, e.Heal},
		fault{"break all connections", func(*rand.Rand, int) { resetAll(e) }, e.Heal},
	)
}

// minority is a side with the leader that is too small.
func minority(servers int, r *rand.Rand, leader int) []int {
	side := []int{leader}
	if servers > 3 {
		side = append(side, another(servers, r, leader))
	}
	return side
}

// oneWay loses all that a server says, or all that is said to it.
func oneWay(e *ensemble.Ensemble, sid int, mute bool) {
	for other := 1; other <= e.Len(); other++ {
		switch {
		case other == sid:
		case mute:
			e.OneWay(sid, other)
		default:
			e.OneWay(other, sid)
		}
	}
}

func resetAll(e *ensemble.Ensemble) {
	for a := 1; a <= e.Len(); a++ {
		for b := a + 1; b <= e.Len(); b++ {
			e.Reset(a, b)
		}
	}
}

// disturb does fault after fault until the time is over, each for a while and
// with a while of rest behind it, and leaves all servers serving.
func disturb(t *testing.T, on cluster, r *rand.Rand, faults []fault, duration time.Duration) {
	t.Helper()
	over := time.After(duration)
	done := func(d time.Duration) bool {
		select {
		case <-over:
			return true
		case <-time.After(d):
			return false
		}
	}
	order := r.Perm(len(faults))
	began := time.Now()
	for i := 0; ; i++ {
		f := faults[order[i%len(faults)]]
		leader := on.WaitLeader()
		t.Logf("%6v %s (leader %d)", time.Since(began).Round(time.Millisecond), f.name, leader)
		f.begin(r, leader)
		end := done(time.Duration(200+r.IntN(3000)) * time.Millisecond)
		f.end()
		if end {
			break
		}
		on.WaitLeader()
		if done(time.Duration(r.IntN(800)) * time.Millisecond) {
			break
		}
	}
	on.WaitAll()
}
