package zab

import (
	"fmt"
	"strings"
	"testing"
)

// TestOutbox checks that work is split into Readys where their fixed order would
// change its meaning, and only there.
func TestOutbox(t *testing.T) {
	pr := func(n uint32) Proposal { return Proposal{Zxid: MakeZxid(1, n)} }
	for _, c := range []struct {
		name string
		fill func(o *outbox)
		want string
	}{
		{"one of each, in order", func(o *outbox) {
			o.truncate(1)
			o.append(pr(1))
			o.epochs(Epochs{1, 1})
			o.commit(pr(1))
			o.send(Packet{To: 2})
			o.dial(2)
			o.role(RoleChange{Serving: true})
		}, "truncate append epochs commit send dial role"},
		{"appending goes on while commits come", func(o *outbox) {
			o.append(pr(1))
			o.commit(pr(1))
			o.append(pr(2))
			o.commit(pr(2))
		}, "append append commit commit"},
		{"the newest epochs count", func(o *outbox) {
			o.epochs(Epochs{1, 0})
			o.epochs(Epochs{1, 1})
		}, "epochs"},
		{"append after epochs", func(o *outbox) {
			o.epochs(Epochs{1, 1})
			o.append(pr(1))
		}, "epochs | append"},
		{"truncate and install come first", func(o *outbox) {
			o.commit(pr(1))
			o.truncate(1)
			o.install(1)
		}, "commit | truncate | install"},
		{"a snapshot is of the tree before the next commit", func(o *outbox) {
			o.commit(pr(1))
			o.send(Packet{Kind: Snap, To: 2})
			o.send(Packet{Kind: NewLeader, To: 2})
			o.commit(pr(2))
		}, "commit send send | commit"},
		{"service ends before all else", func(o *outbox) {
			o.commit(pr(1))
			o.role(RoleChange{})
			o.commit(pr(2))
		}, "commit | commit role"},
		{"service begins after all else", func(o *outbox) {
			o.commit(pr(1))
			o.role(RoleChange{Serving: true})
			o.role(RoleChange{})
		}, "commit role | role"},
		{"to a new link after the old one is hung up", func(o *outbox) {
			o.hangup(2)
			o.send(Packet{Kind: Notification, To: 2})
			o.send(Packet{Kind: Ping, To: 2})
		}, "send hangup | send"},
		{"a replaced link is forgotten", func(o *outbox) {
			o.send(Packet{Kind: Ping, To: 2})
			o.send(Packet{Kind: Ping, To: 3})
			o.hangup(2)
			o.forgetLink(2)
			o.send(Packet{Kind: LeaderInfo, To: 2})
		}, "send send"},
	} {
		var o outbox
		c.fill(&o)
		var got []string
		for i := 1; len(o.queue) > 0; i++ {
			r := o.take()
			if r.Mark != uint64(i) {
				t.Errorf("%s: mark %d, want %d", c.name, r.Mark, i)
			}
			got = append(got, parts(r))
		}
		if s := strings.Join(got, " | "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
	var o outbox
	if r := o.take(); r.Mark != 0 || r.NeedsDisk() {
		t.Errorf("nothing to do: %+v", r)
	}
}

// parts names what a Ready holds, in the order of its fields.
func parts(r Ready) string {
	var b strings.Builder
	add := func(n int, name string) {
		for range n {
			fmt.Fprintf(&b, " %s", name)
		}
	}
	one := func(ok bool) int {
		if ok {
			return 1
		}
		return 0
	}
	add(one(r.Truncate != nil), "truncate")
	add(one(r.Install != nil), "install")
	add(len(r.Append), "append")
	add(one(r.Epochs != nil), "epochs")
	add(len(r.Commit), "commit")
	add(len(r.Send), "send")
	add(len(r.Hangup), "hangup")
	add(one(r.Dial != nil), "dial")
	add(one(r.Role != nil), "role")
	return strings.TrimSpace(b.String())
}
