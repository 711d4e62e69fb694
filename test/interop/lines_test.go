package interop

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A line of Apache's releases, and the Debian release that packs it.
type line struct{ version, suite string }

var (
	line34 = line{"3.4", "bullseye"}
	line39 = line{"3.9", "trixie"}
)

// fetchTime is how long another Debian release's package may take to arrive.
const fetchTime = 3 * time.Minute

// jars is the class path of a line's client, from the archive that this machine's
// apt uses. They are kept in the user's cache. A test is skipped where they cannot
// be had.
func (l line) jars(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("the client of %s has no place: %v", l.version, err)
	}
	dir := filepath.Join(cache, "zkctl-test", l.suite)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Skipf("the client of %s has no place: %v", l.version, err)
	}
	found, _ := filepath.Glob(dir + "/usr/share/java/zookeeper.jar")
	if len(found) == 0 {
		if err := l.fetch(t, dir); err != nil {
			t.Skipf("Debian's %s with ZooKeeper %s cannot be had: %v", l.suite, l.version, err)
		}
	}
	path := []string{filepath.Join(dir, "usr/share/java/zookeeper.jar")}
	if jute := filepath.Join(dir, "usr/share/java/zookeeper-jute.jar"); exists(jute) {
		path = append([]string{jute}, path...) // first: the other jar's manifest names the installed one
	}
	for _, jar := range strings.Split(ensemble.ClassPath(t), ":") {
		if !strings.Contains(filepath.Base(jar), "zookeeper") {
			path = append(path, jar)
		}
	}
	return strings.Join(path, ":")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fetch brings the package libzookeeper-java of a Debian release into dir, with apt
// and its keys, but without touching what apt knows of this machine.
func (l line) fetch(t *testing.T, dir string) error {
	t.Helper()
	archive, err := debianArchive()
	if err != nil {
		return err
	}
	work := t.TempDir()
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(work, sub), 0o755); err != nil {
			return err
		}
	}
	source := fmt.Sprintf("deb %s %s main\n", archive, l.suite)
	if err := os.WriteFile(filepath.Join(work, "sources.list"), []byte(source), 0o644); err != nil {
		return err
	}
	apt := []string{"apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none",
		"-o", "Dir::State=" + work + "/state", "-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache=" + work + "/cache",
		"-o", "Dir::Etc::SourceList=" + work + "/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null"}
	if err := runIn(t, work, append(apt, "update")...); err != nil {
		return err
	}
	if err := runIn(t, work, append(apt, "download", "libzookeeper-java")...); err != nil {
		return err
	}
	debs, _ := filepath.Glob(work + "/*.deb")
	if len(debs) != 1 {
		return fmt.Errorf("apt-get download left %v", debs)
	}
	return runIn(t, work, "dpkg-deb", "-x", debs[0], dir)
}

func runIn(t *testing.T, dir string, argv ...string) error {
	ctx, cancel := context.WithTimeout(t.Context(), fetchTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", argv[0], argv[len(argv)-1], err, tail(string(out), 3))
	}
	return nil
}

// debianArchive is the first archive in this machine's apt configuration that is
// not one of security updates, which have other packages.
func debianArchive() (string, error) {
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for _, file := range slices.Insert(files, 0, "/etc/apt/sources.list") {
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if strings.HasPrefix(strings.TrimSpace(lines.Text()), "#") {
				continue
			}
			for _, word := range strings.Fields(lines.Text()) {
				if strings.HasPrefix(word, "http") && strings.Contains(word, "debian") && !strings.Contains(word, "security") {
					return word, nil
				}
			}
		}
	}
	return "", fmt.Errorf("no archive of Debian in /etc/apt/sources.list or /etc/apt/sources.list.d")
}

// compile compiles a Java program of testdata against a class path, sources in which
// are left aside (3.4 has some that a newer Java does not take), and gives how
// it is run.
func compile(t *testing.T, name, path, class string, others ...string) program {
	t.Helper()
	javac, classes := need(t, "javac", javacPackages), t.TempDir()
	args := []string{"-d", classes, "-sourcepath", classes, "-cp", path}
	for _, source := range append(others, class) {
		args = append(args, "testdata/"+source+".java")
	}
	if out, err := exec.Command(javac, args...).CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	return program{name: name, args: javaProgram(classes+":"+path, class)}
}

// A client of 3.4 knows neither create2 nor the watches of today, and its
// handshake, sets of watches and closing are older.
func TestJavaClient34(t *testing.T) {
	compile(t, "the Java client of 3.4", line34.jars(t), "OldClient", "StaticHostProvider").compare(t)
}

// The newest line's client, through what any Java client does.
func TestJavaClient39(t *testing.T) {
	compile(t, "the Java client of 3.9", line39.jars(t), "JavaClient").compare(t)
}
