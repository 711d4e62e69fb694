package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/inventory"
	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

// serving is a server that does its part.
func serving(role string, zxid fourletter.Zxid) fourletter.Status {
	return fourletter.Status{
		State: fourletter.Serving, Role: role, Zxid: zxid, Version: "3.9.3-zkctl-v1.0.0-abc, built on 2026-01-01",
		Latency: fourletter.Latency{Avg: 0.5, Max: 12}, Connections: 140, Outstanding: 3, NodeCount: 12345,
		DataSize: 5 << 20, Watches: 7, Ephemerals: 2, Uptime: 76 * time.Hour,
		Followers: fourletter.Unknown, SyncedFollowers: fourletter.Unknown,
	}
}

func leading(zxid fourletter.Zxid, synced int64) fourletter.Status {
	s := serving(fourletter.ModeLeader, zxid)
	s.Followers, s.SyncedFollowers = synced, synced
	return s
}

func unwell(state fourletter.State, err error, do string) fourletter.Status {
	return fourletter.Status{State: state, Err: &fourletter.AskError{Word: "srvr", Address: "10.0.0.3:2181", Err: err, Try: do}, Uptime: fourletter.Unknown}
}

// testSurvey makes a survey of statuses as if they had been asked for.
func testSurvey(name string, voters int, statuses ...fourletter.Status) *survey {
	s := &survey{name: name}
	for i := range statuses {
		t := target{address: "10.0.0." + string(rune('1'+i)) + ":2181"}
		t.name = t.address
		if name != "" {
			t.name = "zk" + string(rune('1'+i))
			t.server = &inventory.Server{Name: t.name, Role: inventory.Participant, Connection: inventory.ConnectSSH,
				SSH: inventory.Login{Address: "bmc-" + t.name}, Paths: inventory.Paths{Binary: "/usr/local/bin/zkctl", ConfDir: "/etc/zkctl"}}
		}
		statuses[i].Address = t.title()
		s.targets = append(s.targets, t)
		s.ids = append(s.ids, i+1)
	}
	s.Ensemble = fourletter.Evaluate(statuses, voters)
	return s
}

func surveys() map[string]*survey {
	const zxid = 0x300000010
	refused := errors.New("dial tcp 10.0.0.3:2181: connect: connection refused")
	noMntr := serving(fourletter.ModeFollower, zxid)
	noMntr.MntrErr, noMntr.DataSize, noMntr.Uptime = fourletter.ErrNotWhitelisted, fourletter.Unknown, fourletter.Unknown
	return map[string]*survey{
		"healthy": testSurvey("orders", 3, serving(fourletter.ModeFollower, zxid), leading(zxid, 2), serving(fourletter.ModeFollower, zxid-4)),
		"servers": testSurvey("", 0, serving(fourletter.ModeFollower, zxid), leading(zxid, 2), serving(fourletter.ModeFollower, zxid)),
		"dead-member": testSurvey("orders", 3, serving(fourletter.ModeFollower, zxid), leading(zxid, 1),
			unwell(fourletter.Unreachable, refused, "check on 10.0.0.3 that the server runs")),
		"no-quorum": testSurvey("orders", 3, unwell(fourletter.NotServing, fourletter.ErrNotServing, "look at the other servers"),
			unwell(fourletter.Unreachable, refused, "check on 10.0.0.3 that the server runs"), unwell(fourletter.Unreachable, context.DeadlineExceeded, "check that 10.0.0.3 is up")),
		"follower-only": testSurvey("", 0, serving(fourletter.ModeFollower, zxid)),
		"old-epoch":     testSurvey("orders", 3, leading(zxid, 2), serving(fourletter.ModeFollower, zxid), serving(fourletter.ModeFollower, 0x200000001)),
		"no-mntr":       testSurvey("orders", 3, leading(zxid, 2), noMntr, serving(fourletter.ModeFollower, zxid)),
	}
}

func TestStatusTables(t *testing.T) {
	screens := map[string]screen{"": {}, "-80": {width: 80}, "-40": {width: 40}, "-color": {color: true}}
	for name, s := range surveys() {
		for suffix, to := range screens {
			t.Run(name+suffix, func(t *testing.T) {
				var out bytes.Buffer
				if err := s.write(&out, to); err != nil {
					t.Fatal(err)
				}
				golden(t, "status-"+name+suffix+".txt", out.Bytes())
			})
		}
		for _, o := range []output{outputJSON, outputYAML} {
			t.Run(name+"-"+string(o), func(t *testing.T) {
				var out bytes.Buffer
				if err := o.print(&out, s.report(), nil); err != nil {
					t.Fatal(err)
				}
				golden(t, "status-"+name+"."+string(o), out.Bytes())
			})
		}
	}
}

func TestVerdictIsTheExitStatus(t *testing.T) {
	want := map[string]int{"dead-member": 3, "no-quorum": 4, "follower-only": 3, "old-epoch": 3}
	for name, s := range surveys() {
		err := s.exit()
		var code exitError
		if want[name] == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.As(err, &code) || int(code) != want[name] {
			t.Errorf("%s: %v, want %d", name, err, want[name])
		}
	}
}

// stopAfter ends a context when what is written holds mark n times.
type stopAfter struct {
	bytes.Buffer
	mark string
	n    int
	stop func()
}

func (s *stopAfter) Write(p []byte) (int, error) {
	defer func() {
		if strings.Count(s.String(), s.mark) >= s.n {
			s.stop()
		}
	}()
	return s.Buffer.Write(p)
}

// TestWatch shows block below block where nothing can be drawn over, until it is
// interrupted; the last verdict is the exit status.
func TestWatch(t *testing.T) {
	for _, c := range []struct{ form, mark string }{
		{"table", "NOT SERVING (0 of 1"}, {"json", `"verdict":"not_serving"`}, {"yaml", "---\nensemble:"},
	} {
		t.Run(c.form, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := &stopAfter{mark: c.mark, n: 3, stop: cancel}
			code := run(ctx, []string{"zkctl", "status", "--watch", "100ms", "--servers", deadAddress(t), "-o", c.form},
				environment{stdout: out, stderr: io.Discard, getenv: func(string) string { return "" }})
			if code != exitNotServing {
				t.Errorf("exit status %d", code)
			}
			if n := strings.Count(out.String(), c.mark); n != 3 {
				t.Errorf("%d blocks:\n%s", n, out.String())
			}
			if c.form == "json" && strings.Count(out.String(), "\n") != 3 {
				t.Errorf("not one line a look:\n%s", out.String())
			}
		})
	}
}

// deadAddress is an address of this machine where nobody listens.
func deadAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestRedrawLeavesNothingOfTheOldScreen(t *testing.T) {
	var out bytes.Buffer
	if err := redraw(&out, "a\nb\n"); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestShortVersion(t *testing.T) {
	for in, want := range map[string]string{
		"3.8.0-5a02a05eddb59aee6ac762f7ea82e92a68eb9c0f, built on 2022-02-25 08:49 UTC": "3.8.0",
		"3.8.0-${mvngit.commit.id}, built on 2023":                                      "3.8.0",
		"3.9.3-zkctl-v1.2.0-abc, built on today":                                        "3.9.3-zkctl-v1.2.0",
		"3.4.13":                                                                        "3.4.13", "": "",
	} {
		if got := shortVersion(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
