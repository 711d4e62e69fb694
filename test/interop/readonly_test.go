package interop

import (
	"os/exec"
	"testing"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/test/ensemble"
)

// Clients that accept it read from the one server of three that is left, and
// write again, with their watches, when the others are back.
func TestReadOnlyClients(t *testing.T) {
	t.Run("kazoo", func(t *testing.T) {
		need(t, python, kazooPackages)
		if err := exec.Command(python, "-c", "import kazoo").Run(); err != nil {
			t.Skipf("no kazoo: apt-get install %s", kazooPackages)
		}
		program{name: "kazoo", args: []string{python, "testdata/kazoo_readonly.py"}}.readOnly(t, "connected CONNECTED_RO\n")
	})
	t.Run("java", func(t *testing.T) {
		javac, classes, path := need(t, "javac", javacPackages), t.TempDir(), ensemble.ClassPath(t)
		if out, err := exec.Command(javac, "-d", classes, "-cp", path, "testdata/JavaReadOnly.java").CombinedOutput(); err != nil {
			t.Fatalf("javac: %v\n%s", err, out)
		}
		program{name: "Apache's Java client", args: []string{"java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-cp", classes + ":" + path, "JavaReadOnly"}}.readOnly(t, "connected CONNECTEDREADONLY\n")
	})
}

// readOnly plays the program against the last of three servers.
func (p program) readOnly(t *testing.T, connected string) {
	t.Helper()
	o := options(3)
	o.Config["localSessionsEnabled"], o.Config["readonlymode.enabled"] = "true", "true"
	e := ensemble.Start(t, o)
	writer := openRaw(t, e.Addr(1), rawTimeout)
	writer.call(1, proto.OpCreate, createBody("/ro", []byte("x"), 0))
	e.WaitLevel()
	e.Kill(1)
	e.Kill(2)
	s := &sessionScript{t: t, e: e}
	ensemble.Eventually(t, "read-only mode", func() bool { return s.word(3, fourletter.Isro) == fourletter.ReadOnly })
	got := p.run(t, e.ConnectString(), func() { e.RestartAll() })
	want := connected + "get x 0\nchildren [ro, zookeeper]\nnot in read-only mode\nset 1\nwatched\n"
	if p.args[0] == python {
		want = connected + "get x 0\nchildren ['ro', 'zookeeper']\nnot in read-only mode\nset 1\nwatched\n"
	}
	if got != want {
		t.Errorf("transcript:\n%s", difference(want, got))
	}
}
