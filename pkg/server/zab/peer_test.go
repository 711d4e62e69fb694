package zab

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestImports keeps the package pure.
func TestImports(t *testing.T) {
	banned := []string{"os", "net", "time", "sync", "context", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if slices.Contains(banned, path) || strings.Contains(path, ".") {
				t.Errorf("%s imports %s: zab has no effects of its own, hand this one to the driver through Ready", e.Name(), path)
			}
		}
	}
}

func TestZxid(t *testing.T) {
	z := MakeZxid(1, 2)
	if z.Epoch() != 1 || z.Counter() != 2 || z.String() != "0x100000002" {
		t.Errorf("MakeZxid(1, 2): epoch %d counter %d %s", z.Epoch(), z.Counter(), z)
	}
	if got := Zxid(-1); got.Epoch() != -1 || got.String() != "0xffffffffffffffff" {
		t.Errorf("-1: epoch %d %s", got.Epoch(), got)
	}
	for _, c := range []struct {
		prev, next Zxid
		want       bool
	}{
		{0, MakeZxid(1, 1), true},
		{MakeZxid(1, 1), MakeZxid(1, 2), true},
		{MakeZxid(1, 1), MakeZxid(3, 1), true},
		{MakeZxid(2, 0), MakeZxid(2, 1), true},
		{MakeZxid(1, 1), MakeZxid(1, 1), false},
		{MakeZxid(1, 1), MakeZxid(1, 3), false},
		{MakeZxid(1, 1), MakeZxid(2, 2), false},
		{MakeZxid(1, 1), MakeZxid(2, 0), false},
		{MakeZxid(2, 1), MakeZxid(1, 2), false},
		{MakeZxid(1, math.MaxUint32), MakeZxid(1, 0), false},
	} {
		if got := c.prev.precedes(c.next); got != c.want {
			t.Errorf("%s precedes %s: %t", c.prev, c.next, got)
		}
	}
}

func TestHasQuorum(t *testing.T) {
	groups := Ensemble{
		Voters:    []Sid{1, 2, 3, 4, 5, 6, 7},
		Observers: []Sid{8},
		Groups:    map[Sid]int64{1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 4},
		Weights:   map[Sid]int64{3: 3, 7: 0},
	}
	for _, c := range []struct {
		name string
		e    Ensemble
		in   []Sid
		want bool
	}{
		{"one of one", Ensemble{Voters: []Sid{1}}, []Sid{1}, true},
		{"one of two", Ensemble{Voters: []Sid{1, 2}}, []Sid{1}, false},
		{"two of three", Ensemble{Voters: []Sid{1, 2, 3}}, []Sid{1, 3}, true},
		{"two of four", Ensemble{Voters: []Sid{1, 2, 3, 4}}, []Sid{1, 3}, false},
		{"observers do not count", Ensemble{Voters: []Sid{1, 2, 3}, Observers: []Sid{4}}, []Sid{1, 4}, false},
		{"heavy server wins its group, single group of three", groups, []Sid{3}, false},
		{"two of three groups", groups, []Sid{3, 6}, true},
		{"half a group is none", groups, []Sid{4, 6}, false},
		{"light half of a group", groups, []Sid{1, 2, 6}, false},
		{"group without weight does not count", groups, []Sid{6, 7}, false},
		{"all but the weighty", groups, []Sid{4, 5, 6}, true},
		{"who has no vote weighs in what the group needs", Ensemble{
			Voters: []Sid{1, 2}, Observers: []Sid{3}, Groups: map[Sid]int64{1: 1, 2: 1, 3: 1, 9: 1}, Weights: map[Sid]int64{3: 1, 9: 1},
		}, []Sid{1, 2, 3, 9}, false},
	} {
		if got := c.e.HasQuorum(func(s Sid) bool { return slices.Contains(c.in, s) }); got != c.want {
			t.Errorf("%s: %v gives %t", c.name, c.in, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
		is     error
	}{
		{"stranger", func(c *Config) { c.Self = 9 }, "server 9 is not in the ensemble", nil},
		{"listed twice", func(c *Config) { c.Ensemble.Observers = []Sid{2} }, "server 2 is listed twice", nil},
		{"negative", func(c *Config) { c.Ensemble.Observers = []Sid{-2} }, "server -2", nil},
		{"no voters", func(c *Config) { c.Ensemble = Ensemble{Observers: []Sid{1}} }, "no set of voters", nil},
		{"no group", func(c *Config) { c.Ensemble.Groups = map[Sid]int64{1: 1} }, "server 2 is in no group", nil},
		{"weight", func(c *Config) { c.Ensemble.Weights = map[Sid]int64{1: -1} }, "weight -1", nil},
		{"tick", func(c *Config) { c.TickTime = 1 }, "TickTime 1", nil},
		{"limits", func(c *Config) { c.SyncLimit = 1 }, "SyncLimit 1", nil},
		{"waits", func(c *Config) { c.NotifyMax = 1 }, "NotifyMax 1", nil},
		{"window size", func(c *Config) { c.WindowCount = -1 }, "window of -1", nil},
		{"accepted below current", func(c *Config) { c.Epochs = Epochs{1, 2} }, "acceptedEpoch 1 is below currentEpoch 2", ErrEpochs},
		{"log ahead of promises", func(c *Config) { c.LastZxid = MakeZxid(3, 1) }, "log ends at 0x300000001", ErrEpochs},
		{"negative zxid", func(c *Config) { c.LastZxid = -5 }, "none may be negative", ErrEpochs},
		{"window short", func(c *Config) { c.Epochs.Accepted = 1; c.Window = []Proposal{{Zxid: MakeZxid(1, 1)}} }, "window ends at", nil},
		{"window gap", func(c *Config) { c.Window = []Proposal{{Zxid: MakeZxid(1, 1)}, {Zxid: MakeZxid(1, 3)}} }, "cannot follow", nil},
	} {
		config := fastConfig(3, 0)
		config.Self = 1
		c.change(&config)
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	p, err := New(Config{Self: 1, Ensemble: Ensemble{Voters: []Sid{1, 2, 3}}})
	if err != nil {
		t.Fatal(err)
	}
	if c := p.cfg; c.TickTime != 100 || c.InitLimit != 1000 || c.SyncLimit != 500 || c.WindowCount != 500 || c.NotifyMax != 250 {
		t.Errorf("defaults: %+v", c)
	}
}

// TestPlan checks each way to synchronise a learner.
func TestPlan(t *testing.T) {
	z := MakeZxid
	made := func(capacity int, zxids ...Zxid) history {
		h := newHistory(Config{WindowCount: capacity})
		for _, z := range zxids {
			h.append(Proposal{Zxid: z})
			h.commitNext()
		}
		return h
	}
	full := made(10, z(1, 1), z(1, 2), z(1, 3), z(3, 1), z(3, 2))
	small := made(2, z(1, 1), z(1, 2), z(1, 3))
	empty := newHistory(Config{LastZxid: z(2, 2)})
	for _, c := range []struct {
		name string
		h    history
		last Zxid
		want string
	}{
		{"equal", full, z(3, 2), "diff 3.2 []"},
		{"behind", full, z(1, 3), "diff 3.2 [3.1 3.2]"},
		{"oldest of the window", full, z(1, 1), "diff 3.2 [1.2 1.3 3.1 3.2]"},
		{"ahead in this epoch", full, z(3, 4), "trunc 3.2 []"},
		{"ahead in a later epoch", full, z(4, 1), "trunc 3.2 []"},
		{"beyond an epoch's end", full, z(1, 4), "snap 3.2 []"},
		{"epoch unknown here", full, z(2, 1), "snap 3.2 []"},
		{"former leader without proposals", full, z(2, 0), "diff 3.2 [3.1 3.2]"},
		{"former leader of a later epoch", full, z(5, 0), "snap 3.2 []"},
		{"nothing", full, 0, "snap 3.2 []"},
		{"blank database", full, -1, "snap 3.2 []"},
		{"below the window", small, z(1, 1), "snap 1.3 []"},
		{"in a small window", small, z(1, 2), "diff 1.3 [1.3]"},
		{"no window, equal", empty, z(2, 2), "diff 2.2 []"},
		{"no window, behind", empty, z(2, 1), "snap 2.2 []"},
		{"no window, ahead", empty, z(2, 3), "trunc 2.2 []"},
	} {
		plan := c.h.plan(c.last)
		got := fmt.Sprintf("%s %s [%s]", plan.mode, dotted(plan.zxid), strings.TrimSpace(showProposals(plan.send)))
		if got != c.want {
			t.Errorf("%s: %s: %s, want %s", c.name, dotted(c.last), got, c.want)
		}
	}
}

func TestWindowBounds(t *testing.T) {
	w := window{maxCount: 10, maxBytes: 10}
	for i := range uint32(6) {
		w.add(Proposal{Zxid: MakeZxid(1, i+1), Data: make([]byte, 4)})
	}
	if len(w.items) != 2 || w.bytes != 8 {
		t.Errorf("%d items of %d bytes are kept, want 2 of 8", len(w.items), w.bytes)
	}
	w.add(Proposal{Zxid: MakeZxid(1, 7), Data: make([]byte, 40)})
	if len(w.items) != 1 || w.bytes != 40 {
		t.Errorf("%d items of %d bytes are kept, want the newest", len(w.items), w.bytes)
	}
	w.add(Proposal{Zxid: MakeZxid(1, 8), Data: nil})
	w.cut(MakeZxid(1, 8))
	if len(w.items) != 1 {
		t.Errorf("cut at the newest left %d items", len(w.items))
	}
	w.cut(MakeZxid(1, 6))
	if len(w.items) != 0 || w.bytes != 0 {
		t.Errorf("cut below left %d items of %d bytes", len(w.items), w.bytes)
	}
}

// TestBallotsAgree follows Vote.java.
func TestBallotsAgree(t *testing.T) {
	v := Vote{Leader: 3, Zxid: 7, PeerEpoch: 2, Round: 4}
	later := Vote{Leader: 3, Zxid: 9, PeerEpoch: 2, Round: 8}
	epoch := Vote{Leader: 3, Zxid: 7, PeerEpoch: 3, Round: 4}
	for _, c := range []struct {
		name string
		a, b ballot
		want bool
	}{
		{"looking, equal", ballot{Vote: v}, ballot{Vote: v, role: Following, version: 2}, true},
		{"looking, other round", ballot{Vote: v}, ballot{Vote: later}, false},
		{"settled, other round and zxid", ballot{v, Following, 2}, ballot{later, Leading, 2}, true},
		{"settled, other epoch", ballot{v, Following, 2}, ballot{epoch, Leading, 2}, false},
		{"settled, other epoch, one of 3.4", ballot{v, Following, 0}, ballot{epoch, Leading, 2}, true},
		{"settled, other epoch, both of 3.4", ballot{v, Following, 0}, ballot{epoch, Leading, 0}, false},
	} {
		if got := c.a.agrees(c.b); got != c.want || c.b.agrees(c.a) != got {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		Leading.String(): "leading", Role(9).String(): "zab.Role(9)", Broadcast.String(): "broadcast",
		SyncSnap.String(): "snap", Ping.String(): "PING", Kind(99).String(): "zab.Kind(99)",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
