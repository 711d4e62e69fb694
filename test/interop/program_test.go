package interop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/ensemble"
)

func TestMain(m *testing.M) { os.Exit(ensemble.Main(m)) }

// patience is how long a client program may run.
const patience = 2 * time.Minute

// A program is a client: it takes the servers' addresses as its last argument,
// prints a transcript, and where it prints "CUE failover" waits for a line while
// the test kills servers. Every program does so.
type program struct {
	name string
	args []string
	// env is added to the test's own.
	env []string
	// system is what the servers are given as system properties of Java's, each
	// name=value.
	system []string
}

// run is try for servers under test: they must not fail the program.
func (p program) run(t *testing.T, servers string, cue func()) string {
	t.Helper()
	transcript, err := p.try(t, servers, cue)
	if err != nil {
		t.Fatal(err)
	}
	return transcript
}

// try plays the program against servers and gives what it printed but for cues,
// and why it failed if it did.
func (p program) try(t *testing.T, servers string, cue func()) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.args[0], append(p.args[1:], servers)...)
	cmd.Env = append(os.Environ(), p.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cued := false
	transcript := follow(out, in, func() {
		cued = true
		cue()
	})
	if err := cmd.Wait(); err != nil {
		return transcript, fmt.Errorf("%s: %w\n%s\nstderr:\n%s", p.name, err, transcript, tail(stderr.String(), 60))
	}
	if !cued {
		return transcript, fmt.Errorf("%s ended without asking for servers to be killed\nstderr:\n%s", p.name, stderr.String())
	}
	return transcript, nil
}

// follow reads what a program prints, and does what it asks for.
func follow(out io.Reader, in io.Writer, cue func()) string {
	var transcript strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "CUE failover" {
			cue()
			_, _ = io.WriteString(in, "done\n") // a program that has ended is noticed by Wait
			continue
		}
		transcript.WriteString(lines.Text() + "\n")
	}
	return transcript.String()
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// options is what client programs need of servers: sessions long enough to
// outlive what the tests do to the servers.
func options(servers int) ensemble.Options {
	return ensemble.Options{Servers: servers, Config: map[string]string{"maxSessionTimeout": "40000"}}
}

// roll kills every server once, one after the other: whichever server a client
// is connected to, it moves, and whoever leads, another follows.
func roll(e *ensemble.Ensemble) func() {
	return func() {
		for sid := 1; sid <= e.Len(); sid++ {
			e.Kill(sid)
			if e.Len() > 1 {
				e.WaitLeader()
			}
			e.Restart(sid)
			e.WaitAll()
		}
	}
}

// compare runs the program against one server of ours, three of ours, and
// Apache's, and compares.
func (p program) compare(t *testing.T) {
	t.Helper()
	ours := make(map[string]string)
	for name, servers := range map[string]int{"standalone": 1, "ensemble": 3} {
		t.Run(name, func(t *testing.T) {
			o := options(servers)
			o.Launch = p.launch(ensemble.Zkctl(t))
			e := ensemble.Start(t, o)
			ours[name] = p.run(t, e.ConnectString(), roll(e))
		})
	}
	if t.Failed() {
		return
	}
	if diff := difference(ours["standalone"], ours["ensemble"]); diff != "" {
		t.Errorf("three servers of ours differ from one:\n%s", diff)
	}
	t.Run("apache", func(t *testing.T) { p.compareApache(t, ours["standalone"]) })
}

// launch gives servers the program's system properties: Apache's on the command
// line, ours in the environment, where zkServer.sh looks for them.
func (p program) launch(server ensemble.Launcher) func(sid int) ensemble.Launcher {
	return func(int) ensemble.Launcher {
		return func(config string) *exec.Cmd {
			cmd := server(config)
			flags := make([]string, 0, len(p.system))
			for _, property := range p.system {
				flags = append(flags, "-D"+property)
			}
			if cmd.Args[0] == "java" {
				cmd.Args = slices.Insert(cmd.Args, 1, flags...)
			} else if len(flags) > 0 {
				cmd.Env = append(cmd.Environ(), "SERVER_JVMFLAGS="+strings.Join(flags, " "))
			}
			return cmd
		}
	}
}

// apacheTries is how often Apache's server is asked. Killed and started again it
// may never answer a client that connects before its database is loaded ("zkDb
// is null" in its log), and then loses that client's session, which has nothing
// to do with ours. So the last time it is left alone: what the program prints does
// not depend on it. A real difference is there every time.
const apacheTries = 3

func (p program) compareApache(t *testing.T, ours string) {
	t.Helper()
	java := ensemble.Java(t)
	for try := 1; ; try++ {
		o := options(1)
		o.Launch = p.launch(java)
		e := ensemble.Start(t, o)
		cue := roll(e)
		if try == apacheTries {
			cue = func() {}
		}
		theirs, err := p.try(t, e.ConnectString(), cue)
		diff := difference(theirs, ours)
		switch {
		case err == nil && diff == "":
			t.Logf("the same transcript with Apache's server:\n%s", theirs)
			return
		case try == apacheTries:
			t.Fatalf("%d times another transcript with Apache's server: %v\n%s", try, err, diff)
		}
		t.Logf("another transcript with Apache's server, which is asked again: %v\n%s", err, diff)
	}
}

// difference lists the lines from the first that differs.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for i := range max(len(w), len(g)) {
		var wl, gl string
		if i < len(w) {
			wl = w[i]
		}
		if i < len(g) {
			gl = g[i]
		}
		if wl != gl {
			b.WriteString("- " + wl + "\n+ " + gl + "\n")
		}
	}
	return b.String()
}

// need skips the test unless the command is there.
func need(t *testing.T, command, packages string) string {
	t.Helper()
	path, err := exec.LookPath(command)
	if err != nil {
		t.Skipf("no %s: apt-get install %s", command, packages)
	}
	return path
}
