package simulation

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/anishathalye/porcupine"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// proposals are transactions without meaning, with these zxids.
func proposals(zxids ...zab.Zxid) []zab.Proposal {
	var all []zab.Proposal
	for _, z := range zxids {
		all = append(all, zab.Proposal{Zxid: z, Data: []byte(z.String())})
	}
	return all
}

// historyOf is one in which these are committed; leader 1 leads epoch 1.
func historyOf(zxids ...zab.Zxid) history {
	h := newHistory()
	h.order, h.leaders[1] = proposals(zxids...), 1
	for _, p := range h.order {
		h.proposed[p.Zxid] = string(p.Data)
	}
	return h
}

const (
	z1 = zab.Zxid(1<<32 | 1)
	z2 = zab.Zxid(1<<32 | 2)
	z3 = zab.Zxid(1<<32 | 3)
	y1 = zab.Zxid(2<<32 | 1)
)

var (
	leads    = zab.RoleChange{Role: zab.Leading, Leader: 1, Epoch: 1, Serving: true}
	followsA = zab.RoleChange{Role: zab.Following, Leader: 1, Epoch: 1, Serving: true}
	followsB = zab.RoleChange{Role: zab.Following, Leader: 2, Epoch: 2, Serving: true}
)

// TestPromisesCanBreak shows every check of the simulation what is right and what is
// wrong: a check that finds nothing wrong in what is wrong would prove nothing.
func TestPromisesCanBreak(t *testing.T) {
	other := []zab.Proposal{{Zxid: z1, Data: []byte("other")}}
	three := zab.Ensemble{Voters: []zab.Sid{1, 2, 3}, Observers: []zab.Sid{4}}
	onDisks := func(held map[zab.Sid][]zab.Proposal) func(*history) error {
		return func(h *history) error {
			return h.durable(three.HasQuorum, func(sid zab.Sid, order []zab.Proposal) bool { return isPrefix(order, held[sid]) })
		}
	}
	for _, c := range []struct {
		name  string
		check func(h *history) error // of a history in which 1.1 and 1.2 are committed
		want  string                 // "" when nothing is wrong
	}{
		{"a leader of its own epoch, with what is committed", func(h *history) error { return h.lead(2, 2, proposals(z1, z2, z3)) }, ""},
		{"two leaders of an epoch", func(h *history) error { return h.lead(1, 2, proposals(z1, z2)) }, "epoch 1 is led by 1 and by 2"},
		{"one leader of an epoch twice", func(h *history) error { return h.lead(1, 1, proposals(z1, z2)) }, "epoch 1 is led by 1 and by 1"},
		{"a leader without all that is committed", func(h *history) error { return h.lead(2, 2, proposals(z1)) }, "leader 2 of epoch 2 has 0x100000001, committed is 0x100000002"},
		{"a leader with another transaction of that zxid", func(h *history) error { return h.lead(2, 2, append(other, proposals(z2)...)) }, "leader 2"},
		{"a leader with a hole", func(h *history) error { return h.lead(2, 2, proposals(z2)) }, "leader 2"},
		{"what a leader begins with is committed", func(h *history) error {
			return errors.Join(h.lead(2, 2, proposals(z1, z2, z3)), h.lead(3, 3, proposals(z1, z2)))
		}, "leader 3 of epoch 3 has 0x100000002, committed is 0x100000003"},

		{"a learner that lags", func(h *history) error { return h.follow(2, proposals(z1)) }, ""},
		{"a learner that shows what is not committed", func(h *history) error { return h.follow(2, proposals(z1, z2, z3)) }, "2 serves up to 0x100000003, committed is 0x100000002"},
		{"a learner that shows another history", func(h *history) error { return h.follow(2, other) }, "2 serves"},

		{"a commit in its order", func(h *history) error { return h.commit(2, proposals(z2)[0], proposals(z1, z2), followsA) }, ""},
		{"a commit over a gap", func(h *history) error { return h.commit(2, proposals(z2)[0], proposals(z2), followsA) }, "2 commits 0x100000002"},
		{"a commit that the log does not have", func(h *history) error { return h.commit(2, proposals(z2)[0], proposals(z1), followsA) }, "2 commits 0x100000002"},
		{"a commit before the leader's", func(h *history) error {
			h.proposed[z3] = z3.String()
			return h.commit(2, proposals(z3)[0], proposals(z1, z2, z3), followsA)
		}, "2 commits 0x100000003, all have 0x100000002"},
		{"a commit of what was not proposed", func(h *history) error { return h.commit(2, other[0], other, followsA) }, "not what was proposed"},
		{"a leader's commits are everybody's", func(h *history) error {
			h.proposed[z3] = z3.String()
			err := h.commit(1, proposals(z3)[0], proposals(z1, z2, z3), leads)
			return errors.Join(err, h.follow(2, proposals(z1, z2, z3)))
		}, ""},
		{"a leader commits out of order", func(h *history) error {
			h.proposed[y1] = y1.String()
			return h.commit(1, proposals(y1)[0], proposals(z1, y1), leads)
		}, "1 commits 0x200000001"},

		{"a zxid given twice", func(h *history) error { return h.propose(other[0], 0) }, "two transactions are 0x100000001"},
		{"a proposal that is none", func(h *history) error { return h.propose(proposals(z3)[0], z2) }, "proposal 0x100000003"},

		{"on two of three disks", onDisks(map[zab.Sid][]zab.Proposal{1: proposals(z1, z2), 3: proposals(z1, z2, z3)}), ""},
		{"on one disk and an observer's", onDisks(map[zab.Sid][]zab.Proposal{1: proposals(z1, z2), 2: proposals(z1), 4: proposals(z1, z2)}), "not on a quorum's disks"},
		{"on disks with another history", onDisks(map[zab.Sid][]zab.Proposal{1: proposals(z1, z2), 2: append(other, proposals(z2)...)}), "not on a quorum's disks"},

		{"the digest of nothing", func(h *history) error { return h.tree(1, 0, tree.New(tree.Options{}).Digest()) }, ""},
		{"another digest", func(h *history) error { return h.tree(1, 0, 7) }, "1: the tree at 0x0 has digest 0x7"},
		{"a tree at a zxid that nobody proposed", func(h *history) error { return h.tree(1, z3, 0) }, "1: the tree at 0x100000003"},

		{"an answer", func(h *history) error { return h.told(1, int64(z1), int64(z2), true) }, ""},
		{"an event may be older than an answer", func(h *history) error { return h.told(1, int64(z2), int64(z1), false) }, ""},
		{"an answer goes back", func(h *history) error { return h.told(1, int64(z2), int64(z1), true) }, "client 1 sees 0x100000001 after 0x100000002"},
		{"a client is told of what is not committed", func(h *history) error { return h.told(1, 0, int64(z3), true) }, "client 1 is told of 0x100000003"},
		{"a client hears of what is not committed", func(h *history) error { return h.told(1, 0, int64(z3), false) }, "client 1 is told of 0x100000003"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := historyOf(z1, z2)
			wants(t, c.check(&h), c.want)
		})
	}
}

// wants compares an error with a part of its text; "" is none.
func wants(t *testing.T, err error, part string) {
	t.Helper()
	if (err == nil) != (part == "") || err != nil && !strings.Contains(err.Error(), part) {
		t.Errorf("%v, want %q", err, part)
	}
}

func TestRecoveryCanBreak(t *testing.T) {
	good := recovery{last: z2, synced: z2, epochs: zab.Epochs{Accepted: 2, Current: 1}, kept: zab.Epochs{Accepted: 2, Current: 1}, known: true}
	for _, c := range []struct {
		name   string
		change func(*recovery)
		want   string
	}{
		{"all is there", func(*recovery) {}, ""},
		{"more than was confirmed", func(r *recovery) { r.synced, r.kept = z1, zab.Epochs{Accepted: 1} }, ""},
		{"less than was confirmed", func(r *recovery) { r.last = z1 }, "1 recovers up to 0x100000001: 0x100000002 was on its disk"},
		{"less, in the middle of a truncation", func(r *recovery) { r.last, r.changing = z1, true }, ""},
		{"what it never wrote", func(r *recovery) { r.known = false }, "1 recovers up to 0x100000002, which it never wrote"},
		{"a promise forgotten", func(r *recovery) { r.epochs.Accepted = 1 }, "1 starts with the epochs"},
		{"a history's epoch forgotten", func(r *recovery) { r.epochs.Current = 0 }, "1 starts with the epochs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good
			c.change(&r)
			wants(t, r.check(1), c.want)
		})
	}
}

func TestOneLeaderCanBreak(t *testing.T) {
	looks := zab.RoleChange{Role: zab.Looking}
	for _, c := range []struct {
		name   string
		places []zab.RoleChange
		want   bool
	}{
		{"one leader and who follows it", []zab.RoleChange{leads, followsA, followsA}, true},
		{"nobody is up", nil, false},
		{"one looks", []zab.RoleChange{leads, looks, followsA}, false},
		{"two leaders", []zab.RoleChange{leads, followsA, followsB}, false},
	} {
		if got := oneLeader(c.places); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// TestNoRecoveryIsReported: an ensemble that cannot come together is a fault.
func TestNoRecoveryIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3, nil)
		defer w.stop()
		if len(w.servers) < 2 {
			t.Fatal("this seed's ensemble is too small to be cut")
		}
		for _, a := range w.servers {
			a.start()
			for _, b := range w.servers {
				w.cut(a.sid, b.sid)
			}
		}
		w.converge()
		wants(t, errors.New(strings.Join(w.faults, " ")), "no recovery")
	})
}

// treeOf applies transactions of session 7 to an empty tree.
func treeOf(t *testing.T, bodies ...txn.Body) *tree.Tree {
	t.Helper()
	tr := tree.New(tree.Options{})
	for i, body := range bodies {
		h := txn.Header{ClientID: 7, Zxid: int64(i + 1), Time: 1000, Type: proto.OpCreate}
		switch body.(type) {
		case *txn.CreateSession:
			h.Type = proto.OpCreateSession
		case *txn.SetACL:
			h.Type = proto.OpSetACL
		}
		tr.Apply(&txn.Txn{Header: h, Body: body})
	}
	return tr
}

// TestSameTreesCanBreak: no part of what servers hold may differ.
func TestSameTreesCanBreak(t *testing.T) {
	session := &txn.CreateSession{Timeout: 1000}
	node := func(data string, ephemeral bool) *txn.Create {
		return &txn.Create{Path: "/a", Data: []byte(data), ACL: proto.WorldAnyone(), ParentCVersion: 1, Ephemeral: ephemeral}
	}
	readOnly := proto.WorldAnyone()
	readOnly[0].Perms = proto.PermRead
	acl := &txn.SetACL{Path: "/a", ACL: readOnly, Version: 1}
	first := func() *tree.Tree { return treeOf(t, session, node("x", false)) }
	for _, c := range []struct {
		name  string
		other *tree.Tree
		same  bool
	}{
		{"the same", first(), true},
		{"a znode's data", treeOf(t, session, node("y", false)), false},
		{"a znode is missing", treeOf(t, session), false},
		{"an ephemeral", treeOf(t, session, node("x", true)), false},
		{"a session's timeout", treeOf(t, &txn.CreateSession{Timeout: 2000}, node("x", false)), false},
		{"a session is missing", treeOf(t, node("x", false)), false},
		{"an ACL", treeOf(t, session, node("x", false), acl), false},
	} {
		if err := sameTrees(map[zab.Sid]*tree.Tree{1: first(), 2: first(), 3: c.other}); (err == nil) != c.same {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestLinearizabilityCanBreak: each row is a history of one znode that two clients wrote.
func TestLinearizabilityCanBreak(t *testing.T) {
	write := func(expects int32) call { return call{key: "/k", version: expects} }
	made, ok := call{key: "/k", create: true}, func(v int32) result { return result{known: true, version: v} }
	failed := func(code proto.Code) result { return result{known: true, code: code} }
	op := func(client int, begin, end int64, c call, r result) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: c, Output: r, Call: begin, Return: end}
	}
	const never = 1 << 60
	create := op(1, 1, 2, made, ok(0))
	for _, c := range []struct {
		name string
		ops  []porcupine.Operation
		want bool
	}{
		{"one after the other", []porcupine.Operation{create, op(1, 3, 4, write(-1), ok(1)), op(2, 5, 6, write(1), ok(2))}, true},
		{"at once, in either order", []porcupine.Operation{create, op(1, 3, 6, write(-1), ok(2)), op(2, 4, 5, write(-1), ok(1))}, true},
		{"a write that is lost", []porcupine.Operation{create, op(1, 3, 4, write(-1), ok(1)), op(2, 5, 6, write(-1), ok(1))}, false},
		{"an acknowledged create that is lost", []porcupine.Operation{create, op(2, 3, 4, write(-1), failed(proto.ErrNoNode))}, false},
		{"a znode made twice", []porcupine.Operation{create, op(2, 3, 4, made, ok(0))}, false},
		{"a version that nobody wrote", []porcupine.Operation{create, op(1, 3, 4, write(-1), ok(2))}, false},
		{"two writes that expect one version", []porcupine.Operation{create, op(1, 3, 6, write(0), ok(1)), op(2, 4, 5, write(0), ok(1))}, false},
		{"a write that is done twice", []porcupine.Operation{create, op(1, 3, 4, write(-1), ok(1)), op(2, 5, 6, write(1), failed(proto.ErrBadVersion))}, false},
		{"an unknown write that was done", []porcupine.Operation{create, op(9, 3, never, write(-1), result{}), op(2, 5, 6, write(-1), ok(2))}, true},
		{"an unknown write that was not done", []porcupine.Operation{create, op(9, 3, never, write(-1), result{}), op(2, 5, 6, write(-1), ok(1))}, true},
	} {
		if err := fitAnOrder(c.ops); (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestFaultsEndARun: what a check reports fails the seed, unless its run ended before.
func TestFaultsEndARun(t *testing.T) {
	w := newWorld(1, nil)
	w.demand(nil)
	if w.over() {
		t.Error("a promise kept ends the run")
	}
	w.demand(fmt.Errorf("broken"))
	if !w.over() || len(w.faults) != 1 {
		t.Error("a broken promise is not noticed")
	}
}
