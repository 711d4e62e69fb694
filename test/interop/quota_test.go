package interop

import (
	"testing"

	"github.com/zkctl/zkctl/test/ensemble"
)

// TestZkCliQuota sets, lists, breaks and removes quotas with zkCli.sh, against a
// server that enforces them.
func TestZkCliQuota(t *testing.T) {
	script := need(t, "/usr/share/zookeeper/bin/zkCli.sh", zkCliPackages)
	const set = "create /q\nsetquota -n 3 /q\nlistquota /q\nsetquota -N 4 /q\nsetquota -B 20 /q\nlistquota /q\n" +
		"create /q/a 12345\ncreate /q/b 12345\ncreate /q/c 12345\ncreate /q/d 12345\nlistquota /q\n" +
		"set /q/a 1234567890\nset /q/a 12345678901\nset /q/a 1\nlistquota /q\nstat /q\n" +
		"get /zookeeper/quota/q/zookeeper_limits\nget /zookeeper/quota/q/zookeeper_stats\ngetAcl /zookeeper/quota\n" +
		"setquota -b 10 /q/a\nsetquota -n 2 /none\nlistquota /none\n" +
		"delquota -N /q\nlistquota /q\ncreate /q/d 1\ndelquota /q\nlistquota /q\ncreate /q/e 12345678901234567890\n" +
		"ls -R /zookeeper\nquit\n"
	const again = "create /r\nsetquota -N 2 /r\ncreate /r/a\ncreate /r/b\nlistquota /r\nls /r\nquit\n"
	play := func(t *testing.T, o ensemble.Options) string {
		o.Config["enforceQuota"] = "true"
		e := ensemble.Start(t, o)
		first := zkCli(t, script, e.ConnectString(), []byte(set))
		second := zkCli(t, script, e.ConnectString(), []byte(again))
		roll(e)()
		return first + "-- another quota\n" + second + "-- after other servers took over\n" +
			zkCli(t, script, e.ConnectString(), []byte("listquota /r\ncreate /r/c\nls /r\nquit\n"))
	}
	var want, got string
	t.Run("apache", func(t *testing.T) {
		o, java := options(1), ensemble.Java(t)
		o.Launch = func(int) ensemble.Launcher { return java }
		want = play(t, o)
	})
	t.Run("ensemble", func(t *testing.T) { got = play(t, options(3)) })
	t.Logf("transcript with ours:\n%s", got)
	if want != "" && got != want {
		t.Errorf("ours differs from Apache's server:\n%s", difference(want, got))
	}
}
