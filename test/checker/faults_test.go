package checker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A fault is something done to an ensemble and how it ends.
type fault struct {
	name  string
	begin func(e *ensemble.Ensemble, r *rand.Rand, leader int)
	end   func(e *ensemble.Ensemble)
}

func heal(e *ensemble.Ensemble) { e.Heal() }

// resume lets all go on; those that are not paused do anyway.
func resume(e *ensemble.Ensemble) {
	for sid := 1; sid <= e.Len(); sid++ {
		e.Resume(sid)
	}
}

// another is a server that is not the one given.
func another(e *ensemble.Ensemble, r *rand.Rand, than int) int {
	return 1 + (than+r.IntN(e.Len()-1))%e.Len()
}

// kills are the faults under which a sync is enough to read the latest.
func kills() []fault {
	restart := func(e *ensemble.Ensemble) { e.RestartAll() }
	return []fault{
		{"kill the leader", func(e *ensemble.Ensemble, _ *rand.Rand, leader int) { e.Kill(leader) }, restart},
		{"kill another", func(e *ensemble.Ensemble, r *rand.Rand, leader int) { e.Kill(another(e, r, leader)) }, restart},
		{"stop the leader", func(e *ensemble.Ensemble, _ *rand.Rand, leader int) { e.Stop(leader) }, restart},
		{"kill all", func(e *ensemble.Ensemble, _ *rand.Rand, _ int) { e.KillAll() }, restart},
	}
}

// allFaults adds those that leave a leader that does not know that it is none.
func allFaults() []fault {
	return append(kills(),
		fault{"pause the leader", func(e *ensemble.Ensemble, _ *rand.Rand, leader int) { e.Pause(leader) }, resume},
		fault{"pause another", func(e *ensemble.Ensemble, r *rand.Rand, leader int) { e.Pause(another(e, r, leader)) }, resume},
		fault{"isolate the leader", func(e *ensemble.Ensemble, _ *rand.Rand, leader int) { e.Isolate(leader) }, heal},
		fault{"leader in a minority", minority, heal},
		fault{"leader is not heard", func(e *ensemble.Ensemble, _ *rand.Rand, leader int) { oneWay(e, leader, true) }, heal},
		fault{"leader does not hear", func(e *ensemble.Ensemble, _ *rand.Rand, leader int) { oneWay(e, leader, false) }, heal},
		fault{"cut one link", func(e *ensemble.Ensemble, r *rand.Rand, leader int) { e.Cut(leader, another(e, r, leader)) }, heal},
		fault{"break all connections", resetAll, heal},
	)
}

// minority puts the leader on the side that is too small.
func minority(e *ensemble.Ensemble, r *rand.Rand, leader int) {
	side := []int{leader}
	if e.Len() > 3 {
		side = append(side, another(e, r, leader))
	}
	e.Partition(side)
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

func resetAll(e *ensemble.Ensemble, _ *rand.Rand, _ int) {
	for a := 1; a <= e.Len(); a++ {
		for b := a + 1; b <= e.Len(); b++ {
			e.Reset(a, b)
		}
	}
}

// disturb does fault after fault until the time is over, each for a while and
// with a while of rest behind it, and leaves all servers serving.
func disturb(t *testing.T, e *ensemble.Ensemble, r *rand.Rand, faults []fault, duration time.Duration) {
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
		leader := e.WaitLeader()
		t.Logf("%6v %s (leader %d)", time.Since(began).Round(time.Millisecond), f.name, leader)
		f.begin(e, r, leader)
		end := done(time.Duration(200+r.IntN(3000)) * time.Millisecond)
		f.end(e)
		if end {
			break
		}
		e.WaitLeader()
		if done(time.Duration(r.IntN(800)) * time.Millisecond) {
			break
		}
	}
	e.WaitAll()
}
