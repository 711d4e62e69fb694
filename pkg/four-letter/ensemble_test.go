package fourletter

import (
	"strings"
	"testing"
)

func up(address, role string, zxid Zxid) Status {
	return Status{Address: address, State: Serving, Role: role, Zxid: zxid, SyncedFollowers: Unknown}
}

func leaderWith(address string, zxid Zxid, synced int64) Status {
	s := up(address, ModeLeader, zxid)
	s.SyncedFollowers = synced
	return s
}

func in(address string, state State) Status { return Status{Address: address, State: state} }

func TestEvaluate(t *testing.T) {
	tests := []struct {
		name    string
		servers []Status
		voters  int
		verdict Verdict
		reasons string
	}{
		{"healthy", []Status{leaderWith("a", 0x100000005, 2), up("b", ModeFollower, 0x100000004), up("c", ModeFollower, 0x100000005), up("d", ModeObserver, 0x100000001)}, 3, Healthy, ""},
		{"voters not told", []Status{leaderWith("a", 5, 1), up("b", ModeFollower, 5), up("c", ModeObserver, 5)}, 0, Healthy, ""},
		{"one alone", []Status{up("a", ModeStandalone, 5)}, 1, Healthy, ""},
		{"one of three down", []Status{leaderWith("a", 5, 1), up("b", ModeFollower, 5), in("c", Unreachable)}, 3, Degraded, "c is unreachable"},
		{"one joins", []Status{leaderWith("a", 5, 1), up("b", ModeFollower, 5), in("c", NotServing)}, 3, Degraded, "c answers but is not serving"},
		{"mute", []Status{leaderWith("a", 5, 2), up("b", ModeFollower, 5), in("c", Mute)}, 3, Degraded, "c answers but its whitelist allows neither srvr nor stat"},
		{"minority", []Status{in("a", NotServing), in("b", Unreachable), in("c", Unreachable)}, 3, Down,
			"no leader: 1 of 3 servers answered, and none leads or follows; a answers but is not serving; b is unreachable; c is unreachable"},
		{"all down", []Status{in("a", Unreachable)}, 3, Down, "no leader: 0 of 1 servers answered, and none leads or follows; a is unreachable"},
		{"none", nil, 3, Down, "no servers to ask"},
		{"leader not asked", []Status{up("b", ModeFollower, 5), up("c", ModeFollower, 5)}, 3, Degraded, "no leader answered, but b, c follow one"},
		{"only the leader asked", []Status{leaderWith("a", 5, 2)}, 3, Degraded, "only 1 of 3 voters answered as leader or follower, fewer than the quorum of 2"},
		{"leader lost its quorum", []Status{leaderWith("a", 5, 0), in("b", Unreachable), in("c", Unreachable)}, 3, Down,
			"the leader a has 0 synchronised followers, and 2 of 3 voters make a quorum; b is unreachable; c is unreachable"},
		{"two leaders", []Status{leaderWith("a", 0x100000009, 2), leaderWith("b", 0x200000001, 1), up("c", ModeFollower, 0x200000001)}, 3, Degraded,
			"2 servers call themselves leader: a, b; a is in epoch 1, the leader in epoch 2"},
		{"another epoch", []Status{leaderWith("a", 0x200000001, 2), up("b", ModeFollower, 0x200000001), up("c", ModeFollower, 0x100000009)}, 3, Degraded,
			"c is in epoch 1, the leader in epoch 2"},
		{"no write in the epoch yet", []Status{leaderWith("a", 0x200000000, 2), up("b", ModeFollower, 0x200000000), up("c", ModeFollower, 0x100000009)}, 3, Healthy, ""},
		{"standalone among several", []Status{leaderWith("a", 5, 1), up("b", ModeFollower, 5), up("c", ModeStandalone, 5)}, 3, Degraded, "c runs standalone, outside the ensemble"},
		{"all standalone", []Status{up("a", ModeStandalone, 5), up("b", ModeStandalone, 5)}, 2, Down,
			"no leader: 2 of 2 servers answered, and none leads or follows; a runs standalone, outside the ensemble; b runs standalone, outside the ensemble"},
		{"read-only", []Status{up("a", ModeReadOnly, 5), in("b", Unreachable)}, 3, Down,
			"no leader: 1 of 2 servers answered, and none leads or follows; a is read-only, it has no quorum; b is unreachable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := Evaluate(tt.servers, tt.voters)
			if got := strings.Join(e.Reasons, "; "); e.Verdict != tt.verdict || got != tt.reasons {
				t.Errorf("got %v: %s", e.Verdict, got)
			}
		})
	}
}

func TestLag(t *testing.T) {
	e := Evaluate([]Status{up("b", ModeFollower, 0x200000003), leaderWith("a", 0x200000008, 2), up("c", ModeFollower, 0x1000000ff), in("d", Unreachable)}, 3)
	if e.Leader != 1 || !e.Members[1].Leader || e.Members[0].Lag != 5 || !e.Members[0].LagKnown ||
		!e.Members[2].OtherEpoch || e.Members[2].LagKnown || e.Members[3].LagKnown {
		t.Errorf("%+v", e)
	}
}

func TestExitStatus(t *testing.T) {
	for v, want := range map[Verdict]int{Healthy: 0, Degraded: 3, Down: 4} {
		if got := v.ExitStatus(); got != want {
			t.Errorf("%v: got %d", v, got)
		}
	}
}
