package ensemble

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

const missed = 2000 // transactions, four times what is in memory

// each does something for every number below n, some at a time.
func each(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !t.Failed(); i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					t.Errorf("number %d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func fill(t *testing.T, c *zk.Conn, parent string) {
	t.Helper()
	each(t, missed, func(i int) error {
		path := fmt.Sprintf("%s/%d", parent, i)
		_, err := c.Create(path, []byte(path), 0, zk.WorldACL(zk.PermAll))
		return err
	})
}

// filled checks what a server has, by a client of its own.
func filled(t *testing.T, e *Ensemble, sid int, parent string) {
	t.Helper()
	c := client(t, e.Addr(sid))
	defer c.Close()
	each(t, missed, func(i int) error {
		path := fmt.Sprintf("%s/%d", parent, i)
		data, _, err := c.Get(path)
		if err == nil && string(data) != path {
			err = fmt.Errorf("%s holds %q", path, data)
		}
		return err
	})
}

// headless reports whether a server has a log file without a header, as one that is
// killed while it makes it can leave it; Apache's does not start on that.
func headless(t *testing.T, e *Ensemble, sid int) bool {
	t.Helper()
	logs, _ := dataFiles(t, e, sid, "log.*")
	return slices.ContainsFunc(logs, func(path string) bool {
		in, err := os.Stat(path)
		return err != nil || in.Size() == 0
	})
}

// lag stops a server, writes, and starts it again while another client goes on
// writing. It returns how the leader brought it up to date.
func lag(t *testing.T, e *Ensemble, leader, behind int, parent string) string {
	t.Helper()
	c := client(t, e.Addr(leader))
	defer c.Close()
	create(t, c, parent) // a learner with nothing at all gets a snapshot
	e.WaitLevel()
	Eventually(t, "no log file is just being made", func() bool { return !headless(t, e, behind) })
	e.Kill(behind)
	fill(t, c, parent)
	before := len(e.Syncs(leader, behind))
	stop, stopped := make(chan bool), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := c.Set(parent, fmt.Append(nil, i), -1); err != nil {
				stopped <- err
				return
			}
		}
	}()
	e.Restart(behind)
	e.WaitServing(behind)
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	e.WaitLevel()
	filled(t, e, behind, parent)
	got := e.Syncs(leader, behind)
	if len(got) != before+1 {
		t.Fatalf("%d was brought up to date by %v, of which %d were before; want one more", behind, got, before)
	}
	return got[before]
}

// A follower that missed more than its leader has in memory gets it from the log;
// without snapshotSizeFactor, and with forceSnapshotSync, it gets a snapshot.
func TestDiffFromLog(t *testing.T) {
	cases := []struct{ factor, force, want string }{
		{"0", "false", Diff}, {"-1", "false", Snap}, {"0", "true", Snap},
	}
	for _, c := range cases {
		t.Run("factor "+c.factor+" force "+c.force, func(t *testing.T) {
			e := Start(t, Options{Servers: 3, Config: map[string]string{
				"snapshotSizeFactor": c.factor, "forceSnapshotSync": c.force, "forceSync": "no",
			}})
			leader, behind := e.WaitLeader(), e.Follower()
			if got := lag(t, e, leader, behind, "/missed"); got != c.want {
				t.Errorf("brought up to date by %s, want %s:\n%s", got, c.want, e.Log(leader))
			}
		})
	}
}

// Apache's follower takes what comes from the log of a server of ours, and says
// nothing of a gap or a digest that differs. A leader that was restarted in between
// serves from its log too.
func TestDiffFromLogToJava(t *testing.T) {
	java := Java(t)
	e := Start(t, Options{
		Servers: 3, Patience: 5 * time.Second, Config: map[string]string{"snapshotSizeFactor": "0", "forceSync": "no"},
		Launch: func(sid int) Launcher {
			if sid == 1 {
				return java
			}
			return nil
		},
	})
	const behind = 1
	for _, parent := range []string{"/first", "/second"} {
		leader := e.WaitLeader()
		if leader == behind {
			t.Fatal("Apache's server leads, with the lowest number")
		}
		if got := lag(t, e, leader, behind, parent); got != Diff {
			t.Errorf("brought up to date by %s, want %s:\n%s", got, Diff, e.Log(leader))
		}
		e.Stop(leader)
		e.Restart(leader)
		e.WaitAll()
	}
	log := strings.ReplaceAll(e.Log(behind), "expected 0x1\n", "\n") // of the first on each link
	for _, bad := range []string{"expected 0x", "out of order", "Digests are not matching", "does not match"} {
		if strings.Contains(log, bad) {
			t.Errorf("Apache's server logs %q:\n%s", bad, log)
		}
	}
}
