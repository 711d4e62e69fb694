package interop

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
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
}

// run plays the program against servers and gives what it printed but for cues.
func (p program) run(t *testing.T, servers string, cue func()) string {
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
		t.Fatalf("%s: %v\n%s\nstderr:\n%s", p.name, err, transcript, tail(stderr.String(), 60))
	}
	if !cued {
		t.Errorf("%s ended without asking for servers to be killed", p.name)
	}
	if t.Failed() {
		t.Log(stderr.String())
	}
	return transcript
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
	transcripts := make(map[string]string)
	t.Run("apache", func(t *testing.T) {
		o := options(1)
		java := ensemble.Java(t)
		o.Launch = func(int) ensemble.Launcher { return java }
		e := ensemble.Start(t, o)
		transcripts["apache"] = p.run(t, e.ConnectString(), roll(e))
	})
	t.Run("standalone", func(t *testing.T) {
		e := ensemble.Start(t, options(1))
		transcripts["standalone"] = p.run(t, e.ConnectString(), roll(e))
	})
	t.Run("ensemble", func(t *testing.T) {
		e := ensemble.Start(t, options(3))
		transcripts["ensemble"] = p.run(t, e.ConnectString(), roll(e))
	})
	want, judge := transcripts["apache"], "Apache's server"
	if want == "" {
		want, judge = transcripts["standalone"], "one server of ours"
	}
	t.Logf("transcript with %s:\n%s", judge, want)
	for _, name := range []string{"standalone", "ensemble"} {
		if got := transcripts[name]; got != "" && got != want {
			t.Errorf("%s differs from %s:\n%s", name, judge, difference(want, got))
		}
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
