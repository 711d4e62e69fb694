package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A server of ours whose log is damaged rejoins, beside servers of Apache's, where
// theirs leads and where ours does.
func TestRejoinMixed(t *testing.T) {
	for _, x := range []struct {
		leads, other kind
		sampled      bool
	}{
		{apache, apache, true}, {ours, apache39, true},
		{apache34, apache34, false}, {apache39, apache39, false}, {ours, apache34, false}, {ours, apache, false},
	} {
		if x.sampled || *matrix {
			t.Run(fmt.Sprintf("%s leads %s", x.leads, x.other), func(t *testing.T) { rejoinMixed(t, x.leads, x.other) })
		}
	}
}

func rejoinMixed(t *testing.T, leads, other kind) {
	const victim = 1
	k := newKinds(t, []kind{ours, other, leads})
	e := k.startRelayed(t, 0)
	leader := e.WaitLeader()
	if k.of(leader) != leads || leader == victim { // the others started later
		e.Kill(leader)
		e.WaitLeader(leader)
		e.Restart(leader)
		e.WaitAll()
		leader = e.WaitLeader()
	}
	t.Logf("server %d, %s, leads", leader, k.of(leader))
	c := dial(t, e.Addr(leader))
	crowd(t, c, "/before", 50)
	e.WaitLevel()
	e.Kill(victim)
	crowd(t, c, "/missed", 50)
	damage(t, e, victim)
	server := func(words ...string) (string, error) {
		argv := append([]string{"server"}, words...)
		argv = append(argv, "--config", filepath.Join(e.Dir(victim), "zoo.cfg"))
		out, err := exec.Command(ensemble.Binary(t), argv...).CombinedOutput()
		return string(out), err
	}
	if out, err := server("start-foreground"); err == nil || !strings.Contains(out, "try: zkctl server rejoin") {
		t.Fatalf("started on damaged data: %v\n%s", err, out)
	}
	if out, err := server("rejoin", "--yes", "--servers", e.Addr(2), "--servers", e.Addr(3)); err != nil {
		t.Fatalf("rejoin: %v\n%s", err, out)
	}
	come(t, e, victim, ensemble.Snap)
	sameTrees(t, e)
	e.Kill(leader) // it votes again, and the rest serves
	e.WaitLeader(leader)
	crowd(t, dial(t, e.Addr(victim)), "/after", 10)
	e.Restart(leader)
	e.WaitAll()
	sameTrees(t, e)
	checkDigests(t, e)
}

// damage flips a bit in the middle of a server's newest log that holds something.
func damage(t *testing.T, e *ensemble.Ensemble, sid int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(e.Dir(sid), "zkdatalog", "version-2", "log.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	slices.SortFunc(files, byZxidName)
	for _, file := range slices.Backward(files) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 200 && text[100] != 0 {
			text[100] ^= 1
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("nothing to damage in %v", files)
}
