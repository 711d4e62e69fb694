package zab

import (
	"errors"
	"fmt"
	"slices"
)

// Ensemble is the set of servers and the rule by which some of them form a
// quorum: more than half of the voters, or, when Groups is not empty, more than
// half of the groups, each by more than half of its weight (QuorumMaj.java,
// QuorumHierarchical.java).
type Ensemble struct {
	Voters    []Sid
	Observers []Sid
	Groups    map[Sid]int64 // server -> group; every voter needs one if any has
	Weights   map[Sid]int64 // server -> weight >= 0; 1 where absent
}

// IsVoter reports whether sid may vote.
func (e Ensemble) IsVoter(sid Sid) bool { return slices.Contains(e.Voters, sid) }

// IsObserver reports whether sid is a configured observer.
func (e Ensemble) IsObserver(sid Sid) bool { return slices.Contains(e.Observers, sid) }

// HasQuorum reports whether the voters for which in holds form a quorum.
func (e Ensemble) HasQuorum(in func(Sid) bool) bool {
	if len(e.Groups) > 0 {
		return e.hasGroupQuorum(in)
	}
	n := 0
	for _, sid := range e.Voters {
		if in(sid) {
			n++
		}
	}
	return n > len(e.Voters)/2
}

// hasGroupQuorum is the hierarchical rule. Groups without weight do not count; who is
// in a group weighs in what it needs, voter or not (QuorumHierarchical.java,
// computeGroupWeight).
func (e Ensemble) hasGroupQuorum(in func(Sid) bool) bool {
	whole, present := map[int64]int64{}, map[int64]int64{}
	for sid, group := range e.Groups {
		whole[group] += e.weight(sid)
	}
	for _, sid := range e.Voters {
		if in(sid) {
			present[e.Groups[sid]] += e.weight(sid)
		}
	}
	groups, won := 0, 0
	for group, weight := range whole {
		if weight == 0 {
			continue
		}
		groups++
		if present[group] > weight/2 {
			won++
		}
	}
	return won > groups/2
}

// weight returns the weight of sid's vote; a server of weight 0 is never elected.
func (e Ensemble) weight(sid Sid) int64 {
	if w, ok := e.Weights[sid]; ok {
		return w
	}
	return 1
}

// validate reports every fault of the ensemble.
func (e Ensemble) validate() error {
	var faults []error
	seen := map[Sid]bool{}
	for _, sid := range slices.Concat(e.Voters, e.Observers) {
		if seen[sid] {
			faults = append(faults, fmt.Errorf("server %d is listed twice", sid))
		}
		seen[sid] = true
		if sid < 0 {
			faults = append(faults, fmt.Errorf("server %d: the number must not be negative", sid))
		}
	}
	for _, sid := range e.Voters {
		if _, ok := e.Groups[sid]; !ok && len(e.Groups) > 0 {
			faults = append(faults, fmt.Errorf("server %d is in no group, but others are", sid))
		}
		if e.weight(sid) < 0 {
			faults = append(faults, fmt.Errorf("server %d: weight %d is negative", sid, e.weight(sid)))
		}
	}
	if !e.HasQuorum(func(Sid) bool { return true }) {
		faults = append(faults, errors.New("no set of voters could ever form a quorum"))
	}
	return errors.Join(faults...)
}
