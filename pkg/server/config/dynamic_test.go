package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const staticFile = `# our ensemble
dataDir=DIR
clientPort=2181

! not yours to change
initLimit = 10
server.1=a:2888:3888
server.2=b:2888\
  :3888
server.3=c:2888:3888
# clients
clientPortListenBacklog=5
syncLimit=5
peerType=participant
reconfigEnabled=true
standaloneEnabled=false`

// ensembleFile writes a zoo.cfg and a myid that says 1.
func ensembleFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg")
	write(t, file, strings.Replace(staticFile, "DIR", dir, 1))
	write(t, filepath.Join(dir, "myid"), "1\n")
	return file
}

// started reads what a server would start with.
func started(t *testing.T, file string) *Config {
	t.Helper()
	c, _, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadMyID(); err != nil {
		t.Fatal(err)
	}
	return c
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func TestNextMembership(t *testing.T) {
	file := ensembleFile(t)
	if _, ok, err := ReadNextMembership(file); ok || err != nil {
		t.Fatal(ok, err)
	}
	want := members(t, plainThree+"\ngroup.1=1:2:3")
	if err := WriteNextMembership(file, want); err != nil {
		t.Fatal(err)
	}
	const text = "group.1=1:2:3\nserver.1=a:2888:3888:participant;0.0.0.0:2181\nserver.2=b:2888:3888:participant;0.0.0.0:2181\n" +
		"server.3=c:2888:3888:participant;0.0.0.0:2181\nversion=100000000\nweight.1=1\nweight.2=1\nweight.3=1"
	if got := string(read(t, file+".dynamic.next")); got != text {
		t.Errorf("written:\n%s", got)
	}
	got, ok, err := ReadNextMembership(file)
	if !ok || err != nil || got.Text() != want.Text() {
		t.Errorf("read %t, %v:\n%s", ok, err, got.Text())
	}
	write(t, file+".dynamic.next", "server.1=a")
	if _, _, err = ReadNextMembership(file); err == nil || !strings.Contains(err.Error(), "zoo.cfg.dynamic.next: server.1=a: ") {
		t.Error(err)
	}
}

func TestActivateMembership(t *testing.T) {
	file := ensembleFile(t)
	dir := filepath.Dir(file)
	first := members(t, plainThree)
	if err := WriteNextMembership(file, first); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ActivateMembership(file, first, 1); err != nil {
			t.Fatal(err)
		}
		if got := names(t, dir); got != "myid zoo.cfg zoo.cfg.bak zoo.cfg.dynamic.100000000" {
			t.Error(got)
		}
		want := "# our ensemble\ndataDir=" + dir + "\n\n! not yours to change\ninitLimit = 10\n# clients\nclientPortListenBacklog=5\nsyncLimit=5\n" +
			"reconfigEnabled=true\nstandaloneEnabled=false\ndynamicConfigFile=" + file + ".dynamic.100000000\n"
		if got := string(read(t, file)); got != want {
			t.Errorf("zoo.cfg is:\n%s\nwant:\n%s", got, want)
		}
		if got := string(read(t, file+".bak")); got != strings.Replace(staticFile, "DIR", dir, 1) {
			t.Errorf("zoo.cfg.bak is:\n%s", got)
		}
		if got := string(read(t, file+".dynamic.100000000")); got != strings.TrimSuffix(first.Lines(), "\n") {
			t.Errorf("the dynamic file is:\n%s", got)
		}
		if c := started(t, file); c.QuorumText() != plainThree || c.ClientPort != 2181 {
			t.Errorf("a start reads port %d,\n%s", c.ClientPort, c.QuorumText())
		}
	}
	second := first
	second.Servers, second.Version = slices.Clone(first.Servers)[:2], 0x100000002
	if err := ActivateMembership(file, second, 1); err != nil {
		t.Fatal(err)
	}
	if c := started(t, file); c.QuorumText() != second.Text() || strings.Count(string(read(t, file)), "dynamicConfigFile") != 1 {
		t.Errorf("a start reads\n%s", c.QuorumText())
	}
}

// TestActivateKeepsWhatIsNewer: a proposal that is still to be decided stays.
func TestActivateKeepsWhatIsNewer(t *testing.T) {
	file := ensembleFile(t)
	m := members(t, plainThree)
	next := m
	next.Version++
	if err := errors.Join(WriteNextMembership(file, next), ActivateMembership(file, m, 1)); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := ReadNextMembership(file); !ok || err != nil || got.Version != next.Version {
		t.Error(got, ok, err)
	}
}

// TestActivateAtEveryStop stops at each step, and asks that a start finds a
// complete list and that another try finishes the work.
func TestActivateAtEveryStop(t *testing.T) {
	m := members(t, plainThree)
	stopped := errors.New("stopped")
	for stop := 0; ; stop++ {
		file := ensembleFile(t)
		before := started(t, file).QuorumText()
		if err := WriteNextMembership(file, m); err != nil {
			t.Fatal(err)
		}
		steps, at := 0, ""
		w := writer{around: func(op, name string, act func() error) error {
			if steps++; steps <= stop {
				return act()
			}
			at = fmt.Sprintf("%s %s", op, filepath.Base(name))
			return stopped
		}}
		err := w.activate(file, m, 1)
		if err != nil && !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		got := started(t, file).QuorumText()
		if got != before && got != plainThree || err == nil && got != plainThree {
			t.Errorf("stopped before %s, a start reads\n%s", at, got)
		}
		if _, ok, err := ReadNextMembership(file); got != plainThree && !ok {
			t.Errorf("stopped before %s, the new list is lost: %v", at, err)
		}
		if err := ActivateMembership(file, m, 1); err != nil {
			t.Fatalf("stopped before %s, again: %v", at, err)
		}
		if got := names(t, filepath.Dir(file)); got != "myid zoo.cfg zoo.cfg.bak zoo.cfg.dynamic.100000000" || started(t, file).QuorumText() != plainThree {
			t.Errorf("stopped before %s and done again, there are %s", at, got)
		}
		if err == nil {
			if stop < 12 {
				t.Errorf("only %d steps", stop)
			}
			return
		}
	}
}

func TestActivateKeepsModeAndLink(t *testing.T) {
	file := ensembleFile(t)
	const mode = fs.FileMode(0o640)
	link := filepath.Join(t.TempDir(), "zoo.cfg")
	if err := errors.Join(os.Chmod(file, mode), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12345, 12346
		if err := os.Chown(file, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := ActivateMembership(link, members(t, plainThree), 1); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	for _, name := range []string{file, link + ".dynamic.100000000", link + ".bak"} {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if sys := st.Sys().(*syscall.Stat_t); st.Mode() != mode || int(sys.Uid) != uid || int(sys.Gid) != gid {
			t.Errorf("%s is %s of %d:%d", name, st.Mode(), sys.Uid, sys.Gid)
		}
	}
	if got := started(t, link).QuorumText(); got != plainThree {
		t.Error(got)
	}
}

func TestMembershipFilesNotWritable(t *testing.T) {
	m := members(t, plainThree)
	missing := filepath.Join(t.TempDir(), "zoo.cfg")
	if err := ActivateMembership(missing, m, 1); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "start the server with a configuration file") {
		t.Error(err)
	}
	if os.Getuid() == 0 {
		t.Skip("root may write everything")
	}
	for _, what := range []string{"zoo.cfg", "."} {
		file := ensembleFile(t)
		locked := filepath.Join(filepath.Dir(file), what)
		if err := os.Chmod(locked, 0o555); err != nil {
			t.Fatal(err)
		}
		err := errors.Join(WriteNextMembership(file, m), ActivateMembership(file, m, 1))
		if err == nil || strings.Count(err.Error(), locked+": permission denied; let the server's user write the file and its directory") != 2 {
			t.Errorf("%s locked: %v", what, err)
		}
		if err := os.Chmod(locked, 0o755); err != nil {
			t.Fatal(err)
		}
		if got := names(t, filepath.Dir(file)); got != "myid zoo.cfg" {
			t.Errorf("%s locked: %s", what, got)
		}
	}
}

func TestEditStatic(t *testing.T) {
	tests := []struct {
		name, text string
		clients    bool
		want       string
	}{
		{"empty", "", false, "dynamicConfigFile=D\n"},
		{"in its place", "a=1\ndynamicConfigFile=old\nb=2\ndynamicConfigFile = older\n", false, "a=1\ndynamicConfigFile=D\nb=2\n"},
		{"port stays", "clientPort=1\n", false, "clientPort=1\ndynamicConfigFile=D\n"},
		{"port goes", "clientPort=1\nclientPortAddress=x\nclientPortListenBacklog=2\nsecureClientPort=3\n", true, "clientPortListenBacklog=2\nsecureClientPort=3\ndynamicConfigFile=D\n"},
		{"groups", "group.1=1\nweight.1=1\n#group\n", false, "#group\ndynamicConfigFile=D\n"},
		{"carriage returns", "a=1\r\nserver.1=x\r\nb=2", false, "a=1\r\nb=2\r\ndynamicConfigFile=D\r\n"},
		{"joined lines", "server.1=a\\\n b=\\\n c\nd\\\n", false, "d\\\n\ndynamicConfigFile=D\n"},
		{"joined to nothing", "a=1\\", false, "a=1\\\n\ndynamicConfigFile=D\n"},
		{"escaped key", "server\\.1=a\n", false, "dynamicConfigFile=D\n"},
	}
	for _, tt := range tests {
		if got := string(editStatic([]byte(tt.text), "D", tt.clients).text); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzEditStatic asks that every other key reads as before, and the pointer as given.
func FuzzEditStatic(f *testing.F) {
	f.Add(staticFile, "/etc/zookeeper/zoo.cfg.dynamic.1", true)
	f.Add("server.1=a\\\n\\", `/ä\ x`, false)
	f.Fuzz(func(t *testing.T, text, name string, clients bool) {
		name = trim(strings.ToValidUTF8(name, ""))
		others := func(text []byte) string {
			var list []string
			props, _ := ParseProperties(text)
			for _, p := range props {
				key := trim(p.Key)
				if !isMemberKey(key) && !slices.Contains([]string{"peerType", "dynamicConfigFile", "clientPort", "clientPortAddress"}, key) {
					list = append(list, fmt.Sprintf("%q=%q", p.Key, p.Value))
				}
			}
			return strings.Join(list, "\n")
		}
		got := editStatic([]byte(text), name, clients).text
		if before, after := others([]byte(text)), others(got); before != after {
			t.Fatalf("%q became %q", before, after)
		}
		props, _ := ParseProperties(got)
		named := 0
		for _, p := range props {
			if trim(p.Key) == "dynamicConfigFile" {
				named++
				if p.Value != name {
					t.Fatalf("the pointer reads %q, want %q", p.Value, name)
				}
			}
		}
		if named != 1 {
			t.Fatalf("%d pointers in %q", named, got)
		}
	})
}

func TestNamedDynamicFile(t *testing.T) {
	for _, tc := range []struct {
		text, name string
		version    int64
	}{
		{"dataDir=/x\n", "", 0},
		{"dynamicConfigFile=/etc/zoo.cfg.dynamic.20000000e\ndataDir=/x", "/etc/zoo.cfg.dynamic.20000000e", 0x20000000e},
		{" dynamicConfigFile : /etc/members\n", "/etc/members", 0},
		{"dynamicConfigFile=/a.dynamic.1\ndynamicConfigFile=/b.dynamic.zz", "/b.dynamic.zz", 0},
		{"dynamicConfigFile=/a.dynamic.-1", "/a.dynamic.-1", 0},
	} {
		if name, version := DynamicFile([]byte(tc.text)); name != tc.name || version != tc.version {
			t.Errorf("%q: %s, %x", tc.text, name, version)
		}
	}
	text := []byte("clientPort=1\nserver.1=a:1:2\nx=y\n")
	named := NameDynamicFile(text, "/c.dynamic.5", false)
	if want := "clientPort=1\nx=y\ndynamicConfigFile=/c.dynamic.5\n"; string(named) != want {
		t.Errorf("%q, want %q", named, want)
	}
	if again := NameDynamicFile(named, "/c.dynamic.5", true); string(again) != "x=y\ndynamicConfigFile=/c.dynamic.5\n" {
		t.Errorf("%q", again)
	}
}
