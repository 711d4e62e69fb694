package zab

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// sendLog sends a learner what the log files have in place of a snapshot, if they can
// stand in for it, and checks that it is what the leader's history has.
func (n *node) sendLog(l *link, snap Packet) bool {
	proposals, err := n.fromLog(snap.Log)
	if err != nil {
		n.trace("  %d to %d: %v", n.sid, snap.To, err)
		return false
	}
	after := upTo(n.applied, snap.Log.After)
	if lastOf(after) != snap.Log.After && snap.Log.After.Counter() != 0 {
		n.fault("%d: %s is none of its own, and it sends what follows", n.sid, snap.Log.After)
	}
	if want := n.applied[len(after):]; !slices.EqualFunc(proposals, want, same) {
		n.fault("%d: the log sends %v after %v, it has %v", n.sid, short(proposals), snap.Log.After, short(want))
	}
	l.toLearner = append(l.toLearner, Packet{Kind: Diff, From: n.sid, To: snap.To, Zxid: snap.Zxid})
	for _, p := range proposals {
		l.toLearner = append(l.toLearner,
			Packet{Kind: Propose, From: n.sid, To: snap.To, Zxid: p.Zxid, Data: p.Data, Members: p.Members},
			Packet{Kind: Commit, From: n.sid, To: snap.To, Zxid: p.Zxid})
	}
	n.peer.SentLog(snap.To)
	return true
}

// fromLog walks through the log files.
func (n *node) fromLog(c *CatchUp) ([]Proposal, error) {
	var found []Proposal
	walk := c.Walk(n.base)
	for _, p := range n.files {
		if walk.Done() {
			break
		}
		send, err := walk.Take(p)
		if err != nil {
			return nil, err
		}
		if send {
			found = append(found, p)
		}
	}
	if !walk.Done() {
		return nil, fmt.Errorf("%w: it ends before %s", ErrNotFromLog, c.Through)
	}
	return append(found, c.Tail...), nil
}

// TestWalk tells which logs may stand in for a snapshot and which may not.
func TestWalk(t *testing.T) {
	z := func(list ...string) []Proposal {
		var ps []Proposal
		for _, s := range list {
			ps = append(ps, Proposal{Zxid: parseZxid(t, s), Data: []byte(s)})
		}
		return ps
	}
	cases := []struct {
		name        string
		after, base string
		tail        []Proposal
		through     string
		log         []Proposal
		sent        string // "" for a snapshot
	}{
		{"within an epoch", "1.2", "0.0", z("1.5", "1.6"), "", z("1.1", "1.2", "1.3", "1.4", "1.5", "1.6"), "4:[1.3 1.4 1.5 1.6]"},
		{"to the window's second", "1.4", "0.0", z("1.5", "1.6"), "", z("1.4", "1.5"), "2:[1.5 1.6]"},
		{"without a window", "1.2", "1.4", nil, "1.4", z("1.1", "1.2", "1.3", "1.4"), "2:[1.3 1.4]"},
		{"across epochs behind the base", "1.2", "1.2", z("3.1"), "", z("1.2", "1.3", "2.1", "3.1"), "3:[1.3 2.1 3.1]"},
		{"an older run of the base's epoch", "1.2", "1.3", z("2.2"), "", z("1.1", "1.2", "1.3", "2.1", "2.2"), "3:[1.3 2.1 2.2]"},
		{"from an epoch's zero", "2.0", "1.1", z("2.2"), "", z("1.1", "2.1", "2.2"), "2:[2.1 2.2]"},
		{"from the zero of an epoch that proposed nothing", "2.0", "1.1", z("3.2"), "", z("1.1", "3.1", "3.2"), "2:[3.1 3.2]"},

		{"purged", "1.2", "0.0", z("1.5"), "", z("1.3", "1.4", "1.5"), ""},
		{"empty", "1.2", "0.0", z("1.5"), "", nil, ""},
		{"ends too early", "1.2", "0.0", z("1.5"), "", z("1.1", "1.2", "1.3", "1.4"), ""},
		{"a gap", "1.2", "0.0", z("1.6"), "", z("1.1", "1.2", "1.3", "1.5", "1.6"), ""},
		{"a gap right behind the learner", "1.2", "0.0", z("1.6"), "", z("1.2", "1.4", "1.5", "1.6"), ""},
		{"a gap before the window", "1.2", "0.0", z("1.6"), "", z("1.2", "1.3", "1.7"), ""},
		{"goes back", "1.2", "0.0", z("1.6"), "", z("1.2", "1.3", "1.4", "1.3", "1.5", "1.6"), ""},
		{"goes back before the learner", "1.2", "0.0", z("1.6"), "", z("1.2", "1.3", "1.1", "1.4", "1.5", "1.6"), ""},
		{"a later epoch begins late", "1.2", "0.0", z("2.2"), "", z("1.2", "2.2"), ""},
		{"the learner's zxid is no leader's", "1.4", "0.0", z("2.2"), "", z("1.2", "1.3", "2.1", "2.2"), ""},
		{"an epoch changes before the base", "1.2", "2.1", z("2.3"), "", z("1.2", "1.3", "2.1", "2.2", "2.3"), ""},
		{"an epoch changes over the base", "1.2", "1.4", z("2.2"), "", z("1.2", "1.3", "2.1", "2.2"), ""},
		{"the zero of an epoch before the base", "2.0", "3.0", z("3.2"), "", z("1.1", "3.1", "3.2"), ""},
		{"the window's first is another", "1.2", "0.0", []Proposal{{Zxid: MakeZxid(1, 4), Data: []byte("x")}}, "", z("1.2", "1.3", "1.4"), ""},
		{"before all logs", "0.0", "0.0", z("1.2"), "", z("1.1", "1.2"), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			up := &CatchUp{After: parseZxid(t, c.after), Tail: c.tail}
			if up.Through = parseZxid(t, max(c.through, "0.0")); len(c.tail) > 0 {
				up.Through = c.tail[0].Zxid
			}
			n := &node{files: c.log, base: parseZxid(t, c.base)}
			got, err := n.fromLog(up)
			switch {
			case c.sent == "" && !errors.Is(err, ErrNotFromLog):
				t.Errorf("sends %s, error %v; want a snapshot", short(got), err)
			case c.sent != "" && (err != nil || short(got) != c.sent):
				t.Errorf("sends %s, error %v; want %s", short(got), err, c.sent)
			}
		})
	}
}
