package interop

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/test/ensemble"
)

// Debian's names of what the tests of Apache's clients need.
const (
	javacPackages = "default-jdk-headless libzookeeper-java"
	zkCliPackages = "zookeeper"
	cPackages     = "gcc libzookeeper-mt-dev"
)

// javaClient compiles a Java client program.
func javaClient(t *testing.T, class string) program {
	t.Helper()
	return compile(t, "Apache's Java client", ensemble.ClassPath(t), class)
}

// javaProgram is the command that runs a compiled program.
func javaProgram(path, class string) []string {
	return []string{"java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-cp", path, class}
}

func TestJavaClient(t *testing.T) { javaClient(t, "JavaClient").compare(t) }

// cClient compiles the C client program.
func cClient(t *testing.T) program {
	t.Helper()
	gcc, binary := need(t, "gcc", cPackages), filepath.Join(t.TempDir(), "client")
	if _, err := os.Stat("/usr/include/zookeeper/zookeeper.h"); err != nil {
		t.Skipf("%v: apt-get install %s", err, cPackages)
	}
	out, err := exec.Command(gcc, "-Wall", "-DTHREADED", "-o", binary, "testdata/client.c", "-lzookeeper_mt", "-lpthread").CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return program{name: "the C client", args: []string{binary}}
}

func TestCClient(t *testing.T) { cClient(t).compare(t) }

// zkCli.sh runs each line by itself; times, zxids and what it logs are masked.
func TestZkCli(t *testing.T) {
	script := need(t, "/usr/share/zookeeper/bin/zkCli.sh", zkCliPackages)
	commands, err := os.ReadFile("testdata/zkcli.txt")
	if err != nil {
		t.Fatal(err)
	}
	play := func(t *testing.T, o ensemble.Options) string {
		e := ensemble.Start(t, o)
		first := zkCli(t, script, e.ConnectString(), commands)
		roll(e)()
		return first + "-- after other servers took over\n" + zkCli(t, script, e.ConnectString(), []byte("ls -R /\nget /a\nquit\n"))
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

func zkCli(t *testing.T, script, servers string, commands []byte, flags ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, script, "-server", servers)
	cmd.Stdin = bytes.NewReader(commands)
	cmd.Env = append(os.Environ(), "ZOO_LOG_DIR="+t.TempDir(), "JVMFLAGS=-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "+strings.Join(flags, " "))
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("zkCli.sh: %v\n%s", err, out) // its exit status depends on the last command
	}
	return maskZkCli(string(out))
}

// maskZkCli drops what zkCli.sh says of itself, and replaces what differs from run
// to run.
func maskZkCli(out string) string {
	var b strings.Builder
	noise := regexp.MustCompile(`^(Connecting to|Welcome|JLine|WATCHER::|WatchedEvent|log4j:|SLF4J:|\d{4}-\d\d-\d\d|$)|^\s+at |ERROR|WARN|INFO|Exiting JVM`)
	masks := []struct {
		of   *regexp.Regexp
		with string
	}{
		{regexp.MustCompile(`^\[zk: [^\]]*\] ?`), "> "},
		{regexp.MustCompile(`(([cmp]Z|[cmp]z)xid = )0x[0-9a-f]+`), "${1}ZXID"},
		{regexp.MustCompile(`([cm]time = ).*`), "${1}TIME"},
		{regexp.MustCompile(`(ephemeralOwner = 0x)[0-9a-f]{2,}`), "${1}SESSION"},
	}
	for _, line := range strings.Split(out, "\n") {
		line = strings.TrimRight(line, " \r")
		for _, m := range masks {
			line = m.of.ReplaceAllString(line, m.with)
		}
		if !noise.MatchString(line) && line != ">" {
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}
