package zab

import (
	"errors"
	"testing"
)

// TestOnlySnapshot follows a learner that cannot truncate: it is told of a snapshot by
// coming with nothing, to the leader of the same epoch only; and a leader that has no
// snapshot to send is not asked again, so that the server ends with what its disk says.
func TestOnlySnapshot(t *testing.T) {
	trunc := Packet{Kind: Trunc, From: 3, Zxid: MakeZxid(5, 1), Unable: true}
	join := func(b *bench, epoch int64) Packet {
		b.Helper()
		b.step(voteOf(2, 3), voteOf(3, 3))
		b.LinkUp(3)
		b.step(Packet{Kind: LeaderInfo, From: 3, Epoch: epoch, Zxid: MakeZxid(epoch, 0)})
		for _, p := range b.take() {
			if p.Kind == AckEpoch {
				return p
			}
		}
		b.Fatal("no ACKEPOCH")
		return Packet{}
	}
	left := func(b *bench, p Packet) {
		b.Helper()
		if err := b.Step(p); !errors.Is(err, ErrProtocol) {
			b.Fatalf("%s: %v", show(p), err)
		}
		b.settle()
		if b.role.Role != Looking {
			b.Fatalf("still with its leader after %s: %+v", show(p), b.role)
		}
	}
	wants := func(b *bench, got Packet, zxid Zxid, epoch int64) {
		b.Helper()
		if got.Zxid != zxid || got.Epoch != epoch {
			b.Fatalf("%s, wanted %s of epoch %d", show(got), zxid, epoch)
		}
	}
	for _, answer := range []Packet{{Kind: Diff, From: 3}, {Kind: Trunc, From: 3}} {
		t.Run(answer.Kind.String(), func(t *testing.T) {
			b := newFollower(t, 1)
			left(b, trunc)
			wants(b, join(b, 6), 0, -1)
			left(b, answer)
			wants(b, join(b, 6), MakeZxid(5, 2), -1)
			b.step(trunc)
			if b.history.logged != MakeZxid(5, 1) {
				b.Errorf("history ends at %s", b.history.logged)
			}
		})
	}
	t.Run("later epoch", func(t *testing.T) {
		b := newFollower(t, 1)
		left(b, trunc)
		wants(b, join(b, 7), MakeZxid(5, 2), 5)
		left(b, trunc)
		wants(b, join(b, 7), 0, -1)
	})
	t.Run("snapshot", func(t *testing.T) {
		b := newFollower(t, 1)
		left(b, trunc)
		wants(b, join(b, 6), 0, -1)
		b.step(Packet{Kind: Snap, From: 3, Zxid: MakeZxid(5, 1)}, Packet{Kind: NewLeader, From: 3, Zxid: MakeZxid(6, 0)},
			Packet{Kind: UpToDate, From: 3, Zxid: -1})
		if !b.role.Serving {
			t.Fatalf("not in service: %+v", b.role)
		}
		b.LinkDown(3)
		b.take()
		wants(b, join(b, 6), MakeZxid(5, 1), -1)
	})
}
