package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zkctl/zkctl/pkg/server/daemon"
)

// TestMain lets the test binary be zkctl.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"zkctl": main})
}

// TestScripts runs testdata/script, each as it would be typed, in a folder of its
// own. Beside testscript's own commands there are:
//
//	exits CODE PROGRAM ARG...   run it; it ends with just that status
//	await CODE [-match REGEXP] PROGRAM ARG...
//	                            run it until it does, and prints what matches
//	ports NAME...               set each to a free port of 127.0.0.1
//	ensemble N [observer]       write z1.cfg to zN.cfg and hosts.yaml, and set $A1 (its address), $P1 (its port) and so on, and $SERVERS; nothing is started
//	field PATH VALUE            standard output is JSON with that value there (a /regexp/ must match)
//	append FILE LINE            add a line to a file
//	write FILE LINE...          write a file of these lines
//	lock FILE                   hold the flock of a file until the script ends
//	installed HOST CONFIG       put zkctl and a zoo.cfg where hosts.yaml has them
//	flip FILE OFFSET            flip a bit of that byte
//	torn FILE                   write a log of a session, two znodes, and a part of a record
//	snapshots DIR N             make snapshot.1 to snapshot.N and a log for each of the server's snapshot.0
//
// Servers that still run when a script ends are stopped by their pid files.
func TestScripts(t *testing.T) {
	p := &portPool{next: 20000 + os.Getpid()*37%8000}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "await": await, "field": field, "snapshots": snapshots,
			"append": appendLine, "write": writeLines, "lock": lockFile, "installed": installed, "torn": tornLog, "flip": flipBit,
			"ports":    func(ts *testscript.TestScript, _ bool, names []string) { p.set(ts, names) },
			"ensemble": func(ts *testscript.TestScript, _ bool, args []string) { p.ensemble(ts, args) },
		},
	})
}

func setupScript(env *testscript.Env) error {
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("ZKCTL_INVENTORY", "")
	env.Setenv("ZOOCFG", "")
	work := env.WorkDir
	env.Defer(func() { stopServers(env.T(), work) })
	return nil
}

// stopServers stops what holds a pid file below dir.
func stopServers(t testscript.T, dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".pid" {
			return nil
		}
		if _, _, err := daemon.Stop(context.Background(), path, 10*time.Second); err != nil {
			t.Log("stop the server of", path, err)
		}
		return nil
	})
}

// portPool gives out ports below those that the kernel gives to connections, and
// none twice.
type portPool struct {
	mu   sync.Mutex
	next int
}

func (p *portPool) take(ts *testscript.TestScript) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 4000 {
		p.next++
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p.next))
		if err != nil {
			continue
		}
		ts.Check(l.Close())
		return p.next
	}
	ts.Fatalf("no free port")
	return 0
}

func (p *portPool) set(ts *testscript.TestScript, names []string) {
	for _, name := range names {
		ts.Setenv(name, strconv.Itoa(p.take(ts)))
	}
}

func (p *portPool) ensemble(ts *testscript.TestScript, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var members, hosts, servers []string
	client := make([]int, n)
	for i := range n {
		id, kind := i+1, "participant"
		if len(args) > 1 && i == n-1 {
			kind = args[1]
		}
		client[i] = p.take(ts)
		q, e := p.take(ts), p.take(ts)
		members = append(members, fmt.Sprintf("server.%d=127.0.0.1:%d:%d:%s", id, q, e, kind))
		address := fmt.Sprintf("127.0.0.1:%d", client[i])
		ts.Setenv(fmt.Sprintf("A%d", id), address)
		ts.Setenv(fmt.Sprintf("P%d", id), strconv.Itoa(client[i]))
		servers = append(servers, address)
		hosts = append(hosts, fmt.Sprintf("  - {name: zk%d, address: 127.0.0.1, role: %s, ports: {client: %d, quorum: %d, election: %d}}", id, kind, client[i], q, e))
	}
	ts.Setenv("SERVERS", strings.Join(servers, ","))
	for i := range n {
		dir := ts.MkAbs(fmt.Sprintf("d%d", i+1))
		ts.Check(os.MkdirAll(dir, 0o755))
		ts.Check(os.WriteFile(filepath.Join(dir, "myid"), []byte(strconv.Itoa(i+1)), 0o644))
		text := fmt.Sprintf("tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\n4lw.commands.whitelist=srvr,mntr,ruok,conf\n%s\n",
			dir, client[i], strings.Join(members, "\n"))
		if n == 1 {
			text = strings.Replace(text, members[0]+"\n", "", 1)
		}
		ts.Check(os.WriteFile(ts.MkAbs(fmt.Sprintf("z%d.cfg", i+1)), []byte(text), 0o644))
	}
	ts.Check(os.WriteFile(ts.MkAbs("hosts.yaml"), []byte("name: test\nconnection: local\npaths: {baseDir: '"+ts.MkAbs("zk")+"/{name}'}\nhosts:\n"+strings.Join(hosts, "\n")+"\n"), 0o644))
}

// status runs a program and tells its exit status.
func status(ts *testscript.TestScript, args []string) int {
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	ts.Fatalf("%v", err)
	return -1
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	if got := status(ts, args[1:]); strconv.Itoa(got) != args[0] {
		ts.Fatalf("%s: exit status %d, not %s\n%s%s", strings.Join(args[1:], " "), got, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func await(ts *testscript.TestScript, _ bool, args []string) {
	code, args := args[0], args[1:]
	shown := regexp.MustCompile("")
	if args[0] == "-match" {
		shown, args = regexp.MustCompile("(?m)"+args[1]), args[2:]
	}
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for strconv.Itoa(status(ts, args)) != code || !shown.MatchString(ts.ReadFile("stdout")) {
		select {
		case <-deadline.C:
			ts.Fatalf("%s: never exit status %s and %q\n%s%s", strings.Join(args, " "), code, shown, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		case <-again.C:
		}
	}
}

func field(ts *testscript.TestScript, neg bool, args []string) {
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &value))
	for _, step := range strings.Split(args[0], ".") {
		switch v := value.(type) {
		case map[string]any:
			sub, ok := v[step]
			if !ok {
				ts.Fatalf("%s: no field %s", args[0], step)
			}
			value = sub
		case []any:
			i, err := strconv.Atoi(step)
			if step == "count" {
				value = len(v)
			} else if err != nil || i >= len(v) {
				ts.Fatalf("%s: no element %s of %d", args[0], step, len(v))
			} else {
				value = v[i]
			}
		default:
			ts.Fatalf("%s: nothing below %v", args[0], v)
		}
	}
	got, want := fmt.Sprint(value), args[1]
	same := got == want
	if r, ok := strings.CutPrefix(want, "/"); ok && strings.HasSuffix(r, "/") {
		same = regexp.MustCompile(strings.TrimSuffix(r, "/")).MatchString(got)
	}
	if same == neg {
		ts.Fatalf("%s: %q, and %q was asked for", args[0], got, want)
	}
}

func snapshots(ts *testscript.TestScript, _ bool, args []string) {
	dir := filepath.Join(ts.MkAbs(args[0]), "version-2")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	names, err := filepath.Glob(filepath.Join(dir, "snapshot.*"))
	ts.Check(err)
	slices.Sort(names)
	text, err := os.ReadFile(names[0])
	ts.Check(err)
	for i := range n {
		ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("snapshot.%x", i+1)), text, 0o644))
		ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("log.%x", i+1)), make([]byte, 8192), 0o644))
	}
}

func appendLine(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_WRONLY, 0)
	ts.Check(err)
	_, err = fmt.Fprintln(f, args[1])
	ts.Check(errors.Join(err, f.Close()))
}

func writeLines(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(args[1:], "\n")+"\n"), 0o644))
}

func lockFile(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_CREATE|os.O_RDWR, 0o644)
	ts.Check(err)
	ts.Defer(func() { f.Close() })
	ts.Check(f.Truncate(0))
	_, err = f.WriteAt([]byte("a test\n"), 0)
	ts.Check(err)
	ts.Check(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
}

func installed(ts *testscript.TestScript, _ bool, args []string) {
	base := filepath.Join(ts.MkAbs("zk"), args[0])
	ts.Check(os.MkdirAll(filepath.Join(base, "bin"), 0o755))
	ts.Check(os.MkdirAll(filepath.Join(base, "conf"), 0o755))
	zkctl, err := exec.LookPath("zkctl")
	ts.Check(err)
	ts.Check(os.Symlink(zkctl, filepath.Join(base, "bin", "zkctl")))
	text, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(base, "conf", "zoo.cfg"), text, 0o644))
}
