package checker

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// Each check at the end of a run is shown what must not be, and has to say so; and
// beside it what may be, of which it says nothing.

// expect wants one complaint with that text, or none when it is "".
func expect(t *testing.T, got []string, want string) {
	t.Helper()
	if want == "" && len(got) > 0 || want != "" && !strings.Contains(strings.Join(got, "\n"), want) {
		t.Errorf("complaints %q, want %q", got, want)
	}
}

// given is a number that a client asked for and got, in seconds.
func given(number, call, ret int) ticket {
	return ticket{number, time.Unix(int64(call), 0), time.Unix(int64(ret), 0)}
}

func TestWrongTickets(t *testing.T) {
	for _, c := range []struct {
		name    string
		tickets []ticket
		want    string
	}{
		{"in order", []ticket{given(1, 1, 2), given(2, 3, 4), given(5, 5, 6)}, ""},
		{"at once, the later first", []ticket{given(2, 1, 4), given(1, 2, 3)}, ""},
		{"doubled", []ticket{given(1, 1, 4), given(1, 2, 3)}, "number 1 given twice"},
		{"doubled later", []ticket{given(1, 1, 2), given(2, 3, 4), given(1, 5, 6)}, "number 1 given twice"},
		{"back", []ticket{given(7, 1, 2), given(6, 3, 4)}, "number 6 given after 7 had been"},
		{"back, noted in another order", []ticket{given(6, 3, 4), given(7, 1, 2)}, "number 6 given after 7 had been"},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, wrongTickets(c.tickets), c.want) })
	}
}

// TestLost is what checkKept judges by.
func TestLost(t *testing.T) {
	tickets := []ticket{given(1, 1, 2), given(12, 3, 4)}
	expect(t, lost([]string{"n-0000000001", "n-0000000003", "n-0000000012"}, tickets), "")
	expect(t, lost([]string{"n-0000000001"}, tickets), "n-0000000012 was acknowledged and is lost")
	expect(t, lost(nil, tickets), "n-0000000001 was acknowledged and is lost")
}

func TestWrongEntries(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []entry
		want    string
	}{
		{"one after the other", []entry{{token: 1, at: 2}, {token: 1, at: 3}, {token: 4, at: 5}}, ""},
		{"noted in another order", []entry{{token: 4, at: 5}, {token: 1, at: 2}}, ""},
		{"held twice", []entry{{token: 1, at: 2}, {token: 3, at: 4}, {token: 1, at: 5}, {token: 3, at: 6}}, "at 0x4 lock 0x3 was held, and at 0x5 still 0x1"},
		{"held after its end", []entry{{token: 3, at: 4}, {token: 1, at: 5}}, "still 0x1"},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, wrongEntries(c.entries), c.want) })
	}
}

func TestLogOfNothing(t *testing.T) {
	good := func() *log {
		return &log{tickets: []ticket{given(1, 1, 2)}, entries: []entry{{token: 1, at: 2}}}
	}
	expect(t, good().wrong(), "")
	expect(t, (&log{}).wrong(), "no client was given a number")
	expect(t, (&log{}).wrong(), "no client wrote under the lock")
	strange := good()
	strange.fault("sequential name %q", "n-x")
	expect(t, strange.wrong(), `sequential name "n-x"`)
}

func TestDifference(t *testing.T) {
	tree := func(value string) map[string]string { return map[string]string{"/": "r", "/a": value} }
	more := tree("1")
	more["/b"] = "2"
	for _, c := range []struct {
		name  string
		trees []map[string]string
		want  string
	}{
		{"equal", []map[string]string{tree("1"), tree("1"), tree("1")}, ""},
		{"the second differs", []map[string]string{tree("1"), tree("2"), tree("1")}, `servers 1 and 2: /a is "1" and "2"`},
		{"the last differs", []map[string]string{tree("1"), tree("1"), tree("2")}, `servers 1 and 3: /a is "1" and "2"`},
		{"the first lacks a znode", []map[string]string{tree("1"), more, more}, `servers 1 and 2: /b is "" and "2"`},
		{"another lacks a znode", []map[string]string{more, more, tree("1")}, `servers 1 and 3: /b is "2" and ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := difference(c.trees); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestLinearizable(t *testing.T) {
	op := func(call int64, in input, out output) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: call, Return: call + 1}
	}
	made := op(1, input{kind: create, key: "/r/1", value: "a"}, output{})
	for _, c := range []struct {
		name    string
		history []porcupine.Operation
		want    string
	}{
		{"kept", []porcupine.Operation{made, op(3, input{kind: read, key: "/r/1"}, output{value: "a"})}, ""},
		{"lost", []porcupine.Operation{made, op(3, input{kind: read, key: "/r/1"}, output{err: noNode})}, "not linearizable"},
		{"another's", []porcupine.Operation{made, op(3, input{kind: read, key: "/r/2"}, output{value: "a"})}, "not linearizable"},
		{"nothing", nil, "nothing to judge"},
		{"nothing known", []porcupine.Operation{op(1, input{kind: set}, output{unknown: true}), op(1, input{kind: set}, output{err: noNode})}, "nothing to judge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := linearizable(c.history, time.Minute)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestGaveUp(t *testing.T) {
	if out, err := exec.Command("/bin/sh", "-c", gaveUp, "sh", t.TempDir()).Output(); err != nil || string(out) != "no server logged anything\n" {
		t.Errorf("of no logs it says %q, %v", out, err)
	}
	for text, want := range map[string]string{
		"time=1 level=INFO msg=\"serving clients\"\ntime=2 level=WARN msg=\"lost the leader\"": "",
		"time=1 level=INFO msg=x\npanic: runtime error: index out of range":                    "panic: runtime error",
		"fatal error: all goroutines are asleep - deadlock!":                                   "fatal error",
		"time=3 level=ERROR msg=\"Fatal: history diverged\"":                                   "history diverged",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "server.log"), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("/bin/sh", "-c", gaveUp, "sh", dir).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(out)); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("of %q it says %q", text, got)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		hosts    int
		duration time.Duration
		init     string
		want     string // all of it
	}{
		{3, 30 * time.Second, "plain", ""},
		{9, time.Hour, "systemd", ""},
		{2, time.Hour, "plain", "-nemesis.hosts=2: want 3 to 9"},
		{10, time.Hour, "plain", "-nemesis.hosts=10: want 3 to 9"},
		{-1, 0, "upstart", "-nemesis.hosts=-1: want 3 to 9\n-nemesis.duration=0s: want 1s to 168h0m0s\n-nemesis.init=upstart: want plain or systemd"},
		{3, -time.Minute, "plain", "-nemesis.duration=-1m0s: want 1s to 168h0m0s"},
		{3, 200 * time.Hour, "plain", "-nemesis.duration=200h0m0s: want 1s to 168h0m0s"},
	} {
		got := ""
		if err := (settings{hosts: &c.hosts, nemesis: &c.duration, init: &c.init}).check(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
