package install

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/inventory"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// The two kinds of hosts: one with systemd, one with init scripts and cron.
func eachKind(t *testing.T, do func(t *testing.T, kind string, fresh func() *fakeHost)) {
	for kind, systemd := range map[string]bool{"systemd": true, "plain": false} {
		t.Run(kind, func(t *testing.T) {
			do(t, kind, func() *fakeHost { return newFakeHost(t, "zk1", systemd) })
		})
	}
}

// From a bare host: planning changes nothing, one run reaches the goal, a second finds nothing to do, a removal
// leaves the host as it was.
func TestStepsReachTheGoal(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, fresh func() *fakeHost) {
		h, inv := fresh(), remoteInventory(t, "")
		bare := h.state()
		s := fakeSession(t, h, inv, nil)
		plan := mustPlan(t, s)
		if got := h.state(); got != bare {
			t.Fatalf("planning changed the host: %s\nwas %s", got, bare)
		}
		var text strings.Builder
		for _, l := range lines(plan) {
			text.WriteString(l + "\n")
		}
		// How long a file is, is the templates' affair.
		golden(t, "install-"+kind+".txt", regexp.MustCompile(` \(\+[0-9]+ -[0-9]+ lines\)`).ReplaceAllString(text.String(), ""))
		mustApply(t, s, plan)
		done := h.state()
		s = fakeSession(t, h, inv, nil)
		second := mustPlan(t, s)
		mustApply(t, s, second)
		if !second.Empty() || h.state() != done {
			t.Errorf("a second run would %s", lines(second))
		}
		removal, err := s.PlanUninstall(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		mustApply(t, s, removal)
		h.users, h.groups = map[string]bool{}, map[string]bool{} // accounts stay: files elsewhere may be theirs
		clear(h.enabled)
		clear(h.running)
		clear(h.linked)
		if got := h.state(); got != bare {
			t.Errorf("after the removal:\n%s\nwas\n%s", got, bare)
		}
		if again, err := s.PlanUninstall(t.Context(), true); err != nil || !again.Empty() {
			t.Errorf("a second removal would %s (%v)", lines(again), err)
		}
	})
}

// What follows from a change of the inventory.
func TestStepsFollowTheInventory(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, fresh func() *fakeHost) {
		h := fresh()
		mustApply(t, fakeSession(t, h, remoteInventory(t, ""), nil), mustPlan(t, fakeSession(t, h, remoteInventory(t, ""), nil)))
		for _, tc := range []struct{ name, config, want string }{
			{"config", "  maxClientCnxns: 7\n", "restart server zk1 (changed: zoo.cfg)"},
			{"no purge", "purge: {enabled: false}\n", "zkctl-zk1-purge"},
			{"not at boot", "service: {atBoot: false}\n", "zkctl-zk1"},
		} {
			inv := remoteInventory(t, tc.config)
			s := fakeSession(t, h, inv, nil)
			plan := mustPlan(t, s)
			if got := strings.Join(lines(plan), "\n"); !strings.Contains(got, tc.want) {
				t.Errorf("%s: plan is\n%s\nwithout %q", tc.name, got, tc.want)
			}
			mustApply(t, s, plan)
			if again := mustPlan(t, fakeSession(t, h, inv, nil)); !again.Empty() {
				t.Errorf("%s: a second run would %s", tc.name, lines(again))
			}
		}
	})
}

// An installation, a change and a removal that end after any change are finished by the next run.
func TestStepsInterrupted(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, fresh func() *fakeHost) {
		first, changed := remoteInventory(t, ""), remoteInventory(t, "  maxClientCnxns: 7\nservice: {maxOpenFiles: 5000}\n")
		for cut := 0; ; cut++ {
			h := fresh()
			all := interruptedStep(t, h, first, cut, (*Session).Plan)
			all = interruptedStep(t, h, changed, cut, (*Session).Plan) && all
			all = interruptedStep(t, h, changed, cut, uninstallPlan) && all
			if all || t.Failed() {
				if cut < 10 {
					t.Errorf("only %d changes were cut", cut)
				}
				return
			}
		}
	})
}

// interruptedStep cuts the run after n changes, runs again, and asks that nothing is left to do. It tells whether the
// first run was not cut.
func interruptedStep(t *testing.T, h *fakeHost, inv *inventory.Inventory, n int, planOf planFunc) bool {
	t.Helper()
	connect, _ := cutAfter(n, h.connect)
	s := fakeSession(t, h, inv, func(o *Options) { o.Connect, o.Owner.PID = connect, gonePID })
	plan, err := planOf(s, t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, cutErr := s.Apply(t.Context(), plan)
	for run := range 2 {
		s := fakeSession(t, h, inv, nil)
		plan, err := planOf(s, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if run == 1 && !plan.Empty() {
			t.Errorf("cut after %d changes (%v), and a third run would %s", n, cutErr, lines(plan))
		}
		mustApply(t, s, plan)
	}
	return cutErr == nil
}

type planFunc func(*Session, context.Context) (Plan, error)

func uninstallPlan(s *Session, ctx context.Context) (Plan, error) { return s.PlanUninstall(ctx, true) }
