package inspect

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage"
)

// javaTool runs a tool of Apache's on this machine's jars.
func javaTool(t *testing.T, class string, args ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("each file starts a JVM")
	}
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("no java here; Debian's packages libzookeeper-java and default-jre-headless bring the tools this test needs")
	}
	const dir = "/usr/share/java/"
	if _, err := os.Stat(dir + "zookeeper.jar"); err != nil {
		t.Skip("no Java ZooKeeper here; Debian's package libzookeeper-java brings it")
	}
	path := ""
	for _, jar := range []string{"zookeeper", "zookeeper-jute", "commons-cli", "commons-io", "slf4j-api", "slf4j-simple", "snappy-java", "metrics-core", "jackson-core", "jackson-databind", "jackson-annotations", "netty-common", "netty-handler", "netty-transport", "netty-buffer"} {
		path += dir + jar + ".jar:"
	}
	cmd := exec.Command("java", append([]string{"-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path, class}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", class, err, out)
	}
	return string(out)
}

// TestDumpAsApache compares session, cxid, zxid and type of each transaction with
// those that Apache's TxnLogToolkit tells.
func TestDumpAsApache(t *testing.T) {
	told := regexp.MustCompile(`session (0x[0-9a-f]+) cxid (0x[0-9a-f]+) zxid (0x[0-9a-f]+) (\w+)`)
	for _, release := range []string{"apache-3.4", "apache-3.9"} {
		for _, path := range find(t, storage.KindLog, filepath.Join("../storage/testdata", release)).Logs {
			var want, got []string
			for _, m := range told.FindAllStringSubmatch(javaTool(t, "org.apache.zookeeper.server.persistence.TxnLogToolkit", "-d", path), -1) {
				want = append(want, strings.Join(m[1:4], " ")+" "+strings.TrimSuffix(m[4], "Txn"))
			}
			_, err := Dump(t.Context(), []string{path}, DumpOptions{}, func(e *Entry) error {
				got = append(got, fmt.Sprintf("%v 0x%x %v %s", e.Session, e.Cxid, e.Zxid, e.Type))
				return nil
			})
			if err != nil || len(got) == 0 || !slices.Equal(got, want) {
				t.Errorf("%s: %v\n%q\n%q", path, err, got, want)
			}
		}
	}
}

// TestSnapshotDumpAsApache compares each znode with what Apache's SnapshotFormatter
// tells of it.
func TestSnapshotDumpAsApache(t *testing.T) {
	told := regexp.MustCompile(`(?m)^(/.*)\n  cZxid = 0x([0-9a-f]+)\n.*\n  mZxid = 0x([0-9a-f]+)\n.*\n  pZxid = 0x([0-9a-f]+)\n  cversion = .*\n  dataVersion = (-?\d+)\n  aclVersion = (-?\d+)\n  ephemeralOwner = 0x([0-9a-f]+)\n  dataLength = (\d+)`)
	for _, release := range releases() {
		list := find(t, storage.KindSnapshot, filepath.Join("../storage/testdata", release)).Snapshots
		path := list[len(list)-1]
		var want, got []string
		for _, m := range told.FindAllStringSubmatch(javaTool(t, "org.apache.zookeeper.server.SnapshotFormatter", path), -1) {
			for _, i := range []int{2, 3, 4, 7} {
				m[i] = strings.TrimLeft(m[i], "0")
			}
			want = append(want, strings.Join(m[1:], " "))
		}
		_, err := DumpSnapshot(t.Context(), path, DumpOptions{}, func(z *Znode) error {
			hex := func(z Zxid) string { return strings.TrimPrefix(strings.TrimPrefix(z.String(), "0x"), "0") }
			if z.Path == "/zookeeper/config" && release == "apache-3.4" {
				return nil // a tree that is read has it, as that of a server; the formatter's has what the file has
			}
			got = append(got, fmt.Sprintf("%s %s %s %s %d %d %s %d", z.Path, hex(z.Czxid), hex(z.Mzxid), hex(z.Pzxid), z.Version, z.Aversion, hex(z.Owner), z.DataBytes))
			return nil
		})
		slices.Sort(want)
		slices.Sort(got)
		if err != nil || len(got) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: %v\n%q\n%q", path, err, got, want)
		}
	}
}
