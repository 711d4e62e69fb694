package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// What is watched stands here as functions of a history and of what a server or
// client shows, so that TestPromisesCanBreak can show each of them what is wrong.

// lead notes who leads an epoch, with which history: the first and only one, and it
// has all that is committed. What it begins with is committed with it.
func (h *history) lead(epoch int64, sid zab.Sid, mine []zab.Proposal) error {
	if other, ok := h.leaders[epoch]; ok {
		return fmt.Errorf("epoch %d is led by %d and by %d", epoch, other, sid)
	}
	h.leaders[epoch] = sid
	if !isPrefix(h.order, mine) {
		return fmt.Errorf("leader %d of epoch %d has %s, committed is %s", sid, epoch, lastOf(mine), lastOf(h.order))
	}
	h.order = slices.Clone(mine)
	return nil
}

// follow is about a learner that begins to serve: it shows nothing that is not committed.
func (h *history) follow(sid zab.Sid, mine []zab.Proposal) error {
	if !isPrefix(mine, h.order) {
		return fmt.Errorf("%d serves up to %s, committed is %s", sid, lastOf(mine), lastOf(h.order))
	}
	return nil
}

// commit is about one transaction that a server commits, whose log is mine; an
// established leader's are the ensemble's.
func (h *history) commit(sid zab.Sid, p zab.Proposal, mine []zab.Proposal, place zab.RoleChange) error {
	if h.proposed[p.Zxid] != string(p.Data) {
		return fmt.Errorf("%d commits %s, which is not what was proposed", sid, p.Zxid)
	}
	if place.Role == zab.Leading && place.Serving {
		h.order = append(h.order, p)
	}
	if mine = upTo(mine, p.Zxid); lastOf(mine) != p.Zxid || place.Serving && !isPrefix(mine, h.order) {
		return fmt.Errorf("%d commits %s, all have %s", sid, p.Zxid, lastOf(h.order))
	}
	return nil
}

// durable demands that what is committed is on the disks of a quorum.
func (h *history) durable(hasQuorum func(func(zab.Sid) bool) bool, holds func(zab.Sid, []zab.Proposal) bool) error {
	if !hasQuorum(func(sid zab.Sid) bool { return holds(sid, h.order) }) {
		return fmt.Errorf("%s is committed, but not on a quorum's disks", lastOf(h.order))
	}
	return nil
}

// tree demands that a tree is the one that its zxid stands for.
func (h *history) tree(sid zab.Sid, z zab.Zxid, digest uint64) error {
	if want, ok := h.digests[z]; !ok || want != digest {
		return fmt.Errorf("%d: the tree at %s has digest %#x, want %#x", sid, z, digest, want)
	}
	return nil
}

// told is about the zxid of an answer or event that a client gets, which has seen
// an answer before.
func (h *history) told(client int, seen, zxid int64, answer bool) error {
	if zxid < seen && answer {
		return fmt.Errorf("client %d sees %#x after %#x", client, zxid, seen)
	}
	if !h.has(zxid) {
		return fmt.Errorf("client %d is told of %#x, committed is %s", client, zxid, lastOf(h.order))
	}
	return nil
}

// recovery is what a server shows when it starts, and what its disk was known for.
type recovery struct {
	last, synced zab.Zxid
	epochs, kept zab.Epochs // as read; as its disk has confirmed them
	known        bool       // it wrote what ends with last
	changing     bool       // a truncation or an install was under way
}

// check demands that all is there that the disk has confirmed.
func (r recovery) check(sid zab.Sid) error {
	switch {
	case !r.known:
		return fmt.Errorf("%d recovers up to %s, which it never wrote", sid, r.last)
	case !r.changing && r.last < r.synced:
		return fmt.Errorf("%d recovers up to %s: %s was on its disk", sid, r.last, r.synced)
	case r.epochs.Accepted < r.kept.Accepted || r.epochs.Current < r.kept.Current:
		return fmt.Errorf("%d starts with the epochs %v: %v was on its disk", sid, r.epochs, r.kept)
	}
	return nil
}

// oneLeader demands that servers all serve, under one leader.
func oneLeader(places []zab.RoleChange) bool {
	for _, p := range places {
		if !p.Serving || p.Leader != places[0].Leader {
			return false
		}
	}
	return len(places) > 0
}

// sameTrees demands that all servers hold the same: znodes with their stats, data
// and ACLs, sessions, and whose the ephemerals are.
func sameTrees(trees map[zab.Sid]*tree.Tree) error {
	var first string
	sids := slices.Sorted(maps.Keys(trees))
	for _, sid := range sids {
		var b strings.Builder
		describe(trees[sid], &b)
		if first == "" {
			first = b.String()
		}
		if first != b.String() {
			return fmt.Errorf("%d has another tree than %d: %s", sid, sids[0], difference(first, b.String()))
		}
	}
	return nil
}

// fitAnOrder demands that what clients were answered is linearizable, znode by znode.
func fitAnOrder(calls []porcupine.Operation) error {
	byKey := map[string][]porcupine.Operation{}
	for _, op := range calls {
		key := op.Input.(call).key
		byKey[key] = append(byKey[key], op)
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if porcupine.CheckOperationsTimeout(registers, byKey[key], timeout) == porcupine.Illegal {
			return fmt.Errorf("what clients were answered about %s fits no order", key)
		}
	}
	return nil
}
