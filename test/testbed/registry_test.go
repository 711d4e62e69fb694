package testbed

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// crashEnv tells the test binary to make a testbed and wait to be killed.
const crashEnv = "TESTBED_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		crash(dir)
		return
	}
	os.Exit(m.Run())
}

// crash makes a testbed, prints its record and waits for the end.
func crash(dir string) {
	tb, err := New(context.Background(), Options{Dir: dir})
	if err != nil {
		_ = json.NewEncoder(os.Stdout).Encode(record{ID: err.Error()})
		return
	}
	_ = json.NewEncoder(os.Stdout).Encode(tb.record)
	select {}
}

// A process that is killed leaves no process of its hosts, and the next testbed
// removes the rest.
func TestCrashLeavesNothing(t *testing.T) {
	if err := Check(); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+t.TempDir())
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var left record
	must(t, json.NewDecoder(stdout).Decode(&left))
	if left.Dir == "" {
		t.Fatal(left.ID)
	}
	before := held(t)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := poll(ctx, func() (bool, error) { return len(cgroup(left.Cgroup).processes()) == 0, nil }); err != nil {
		t.Errorf("processes %v outlive the owner", cgroup(left.Cgroup).processes())
	}
	tb := boot(t, Options{})
	must(t, tb.Close())
	checkGone(t, &left, before)
}

// What a failed New made is removed as well.
func TestFailedBootLeavesNothing(t *testing.T) {
	if err := Check(); err != nil {
		t.Skip(err)
	}
	dir, before := t.TempDir(), held(t)
	_, err := New(t.Context(), Options{Dir: dir, BootTimeout: time.Nanosecond})
	if err == nil || !strings.Contains(err.Error(), "boot h1: not ready after 1ns") {
		t.Errorf("got error %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if after := held(t); len(after) > len(before) {
		t.Errorf("the process held %v before and %v now", before, after)
	}
}

// A record never makes us remove what we did not make.
func TestSweepRefuses(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	must(t, os.WriteFile(precious, nil, 0o644))
	group := filepath.Join(dir, cgroupName("t7"))
	for _, c := range []struct {
		name   string
		marker string
		r      record
		fails  bool
	}{
		{"cgroup of another", "t7", record{ID: "t7", Dir: dir, Cgroup: "/sys/fs/cgroup"}, true},
		{"folder of another", "t8", record{ID: "t7", Dir: dir, Cgroup: group}, true},
		{"folder of nobody", "", record{ID: "t7", Dir: dir, Cgroup: group}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			marker := filepath.Join(dir, markerFile)
			if c.marker != "" {
				must(t, os.WriteFile(marker, []byte(c.marker), 0o644))
			} else {
				must(t, os.Remove(marker))
			}
			if err := c.r.sweep(t.Context()); (err != nil) != c.fails {
				t.Errorf("got error %v", err)
			}
			if _, err := os.Stat(precious); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want string // part of the error; empty is none
	}{
		{"zero", Options{}, ""},
		{"most", Options{Hosts: MaxHosts, Flavour: Systemd}, ""},
		{"too many", Options{Hosts: MaxHosts + 1}, "want 1 to 40"},
		{"negative", Options{Hosts: -1}, "want 1 to 40"},
		{"flavour", Options{Flavour: "openrc"}, `flavour "openrc": want systemd or plain`},
		{"run", Options{Dir: "/run/x"}, "must not be below /run"},
		{"comma", Options{Dir: "/tmp/a,b"}, "nor contain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.o.complete()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
}

func TestLinkNeedsTwoKnownEnds(t *testing.T) {
	tb := &Testbed{hosts: []*Host{{Name: "h1", index: 1}, {Name: "h2", index: 2}}}
	if l, err := tb.link("h2", ControllerName); err != nil || l != (link{2, 0}) {
		t.Errorf("got %v, %v", l, err)
	}
	for _, ends := range [][2]string{{"h1", "h1"}, {"h1", "h3"}, {"", "h1"}} {
		if l, err := tb.link(ends[0], ends[1]); err == nil {
			t.Errorf("%v: got %v", ends, l)
		}
	}
}

func TestRequirementsAreSortedAndOnce(t *testing.T) {
	got := Requirements()
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) || !slices.Contains(got, "systemd-container") {
		t.Errorf("got %v", got)
	}
}
