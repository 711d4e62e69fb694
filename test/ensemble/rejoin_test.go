package ensemble

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

// client connects to some of the servers; who uses it closes it.
func client(t *testing.T, addrs ...string) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect(addrs, 10*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	for e := range events {
		if e.State == zk.StateHasSession {
			return c
		}
	}
	t.Fatal("no session")
	return nil
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func create(t *testing.T, c *zk.Conn, path string) {
	t.Helper()
	if _, err := c.Create(path, []byte(path), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatalf("create %s: %v", path, err)
	}
}

// rejoin runs the command on a server's directory.
func rejoin(t *testing.T, e *Ensemble, sid int, args ...string) (string, error) {
	t.Helper()
	argv := append([]string{"server", "rejoin", "--config", filepath.Join(e.Dir(sid), "zoo.cfg")}, args...)
	for other := 1; other <= e.Len(); other++ {
		if other != sid {
			argv = append(argv, "--servers", e.Addr(other))
		}
	}
	out, err := exec.Command(Binary(t), argv...).CombinedOutput()
	return string(out), err
}

// dataFiles are the files of a kind in a server's version-2, and in what was set aside.
func dataFiles(t *testing.T, e *Ensemble, sid int, pattern string) (here, aside []string) {
	t.Helper()
	err := filepath.WalkDir(e.Dir(sid), func(path string, d os.DirEntry, err error) error {
		if ok, _ := filepath.Match(pattern, filepath.Base(path)); ok && !d.IsDir() {
			if strings.HasPrefix(filepath.Base(filepath.Dir(path)), "damaged-") {
				aside = append(aside, path)
			} else {
				here = append(here, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return here, aside
}

func TestRejoinAfterCorruption(t *testing.T) {
	e := Start(t, Options{Servers: 3})
	e.WaitAll()
	victim := e.Follower()
	c := client(t, e.Addr(e.WaitLeader()))
	for i := range 50 {
		create(t, c, fmt.Sprintf("/n%d", i))
	}
	c.Close()
	out, err := rejoin(t, e, victim, "--yes")
	if err == nil || !strings.Contains(out, "runs") && !strings.Contains(out, "uses the directory") {
		t.Fatalf("while it runs: %v\n%s", err, out)
	}
	e.Stop(victim)
	logs, _ := dataFiles(t, e, victim, "log.*")
	text, err := os.ReadFile(logs[len(logs)-1])
	if err != nil {
		t.Fatal(err)
	}
	text[100] ^= 1
	if err := os.WriteFile(logs[len(logs)-1], text, 0o644); err != nil {
		t.Fatal(err)
	}
	start := exec.Command(Binary(t), "server", "start-foreground", "--config", filepath.Join(e.Dir(victim), "zoo.cfg"))
	if out, err := start.CombinedOutput(); err == nil || !strings.Contains(string(out), "try: zkctl server rejoin --config") {
		t.Fatalf("started on damaged data: %v\n%s", err, out)
	}
	if out, err := rejoin(t, e, victim); err == nil || !strings.Contains(out, "give --yes") {
		t.Fatalf("without --yes: %v\n%s", err, out)
	}
	if out, err := rejoin(t, e, victim, "--yes"); err != nil {
		t.Fatalf("rejoin: %v\n%s", err, out)
	}
	if here, aside := dataFiles(t, e, victim, "log.*"); len(here) != 0 || len(aside) != len(logs) {
		t.Errorf("logs left: %v, set aside: %v", here, aside)
	}
	e.Restart(victim)
	e.WaitAll()
	own := client(t, e.Addr(victim))
	for i := range 50 {
		if _, _, err := own.Get(fmt.Sprintf("/n%d", i)); err != nil {
			t.Errorf("/n%d: %v", i, err)
		}
	}
	own.Close()
	if here, _ := dataFiles(t, e, victim, "zkctl.rejoin"); len(here) != 0 {
		t.Errorf("%v is still there", here)
	}
	// It votes again: with one of the others gone the rest serves.
	e.Kill(e.WaitLeader())
	e.WaitLeader()
}

// TestRejoinHasNoVote loses the history of one of the two servers that have a
// write, while the other is down: the third, which lacks it, must not become leader
// by the vote of a server that forgot.
func TestRejoinHasNoVote(t *testing.T) {
	e := Start(t, Options{Servers: 3})
	e.WaitAll()
	leader := e.WaitLeader()
	forgetful := e.Follower()
	behind := 6 - leader - forgetful
	e.Stop(behind)
	c := client(t, e.Addr(leader))
	create(t, c, "/acknowledged")
	c.Close()
	e.Kill(leader)
	e.Stop(forgetful)
	if out, err := rejoin(t, e, forgetful, "--yes"); err == nil || !strings.Contains(out, "0 lead and 0 follow, and 2 of 3 are needed") {
		t.Fatalf("without a leader: %v\n%s", err, out)
	}
	if out, err := rejoin(t, e, forgetful, "--yes", "--force"); err != nil {
		t.Fatalf("forced: %v\n%s", err, out)
	}
	e.Restart(behind)
	e.Restart(forgetful)
	for tick := time.NewTicker(TickTime / 4); ; <-tick.C {
		b, f := e.Status(behind), e.Status(forgetful)
		if b.State == fourletter.Serving || f.State == fourletter.Serving {
			t.Fatalf("served by %q and %q without the only server that has the write", b.Role, f.Role)
		}
		// Several rounds of notifications: both have had every chance to agree.
		if strings.Count(e.Log(behind), "\n") > 0 && uptime(e, behind) > 15*TickTime && uptime(e, forgetful) > 15*TickTime {
			tick.Stop()
			break
		}
	}
	e.Restart(leader)
	e.WaitAll()
	own := client(t, e.Addr(forgetful))
	defer own.Close()
	if _, _, err := own.Get("/acknowledged"); err != nil {
		t.Errorf("the acknowledged write: %v", err)
	}
}

// uptime is for how long a server's process has run, by its pid file.
func uptime(e *Ensemble, sid int) time.Duration {
	st, err := os.Stat(filepath.Join("/proc", fmt.Sprint(e.PID(sid))))
	if err != nil {
		return 0
	}
	return time.Since(st.ModTime())
}
