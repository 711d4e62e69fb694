package install

import (
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/inventory"
	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

// snapshot is the modification time of everything below dir but what running servers write.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == "version-2" || d.Name() == "log" {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err == nil {
			out[p] = info.Mode().String() + " " + info.ModTime().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func same(a, b map[string]string) []string {
	var out []string
	for p := range a {
		if a[p] != b[p] {
			out = append(out, p+": "+a[p]+" -> "+b[p])
		}
	}
	for p := range b {
		if a[p] == "" {
			out = append(out, p+" is new")
		}
	}
	return out
}

// The life of an ensemble on this machine, with the real program.
func TestLifeOfAnEnsemble(t *testing.T) {
	dir, ports := t.TempDir(), freePorts(t, 9)
	inv := localInventory(t, dir, 3, ports, "")
	uninstallAtEnd(t, inv)

	s := session(t, inv, nil)
	findings, err := s.Preflight(t.Context())
	if err := errors.Join(err, FailedChecks(findings)); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	mustPlan(t, s)
	if diff := same(before, snapshot(t, dir)); len(diff) > 0 {
		t.Fatalf("planning changed %s", diff)
	}
	install(t, inv, nil)

	t.Run("second run", func(t *testing.T) {
		before := snapshot(t, dir)
		s := session(t, inv, nil)
		plan := mustPlan(t, s)
		mustApply(t, s, plan)
		if !plan.Empty() {
			t.Errorf("a second run would %s", lines(plan))
		}
		if diff := same(before, snapshot(t, dir)); len(diff) > 0 {
			t.Errorf("a second run changed %s", diff)
		}
		findings, err := s.Preflight(t.Context())
		if err := errors.Join(err, FailedChecks(findings)); err != nil {
			t.Errorf("checks of what runs: %v", err)
		}
	})
	t.Run("change", func(t *testing.T) { testRolling(t, localInventory(t, dir, 3, ports, "  maxClientCnxns: 77\n")) })
	t.Run("uninstall", func(t *testing.T) { testUninstall(t, dir, localInventory(t, dir, 3, ports, "")) })
}

// testRolling changes the configuration of a running ensemble, and asks at each restart that the others serve.
func testRolling(t *testing.T, inv *inventory.Inventory) {
	s := session(t, inv, nil)
	leader := ""
	e := s.Status(t.Context())
	for i, v := range s.Servers() {
		if e.Members[i].Leader {
			leader = v.Name
		}
	}
	var order []string
	watch := &events{hook: func(ev Event) {
		if ev.Phase != PhaseStart || ev.Kind != Begin || !strings.HasPrefix(ev.What, "restart") {
			return
		}
		order = append(order, ev.Host)
		_, statuses := s.statuses(t.Context())
		for i, v := range s.Servers() {
			if v.Name != ev.Host && statuses[i].State != fourletter.Serving {
				t.Errorf("%s restarts while %s is %s", ev.Host, v.Name, statuses[i].State)
			}
		}
	}}
	plan := install(t, inv, func(o *Options) { o.Reporter = watch })
	if n := plan.Len(); n != 6 { // zoo.cfg and a restart each
		t.Errorf("%d changes: %s", n, lines(plan))
	}
	if len(order) != 3 || order[2] != leader {
		t.Errorf("restarted in the order %s, but %s led and comes last", order, leader)
	}
	if again := mustPlan(t, session(t, inv, nil)); !again.Empty() {
		t.Errorf("after the restart there is still to do: %s", lines(again))
	}
}

func testUninstall(t *testing.T, dir string, inv *inventory.Inventory) {
	for _, deleteData := range []bool{false, true} {
		s := session(t, inv, nil)
		if err := os.WriteFile(filepath.Join(dir, "zk1", "zkdata", "mine.txt"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		plan, err := s.PlanUninstall(t.Context(), deleteData)
		if err != nil {
			t.Fatal(err)
		}
		mustApply(t, s, plan)
		if plan, err = s.PlanUninstall(t.Context(), deleteData); err != nil || !plan.Empty() {
			t.Errorf("a second removal would %s (%v)", lines(plan), err)
		}
		for _, v := range s.Servers() {
			_, err := os.Stat(filepath.Join(v.Paths.DataDir, "version-2"))
			if gone := errors.Is(err, fs.ErrNotExist); gone != deleteData {
				t.Errorf("delete data %v: data of %s gone: %v", deleteData, v.Name, gone)
			}
		}
	}
	if left := slices.Sorted(maps.Keys(snapshot(t, dir))); len(left) != 5 || filepath.Base(left[4]) != "mine.txt" {
		t.Errorf("what is left: %s", left)
	}
}

// An installation that is cut off after any of its changes is finished by a second one.
func TestInterruption(t *testing.T) {
	cut := 0
	for done := false; !done; cut++ {
		dir := t.TempDir()
		inv := localInventory(t, dir, 1, freePorts(t, 3), "")
		uninstallAtEnd(t, inv)
		done = interrupted(t, inv, cut)
		second := install(t, inv, nil)
		if done && !second.Empty() {
			t.Errorf("uncut after %d changes, and a second run would %s", cut, lines(second))
		}
		third := mustPlan(t, session(t, inv, nil))
		if !third.Empty() {
			t.Errorf("cut after %d changes, and a third run would %s", cut, lines(third))
		}
		if t.Failed() || cut > 100 {
			t.Fatalf("stopped at %d", cut)
		}
	}
	if cut < 10 {
		t.Errorf("only %d changes were cut", cut)
	}
}

// interrupted installs with a host that goes away after n changes, and tells whether it got to the end.
func interrupted(t *testing.T, inv *inventory.Inventory, n int) bool {
	t.Helper()
	connect, _ := cutAfter(n, Connector{}.Connect)
	s := session(t, inv, func(o *Options) { o.Connect, o.Owner.PID = connect, gonePID })
	plan := mustPlan(t, s)
	result, err := s.Apply(t.Context(), plan)
	if err != nil && !errors.Is(err, errCut) {
		t.Fatalf("cut after %d changes: %v", n, err)
	}
	if err != nil && len(result.Hosts) > 0 {
		h := result.Hosts[0]
		if h.Error == "" || len(h.Done)+len(h.NotDone) != plan.Len() {
			t.Errorf("cut after %d changes, and told %+v of %s", n, h, lines(plan))
		}
	}
	return err == nil
}

// A restart that is cut off between stop and start leaves a server down; the next run starts it with the new files.
func TestInterruptedRestart(t *testing.T) {
	dir, ports := t.TempDir(), freePorts(t, 3)
	inv := localInventory(t, dir, 1, ports, "")
	uninstallAtEnd(t, inv)
	install(t, inv, nil)
	for cut := 0; ; cut++ {
		changed := localInventory(t, dir, 1, ports, "  maxClientCnxns: "+strconv.Itoa(100+cut)+"\n")
		done := interrupted(t, changed, cut)
		install(t, changed, nil)
		answer, err := fourletter.Ask(t.Context(), net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), fourletter.Conf)
		if want := "maxClientCnxns=" + strconv.Itoa(100+cut) + "\n"; err != nil || !strings.Contains(string(answer), want) {
			t.Errorf("cut after %d changes: the server does not run with %s: %s %v", cut, want, answer, err)
		}
		if done || t.Failed() {
			return
		}
	}
}

// An id left out of the inventory stays what the host has.
func TestInstalledIDsStay(t *testing.T) {
	dir, ports := t.TempDir(), freePorts(t, 9)
	two := localInventory(t, dir, 2, ports, "")
	s := session(t, two, nil)
	v := s.Servers()[0]
	if err := os.MkdirAll(v.Paths.DataDir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.Paths.DataDir, "myid"), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, v := range session(t, two, nil).Servers() {
		ids = append(ids, v.ID)
	}
	if !slices.Equal(ids, []int{2, 1}) {
		t.Errorf("ids %v, want 2 and 1", ids)
	}
}

// What the checks tell of folders and ports that are somebody else's.
func TestPreflight(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, want string
		prepare    func(t *testing.T, dir string, ports []int)
	}{
		{"foreign data", "holds ZooKeeper data of the server with id 7 that zkctl did not install: myid, version-2", func(t *testing.T, dir string, _ []int) {
			write(t, filepath.Join(dir, "zk1/zkdata/myid"), "7\n")
			write(t, filepath.Join(dir, "zk1/zkdata/version-2/snapshot.0"), "")
		}},
		{"other files", "is not empty: photo.jpg", func(t *testing.T, dir string, _ []int) {
			write(t, filepath.Join(dir, "zk1/zkdatalog/photo.jpg"), "")
		}},
		{"another server's data", "holds the data of another server: ensemble=other, server=zk9", func(t *testing.T, dir string, _ []int) {
			write(t, filepath.Join(dir, "zk1/zkdata/.zkctl"), "# Written by zkctl.\nensemble=other\nserver=zk9\n")
		}},
		{"a zoo.cfg", "zkctl did not write it", func(t *testing.T, dir string, _ []int) {
			write(t, filepath.Join(dir, "zk1/conf/zoo.cfg"), "tickTime=1\n")
		}},
		{"a file for a folder", "zkdata is a file", func(t *testing.T, dir string, _ []int) {
			write(t, filepath.Join(dir, "zk1/zkdata"), "")
		}},
		{"a port", "election port [0-9]+ is in use by process " + strconv.Itoa(os.Getpid()), func(t *testing.T, _ string, ports []int) {
			lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[2])))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { lis.Close() })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, ports := t.TempDir(), freePorts(t, 3)
			tc.prepare(t, dir, ports)
			findings, err := session(t, localInventory(t, dir, 1, ports, ""), nil).Preflight(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			failed := FailedChecks(findings)
			if failed == nil || !regexp.MustCompile(tc.want).MatchString(failed.Error()) {
				t.Errorf("found %v, want %s", failed, tc.want)
			}
		})
	}
}

// Two runs at once: the second is told who is at work. A lock whose owner died is taken over.
func TestLock(t *testing.T) {
	dir, ports := t.TempDir(), freePorts(t, 3)
	inv := localInventory(t, dir, 1, ports, "")
	first := session(t, inv, nil)
	release, err := first.lockAll(t.Context(), first.machines)
	if err != nil {
		t.Fatal(err)
	}
	second := session(t, inv, func(o *Options) { o.Owner = Owner{User: "other", Host: "elsewhere", PID: 1} })
	_, err = second.Apply(t.Context(), mustPlan(t, second))
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "test@here") {
		t.Errorf("beside another run: %v", err)
	}
	third := session(t, inv, func(o *Options) { o.BreakLock = true })
	if release, err := third.lockAll(t.Context(), third.machines); err != nil {
		t.Errorf("break lock: %v", err)
	} else {
		release()
	}
	release()
	if _, err := os.Stat(filepath.Join(dir, "zk1")); err == nil {
		if _, err := os.Stat(filepath.Join(dir, "zk1", "conf")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the lock's folder stays: %v", err)
		}
	}
	gone := session(t, inv, func(o *Options) { o.Owner.PID = gonePID })
	if _, err = gone.lockAll(t.Context(), gone.machines); err != nil {
		t.Fatal(err)
	}
	after := session(t, inv, nil)
	release, err = after.lockAll(t.Context(), after.machines)
	if err != nil {
		t.Fatalf("the owner is gone, and: %v", err)
	}
	release()
}
