package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// terminalless runs zkctl as in a script, with home as its home.
type terminalless struct {
	t    *testing.T
	home string
}

// zkctl runs a command line and asks for its exit status; it returns what was printed.
func (r terminalless) zkctl(want int, args ...string) (stdout, stderr string) {
	r.t.Helper()
	var out, errOut bytes.Buffer
	env := environment{stdout: &out, stderr: &errOut, build: build{version: "test"}, getenv: func(key string) string {
		return map[string]string{"HOME": r.home, "NO_COLOR": "1"}[key]
	}}
	code := run(context.Background(), append([]string{"zkctl"}, args...), env)
	if code != want {
		r.t.Fatalf("zkctl %s: exit status %d, want %d\n%s\n%s", strings.Join(args, " "), code, want, &out, &errOut)
	}
	return out.String(), errOut.String()
}

func match(t *testing.T, what, text string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(text) {
			t.Errorf("%s: no match of %q in\n%s", what, p, text)
		}
	}
}

// realZkctl is the program to install: this test binary cannot serve.
func realZkctl(t *testing.T) string {
	if exe := os.Getenv("ZKCTL_TEST_BINARY"); exe != "" {
		return exe
	}
	exe := filepath.Join(t.TempDir(), "zkctl")
	cmd := exec.Command("go", "build", "-o", exe, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return exe
}

// writeLocal writes an inventory of three servers on this machine.
func writeLocal(t *testing.T, dir, name, config string) string {
	t.Helper()
	text := "name: shop\nconnection: local\npaths: {baseDir: '~/zkctl/{name}', binary: ~/zkctl/bin/zkctl}\nconfig:\n  clientPortAddress: 127.0.0.1\n  preAllocSize: 64\n" + config + "hosts:\n"
	for i := range 3 {
		var ports []any
		for range 3 {
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer lis.Close()
			ports = append(ports, lis.Addr().(*net.TCPAddr).Port)
		}
		text += fmt.Sprintf("  - {name: zk%d, address: 127.0.0.1, ports: {client: %d, quorum: %d, election: %d}}\n", append([]any{i + 1}, ports...)...)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestInstallAsTyped(t *testing.T) {
	r := terminalless{t, t.TempDir()}
	exe, inv := realZkctl(t), writeLocal(t, r.home, "local.yaml", "")
	t.Cleanup(func() { r.zkctl(exitOK, "uninstall", "-i", inv, "--yes", "--delete-data") })

	out, _ := r.zkctl(exitOK, "plan", "-i", inv, "--binary", exe)
	match(t, "plan", out, `^[0-9]+ of [0-9]+ checks passed$`, `^  zk1: write .*/zk1/conf/zoo.cfg \(\+[0-9]+ -0 lines\)$`, `^      \+dataDir=`, `^  start server zk3$`, `^28 changes$`)
	if _, err := os.Stat(filepath.Join(r.home, "zkctl")); err == nil {
		t.Error("plan changed something")
	}
	_, errOut := r.zkctl(exitFailed, "install", "-i", inv, "--binary", exe)
	match(t, "without --yes", errOut, `^zkctl: install: nothing was changed: there is no terminal to ask on$`, `^  try: add --yes`)

	out, errOut = r.zkctl(exitOK, "install", "-i", inv, "--binary", exe, "--yes")
	match(t, "install", out, `^HOST +ADDRESS +ID +ROLE`, `^zk1 +127.0.0.1:[0-9]+ +1 +(leader|follower)`, `HEALTHY`)
	match(t, "progress", errOut, `^apply +zk2: write .*myid`, `^start +zk3: start server zk3$`, `^verify +every server serves$`)
	if strings.Contains(out+errOut, "\x1b") {
		t.Error("escape sequences in a pipe")
	}
	out, _ = r.zkctl(exitOK, "install", "-i", inv, "--binary", exe)
	match(t, "second install", out, `^nothing to do$`, `HEALTHY`)

	out, errOut = r.zkctl(exitOK, "restart", "-i", inv, "--only", "zk2", "--yes")
	match(t, "restart", out+errOut, `^  restart server zk2 \(as asked\)$`, `^start +zk2: serves as (follower|leader)$`)
	r.zkctl(exitOK, "stop", "-i", inv, "--only", "zk1", "--yes")
	r.zkctl(exitDegraded, "status", "-i", inv)
	out, _ = r.zkctl(exitOK, "install", "-i", inv, "--binary", exe, "--yes", "-o", "json")
	var report installReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || !report.Changed || report.Status == nil || report.Status.Verdict != "healthy" ||
		len(report.Result.Hosts) != 1 || len(report.Result.Hosts[0].Done) != 1 {
		t.Errorf("as json: %v\n%s", err, out)
	}
	testLog(t, report.Log)

	out, _ = r.zkctl(exitOK, "uninstall", "-i", inv, "--yes")
	match(t, "uninstall", out, `its data and logs are still there`)
	out, _ = r.zkctl(exitOK, "uninstall", "-i", inv)
	match(t, "second uninstall", out, `^nothing to do$`)
	_, errOut = r.zkctl(exitFailed, "start", "-i", inv)
	match(t, "start of nothing", errOut, `^zkctl: start zk1: it is not installed: `, `^  start zk3: it is not installed`, `^  try: zkctl install`)
}

func testLog(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("log: %v %v", info, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	match(t, "log", string(text), `msg="start server zk1" phase=start kind=done host=zk1`)
}

func TestSetupMistakes(t *testing.T) {
	r := terminalless{t, t.TempDir()}
	inv := writeLocal(t, r.home, "local.yaml", "")
	bad := filepath.Join(r.home, "bad.yaml")
	if err := os.WriteFile(bad, []byte("hosts:\n  - {name: zk1, adress: 10.0.0.1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"install", exitUsage, `which hosts\? name an inventory with -i`},
		{"install -i " + inv + " extra", exitUsage, "install takes no argument"},
		{"install -i " + inv + " --parallel 0", exitUsage, "--parallel 0: at least 1"},
		{"install -i " + inv + " --only zk9", exitFailed, `the inventory has no host "zk9"`},
		{"install -i " + inv + " --binary " + bad, exitFailed, "it is no executable for Linux"},
		{"install -i " + bad, exitFailed, `bad.yaml:2:17: unknown key "adress"`},
		{"install -i " + r.home + "/none.yaml", exitFailed, "none.yaml: no such file"},
		{"inventory check -i " + bad, exitFailed, `did you mean address\?`},
		{"inventory schema x", exitUsage, "takes no argument"},
		{"init http://x", exitUsage, "is a URL"},
		{"init -f " + inv, exitFailed, "it is there already"},
		{"uninstall -i " + inv + " -o xml", exitUsage, "one of table, json, yaml"},
	} {
		out, errOut := r.zkctl(tc.code, strings.Fields(tc.args)...)
		match(t, tc.args, errOut, tc.stderr)
		if out != "" {
			t.Errorf("%s: on standard output: %s", tc.args, out)
		}
	}
}

func TestInitAndCheck(t *testing.T) {
	r := terminalless{t, t.TempDir()}
	file := filepath.Join(r.home, "hosts.yaml")
	_, errOut := r.zkctl(exitOK, "init", "-f", file, "10.1.1.1", "10.1.1.2")
	match(t, "init", errOut, `^wrote .*hosts.yaml; edit it, then: zkctl install -i `)
	out, errOut := r.zkctl(exitOK, "inventory", "check", file)
	match(t, "check", out, `^zk1 +1 +participant +10.1.1.1 +2181 +2888 +3888`, `the inventory is good$`)
	match(t, "check warns", errOut, `warning: .*even|warning: .*2 participants|warning: .*survive`)
	out, _ = r.zkctl(exitOK, "inventory", "check", file, "-o", "json")
	var report checkReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Servers) != 2 || len(report.Warnings) == 0 {
		t.Errorf("%v %s", err, out)
	}
	out, _ = r.zkctl(exitOK, "inventory", "schema")
	if !json.Valid([]byte(out)) {
		t.Error("the schema is no JSON")
	}
}
