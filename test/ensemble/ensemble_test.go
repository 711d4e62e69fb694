package ensemble

import (
	"os"
	"slices"
	"strings"
	"testing"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestStandalone(t *testing.T) {
	e := Start(t, Options{})
	if st := e.Status(1); st.Role != fourletter.ModeStandalone {
		t.Errorf("role %q, want standalone", st.Role)
	}
	e.Stop(1)
	if st := e.Status(1); st.State != fourletter.Unreachable {
		t.Errorf("state %v after Stop, want unreachable", st.State)
	}
	e.Restart(1)
	e.WaitServing(1)
}

func TestLeaderKilledPausedAndCutOff(t *testing.T) {
	e := Start(t, Options{Servers: 3, Observers: 1})
	if st := e.Status(4); st.Role != fourletter.ModeObserver {
		t.Errorf("server 4 is %q, want observer", st.Role)
	}

	first := e.WaitLeader()
	e.Kill(first)
	second := e.WaitLeader(first)
	e.Restart(first)
	e.WaitAll()

	e.Pause(second)
	third := e.WaitLeader(second)
	e.Resume(second)
	e.WaitAll()

	e.Isolate(third)
	fourth := e.WaitLeader(third)
	Eventually(t, "the leader cut off to notice", func() bool { return e.Status(third).State != fourletter.Serving })
	e.Heal()
	e.WaitAll()
	if leader := e.Leader(); leader != fourth {
		t.Errorf("after healing %d leads, want %d as before", leader, fourth)
	}
	e.WaitLevel()
}

func TestFollowerHeardButDeaf(t *testing.T) {
	e := Start(t, Options{Servers: 3})
	leader, follower := e.WaitLeader(), e.Follower()
	e.OneWay(leader, follower)
	Eventually(t, "the follower to notice that it hears nothing", func() bool { return e.Status(follower).State != fourletter.Serving })
	if got := e.WaitLeader(); got != leader {
		t.Errorf("leader %d was replaced by %d", leader, got)
	}
	e.Heal()
	e.WaitAll()
	for _, sid := range []int{1, 2, 3} {
		e.Reset(sid, sid%3+1)
	}
	e.WaitAll()
}

func TestConfigNamesRelays(t *testing.T) {
	o := Options{Servers: 3, Observers: 1, Config: map[string]string{"tickTime": "77"}}
	cfg := strings.Split(string(zooCfg(o, "127.9.8", &server{sid: 4, dir: "/d"})), "\n")
	for _, want := range []string{"server.1=127.9.8.41:2888:3888", "server.4=127.9.8.4:2888:3888:observer", "peerType=observer",
		"tickTime=77", "clientPortAddress=127.9.8.4", "dataDir=/d/zkdata"} {
		if !slices.Contains(cfg, want) {
			t.Errorf("zoo.cfg lacks %q:\n%s", want, strings.Join(cfg, "\n"))
		}
	}
}
