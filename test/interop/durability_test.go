package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A load is clients that create znodes below /load, and what was acknowledged.
type load struct {
	mu    sync.Mutex
	acked []string
	count atomic.Int64
	stop  chan struct{}
	done  sync.WaitGroup
}

// startLoad lets a client at every server write until the load is ended.
func startLoad(t *testing.T, e *ensemble.Ensemble) *load {
	t.Helper()
	dial(t, e.Addr(1)).create("/load", "", 0)
	l := &load{stop: make(chan struct{})}
	for sid := 1; sid <= e.Len(); sid++ {
		for i := range 2 {
			c := dial(t, e.Addr(sid))
			l.done.Go(func() { l.write(c, fmt.Sprintf("/load/%d.%d.", sid, i)) })
		}
	}
	return l
}

func (l *load) write(c *goClient, prefix string) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		path := fmt.Sprint(prefix, n)
		if _, err := c.Create(path, []byte(path), 0, open); err == nil {
			l.mu.Lock()
			l.acked = append(l.acked, path)
			l.mu.Unlock()
			l.count.Add(1)
		}
	}
}

// wait returns when so many more writes have been acknowledged.
func (l *load) wait(t *testing.T, more int64) {
	t.Helper()
	goal := l.count.Load() + more
	ensemble.Eventually(t, fmt.Sprint(more, " writes"), func() bool { return l.count.Load() >= goal })
}

func (l *load) end() {
	close(l.stop)
	l.done.Wait()
}

// check looks for all that was acknowledged on every server.
func (l *load) check(t *testing.T, e *ensemble.Ensemble) {
	t.Helper()
	for sid := 1; sid <= e.Len(); sid++ {
		c := dial(t, e.Addr(sid))
		c.sync()
		names, _, err := c.Children("/load")
		if err != nil {
			t.Fatal(err)
		}
		there := make(map[string]bool, len(names))
		for _, name := range names {
			there["/load/"+name] = true
		}
		for _, path := range l.acked {
			if !there[path] {
				t.Errorf("server %d has lost %s, which was acknowledged", sid, path)
			}
		}
		t.Logf("server %d: %d znodes, %d acknowledged", sid, len(there), len(l.acked))
	}
}

// All servers are killed at once under load, and nothing acknowledged is lost.
// Snapshots are taken all the time.
func TestAllKilledUnderLoad(t *testing.T) {
	both(t, func(t *testing.T, e *ensemble.Ensemble) {
		l := startLoad(t, e)
		for range 3 {
			l.wait(t, 200)
			e.KillAll()
			e.RestartAll()
		}
		l.wait(t, 50)
		l.end()
		l.check(t, e)
	})
}

// Snapshots are taken every few transactions, and the database is what it was
// after each restart.
func TestManySnapshots(t *testing.T) {
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			o := options(servers)
			o.Config["snapCount"] = "50"
			e := ensemble.Start(t, o)
			l := startLoad(t, e)
			for sid := 1; sid <= servers; sid++ {
				l.wait(t, 500)
				e.Stop(sid)
				if servers > 1 {
					l.wait(t, 100)
				}
				e.Restart(sid)
				e.WaitAll()
			}
			l.wait(t, 100)
			l.end()
			e.KillAll()
			e.RestartAll()
			l.check(t, e)
			snapshots, err := filepath.Glob(filepath.Join(e.Dir(1), "zkdata", "version-2", "snapshot.*"))
			if err != nil || len(snapshots) < 5 {
				t.Errorf("snapshots %v, %v: want many", snapshots, err)
			}
		})
	}
}

// A follower that missed more than the leader keeps at hand gets a snapshot, and
// one whose disk was emptied does too.
func TestFollowerFarBehind(t *testing.T) {
	o := options(3)
	o.Config["snapCount"], o.Config["commitLogCount"] = "200", "100"
	e := ensemble.Start(t, o)
	e.WaitLeader()
	behind := e.Follower()
	observed := dial(t, e.Addr(behind))
	observed.create("/ephemeral", "", zk.FlagEphemeral)
	observed.helm.steer(e.Addr(e.WaitLeader()))
	for _, empty := range []bool{false, true} {
		e.Kill(behind)
		c := dial(t, e.Addr(e.WaitLeader()))
		base := fmt.Sprintf("/missed-%v", empty)
		c.create(base, "", 0)
		for i := range 1000 {
			c.create(fmt.Sprintf("%s/%d", base, i), "x", 0)
		}
		if empty {
			for _, dir := range []string{"zkdata", "zkdatalog"} {
				if err := os.RemoveAll(filepath.Join(e.Dir(behind), dir, "version-2")); err != nil {
					t.Fatal(err)
				}
			}
		}
		before := strings.Count(e.Log(behind), "installed the leader's snapshot")
		e.Restart(behind)
		e.WaitServing(behind)
		if strings.Count(e.Log(behind), "installed the leader's snapshot") != before+1 {
			t.Error("the follower did not get a snapshot")
		}
		late := dial(t, e.Addr(behind))
		if _, stat := late.get(base); stat.NumChildren != 1000 {
			t.Errorf("the follower has %d znodes below %s", stat.NumChildren, base)
		}
		if _, stat := late.get("/ephemeral"); stat.EphemeralOwner != observed.SessionID() {
			t.Errorf("the ephemeral is of 0x%x", stat.EphemeralOwner)
		}
		e.Kill(behind)
		e.Restart(behind) // from the disk, on which the snapshot lies now
		e.WaitServing(behind)
		late.waitSession()
		if _, stat := late.get(base); stat.NumChildren != 1000 {
			t.Errorf("after a restart the follower has %d znodes below %s", stat.NumChildren, base)
		}
	}
	e.WaitLevel()
}
