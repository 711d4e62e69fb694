package install

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestUnifiedDiff(t *testing.T) {
	long := strings.Repeat("same\n", 10)
	for _, tc := range []struct{ name, before, after, want string }{
		{"equal", "a\n", "a\n", ""},
		{"new file", "", "a\nb\n", "--- /dev/null\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n"},
		{"gone file", "a\n", "", "--- f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n"},
		{"one line", "a\nb\nc\n", "a\nB\nc\n", "--- f\n+++ f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"},
		{"two hunks", "x\n" + long + "y\n", "X\n" + long + "Y\n",
			"--- f\n+++ f\n@@ -1,4 +1,4 @@\n-x\n+X\n same\n same\n same\n@@ -9,4 +9,4 @@\n same\n same\n same\n-y\n+Y\n"},
		{"secret", "", "ssl.keyStore.password=hush\nDigestAuthenticationProvider.superDigest=super:x=\n",
			"--- /dev/null\n+++ f\n@@ -0,0 +1,2 @@\n+ssl.keyStore.password=(hidden)\n+DigestAuthenticationProvider.superDigest=(hidden)\n"},
	} {
		if got, _, _ := unifiedDiff("f", tc.before, tc.after); got != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, got, tc.want)
		}
	}
}

func FuzzDiff(f *testing.F) {
	f.Add("a\nb\n", "b\nc\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > 2000 {
			return
		}
		var was, is []string
		for _, e := range diffLines(splitLines(before), splitLines(after)) {
			if e.op != '+' {
				was = append(was, e.text)
			}
			if e.op != '-' {
				is = append(is, e.text)
			}
		}
		if !slices.Equal(was, splitLines(before)) || !slices.Equal(is, splitLines(after)) {
			t.Errorf("the diff of %q and %q leads from %q to %q", before, after, was, is)
		}
	})
}

func TestWithLine(t *testing.T) {
	words := []string{" purge ", "/a/zoo.cfg"}
	for _, tc := range []struct{ before, line, want string }{
		{"", "", ""},
		{"", "new", "new\n"},
		{"mine\n", "new", "mine\nnew\n"},
		{"mine\n0 0 * * * zkctl purge --config /a/zoo.cfg\nother\n", "new", "mine\nnew\nother\n"},
		{"0 0 * * * zkctl purge --config /a/zoo.cfg\n", "", ""},
		{"0 0 * * * zkctl purge --config /b/zoo.cfg\n", "", "0 0 * * * zkctl purge --config /b/zoo.cfg\n"},
	} {
		if got := withLine(tc.before, words, tc.line); got != tc.want {
			t.Errorf("%q with %q: %q, want %q", tc.before, tc.line, got, tc.want)
		}
	}
}

func TestParseListening(t *testing.T) {
	got := parseListening("socket 0100007F 0885 77\nsocket 00000000000000000000000001000000 0B48 78\nholder 77 12 /usr/bin/java -cp x\nnonsense\n")
	if len(got) != 2 || got[0].address.String() != "127.0.0.1" || got[0].port != 2181 || got[0].pid != 12 || got[0].command != "/usr/bin/java -cp x" ||
		got[1].address.String() != "::1" || got[1].port != 2888 || got[1].pid != 0 {
		t.Errorf("%+v", got)
	}
}

func TestLastError(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"zkctl: start: port 2181 is in use\n  try: stop it\n":        "start: port 2181 is in use",
		"zkctl: warning: odd\nzkctl: read: two faults\n  a:1: bad\n": "read: two faults; a:1: bad",
		"sudo: noise\n": "",
	} {
		if got := lastError(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestOpenBinaryRefuses(t *testing.T) {
	file := t.TempDir() + "/script"
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, file + ".none"} {
		if b, err := OpenBinary(path); err == nil {
			b.Close()
			t.Errorf("%s is taken for a binary", path)
		}
	}
}

// What was shown must be what is done: a host that changed since is left alone.
func TestHostChangedSinceThePlan(t *testing.T) {
	h := newFakeHost(t, "zk1", true)
	inv := remoteInventory(t, "")
	mustApply(t, fakeSession(t, h, inv, nil), mustPlan(t, fakeSession(t, h, inv, nil)))
	s := fakeSession(t, h, inv, nil)
	plan := mustPlan(t, s)
	if err := s.stillTrue(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	h.files["/etc/zkctl/zoo.cfg"].data += "tickTime=1\n"
	if err := s.stillTrue(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "zoo.cfg") {
		t.Errorf("after somebody changed zoo.cfg: %v", err)
	}
}

// The plan and the checks are a promise to scripts.
func TestPlanAsJSON(t *testing.T) {
	text, err := json.Marshal(Plan{Hosts: []HostPlan{{Host: "zk1", Servers: []string{"zk1"}, Changes: []Change{{Server: "zk1", Step: "id", What: "write x", Diff: "d"}},
		Starts: []Start{{Server: "zk1", Restart: true, Why: "w"}}}}})
	want := `{"hosts":[{"host":"zk1","servers":["zk1"],"changes":[{"server":"zk1","step":"id","what":"write x","diff":"d"}],"starts":[{"server":"zk1","restart":true,"why":"w"}]}]}`
	if err != nil || string(text) != want {
		t.Errorf("%s %v\nwant %s", text, err, want)
	}
}
