package install

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/inventory"
	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// superUser is the setting that makes user super with a password.
func superUser(password string) string {
	sum := sha1.Sum([]byte("super:" + password))
	return "super:" + base64.StdEncoding.EncodeToString(sum[:])
}

// without is an inventory without one of its hosts; the others keep their ids.
func without(inv *inventory.Inventory, name string) *inventory.Inventory {
	fewer := *inv
	fewer.Hosts = slices.DeleteFunc(slices.Clone(inv.Hosts), func(h inventory.Host) bool { return h.Name == name })
	return &fewer
}

// An ensemble whose membership is its own affair takes on the inventory's: servers come and go, the leader too, and
// installing again finds nothing to do.
func TestReconfig(t *testing.T) {
	dir, ports := t.TempDir(), freePorts(t, 15)
	settings := fmt.Sprintf("  reconfigEnabled: true\n  DigestAuthenticationProvider.superDigest: %q\n", superUser("pw"))
	three, five := localInventory(t, dir, 3, ports, settings), localInventory(t, dir, 5, ports, settings)
	five.Hosts[4].Role = inventory.Observer
	who := Credentials{Scheme: "digest", Secret: []byte("super:pw")}
	uninstallAtEnd(t, five)

	install(t, three, nil)
	mustBeDone(t, three, 0)

	t.Run("servers come", func(t *testing.T) {
		r, err := session(t, five, nil).PlanReconfig(t.Context(), who)
		if err == nil || !strings.Contains(err.Error(), "add zk4: it does not serve") || len(r.Joining) != 2 {
			t.Fatalf("before they run: %+v, %v", r, err)
		}
		install(t, five, nil)
		mustBeDone(t, five, 2)
		for name, want := range map[string]string{"zk4": "4", "zk5": "5"} { // neither could elect with the other
			text, err := os.ReadFile(serverOf(t, five, name).ConfigFile() + ".bak")
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), "\nserver."); n != 4 || !strings.Contains(string(text), "\nserver."+want+"=") {
				t.Errorf("%s was started with\n%s", name, text)
			}
		}
		err = reconfigure(t, five, Credentials{})
		if !errors.Is(err, proto.ErrNoAuth) || !strings.Contains(problem.Remedy(err), "--auth-file") {
			t.Fatalf("without credentials: %v", err)
		}
		if err := reconfigure(t, five, who); err != nil {
			t.Fatal(err)
		}
		mustBeDone(t, five, 0)
		if st := roleOf(t, five, "zk5"); st != fourletter.ModeObserver {
			t.Errorf("zk5 is %s", st)
		}
	})

	t.Run("the leader goes", func(t *testing.T) {
		leader := ""
		for _, v := range []string{"zk1", "zk2", "zk3", "zk4"} {
			if roleOf(t, five, v) == fourletter.ModeLeader {
				leader = v
			}
		}
		fewer := without(five, leader)
		mustBeDone(t, fewer, 1)
		if err := reconfigure(t, fewer, who); err != nil {
			t.Fatal(err)
		}
		s := session(t, fewer, nil)
		if _, err := s.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustBeDone(t, fewer, 0)

		// It comes back with the list that it is not in, and would not start with that.
		s = session(t, five, func(o *Options) { o.Only = []string{leader} })
		stop, err := s.PlanAction(t.Context(), StopServers)
		if err != nil {
			t.Fatal(err)
		}
		mustApply(t, s, stop)
		install(t, five, nil)
		mustBeDone(t, five, 1)
		if err := reconfigure(t, five, who); err != nil {
			t.Fatal(err)
		}
		mustBeDone(t, five, 0)
	})

	t.Run("a member list is gone", func(t *testing.T) {
		v := serverOf(t, five, "zk5")
		text, err := os.ReadFile(v.ConfigFile())
		if err != nil {
			t.Fatal(err)
		}
		name, _ := config.DynamicFile(text)
		if err := os.Rename(name, name+".away"); err != nil {
			t.Fatal(err)
		}
		_, err = session(t, five, nil).Plan(t.Context())
		if err == nil || !strings.Contains(err.Error(), "zk5: "+name) || problem.Remedy(err) == "" {
			t.Errorf("plan: %v", err)
		}
		if err := os.Rename(name+".away", name); err != nil {
			t.Fatal(err)
		}
	})
}

func serverOf(t *testing.T, inv *inventory.Inventory, name string) inventory.Server {
	t.Helper()
	servers, err := inv.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return servers[slices.IndexFunc(servers, func(v inventory.Server) bool { return v.Name == name })]
}

func roleOf(t *testing.T, inv *inventory.Inventory, name string) string {
	t.Helper()
	s := session(t, inv, nil)
	st, err := s.waitServing(t.Context(), serverOf(t, inv, name))
	if err != nil {
		t.Fatal(err)
	}
	return st.Role
}

func reconfigure(t *testing.T, inv *inventory.Inventory, who Credentials) error {
	t.Helper()
	s := session(t, inv, nil)
	r, err := s.PlanReconfig(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	return s.ApplyReconfig(t.Context(), r, who)
}

// mustBeDone demands that there is nothing to install, once the servers have written what they go by, and that the
// member list differs from the inventory in so many points.
func mustBeDone(t *testing.T, inv *inventory.Inventory, differ int) {
	t.Helper()
	s := session(t, inv, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err := s.until(ctx, func() bool {
		if plan := mustPlan(t, s); !plan.Empty() || s.members.from == "" {
			return false
		}
		return len(MembershipDiff(s.members.list, s.servers)) == differ
	})
	if err != nil {
		t.Fatalf("%v: %q; the list differs in %q", err, lines(mustPlan(t, s)), MembershipDiff(s.members.list, s.servers))
	}
	findings, err := s.Preflight(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	warned := slices.ContainsFunc(findings, func(f Finding) bool { return f.Check == "membership" && f.Outcome == Warn })
	if warned != (differ > 0) {
		t.Errorf("it warns of the membership: %v, %d differ", warned, differ)
	}
}

func TestMembershipDiff(t *testing.T) {
	inv := localInventory(t, "/x", 3, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}, "")
	servers, err := inv.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, list, differ, joining, leaving string }{
		{"equal", "server.1=127.0.0.1:2:3\nserver.2=127.0.0.1:5:6:participant;4\nserver.3=127.0.0.1:8:9", "", "", ""},
		{"one is missing", "server.1=127.0.0.1:2:3\nserver.3=127.0.0.1:8:9", "server 2 (zk2) is not in it", "server.2=127.0.0.1:5:6:participant;127.0.0.1:4", ""},
		{"one is too much", "server.1=127.0.0.1:2:3\nserver.2=127.0.0.1:5:6\nserver.3=127.0.0.1:8:9\nserver.9=h:1:2",
			"server 9 (h:1:2:participant) is in it, and not in the inventory", "", "9"},
		{"role and port", "server.1=127.0.0.1:2:3:observer;1\nserver.2=127.0.0.1:5:7\nserver.3=127.0.0.1:8:9;10.0.0.1:8",
			"server 1 (zk1) is 127.0.0.1:2:3:observer, not 127.0.0.1:2:3:participant|server 2 (zk2) is 127.0.0.1:5:7:participant, not 127.0.0.1:5:6:participant|server 3 (zk3) has client port 8, not 7",
			"server.1=127.0.0.1:2:3:participant;0.0.0.0:1 server.2=127.0.0.1:5:6:participant server.3=127.0.0.1:8:9:participant;10.0.0.1:7", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, err := config.ParseMembership(tc.list)
			if err != nil {
				t.Fatal(err)
			}
			r := reconfigOf(list, servers)
			if got := strings.Join(r.Changes, "|"); got != tc.differ {
				t.Errorf("differs:\n%s\nwant\n%s", got, tc.differ)
			}
			if got := strings.Join(r.Joining, " "); got != tc.joining {
				t.Errorf("joining %s, want %s", got, tc.joining)
			}
			if got := strings.Join(r.Leaving, " "); got != tc.leaving || r.Empty() != (tc.differ == "") {
				t.Errorf("leaving %s, want %s", got, tc.leaving)
			}
			if len(r.members) != len(servers) {
				t.Errorf("the new list is %q", r.members)
			}
		})
	}
}
