package interop

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/zkctl/zkctl/test/ensemble"
)

const saslPackages = "python3-kazoo python3-pure-sasl"

// compareSASL is compare with servers that do SASL. The program may want the
// file with its login.
func compareSASL(t *testing.T, p func(file string) program) {
	t.Helper()
	var ours string
	for name, servers := range map[string]int{"standalone": 1, "ensemble": 3} {
		t.Run(name, func(t *testing.T) {
			o, _, file := saslOptions(t, servers, nil)
			e := ensemble.Start(t, o)
			got := p(file).run(t, e.ConnectString(), roll(e))
			if diff := difference(ours, got); ours != "" && diff != "" {
				t.Errorf("three servers of ours differ from one:\n%s", diff)
			}
			ours = got
		})
	}
	if t.Failed() {
		return
	}
	t.Run("apache", func(t *testing.T) {
		o, java, file := saslOptions(t, 1, nil)
		launch := java()
		o.Launch = func(int) ensemble.Launcher { return launch }
		p(file).sameAs(t, o, ours)
	})
	t.Run("mixed", func(t *testing.T) { // each kind of server leads in its turn, and trusts what the others tell of clients
		o, java, file := saslOptions(t, 3, nil)
		launch := java()
		o.Launch = func(sid int) ensemble.Launcher {
			if sid == 2 {
				return launch
			}
			return nil
		}
		p(file).sameAs(t, o, ours)
	})
}

// sameAs plays the program against servers of which some are Apache's, and
// compares; see apacheTries.
func (p program) sameAs(t *testing.T, o ensemble.Options, ours string) {
	t.Helper()
	for try := 1; ; try++ {
		e := ensemble.Start(t, o)
		theirs, err := p.try(t, e.ConnectString(), roll(e))
		diff := difference(theirs, ours)
		if err == nil && diff == "" {
			t.Logf("the same transcript with Apache's server:\n%s", theirs)
			return
		}
		if try == apacheTries {
			t.Fatalf("%d times another transcript with Apache's server: %v\n%s", try, err, diff)
		}
		t.Logf("another transcript with Apache's server, which is asked again: %v\n%s", err, diff)
	}
}

func TestKazooSASL(t *testing.T) {
	need(t, python, saslPackages)
	if err := exec.Command(python, "-c", "import kazoo, puresasl").Run(); err != nil {
		t.Skipf("no kazoo or no puresasl: apt-get install %s", saslPackages)
	}
	compareSASL(t, func(string) program {
		return program{name: "kazoo with SASL", args: []string{python, "testdata/kazoo_sasl.py"}}
	})
}

func TestJavaClientSASL(t *testing.T) {
	plain := javaClient(t, "SaslClient")
	compareSASL(t, func(file string) program {
		p := plain
		p.args = slices.Insert(slices.Clone(p.args), 1, "-Djava.security.auth.login.config="+file)
		return p
	})
}

// zkCli.sh logs in with the JAAS file that its JVMFLAGS name.
func TestZkCliSASL(t *testing.T) {
	script := need(t, "/usr/share/zookeeper/bin/zkCli.sh", zkCliPackages)
	commands := []byte("whoami\ncreate /bob mine sasl:bob:cdrwa\ncreate /auth x auth::r\ngetAcl /bob\ngetAcl /auth\nget /bob\n" +
		"create /bad x sasl:a@b@c:r\naddauth digest u:p\nwhoami\ncreate /two x auth::cdrwa\ngetAcl /two\nquit\n")
	play := func(t *testing.T, o ensemble.Options, file string) string {
		e := ensemble.Start(t, o)
		return zkCli(t, script, e.ConnectString(), commands, "-Djava.security.auth.login.config="+file) +
			"-- without a login\n" + zkCli(t, script, e.ConnectString(), []byte("whoami\nget /bob\ngetAcl /two\nquit\n"))
	}
	var want, got string
	t.Run("apache", func(t *testing.T) {
		o, java, file := saslOptions(t, 1, nil)
		launch := java()
		o.Launch = func(int) ensemble.Launcher { return launch }
		want = play(t, o, file)
	})
	t.Run("ensemble", func(t *testing.T) {
		o, _, file := saslOptions(t, 3, nil)
		got = play(t, o, file)
	})
	t.Logf("transcript with ours:\n%s", got)
	if want != "" && got != want {
		t.Errorf("ours differs from Apache's server:\n%s", difference(want, got))
	}
}
