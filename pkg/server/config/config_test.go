package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const base = "dataDir=/d\nclientPort=2181\n"

const three = base + "initLimit=10\nsyncLimit=5\nserver.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n"

func parse(t *testing.T, text string) (*Config, []Warning, error) {
	t.Helper()
	return Parse("zoo.cfg", strings.NewReader(text))
}

func TestDefaults(t *testing.T) {
	c, warnings, err := parse(t, base)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if c.Distributed() || c.DataLogDir != "/d" || c.TickTime != 3*time.Second ||
		c.MinSessionTimeout != 6*time.Second || c.MaxSessionTimeout != time.Minute ||
		!c.ForceSync || !c.WordAllowed("srvr") || c.WordAllowed("mntr") {
		t.Errorf("got %+v", c)
	}
}

// TestFindings checks what is said about one text: every line expected must be
// there, and no other. "E" starts a fault, "W" a warning.
func TestFindings(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", `
E zoo.cfg: dataDir: is not set; add a line such as dataDir=/var/lib/zookeeper
W zoo.cfg: clientPort: is not set, so no client can connect; add clientPort=2181`},
		{"all faults at once", base + "tickTime=0\nquorumListenOnAllIPs=maybe\nelectionAlg=1\npeerType=boss\nminSessionTimeout=2s\n", `
E zoo.cfg:3: tickTime: 0 is too small; write at least 1
E zoo.cfg:4: quorumListenOnAllIPs: "maybe" is neither true nor false; write true or false
E zoo.cfg:5: electionAlg: election algorithm "1" is no longer supported; remove the line, or write 3
E zoo.cfg:6: peerType: "boss" is no role; write participant or observer
E zoo.cfg:7: minSessionTimeout: "2s" is not a whole number; write digits only, without a unit`},
		{"slips", base + "tickTme=1\nsnapcount=5\nzookeeper.snapCount=5\nqwertyuiop=1\n", `
W zoo.cfg:5: zookeeper.snapCount: goes without the prefix in this file; Apache ZooKeeper ignores it with; write snapCount
W zoo.cfg:3: tickTme: is no key of zoo.cfg and is ignored; did you mean tickTime?
W zoo.cfg:4: snapcount: is no key of zoo.cfg and is ignored; did you mean snapCount?
W zoo.cfg:6: qwertyuiop: is no key of zoo.cfg and is ignored; remove the line, or look for the name in the Administrator's Guide`},
		{"Apache ignores bad properties", base + "snapCount=1\npreAllocSize=64M\nforceSync=false\nskipACL=true\n4lw.commands.whitelist=stat,lead\ndigest.enabled=yes\n", `
W zoo.cfg:3: snapCount: 1 is too small, so the smallest is used; write at least 2
W zoo.cfg:4: preAllocSize: "64M" is not a whole number, so the default is used; write digits only, without a unit
W zoo.cfg:5: forceSync: "false" counts as true: only "no" is looked for, in just that spelling; write no to say false
W zoo.cfg:6: skipACL: "true" counts as false: only "yes" is looked for, in just that spelling; write yes to say true
W zoo.cfg:7: 4lw.commands.whitelist: no such word: lead; write some of conf, cons, crst, dirs, dump, envi, gtmk, hash, isro, mntr, ruok, srst, srvr, stat, stmk, wchc, wchp, wchs, or *
W zoo.cfg:8: digest.enabled: "yes" counts as false; write true or false`},
		{"no effect here", base + "nio.numWorkerThreads=4\nflushDelay=2\n", `
W zoo.cfg:3: nio.numWorkerThreads: has no effect: it tunes threads, buffers or caches of the Java server, which this one does not have
W zoo.cfg:4: flushDelay: has no effect: syncs are grouped by what waits while the last one runs, without a timer`},
		{"twice", base + "tickTime=1000\ntickTime=2000\n", `
W zoo.cfg:3: tickTime: stands again in line 4, which wins; remove one of the two lines`},
		{"bad escape", base + "a=\\u12\n", `
E zoo.cfg:3: \u is not followed by four hexadecimal digits; write \\ for a backslash, or \u and four hexadecimal digits`},
		{"timeouts", base + "tickTime=1000\nmaxSessionTimeout=1999\n", `
E zoo.cfg:4: maxSessionTimeout: minSessionTimeout (2000 ms) is larger than maxSessionTimeout (1999 ms); change one of the two`},
		{"address without port", "dataDir=/d\nclientPortAddress=10.0.0.1\n", `
E zoo.cfg:2: clientPortAddress: is set but clientPort is not; add clientPort=2181, or remove the line
W zoo.cfg: clientPort: is not set, so no client can connect; add clientPort=2181`},
		{"limits", base + "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ninitLimit=0\n", `
E zoo.cfg:6: initLimit: is not set, and an ensemble needs it; add initLimit=10 (ticks)
E zoo.cfg: syncLimit: is not set, and an ensemble needs it; add syncLimit=5 (ticks)`},
		{"even", three + "server.4=d:1:2\n", `
W zoo.cfg:5: server: 4 participants survive no more failures (1) than 3 would; choose an odd number`},
		{"single", base + "server.1=a:1:2\n", `
W zoo.cfg:3: server: only one server is listed, so it runs standalone and the list is not used; list three servers, or remove the line`},
		{"observers alone", base + "server.1=a:1:2:observer\n", `
E zoo.cfg:3: server: there are observers but no participant; make at least one server a participant`},
		{"one voter and an observer", base + "server.1=a:1:2\nserver.2=b:1:2:observer\n", `
E zoo.cfg:3: server: there are observers but only one participant, which runs standalone; list more participants, or set standaloneEnabled=false`},
		{"no participant", base + "standaloneEnabled=false\ninitLimit=1\nsyncLimit=1\n", `
E zoo.cfg:3: standaloneEnabled: is false, and no participant is listed; add server.N lines, or remove this one`},
		{"bad servers", three + "server.x=a:1:2\nserver.4=a:1\nserver.5=e:1:1\nserver.6=a:2888:3889\nserver.7=f:0:2\n", `
E zoo.cfg:8: server.x: the part after the dot is no server or group number; write for instance server.1=, group.1= or weight.1=
E zoo.cfg:9: server.4: "a:1" does not read host:quorumPort:electionPort[:role]; write host:quorumPort:electionPort[:participant|:observer][;[clientHost:]clientPort], an IPv6 host in brackets
E zoo.cfg:10: server.5: quorum and election port are both 1; write host:quorumPort:electionPort[:participant|:observer][;[clientHost:]clientPort], an IPv6 host in brackets
E zoo.cfg:12: server.7: quorum port "0" is not a number from 1 to 65535; write host:quorumPort:electionPort[:participant|:observer][;[clientHost:]clientPort], an IPv6 host in brackets
E zoo.cfg:11: server: servers 1 and 6 both use a:2888; give each its own host or port
W zoo.cfg:5: server: 4 participants survive no more failures (1) than 3 would; choose an odd number`},
		{"groups", three + "group.1=1:2\ngroup.2=2\n", `
E zoo.cfg: server: server 2 is in group 1 and in group 2; leave it in one group
E zoo.cfg:7: server: server 3 is in no group; add it to a group.N line`},
		{"several addresses", strings.Replace(three, "a:2888:3888", "a:2888:3888|a2:2888:3888", 1), `
E zoo.cfg:5: server: server 1 has 2 addresses, and multiAddress.enabled is false; set multiAddress.enabled=true, or leave one address`},
		{"relative directory", "dataDir=data\nclientPort=1\n", `
W zoo.cfg:1: dataDir: "data" depends on the directory the server is started in; write an absolute path`},
		{"retain", base + "autopurge.snapRetainCount=1\n", `
W zoo.cfg:3: autopurge.snapRetainCount: 1 is too small; 3 snapshots are kept; write at least 3`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings, err := parse(t, tt.text)
			if got := findings(warnings, err); got != strings.TrimPrefix(tt.want, "\n") {
				t.Errorf("got:\n%s\nwant:%s", got, tt.want)
			}
		})
	}
}

func findings(warnings []Warning, err error) string {
	var lines []string
	var faults Faults
	if errors.As(err, &faults) {
		for _, f := range faults {
			lines = append(lines, "E "+f.Error())
		}
	}
	for _, w := range warnings {
		lines = append(lines, "W "+w.String())
	}
	return strings.Join(lines, "\n")
}

func TestParseServer(t *testing.T) {
	tests := []struct {
		value string
		want  Server
		text  string
	}{
		{"zk1:2888:3888", Server{ID: 1, Addresses: []Address{{"zk1", 2888, 3888}}}, "zk1:2888:3888:participant"},
		{"zk1:2888:3888:OBSERVER;2181", Server{ID: 1, Addresses: []Address{{"zk1", 2888, 3888}}, Role: Observer, ClientHost: "0.0.0.0", ClientPort: 2181}, "zk1:2888:3888:observer;0.0.0.0:2181"},
		{"[::1]:1:2;[fe80::2]:3", Server{ID: 1, Addresses: []Address{{"::1", 1, 2}}, ClientHost: "fe80::2", ClientPort: 3}, "[0:0:0:0:0:0:0:1]:1:2:participant;[fe80:0:0:0:0:0:0:2]:3"},
		{"a:1:2|b:3:4:observer", Server{ID: 1, Addresses: []Address{{"a", 1, 2}, {"b", 3, 4}}, Role: Observer}, "a:1:2|b:3:4:observer"},
		{"a:1:2|b:3:4", Server{ID: 1, Addresses: []Address{{"a", 1, 2}, {"b", 3, 4}}}, "a:1:2|b:3:4:participant"},
	}
	for _, tt := range tests {
		got, err := ParseServer(1, tt.value)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v", tt.value, got, err)
		}
		if got.String() != tt.text {
			t.Errorf("%s: written %s, want %s", tt.value, got, tt.text)
		}
	}
	for _, bad := range []string{"", "a", "a:1", ":1:2", "a:1:2:3", "a:1:2:participant:x", "a:1:2;", "a:1:2;b:c", "a:1:2;1;2",
		"[::1:1:2", "[::1]", "[::1]x:1:2", "a:1:2|", "a:1:2:participant|b:1:2:observer", "a:65536:1", "a:-1:2"} {
		if s, err := ParseServer(1, bad); err == nil {
			t.Errorf("%q was read as %+v", bad, s)
		}
	}
}

func TestQuorumText(t *testing.T) {
	c, _, err := parse(t, three+"server.10=d:2888:3888:observer;2181\ngroup.1=1:2:3\nweight.2=3\n")
	if err != nil {
		t.Fatal(err)
	}
	want := "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\nserver.3=c:2888:3888:participant\n" +
		"server.10=d:2888:3888:observer;0.0.0.0:2181\ngroup.1=1:2:3\nweight.1=1\nweight.2=3\nweight.3=1\nversion=0"
	if got := c.QuorumText(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestMyID(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"good", "2\n", ""},
		{"no newline", "3", ""},
		{"more lines", "1\r\nx", ""},
		{"missing", "-", "E myid: the file is missing; it holds the number of this server; create it with one of 1, 2, 3, the one whose line names this host"},
		{"blank", "\n1\n", "E myid:1: the first line is blank; write the number of this server, one of 1, 2, 3"},
		{"no number", "one", `E myid:1: "one" is not a number; write the number of this server, one of 1, 2, 3`},
		{"blanks", " 1\n", `E myid:1: " 1" has blanks around it, which Apache ZooKeeper refuses as well; write the number alone`},
		{"not listed", "9\n", "E myid:1: server 9 is not in the member list (1, 2, 3); write one of these numbers, or add server.9 to zoo.cfg"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			c, _, err := parse(t, strings.Replace(three, "/d", dir, 1))
			if err != nil {
				t.Fatal(err)
			}
			if tt.content != "-" {
				write(t, filepath.Join(dir, "myid"), tt.content)
			}
			warnings, err := c.ReadMyID()
			if got := strings.ReplaceAll(findings(warnings, err), dir+"/", ""); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if err == nil && c.Self().ID != c.MyID {
				t.Errorf("self is %+v, id %d", c.Self(), c.MyID)
			}
		})
	}
}

func TestOwnEntry(t *testing.T) {
	tests := []struct{ name, text, self, want string }{
		{"client port of the list", "initLimit=1\nsyncLimit=1\n", "a:1:2;10.0.0.1:2181", ""},
		{"same port twice", "initLimit=1\nsyncLimit=1\nclientPort=2181\n", "a:1:2;10.0.0.1:2181", ""},
		{"another port", "initLimit=1\nsyncLimit=1\nclientPort=2182\n", "a:1:2;2181", "E zoo.cfg:4: clientPort: says :2182, but server.1 says 0.0.0.0:2181; remove one of the two"},
		{"role differs", "initLimit=1\nsyncLimit=1\npeerType=observer\n", "a:1:2;2181", "W zoo.cfg:4: peerType: observer is the role here, but server.1 says participant, which wins; make the two agree"},
		{"port taken", "initLimit=1\nsyncLimit=1\nclientPort=2\n", "a:1:2", "E zoo.cfg:4: clientPort: 2 is a port of server.1=a:1:2:participant too; choose three different ports"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "myid"), "1")
			c, _, err := parse(t, "dataDir="+dir+"\n"+tt.text+"server.1="+tt.self+"\nserver.2=b:1:2\nserver.3=c:1:2\n")
			if err != nil {
				t.Fatal(err)
			}
			if got := findings(c.ReadMyID()); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestDynamicFile(t *testing.T) {
	dir := t.TempDir()
	dynamic := filepath.Join(dir, "zoo.cfg.dynamic.10000001a")
	write(t, dynamic, "server.1=a:1:2:participant;2181\nserver.2=b:1:2:participant;2181\nserver.3=c:1:2:participant;2181")
	static := base + "initLimit=1\nsyncLimit=1\ndynamicConfigFile=" + dynamic + "\n"
	c, _, err := parse(t, static)
	if err != nil || len(c.Servers) != 3 || c.Version != 0x10000001a {
		t.Fatalf("%v, version %x, %v", c.Servers, c.Version, err)
	}
	if !strings.HasSuffix(c.QuorumText(), "\nversion=10000001a") {
		t.Error(c.QuorumText())
	}
	write(t, dynamic, "server.1=a:1:2\nserver.2=b:1:2\nversion=1\ntickTime=5\n")
	_, w, err := parse(t, static+"server.9=z:1:2\n")
	want := "E zoo.cfg:6: server.9: dynamicConfigFile is set, so it must be in that file; move the line to DYN\n" +
		"E DYN:3: version: the version of a dynamic file is the end of its name; remove the line\n" +
		"E DYN:4: tickTime: a dynamic file holds only server, group and weight keys; move the line to zoo.cfg\n" +
		"W DYN:1: server: two participants survive no failure; list three"
	if got := strings.ReplaceAll(findings(w, err), dynamic, "DYN"); got != want {
		t.Errorf("got:\n%s", got)
	}
}

func TestLoadMissing(t *testing.T) {
	if _, _, err := Load(filepath.Join(t.TempDir(), "zoo.cfg")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestConfValues(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "myid"), "2")
	c, _, err := parse(t, strings.Replace(three, "/d", dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadMyID(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, p := range c.ConfValues(10, 20) {
		keys = append(keys, p.Key+"="+p.Value)
	}
	want := "clientPort=2181 secureClientPort=-1 dataDir=D/version-2 dataDirSize=10 dataLogDir=D/version-2 dataLogSize=20 tickTime=3000 " +
		"maxClientCnxns=60 minSessionTimeout=6000 maxSessionTimeout=60000 clientPortListenBacklog=-1 serverId=2 " +
		"initLimit=10 syncLimit=5 electionAlg=3 electionPort=3888 quorumPort=2888 peerType=0"
	if got := strings.ReplaceAll(strings.Join(keys, " "), dir, "D"); got != want {
		t.Errorf("got %s", got)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzParse asks that no text makes Parse panic or fall silent: a configuration
// without a fault has a data directory and ports that can be bound, and what was
// given is explained.
func FuzzParse(f *testing.F) {
	f.Add(three, "")
	f.Add(base+"server.1=[::1]:1:2:observer;2181\ngroup.1=1:2\nweight.1=x\n", "-Dzookeeper.snapCount=5 -Djute.maxbuffer=7000")
	f.Add(base+"jute.maxbuffer=5000\nssl.keyStore.password=x\nzookeeper.snapCount=7\n", "-Dzookeeper.ssl.clientAuth=maybe -Dzookeeper.superUser.1=x")
	f.Fuzz(func(t *testing.T, text, words string) {
		if strings.Contains(text, "\\") || strings.Contains(text, "dynamicConfigFile") {
			t.Skip("may name a file")
		}
		props, _ := ParseJVMFlags(words)
		c, _, err := Parse("zoo.cfg", strings.NewReader(text), Source{Name: "FLAGS", Java: true, Properties: props})
		if err == nil && (c.DataDir == "" || c.ClientPort < 0 || c.ClientPort > 65535 || c.SecureClientPort < 0 || c.SecureClientPort > 65535 || c.TickTime <= 0) {
			t.Fatalf("accepted %+v", c)
		}
		_ = c.QuorumText()
		explained := map[string]bool{}
		for _, e := range c.Explain() {
			explained[e.Key] = true
		}
		for key := range c.Raw {
			if !explained[key] && !isMemberKey(key) {
				t.Fatalf("%q is not explained", key)
			}
		}
	})
}

func TestBadPropertiesKeepGoing(t *testing.T) {
	c, _, err := parse(t, base+"snapCount=1\ncommitLogCount=x\npreAllocSize=64M\ndigest.enabled=yes\nforceSync=false\n")
	if err != nil || c.SnapCount != 2 || c.CommitLogCount != 500 || c.PreAllocSize != 65536 || c.DigestEnabled || !c.ForceSync {
		t.Errorf("%v: %+v", err, c)
	}
	if c.Raw["preAllocSize"] != "64M" {
		t.Errorf("raw keys: %v", c.Raw)
	}
}
