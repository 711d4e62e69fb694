package templates

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata/golden")

func zooCfg() ZooCfg {
	return ZooCfg{
		Ensemble: "orders", Name: "zk1", DataDir: "/var/lib/zkctl/zkdata", DataLogDir: "/var/lib/zkctl/zkdatalog", ClientPort: 2181,
		Config: []Setting{{"tickTime", "2000"}, {"initLimit", "10"}, {"syncLimit", "5"}, {"4lw.commands.whitelist", "srvr, stat"}},
		Members: []Member{
			{ID: 3, Host: "fd00::3", QuorumPort: 2888, ElectionPort: 3888, Observer: true},
			{ID: 1, Host: "10.0.0.1", QuorumPort: 2888, ElectionPort: 3888},
			{ID: 2, Host: "zk2.example.com", QuorumPort: 2889, ElectionPort: 3889},
		},
	}
}

func unit() Unit {
	return Unit{
		Name: "zkctl-zk1", Description: "ZooKeeper server zk1 of ensemble orders (zkctl)", Binary: "/bin/sh",
		ConfigFile: "/etc/zkctl/zoo.cfg", User: "daemon", Group: "daemon",
		Environment: []Variable{{"ZOO_LOG_DIR", "/var/log/zkctl"}},
		Writable:    []string{"/var/lib/zkctl/zkdata", "/var/lib/zkctl/zkdatalog", "/var/log/zkctl"},
	}
}

func oddUnit() Unit {
	u := unit()
	u.Name, u.Description = "zkctl-odd", "100% odd"
	u.ConfigFile = `/home/op/my $conf/50% "x"/zoo.cfg`
	u.Writable = []string{"/tmp/a b/50%", `/srv/back\slash`}
	u.Args = []string{"--note", "$HOME is; not #expanded"}
	u.Environment = []Variable{{"NOTE", `a "b" 5% $c`}}
	u.User, u.Group = "", ""
	return u
}

func purge() Purge {
	return Purge{
		Name: "zkctl-zk1-purge", Description: "Purge of zk1", Binary: "/bin/sh", ConfigFile: "/etc/zkctl/zoo.cfg", Keep: 3,
		User: "daemon", Group: "daemon", Writable: []string{"/var/lib/zkctl/zkdata", "/var/lib/zkctl/zkdatalog"},
		OnCalendar: "*-*-* 03:30:00", Cron: "30 3 * * *", RandomDelay: 10 * time.Minute, LogFile: "/var/log/zkctl/purge.log",
	}
}

func boot() Boot {
	return Boot{Name: "zkctl-zk1", Description: "ZooKeeper server zk1 (zkctl)", Binary: "/usr/local/bin/zkctl", ConfigFile: "/etc/zkctl/zoo.cfg", LogFile: "/var/log/zkctl/zookeeper.log", User: "zookeeper"}
}

func profile() Profile {
	return Profile{Dirs: []string{"/usr/local/bin", "/opt/it's $here"}, Environment: []Variable{{"ZOOCFGDIR", "/etc/zkctl"}, {"NOTE", "it's $x `y`"}}}
}

func asBytes(s string, err error) ([]byte, error) { return []byte(s + "\n"), err }

func TestGolden(t *testing.T) {
	observer := zooCfg()
	observer.Observer, observer.DataDir, observer.Config = true, `/srv/zoë\x`, nil
	alone := zooCfg()
	alone.Members, alone.DataLogDir = nil, ""
	oddPurge := purge()
	oddPurge.ConfigFile, oddPurge.User, oddPurge.LogFile = "/srv/50% of $x/zoo.cfg", "", ""
	for name, f := range map[string]func() ([]byte, error){
		"zoo.cfg":           zooCfg().Render,
		"zoo-observer.cfg":  observer.Render,
		"zoo-alone.cfg":     alone.Render,
		"zkctl-zk1.service": unit().Render,
		"zkctl-odd.service": oddUnit().Render,
		"purge.service":     purge().Service,
		"purge.timer":       purge().Timer,
		"purge.cron":        purge().CronFile,
		"purge.crontab":     func() ([]byte, error) { return asBytes(oddPurge.CrontabLine()) },
		"init.sh":           boot().InitScript,
		"boot.cron":         boot().CronFile,
		"boot.crontab":      func() ([]byte, error) { return asBytes(boot().CrontabLine()) },
		"rc.local":          boot().LocalBlock,
		"profile.sh":        profile().Render,
		"myid":              func() ([]byte, error) { return MyID(7), nil },
	} {
		t.Run(name, func(t *testing.T) {
			got, err := f()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, got)
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update accepts it); got:\n%s", path, got)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		render func() ([]byte, error)
		want   string
	}{
		"line break":       {func() ([]byte, error) { z := zooCfg(); z.Config[0].Value = "1\nserver.9=x"; return z.Render() }, "line break"},
		"own key":          {func() ([]byte, error) { z := zooCfg(); z.Config[0].Key = "clientPort"; return z.Render() }, "twice"},
		"bad key":          {func() ([]byte, error) { z := zooCfg(); z.Config[0].Key = "a=b"; return z.Render() }, "key"},
		"relative":         {func() ([]byte, error) { z := zooCfg(); z.DataDir = "data"; return z.Render() }, "absolute"},
		"unclean":          {func() ([]byte, error) { z := zooCfg(); z.DataDir = "/a/../b"; return z.Render() }, "clean"},
		"id":               {func() ([]byte, error) { z := zooCfg(); z.Members[0].ID = 256; return z.Render() }, "1 to 255"},
		"id twice":         {func() ([]byte, error) { z := zooCfg(); z.Members[0].ID = 1; return z.Render() }, "twice"},
		"same ports":       {func() ([]byte, error) { z := zooCfg(); z.Members[0].QuorumPort = 3888; return z.Render() }, "twice"},
		"host":             {func() ([]byte, error) { z := zooCfg(); z.Members[0].Host = "a b"; return z.Render() }, "host name"},
		"unit name":        {func() ([]byte, error) { u := unit(); u.Name = "a/b"; return u.Render() }, "name"},
		"unit user":        {func() ([]byte, error) { u := unit(); u.User = "a b"; return u.Render() }, "user"},
		"unit binary":      {func() ([]byte, error) { u := unit(); u.Binary = "/opt/$x/zkctl"; return u.Render() }, "binary"},
		"unit watchdog":    {func() ([]byte, error) { u := unit(); u.Watchdog = time.Millisecond; return u.Render() }, "1s"},
		"unit description": {func() ([]byte, error) { u := unit(); u.Description = `x\`; return u.Render() }, "backslash"},
		"unit variable":    {func() ([]byte, error) { u := unit(); u.Environment[0].Name = "A B"; return u.Render() }, "variable"},
		"keep":             {func() ([]byte, error) { p := purge(); p.Keep = 2; return p.Service() }, "keep"},
		"calendar":         {func() ([]byte, error) { p := purge(); p.OnCalendar = "x\ny"; return p.Timer() }, "OnCalendar"},
		"cron fields":      {func() ([]byte, error) { p := purge(); p.Cron = "30 3 * *"; return p.CronFile() }, "five fields"},
		"cron quote":       {func() ([]byte, error) { p := purge(); p.ConfigFile = "/it's"; return p.CronFile() }, "cron"},
		"boot binary":      {func() ([]byte, error) { b := boot(); b.Binary = "zkctl"; return b.InitScript() }, "binary"},
		"profile colon":    {func() ([]byte, error) { return Profile{Dirs: []string{"/a:b"}}.Render() }, "PATH"},
		"profile name":     {func() ([]byte, error) { return Profile{Environment: []Variable{{"1A", ""}}}.Render() }, "shell"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := c.render(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q\n%s", err, c.want, out)
			}
		})
	}
}

// TestShellSyntax asks the machine's shells whether the scripts are shell.
func TestShellSyntax(t *testing.T) {
	for _, name := range []string{"init.sh", "profile.sh", "rc.local"} {
		for _, shell := range [][]string{{"sh", "-n"}, {"dash", "-n"}, {"bash", "--posix", "-n"}, {"busybox", "ash", "-n"}} {
			if _, err := exec.LookPath(shell[0]); err != nil {
				continue
			}
			args := append(shell[1:], filepath.Join("testdata", "golden", name))
			if out, err := exec.Command(shell[0], args...).CombinedOutput(); err != nil {
				t.Errorf("%s %v: %v\n%s", shell[0], args, err, out)
			}
		}
	}
}

func TestProfileTwiceChangesNothing(t *testing.T) {
	script, err := profile().Render()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "zkctl.sh")
	if err := os.WriteFile(path, script, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-eu", "-c", `. "$0"; . "$0"; printf '%s\n' "$PATH" "$ZOOCFGDIR" "$NOTE"`, path)
	cmd.Env = []string{"PATH=/bin:/usr/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "/bin:/usr/bin:/usr/local/bin:/opt/it's $here\n/etc/zkctl\nit's $x `y`\n"
	if string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

// TestInitScriptRuns starts the script with a program in zkctl's place that tells its arguments.
func TestInitScriptRuns(t *testing.T) {
	dir := t.TempDir()
	b := boot()
	b.Binary, b.ConfigFile, b.LogFile, b.User = filepath.Join(dir, "zkctl it is"), filepath.Join(dir, "it's $x.cfg"), filepath.Join(dir, "it's.log"), ""
	if err := os.WriteFile(b.Binary, []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\n[ \"$2\" != status ]\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	script, err := b.InitScript()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "init")
	if err := os.WriteFile(path, script, 0o755); err != nil {
		t.Fatal(err)
	}
	call := func(verb string) string {
		log := ""
		if verb == "start" || verb == "restart" {
			log = "<--log-file><" + b.LogFile + ">"
		}
		return "<server><" + verb + "><--config><" + b.ConfigFile + ">" + log
	}
	for verb, want := range map[string]string{
		"start": call("start"), "stop": call("stop"), "restart": call("restart"), "status": call("status"),
		"force-reload": call("restart"), "try-restart": "",
	} {
		out, err := exec.Command("sh", path, verb).CombinedOutput()
		if string(out) != want || (err != nil) != (verb == "status") {
			t.Errorf("%s: %q, %v; want %q", verb, out, err, want)
		}
	}
	if out, err := exec.Command("sh", path, "dance").CombinedOutput(); err == nil || !strings.Contains(string(out), "Usage") {
		t.Errorf("an unknown verb: %q, %v", out, err)
	}
}

// TestShellQuoteSurvives sends awkward words through a shell.
func TestShellQuoteSurvives(t *testing.T) {
	words := []string{"", "a b", "it's", `"`, "$HOME", "`x`", `\`, "*", "~", "-n", "é", "a;b&c|d", "#x", "!"}
	out, err := exec.Command("sh", "-c", `f() { printf '%s\001' "$@"; }; f `+shellCommand(words)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSuffix(string(out), "\001"); got != strings.Join(words, "\001") {
		t.Errorf("got %q", got)
	}
}

// TestUnitsVerify asks systemd about the units, where it is installed.
func TestUnitsVerify(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	p := purge()
	for name, f := range map[string]func() ([]byte, error){
		"zkctl-zk1.service": unit().Render, "zkctl-odd.service": oddUnit().Render,
		p.Name + ".service": p.Service, p.Name + ".timer": p.Timer,
	} {
		text, err := f()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte(filepath.Base(path))) || bytes.Contains(out, []byte("Unknown")) {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}
