package ensemble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Lines of Apache's server that Debian has packed, by the release that has them.
// The running machine's own is always [Java].
const (
	Line34 = "bullseye" // 3.4.13
	Line39 = "trixie"   // 3.9.3
)

// archiveKeys signs what Debian's archive holds.
const archiveKeys = "/usr/share/keyrings/debian-archive-keyring.gpg"

// archivePatience bounds what apt-get does with the network.
const archivePatience = 3 * time.Minute

// unpacked remembers what this process found of each release.
var unpacked struct {
	sync.Mutex
	dirs map[string]string
	errs map[string]error
}

// ReleaseJars is a directory with the jars of another Debian release's
// libzookeeper-java. They are fetched with apt-get from where the machine's own
// packages come from, once, and kept in the user's cache. A test is skipped when
// they cannot be had.
func ReleaseJars(t testing.TB, release string) string {
	t.Helper()
	unpacked.Lock()
	defer unpacked.Unlock()
	if unpacked.dirs == nil {
		unpacked.dirs, unpacked.errs = make(map[string]string), make(map[string]error)
	}
	if _, known := unpacked.dirs[release]; !known {
		unpacked.dirs[release], unpacked.errs[release] = unpackRelease(release)
	}
	if err := unpacked.errs[release]; err != nil {
		t.Skipf("no libzookeeper-java of Debian %s: %v", release, err)
	}
	return unpacked.dirs[release]
}

// unpackRelease gives the directory of a release's jars, and makes it if need be.
func unpackRelease(release string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root := filepath.Join(cache, "zkctl-test", release)
	jars := filepath.Join(root, javaDir)
	if _, err := os.Stat(filepath.Join(jars, "zookeeper.jar")); err == nil {
		return jars, nil
	}
	work, err := os.MkdirTemp("", "zkctl-archive-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := fetchRelease(release, work); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return "", err
	}
	// Another test process may have been faster; then its directory stays.
	if err := os.Rename(filepath.Join(work, "root"), root); err != nil && !errors.Is(err, os.ErrExist) {
		if _, there := os.Stat(jars); there != nil {
			return "", err
		}
	}
	return jars, nil
}

// fetchRelease downloads the package to dir and unpacks it in dir/root. apt-get
// works in directories of its own, so that the machine's lists stay as they are.
func fetchRelease(release, dir string) error {
	archive, err := debianArchive()
	if err != nil {
		return err
	}
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	list := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", archiveKeys, archive, release)
	if err := os.WriteFile(filepath.Join(dir, "sources.list"), []byte(list), 0o644); err != nil {
		return err
	}
	apt := func(words ...string) error {
		options := []string{"-q"}
		for _, o := range []string{
			"Dir::State=" + dir + "/state", "Dir::Cache=" + dir + "/cache", "Dir::Etc::SourceList=" + dir + "/sources.list",
			"Dir::Etc::SourceParts=/dev/null", "Acquire::Languages=none", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
			"Acquire::Retries=0", "Acquire::http::Timeout=20", "APT::Sandbox::User=" + currentUser(),
		} {
			options = append(options, "-o", o)
		}
		return runIn(dir, "apt-get", append(options, words...)...)
	}
	if err := apt("update"); err != nil {
		return err
	}
	if err := apt("download", "libzookeeper-java"); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get downloaded %q (%v), want one package", debs, err)
	}
	return runIn(dir, "dpkg-deb", "-x", debs[0], filepath.Join(dir, "root"))
}

// debianArchive is where the machine gets Debian's packages from.
func debianArchive() (string, error) {
	if _, err := os.Stat(archiveKeys); err != nil {
		return "", fmt.Errorf("apt-get install debian-archive-keyring: %w", err)
	}
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(LABEL) $(SUITE) $(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("apt-get indextargets: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "Debian" && !strings.Contains(f[1], "-") {
			return f[2], nil
		}
	}
	return "", errors.New("the machine's apt has no archive of Debian's")
}

// currentUser is who apt-get works as: it gives up rights only as root, and then
// its other user could not read the test's directories.
func currentUser() string {
	u, err := user.Current()
	if err != nil {
		return "root"
	}
	return u.Username
}

// runIn runs one command and gives the end of what it said when it fails.
func runIn(dir, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), archivePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out[max(0, len(out)-400):])
	}
	return nil
}

// JavaOf starts Apache's server of a line that another Debian release has
// ([Line34], [Line39]), or the machine's own when release is "", with system
// properties "name=value". The other packages' jars are the machine's.
func JavaOf(t testing.TB, release string, properties ...string) Launcher {
	t.Helper()
	path := ClassPath(t)
	if release != "" {
		path = releasePath(ReleaseJars(t, release), path)
	}
	return func(config string) *exec.Cmd {
		args := []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.admin.enableServer=false",
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"}
		for _, p := range properties {
			args = append(args, "-D"+p)
		}
		return exec.Command("java", append(args, "-cp", path, "org.apache.zookeeper.server.quorum.QuorumPeerMain", config)...)
	}
}

// releasePath puts a release's own jars, jute's first as zookeeper.jar names the
// machine's in its Class-Path, before the machine's others.
func releasePath(dir, path string) string {
	var list []string
	for _, name := range []string{"zookeeper-jute", "zookeeper"} {
		if jar := filepath.Join(dir, name+".jar"); exists(jar) {
			list = append(list, jar)
		}
	}
	for jar := range strings.SplitSeq(path, ":") {
		if name := filepath.Base(jar); name != "zookeeper.jar" && name != "zookeeper-jute.jar" {
			list = append(list, jar)
		}
	}
	return strings.Join(list, ":")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
