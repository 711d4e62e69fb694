package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func flags(t *testing.T, name, text string) Source {
	t.Helper()
	props, err := ParseJVMFlags(text)
	if err != nil {
		t.Fatal(err)
	}
	return Source{Name: name, Java: name != "-D", Properties: props}
}

// explained gives key, value, origin and what lost of the keys named.
func explained(c *Config, keys ...string) string {
	var b strings.Builder
	for _, e := range c.Explain() {
		if !slices.Contains(keys, e.Key) {
			continue
		}
		fmt.Fprintf(&b, "%s=%s from %s", e.Key, e.Value, e.Origin)
		for _, o := range e.Overridden {
			fmt.Fprintf(&b, ", not %s from %s", o.Value, o.Origin)
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String())
}

// TestPrecedence follows what the AdminServer command system_properties of
// Apache's 3.8.0 shows for the same zoo.cfg and Java command line.
func TestPrecedence(t *testing.T) {
	tests := []struct {
		name, file, env, line string
		want                  string
	}{
		{"default", "", "", "", "snapCount=100000 from default"},
		{"environment", "", "-Dzookeeper.snapCount=7", "", "snapCount=7 from SERVER_JVMFLAGS"},
		{"the last word wins", "", "-Dzookeeper.snapCount=7 -Dzookeeper.snapCount=8", "",
			"snapCount=8 from SERVER_JVMFLAGS, not 7 from SERVER_JVMFLAGS"},
		{"command line over environment", "", "-Dzookeeper.snapCount=7", "-DsnapCount=8", "snapCount=8 from -D, not 7 from SERVER_JVMFLAGS"},
		{"file over all", "snapCount=9\n", "-Dzookeeper.snapCount=7", "-Dzookeeper.snapCount=8",
			"snapCount=9 from zoo.cfg:3, not 8 from -D, not 7 from SERVER_JVMFLAGS"},
		{"what the file cannot set in Apache", "jute.maxbuffer=9000\n", "-Djute.maxbuffer=7000", "-Dzookeeper.jute.maxbuffer=8000",
			"jute.maxbuffer=8000 from -D, not 7000 from SERVER_JVMFLAGS, not 9000 from zoo.cfg:3"},
		{"in the file alone", "jute.maxbuffer=9000\n", "", "", "jute.maxbuffer=9000 from zoo.cfg:3"},
		{"in the file with the prefix", "zookeeper.jute.maxbuffer=9000\n", "", "", "jute.maxbuffer=9000 from zoo.cfg:3"},
		{"another name", "", "-Dfsync.warningthresholdms=5", "", "fsync.warningthresholdms=5 from SERVER_JVMFLAGS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := Parse("zoo.cfg", strings.NewReader(base+tt.file), flags(t, "SERVER_JVMFLAGS", tt.env), flags(t, "-D", tt.line))
			key, _, _ := strings.Cut(tt.want, "=")
			if got := explained(c, key); err != nil || got != tt.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestOutsideFindings(t *testing.T) {
	tests := []struct{ name, file, env, line, want string }{
		{"words of others", "", "-Djava.net.preferIPv4Stack=true -Dcom.sun.management.jmxremote -Dx=y", "", ""},
		{"of a JVM, as Apache spells it", "", "-DmaxCnxns=5 -Dzookeeper.jute.maxbuffer=5000 -Dzookeeper.tickTime=5 -DtickTime=5", "", `
W SERVER_JVMFLAGS: maxCnxns: is ignored, as by Apache ZooKeeper; the name is zookeeper.maxCnxns
W SERVER_JVMFLAGS: zookeeper.jute.maxbuffer: is ignored, as by Apache ZooKeeper; the name is jute.maxbuffer
W SERVER_JVMFLAGS: zookeeper.tickTime: is read from zoo.cfg alone, as by Apache ZooKeeper; write tickTime= in zoo.cfg`},
		{"a slip", "", "-Dzookeeper.snapCuont=5", "-Dfoo.bar.baz=1", `
W SERVER_JVMFLAGS: zookeeper.snapCuont: is no property of ZooKeeper and is ignored; did you mean snapCount?
W -D: foo.bar.baz: is no property of ZooKeeper and is ignored; remove it, or look for the name in the Administrator's Guide`},
		{"without effect here", "", "-Dzookeeper.nio.numWorkerThreads=4 -Dzookeeper.log.dir=/x", "", `
W SERVER_JVMFLAGS: nio.numWorkerThreads: has no effect: it tunes threads, buffers or caches of the Java server, which this one does not have
W SERVER_JVMFLAGS: log.dir: has no effect: logging is set with the flags --log-file, --log-format and --log-level`},
		{"a bad value", "", "-Dzookeeper.preAllocSize=64M", "", `
W SERVER_JVMFLAGS: preAllocSize: "64M" is not a whole number, so the default is used; write digits only, without a unit`},
		{"a bad value that lost", "preAllocSize=1\n", "-Dzookeeper.preAllocSize=64M", "", ""},
		{"overridden on our own command line", "snapCount=5\n", "-Dzookeeper.snapCount=6", "-DsnapCount=7", `
W zoo.cfg:3: snapCount: stands in -D too, and this line wins, as with Apache ZooKeeper; remove this line for -D to have its effect`},
		{"the command line wins", "jute.maxbuffer=5000\n", "-Djute.maxbuffer=6000", "", `
W zoo.cfg:3: jute.maxbuffer: stands in SERVER_JVMFLAGS too, which wins: Apache ZooKeeper reads it from there alone; remove one of the two`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, w, err := Parse("zoo.cfg", strings.NewReader(base+tt.file), flags(t, "SERVER_JVMFLAGS", tt.env), flags(t, "-D", tt.line))
			if got := findings(w, err); got != strings.TrimPrefix(tt.want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	c, _, err := Parse("zoo.cfg", strings.NewReader(three+"ssl.keyStore.password=hush\nDigestAuthenticationProvider.superDigest=super:x\nfoo=1\nflushDelay=3\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := `DigestAuthenticationProvider.superDigest=******** from zoo.cfg:9
server.2=b:2888:3888:participant from zoo.cfg:6
flushDelay=3 from zoo.cfg:11
foo=1 from zoo.cfg:10
ssl.keyStore.password=******** from zoo.cfg:8`
	got := strings.Split(explained(c, "server.2", "foo", "flushDelay", "DigestAuthenticationProvider.superDigest", "ssl.keyStore.password"), "\n")
	lines := strings.Split(want, "\n")
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
	if text := fmt.Sprint(c.Explain()); strings.Contains(text, "hush") || strings.Contains(text, "super:x") {
		t.Error("a secret is told")
	}
	for _, e := range c.Explain() {
		if (e.Key == "foo" || e.Key == "flushDelay") != (e.Note != "") && e.Key != "ssl.keyStore.password" {
			t.Errorf("%s: note %q", e.Key, e.Note)
		}
	}
}
