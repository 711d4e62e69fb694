package transport

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

const sampleConfig = `# comment
Port 1022
Host zk? !zk9
	HostName %h.example
	User = "ops"
	IdentityFile ~/.ssh/a
	IdentityFile "/keys/with space"
Host zk1 # comment
	User later
	IdentityFile %d/b-%r
	ProxyJump jump@bastion:2022,[fe80::1]:22
Match originalhost zk2,zk3 user ops
	ConnectTimeout 7
Match host *.example !localuser nobody
	HostKeyAlias alias
Match all
	IdentitiesOnly yes
	StrictHostKeyChecking accept-new
	UserKnownHostsFile /a /b
Host *
	User everyone
`

// What ssh itself makes of a configuration is the measure.
func TestConfigAsSSHReadsIt(t *testing.T) {
	program := lookTool(t, "ssh", "openssh-client")
	home := t.TempDir()
	file := filepath.Join(home, "config")
	must(t, os.WriteFile(file, []byte(sampleConfig), 0o600))
	for _, name := range []string{"zk1", "zk2", "zk9", "other"} {
		out, err := exec.Command(program, "-G", "-F", file, name).Output()
		must(t, err)
		want := make(map[string]string)
		var files []string
		for line := range strings.Lines(string(out)) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
			want[k] = v
			if k == "identityfile" {
				files = append(files, v)
			}
		}
		cfg, err := readConfig([]string{file}, home, name, me(t), "")
		must(t, err)
		host := name
		if h := cfg.get("hostname"); h != "" {
			host = strings.ReplaceAll(h, "%h", name)
		}
		got := map[string]string{"hostname": host, "port": cfg.get("port"), "user": cfg.get("user"), "connecttimeout": firstOf(cfg.get("connecttimeout"), "none"),
			"hostkeyalias": cfg.get("hostkeyalias"), "identitiesonly": cfg.get("identitiesonly"), "userknownhostsfile": cfg.get("userknownhostsfile"),
			"proxyjump": cfg.get("proxyjump")}
		for k, v := range got {
			if v != want[k] {
				t.Errorf("%s: %s is %q, ssh says %q", name, k, v, want[k])
			}
		}
		if len(cfg.files) > 0 && !slices.Equal(cfg.files, files) {
			t.Errorf("%s: identity files %q, ssh says %q", name, cfg.files, files)
		}
	}
}

func TestConfigIncludeLoop(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, ".ssh", "config")
	must(t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file, []byte("Include config\n"), 0o600))
	if _, err := readConfig([]string{file}, home, "h", "u", ""); err == nil || !strings.Contains(err.Error(), file+":1") {
		t.Errorf("readConfig = %v", err)
	}
}

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]Target{
		"h": {Address: "h"}, "u@h": {User: "u", Address: "h"}, "u@h:2": {User: "u", Address: "h", Port: 2}, "a@b@h:22": {User: "a@b", Address: "h", Port: 22},
		"ssh://u@h:2": {User: "u", Address: "h", Port: 2}, "[::1]:2": {Address: "::1", Port: 2}, "::1": {Address: "::1"}, "[::1]": {Address: "::1"},
		"": {}, "u@": {}, "h:0": {}, "h:x": {}, "h:65536": {}, "a b": {},
	} {
		got, err := ParseTarget(in)
		if (err != nil) != (want.Address == "") || err == nil && (got.User != want.User || got.Address != want.Address || got.Port != want.Port) {
			t.Errorf("ParseTarget(%q) = %+v, %v", in, got, err)
		}
	}
}

func TestPatterns(t *testing.T) {
	tests := []struct {
		s, list string
		want    bool
	}{
		{"zk1", "zk*", true}, {"zk1", "ZK?", true}, {"zk1", "zk1,!zk1", false}, {"zk1", "!zk2,*", true}, {"zk1", "zk", false}, {"zk1", "", false},
		{"[zk1]:2222", "[zk*]:2222", true}, {"[zk1]:2222", "zk1", false}, {strings.Repeat("a", 2000), strings.Repeat("*a", 500) + "b", false},
	}
	for _, tt := range tests {
		if got := matchList(tt.s, []string{tt.list}); got != tt.want {
			t.Errorf("matchList(%.20q, %.20q) = %v", tt.s, tt.list, got)
		}
	}
}

func TestParseFacts(t *testing.T) {
	f := parseFacts("user=ops\nuid=1000\nmachine=aarch64\nos=Linux\nsystemd=1\nnofile=unlimited\nmemory=1024\ntool=sudo=/usr/bin/sudo\ndistribution=A=B\nnoise\n")
	if f.User != "ops" || f.UID != 1000 || f.Arch != "arm64" || f.OS != "linux" || !f.Systemd || f.MaxOpenFiles != -1 || f.Memory != 1<<20 ||
		!maps.Equal(f.Tools, map[string]string{"sudo": "/usr/bin/sudo"}) || f.Distribution != "A=B" {
		t.Errorf("parseFacts = %+v", f)
	}
	for in, want := range map[string]time.Duration{"1700000000.000000001\n": 0, "1700000000.%N\n": time.Second / 2, "1700000000": time.Second / 2} {
		at, exact := parseClock(in)
		if exact != want || at.Unix() != 1700000000 {
			t.Errorf("parseClock(%q) = %v, %v", in, at, exact)
		}
	}
}

// What is quoted arrives as it was, through the shell and back.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "it's", `"`, "$HOME `id` \\ \n\t*?[]{}~!#&|;<>()", "=", "~root", "\xff\x01", "-n", "'''"} {
		f.Add(s, "second")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsRune(a+b, 0) {
			t.Skip("no argument can hold it")
		}
		out, err := exec.Command("/bin/sh", "-c", `exec printf '%s\001%s\001' `+QuoteAll(a, b)).Output()
		if err != nil || string(out) != a+"\x01"+b+"\x01" {
			t.Errorf("%q, %q came back as %q, %v", a, b, out, err)
		}
		nested, err := exec.Command("/bin/sh", "-c", "exec /bin/sh -c "+Quote(`exec printf %s `+Quote(a))).Output()
		if err != nil || string(nested) != a {
			t.Errorf("%q came back as %q from two shells, %v", a, nested, err)
		}
	})
}

// Whatever a config holds, it is read without a panic, and no value comes from nowhere.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(sampleConfig), "zk1")
	f.Add([]byte("Host \"a\nMatch\nInclude\n=\n  # x\nMatch ! all"), "a")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		if strings.Contains(strings.ToLower(string(data)), "include") {
			return // would read this machine's files
		}
		r := &configReader{home: "/nowhere", alias: name, localUser: "me", out: clientConfig{values: make(map[string]string)}}
		if err := r.parse(data, "config", true, 0); err != nil {
			t.Error(err)
		}
		for k := range r.out.values {
			if !strings.Contains(strings.ToLower(string(data)), k) {
				t.Errorf("keyword %q from nowhere", k)
			}
		}
		_, _ = proxyJump(r.out)
	})
}

func FuzzKnownHosts(f *testing.F) {
	_, key, _ := strings.Cut(string(ssh.MarshalAuthorizedKey(mustSigner(f).PublicKey())), " ")
	line := "zk1,[zk2]:22,!zk3 ssh-ed25519 " + key
	f.Add([]byte(line), "zk1")
	f.Add([]byte("@revoked * ssh-ed25519 "+key+"|1|c2FsdA==|aGFzaA== ssh-ed25519 "+key), "zk2")
	f.Add([]byte("@cert-authority *.x ssh-ed25519 AAAA\n# c\n|1||\n|"), "a.x")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		keys := parseKnownHosts(data, "known_hosts")
		n := 1 + strings.Count(string(data), "\n")
		for _, k := range keys {
			if k.key == nil || k.line < 1 || k.line > n {
				t.Errorf("line %d of %d: %+v", k.line, n, k)
			}
			k.covers(name)
		}
		// What comes before on lines of its own hides no key.
		if more := parseKnownHosts(append(append(data, '\n'), line...), "known_hosts"); len(more) < 1 || !more[len(more)-1].covers("zk1") {
			t.Error("a good line after others is not seen")
		}
	})
}

func mustSigner(t testing.TB) ssh.Signer {
	s, err := ssh.NewSignerFromKey(newEd25519(t))
	must(t, err)
	return s
}

func FuzzParseStat(f *testing.F) {
	f.Add("81a4 5 0 0 root root 1700000000 ./a b")
	f.Add("41ed -1 x 0 root")
	f.Fuzz(func(t *testing.T, record string) {
		info, err := parseStat(record)
		if err == nil && (info.Owner == "" || info.Group == "") {
			t.Errorf("%q gives %+v", record, info)
		}
	})
}

func TestModes(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{0o644: "0644", 0o755 | fs.ModeSetuid: "4755", 0o770 | fs.ModeSetgid: "2770", 0o777 | fs.ModeSticky: "1777", fs.ModeDir | 0o700: "0700"} {
		if got := octal(mode); got != want {
			t.Errorf("octal(%v) = %s, want %s", mode, got, want)
		}
	}
	for st, want := range map[uint32]fs.FileMode{0o100644: 0o644, 0o040755: 0o755 | fs.ModeDir, 0o120777: 0o777 | fs.ModeSymlink, 0o104755: 0o755 | fs.ModeSetuid,
		0o041777: 0o777 | fs.ModeDir | fs.ModeSticky, 0o010600: 0o600 | fs.ModeNamedPipe, 0o140600: 0o600 | fs.ModeSocket} {
		if got := fileMode(st); got != want {
			t.Errorf("fileMode(%o) = %v, want %v", st, got, want)
		}
	}
}

func TestCancelledBeforehand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Local("here", nil).Run(ctx, Command{Argv: []string{"true"}}); err == nil {
		t.Error("a command was run")
	}
}

// TestTemporaryNames tells names that Upload gives for a while from those of files that stay.
func TestTemporaryNames(t *testing.T) {
	for _, p := range []string{"/usr/local/bin/zkctl", "/etc/zkctl/.zkctl", "/x/" + strings.Repeat("long", 60)} {
		if name := path.Base(tempFor(p)); !IsTemporary(name) || IsTemporary(path.Base(p)) {
			t.Errorf("%s and %s are not told apart", name, p)
		}
	}
	for _, name := range []string{"zkctl", ".zkctl", ".zkctl.lock", "zkctl-zk1.service", "x.zkctl-1"} {
		if IsTemporary(name) {
			t.Errorf("%s is taken for a temporary file", name)
		}
	}
}
