package pipeline

import (
	"errors"
	"fmt"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// renamer is a stand-in for the rules of member lists: the new one is what joins.
func renamer(present string, r proto.ReconfigRequest, version int64) (string, error) {
	switch r.Joining {
	case "bad":
		return "", fmt.Errorf("%w: nobody is called bad", proto.ErrBadArguments)
	case "old":
		return "", proto.ErrBadVersion
	}
	return fmt.Sprintf("%s after %s\nversion=%x", r.Joining, present, version), nil
}

// everybody is a policy that lets all clients do all.
func everybody(t *testing.T) *auth.Policy {
	t.Helper()
	p, err := auth.New(auth.Config{SkipACL: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func reconfig(joining string) []byte {
	return proto.ReconfigRequest{Joining: joining, ConfigID: -1}.Append(nil)
}

// reconfigurable is a leader with a membership in /zookeeper/config.
func reconfigurable(t *testing.T, change func(*Config)) *fixture {
	t.Helper()
	f := leader(t, func(c *Config) {
		c.Reconfigure = renamer
		c.Auth = everybody(t)
		if change != nil {
			change(c)
		}
	})
	f.p.SetMembership("first", 0)
	return f
}

func TestReconfig(t *testing.T) {
	f := reconfigurable(t, nil)
	c, watcher := f.connect(), f.connect()
	watcher.must(proto.OpGetData, watched(tree.ConfigPath, true))
	r := c.must(proto.OpReconfig, reconfig("second"))
	want := fmt.Sprintf("second after first\nversion=%x", r.Zxid)
	if got := string(r.Buffer()); got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
	if s := r.stat(); s.Version != -1 || s.Mzxid != r.Zxid || int(s.DataLength) != len(want) {
		t.Errorf("stat %+v", s)
	}
	if e := watcher.next(); e.event() != fmt.Sprintf("%d %s", proto.EventDataChanged, tree.ConfigPath) {
		t.Error("the watcher was told something else")
	}
	if got := c.data(tree.ConfigPath); got != want {
		t.Errorf("the znode holds %q, want %q", got, want)
	}
	// A server's own view, as old as before, does not hide it.
	f.p.SetMembership("first", 0)
	if got := c.data(tree.ConfigPath); got != want {
		t.Errorf("the znode holds %q later, want %q", got, want)
	}
}

func TestReconfigRefused(t *testing.T) {
	wire := errors.New("anything else")
	tests := []struct {
		name   string
		change func(*Config)
		check  error
		body   []byte
		want   proto.Code
	}{
		{"turned off", func(c *Config) { c.Reconfigure = nil }, nil, reconfig("a"), proto.ErrReconfigDisabled},
		{"no record", nil, nil, nil, proto.ErrMarshalling},
		{"alone", func(c *Config) { c.Standalone = true }, nil, reconfig("a"), proto.ErrUnimplemented},
		{"no such member list", nil, nil, reconfig("bad"), proto.ErrBadArguments},
		{"of another version", nil, nil, reconfig("old"), proto.ErrBadVersion},
		{"no quorum", nil, zab.ErrNoQuorum, reconfig("a"), proto.ErrNewConfigNoQuorum},
		{"another under way", nil, zab.ErrReconfig, reconfig("a"), proto.ErrReconfigInProgress},
		{"out of order", nil, wire, reconfig("a"), proto.ErrSystem},
		{"not allowed", func(c *Config) { c.Auth = nil }, nil, reconfig("a"), proto.ErrNoAuth},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := reconfigurable(t, tt.change)
			f.order.check = tt.check
			c := f.connect()
			if r := c.do(proto.OpReconfig, tt.body); r.Err != tt.want {
				t.Errorf("%v, want %v", r.Err, tt.want)
			}
			if got := c.data(tree.ConfigPath); got != "first" {
				t.Errorf("the znode holds %q", got)
			}
		})
	}
}

// TestReconfigOneAtATime asks for two at once: the second finds the first under way.
func TestReconfigOneAtATime(t *testing.T) {
	f := reconfigurable(t, nil)
	c := f.connect()
	f.order.holding(true)
	first := c.send(proto.OpReconfig, reconfig("a"))
	second := c.send(proto.OpReconfig, reconfig("b"))
	f.order.wait(t, "both", func() bool { return len(f.order.proposed) == 2 })
	f.order.holding(false)
	for _, want := range []struct {
		xid  int32
		code proto.Code
	}{{first, proto.OK}, {second, proto.ErrReconfigInProgress}} {
		if r := c.next(); r.Xid != want.xid || r.Err != want.code {
			t.Errorf("request %d: %v, want %d: %v", r.Xid, r.Err, want.xid, want.code)
		}
	}
}

// TestReconfigOnAFollower passes a request on, and answers when its transaction comes.
func TestReconfigOnAFollower(t *testing.T) {
	f := newFixture(t, testConfig(), nil)
	f.follow(1)
	made := make(chan *client)
	go func() { c := f.dial(); _ = c.shake(0, nil, 0); made <- c }()
	f.order.wait(t, "createSession", func() bool { return len(f.order.forwarded) == 1 })
	f.commit(&txn.Txn{
		Header: txn.Header{ClientID: f.order.forwarded[0].Session, Zxid: 0x100000001, Type: proto.OpCreateSession},
		Body:   &txn.CreateSession{Timeout: 10000},
	})
	c := <-made
	xid := c.send(proto.OpReconfig, reconfig("a"))
	f.order.wait(t, "the request", func() bool {
		n := len(f.order.forwarded)
		return n > 0 && f.order.forwarded[n-1].Op == proto.OpReconfig
	})
	f.commit(&txn.Txn{
		Header: txn.Header{ClientID: c.resp.SessionID, Cxid: xid, Zxid: 0x100000002, Type: proto.OpReconfig},
		Body:   &txn.SetData{Path: tree.ConfigPath, Data: []byte("a\nversion=100000002"), Version: -1},
	})
	if r := c.next(); r.Err != proto.OK || string(r.Buffer()) != "a\nversion=100000002" || r.stat().Mzxid != 0x100000002 {
		t.Errorf("answer %v", r.Err)
	}
}
