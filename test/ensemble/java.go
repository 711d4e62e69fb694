package ensemble

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// javaPackages is what Debian calls Apache's server and what it needs.
const javaPackages = "default-jre-headless libzookeeper-java"

// javaDir is where Debian puts jars.
const javaDir = "/usr/share/java"

// ClassPath is the class path of Apache's client and server as Debian packs
// them. A test is skipped where they are missing.
func ClassPath(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("java"); err != nil {
		t.Skipf("no java: apt-get install %s", javaPackages)
	}
	names := []string{"zookeeper", "zookeeper-jute"}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(javaDir, name+".jar")); err != nil {
			t.Skipf("%v: apt-get install %s", err, javaPackages)
		}
	}
	names = append(names, "commons-cli", "commons-io", "jackson-annotations", "jackson-core", "jackson-databind", "jline",
		"metrics-core", "netty-buffer", "netty-common", "netty-handler", "netty-transport", "netty-transport-native-epoll",
		"netty-transport-native-unix-common", "netty-resolver", "netty-codec", "slf4j-api", "slf4j-simple", "log4j-1.2", "snappy-java")
	paths := make([]string, 0, len(names))
	for _, name := range names {
		path := filepath.Join(javaDir, name+".jar")
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return strings.Join(paths, ":")
}

// Java starts Apache's own server, from Debian's packages.
func Java(t testing.TB) Launcher {
	t.Helper()
	path := ClassPath(t)
	return func(config string) *exec.Cmd {
		return exec.Command("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.admin.enableServer=false",
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-cp", path,
			"org.apache.zookeeper.server.quorum.QuorumPeerMain", config)
	}
}

// Zkctl starts the server under test.
func Zkctl(t testing.TB) Launcher {
	t.Helper()
	path := Binary(t)
	return func(config string) *exec.Cmd {
		return exec.Command(path, "server", "start-foreground", "--config", config)
	}
}
