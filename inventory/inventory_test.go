package inventory_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/inventory"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func options() inventory.Options {
	return inventory.Options{Home: "/home/op", LookupEnv: env("ADDR", "10.0.0.9", "EMPTY", "")}
}

func parse(t *testing.T, texts ...string) (*inventory.Inventory, error) {
	t.Helper()
	var sources []inventory.Source
	names := []string{"hosts.yaml", "second.yaml", "third.yaml"}
	for i, text := range texts {
		sources = append(sources, inventory.Source{Name: names[i], Dir: "/inv", Text: []byte(text)})
	}
	return inventory.Parse(options(), sources...)
}

func resolve(t *testing.T, texts ...string) []inventory.Server {
	t.Helper()
	inv, err := parse(t, texts...)
	if err != nil {
		t.Fatal(err)
	}
	servers, err := inv.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return servers
}

func TestExamplesLoad(t *testing.T) {
	for _, path := range []string{"hosts.yaml", "local.yaml", "five-with-observer.yaml", "bastion.yaml"} {
		inv, err := inventory.Load(options(), path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(inv.Warnings) > 0 {
			t.Errorf("%s warns: %v", path, inv.Warnings)
		}
	}
}

func TestLocalExampleIsOneMachine(t *testing.T) {
	inv, err := inventory.Load(options(), "local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	servers, err := inv.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range servers {
		want := inventory.Ports{Client: 2181 + i, Quorum: 2888 + i, Election: 3888 + i}
		if s.ID != i+1 || s.Ports != want || s.Machine() != "this machine" || !strings.HasPrefix(s.Paths.DataDir, "/home/op/.zkctl/local/zk") {
			t.Errorf("%+v", s)
		}
	}
}

func TestExample(t *testing.T) {
	for _, addresses := range [][]string{nil, {"a"}, {"a.example.com", "10.0.0.1", "fd00::1"}} {
		var b bytes.Buffer
		if err := inventory.Example(&b, addresses...); err != nil {
			t.Fatal(err)
		}
		inv, err := parse(t, b.String())
		if err != nil {
			t.Fatalf("%v:\n%v\n%s", addresses, err, b.String())
		}
		if len(inv.Warnings) > 0 {
			t.Errorf("%v: %v", addresses, inv.Warnings)
		}
	}
	if err := inventory.Example(&bytes.Buffer{}, "10.0.0.1:22"); err == nil {
		t.Error("Example took an address with a port")
	}
}

func TestLaterFilesWin(t *testing.T) {
	servers := resolve(t, `
name: one
ssh: {user: root, identityFiles: [a, b]}
config: {tickTime: 1000, snapCount: 7}
hosts:
  - {name: zk1, address: 10.0.0.1}
  - {name: zk2, address: 10.0.0.2, ports: {client: 2182}}
`, `
name: two
ssh: {port: 2222, identityFiles: /c}
config: {snapCount: 8}
hosts:
  - {name: zk2, ports: {quorum: 2889}, role: observer}
  - {name: zk3, address: 10.0.0.3}
  - {name: zk4, address: 10.0.0.4}
`)
	if len(servers) != 4 || servers[0].Ensemble != "two" {
		t.Fatalf("%+v", servers)
	}
	if l := servers[0].SSH; l.User != "root" || l.Port != 2222 || len(l.IdentityFiles) != 1 || l.IdentityFiles[0] != "/c" {
		t.Errorf("ssh: %+v", l)
	}
	zk2 := servers[1]
	if zk2.Ports != (inventory.Ports{Client: 2182, Quorum: 2889, Election: 3888}) || zk2.Role != inventory.Observer {
		t.Errorf("zk2: %+v", zk2)
	}
	if v, _ := zk2.Config.Get("snapCount"); v != "8" {
		t.Errorf("snapCount %s", v)
	}
	_, err := parse(t, "name: a\nhosts: [{address: x}]\n", "hosts:\n  - {name: q}\n")
	if err == nil || !strings.Contains(err.Error(), "second.yaml:2:5: this host has no address") {
		t.Errorf("a fault in the second file: %v", err)
	}
}

func TestHostOverridesEverything(t *testing.T) {
	servers := resolve(t, `
ssh: {user: a, port: 1, sudo: true, connectTimeout: 5s, bastions: x@jump, knownHosts: ./known}
paths: {dataDir: /d, baseDir: /base}
service: {user: u1, atBoot: true, maxOpenFiles: 2000}
config: {tickTime: 1000, foo.bar: 1, maxClientCnxns: 10}
purge: {keep: 4, schedule: 6h}
hosts:
  - {name: zk1, address: 10.0.0.1}
  - name: zk2
    address: 10.0.0.2
    ssh: {user: b, port: 2, sudo: false, connectTimeout: 6s, bastions: [], address: 192.168.0.2}
    paths: {baseDir: /other, logDir: /l}
    service: {user: u2, group: g2, atBoot: false, name: zoo}
    config: {maxClientCnxns: 20, initLimit: 20}
    purge: {enabled: false, keep: 9}
  - {name: zk3, address: 10.0.0.3}
`)
	one, two := servers[0], servers[1]
	if one.Paths.DataDir != "/d" || one.Paths.ConfDir != "/base/conf" || one.ConfigFile() != "/base/conf/zoo.cfg" {
		t.Errorf("paths of zk1: %+v", one.Paths)
	}
	want := inventory.Paths{
		BaseDir: "/other", Binary: "/other/bin/zkctl", ConfDir: "/other/conf",
		DataDir: "/other/zkdata", DataLogDir: "/other/zkdatalog", LogDir: "/l",
	}
	if two.Paths != want {
		t.Errorf("paths of zk2: %+v", two.Paths)
	}
	if !*one.SSH.Sudo || *two.SSH.Sudo || two.SSH.User != "b" || two.SSH.Address != "192.168.0.2" || two.SSH.ConnectTimeout.String() != "6s" {
		t.Errorf("ssh: %+v, %+v", one.SSH, two.SSH)
	}
	if one.SSH.KnownHosts[0] != "/inv/known" || one.SSH.Bastions[0].User != "x" {
		t.Errorf("ssh of zk1: %+v", one.SSH)
	}
	if one.Service.Group != "u1" || two.Service.Group != "g2" || two.Service.Name != "zoo" || *two.Service.AtBoot || two.Service.MaxOpenFiles != 2000 {
		t.Errorf("service: %+v, %+v", one.Service, two.Service)
	}
	if !*one.Purge.Enabled || *two.Purge.Enabled || two.Purge.Keep != 9 || two.Purge.Schedule != "6h" {
		t.Errorf("purge: %+v, %+v", one.Purge, two.Purge)
	}
	var keys []string
	for _, s := range two.Config {
		keys = append(keys, s.Key+"="+s.Value)
	}
	if got := strings.Join(keys, " "); !strings.HasPrefix(got, "tickTime=1000 initLimit=20 syncLimit=5 4lw") || !strings.HasSuffix(got, "foo.bar=1 maxClientCnxns=20") {
		t.Errorf("config: %s", got)
	}
}

func TestOverridesLeaveOthersAlone(t *testing.T) {
	inv, err := parse(t, "config: {snapCount: 5}\nhosts:\n  - {address: a, config: {snapCount: 6}}\n  - {address: b}\n  - {address: c}\n")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		servers, err := inv.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		*servers[0].Service.AtBoot = false
		if v, _ := servers[1].Config.Get("snapCount"); v != "5" || !*servers[1].Service.AtBoot {
			t.Fatalf("one host's settings reach another: %+v", servers[1])
		}
	}
}

func TestLocalPaths(t *testing.T) {
	s := resolve(t, "name: e\nconnection: local\npaths: {baseDir: '~/x/{ensemble}/{name}', confDir: conf}\nhosts: [{name: zk1, address: localhost}]\n")[0]
	if s.Paths.DataDir != "/home/op/x/e/zk1/zkdata" || s.Paths.ConfDir != "/inv/conf" {
		t.Errorf("%+v", s.Paths)
	}
	if s.Service.User != "" || *s.Service.AtBoot || *s.Service.Profile || *s.Purge.Enabled || s.Service.Manager != inventory.ManagerBuiltin {
		t.Errorf("%+v %+v", s.Service, s.Purge)
	}
}

func TestVariables(t *testing.T) {
	inv, err := parse(t, "name: ${NAME:-n}\nssh: {port: \"${P:-22}\", user: 'a${EMPTY}b'}\nhosts: [{address: '${ADDR}', name: z}]\nconfig: {superUser: '$${x}'}\n")
	if err != nil {
		t.Fatal(err)
	}
	v, _ := inv.Config.Get("superUser")
	if inv.Name != "n" || inv.SSH.Port != 22 || inv.SSH.User != "ab" || inv.Hosts[0].Address != "10.0.0.9" || v != "${x}" {
		t.Errorf("%+v", inv)
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	servers := resolve(t, `
hosts:
  - &base {name: zk1, address: 10.0.0.1, ssh: &s {user: ops}}
  - {<<: *base, name: zk2, address: 10.0.0.2}
  - {name: zk3, address: 10.0.0.3, ssh: {<<: *s, port: 23}}
`)
	if servers[1].SSH.User != "ops" || servers[2].SSH.User != "ops" || servers[2].SSH.Port != 23 || servers[1].Name != "zk2" {
		t.Errorf("%+v", servers)
	}
}

func TestIDs(t *testing.T) {
	const four = "hosts:\n  - {name: a, address: a}\n  - {name: b, address: b, id: 1}\n  - {name: c, address: c}\n  - {name: d, address: d}\n"
	for name, c := range map[string]struct {
		installed map[string]int
		want      string // ids, or part of the error
	}{
		"by order":           {nil, "2 1 3 4"},
		"installed stay":     {map[string]int{"a": 4, "c": 7}, "4 1 7 2"},
		"gone ones are kept": {map[string]int{"old": 2}, "3 1 4 5"},
		"agrees":             {map[string]int{"b": 1}, "2 1 3 4"},
		"contradicts":        {map[string]int{"b": 5}, "b is installed with id 5, but the inventory says 1"},
		"taken by the file":  {map[string]int{"c": 1}, "c is installed with id 1, which is also that of b"},
		"twice installed":    {map[string]int{"a": 5, "d": 5}, "d is installed with id 5, which is also that of a"},
	} {
		t.Run(name, func(t *testing.T) {
			inv, err := parse(t, four)
			if err != nil {
				t.Fatal(err)
			}
			servers, err := inv.Resolve(c.installed)
			var ids []string
			for _, s := range servers {
				ids = append(ids, strconv.Itoa(s.ID))
			}
			got := strings.Join(ids, " ")
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	hosts := func(n int) string {
		text := "hosts:\n"
		for i := range n {
			text += "  - {address: h" + strconv.Itoa(i) + "}\n"
		}
		return text
	}
	for name, c := range map[string]struct{ text, want string }{
		"1":           {hosts(1), ""},
		"2":           {hosts(2), "hosts.yaml:2:3: 2 participants survive the failure of 0, no more than 1 would"},
		"3":           {hosts(3), ""},
		"4":           {hosts(4), "4 participants survive the failure of 1, no more than 3 would"},
		"5":           {hosts(5), ""},
		"6":           {hosts(6), "survive the failure of 2"},
		"3 and 1":     {hosts(3) + "  - {address: o, role: observer}\n", ""},
		"1 and 1":     {hosts(1) + "  - {address: o, role: observer}\nconfig: {standaloneEnabled: false}\n", "single participant"},
		"unknown key": {hosts(1) + "config: {maxClientCnxn: 5}\n", "did you mean maxClientCnxns?"},
		"java only":   {hosts(1) + "config: {jute.maxbuffer: 5, zookeeper.snapCount: 7, zookeeper.superUser.1: x}\n", ""},
		"prefix":      {hosts(1) + "config: {zookeeper.snapCuont: 5}\n", "did you mean snapCount?"},
		"ssh unused":  {hosts(1) + "connection: local\nssh: {port: 22}\n", "hosts.yaml:4:1: connection: local uses no SSH"},
		"loopback":    {hosts(2) + "  - {address: 127.0.0.1}\n", "127.0.0.1 is not reachable from h0"},
	} {
		t.Run(name, func(t *testing.T) {
			inv, err := parse(t, c.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range inv.Warnings {
				got = append(got, w.String())
			}
			if all := strings.Join(got, "\n"); (c.want == "") != (all == "") || !strings.Contains(all, c.want) {
				t.Errorf("got %q, want %q", all, c.want)
			}
		})
	}
}

func TestLoadReadsStdinAndTellsMissingFiles(t *testing.T) {
	o := options()
	o.Stdin = strings.NewReader("hosts: [{address: a}, {address: b, id: x}]\n")
	if _, err := inventory.Load(o, inventory.Stdin); err == nil || !strings.Contains(err.Error(), "<stdin>:1:40: id takes") {
		t.Errorf("got %v", err)
	}
	o.Stdin = nil
	if _, err := inventory.Load(o, inventory.Stdin); err == nil {
		t.Error("- without a standard input")
	}
	if _, err := inventory.Load(o, "missing.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := inventory.Load(o); err == nil {
		t.Error("no file is an inventory")
	}
}

func TestSchedule(t *testing.T) {
	for in, want := range map[string]string{
		"hourly":              "*-*-* *:00:00|0 * * * *",
		"daily":               "*-*-* 00:00:00|0 0 * * *",
		"weekly":              "Mon *-*-* 00:00:00|0 0 * * 1",
		"03:30":               "*-*-* 03:30:00|30 3 * * *",
		"3:05":                "*-*-* 03:05:00|5 3 * * *",
		"*:15":                "*-*-* *:15:00|15 * * * *",
		"1h":                  "*-*-* *:00:00|0 * * * *",
		"6h":                  "*-*-* 00/6:00:00|0 */6 * * *",
		"24h":                 "*-*-* 00:00:00|0 0 * * *",
		"Mon..Fri 03:30":      "Mon,Tue,Wed,Thu,Fri *-*-* 03:30:00|30 3 * * 1,2,3,4,5",
		"Sat..Mon 23:59":      "Sun,Mon,Sat *-*-* 23:59:00|59 23 * * 0,1,6",
		"sunday,Wed 1:00":     "Sun,Wed *-*-* 01:00:00|0 1 * * 0,3",
		"*-*-1 04:00":         "*-*-01 04:00:00|0 4 1 * *",
		"*-*-* 04:00:00":      "*-*-* 04:00:00|0 4 * * *",
		"Mon *-*-* 04:00":     "Mon *-*-* 04:00:00|0 4 * * 1",
		"24:00":               "hour 24",
		"03:60":               "minute 60",
		"*-*-32 1:00":         "day of the month 32",
		"5h":                  "divide the day",
		"xh":                  "divide the day",
		"Mon *-*-01 04:00":    "mean different things",
		"Foo 04:00":           "not a day",
		"Mon..Foo 04:00":      "not a day",
		"2026-01-01 00:00":    "not a schedule",
		"30 3 * * *":          "not a schedule",
		"*-*-* 04:00:00 Mars": "not a schedule",
		"":                    "not a schedule",
	} {
		calendar, err := inventory.Schedule(in).OnCalendar()
		cron, err2 := inventory.Schedule(in).Cron()
		got := calendar + "|" + cron
		if err != nil && err2 != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// TestSchedulesAreSystemds asks systemd whether it understands them, where it is installed.
func TestSchedulesAreSystemds(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	args := []string{"calendar"}
	for _, s := range []inventory.Schedule{"hourly", "daily", "weekly", "03:30", "*:15", "6h", "Sat..Mon 23:59", "*-*-1 04:00"} {
		calendar, err := s.OnCalendar()
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, calendar)
	}
	if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	more, err := filepath.Glob("*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(paths, more...) {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte("hosts:\n  - {name: zk1, id: 3}\n"))
	}
	f.Fuzz(func(t *testing.T, text, second []byte) {
		inv, err := inventory.Parse(options(),
			inventory.Source{Name: "hosts.yaml", Dir: "/inv", Text: text}, inventory.Source{Name: "second.yaml", Dir: "/inv", Text: second})
		if err != nil {
			_ = err.Error()
			return
		}
		servers, err := inv.Resolve(nil)
		if err != nil {
			t.Fatalf("what Parse takes, Resolve takes: %v", err)
		}
		ids := make(map[int]bool)
		for _, s := range servers {
			if s.ID < 1 || s.ID > 255 || ids[s.ID] {
				t.Fatalf("id %d of %s", s.ID, s.Name)
			}
			ids[s.ID] = true
			for _, p := range []string{s.Paths.Binary, s.Paths.ConfDir, s.Paths.DataDir, s.Paths.DataLogDir, s.Paths.LogDir} {
				if !strings.HasPrefix(p, "/") {
					t.Fatalf("path %q of %s", p, s.Name)
				}
			}
		}
	})
}
