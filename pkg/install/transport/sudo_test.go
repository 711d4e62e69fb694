package transport

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// sudo's own policy cannot be set up without changing this machine, so these tests put a script
// named sudo first in the session's PATH, which prompts, refuses and runs as the real one does; and a
// script named id that makes the user an ordinary one. The end-to-end tests use the real sudo.

const fakeID = `#!/bin/sh
if [ "$FAKE_ROOT" = 1 ] || [ "$1" != -u ]; then exec /usr/bin/id "$@"; fi
echo 1000
`

// fakeSudo needs no password.
const fakeSudo = `#!/bin/sh
echo "$*" >>"@DIR@/sudo.log"
if [ "$1 $2 $3" != "-H -S -p" ] || [ "$5" != "--" ]; then echo "sudo: unexpected $*" >&2; exit 1; fi
prompt=$4
shift 5
echo "We trust you have received the usual lecture" >&2
# HERE
FAKE_ROOT=1; export FAKE_ROOT
exec @AS@ "$@"
`

// askingSudo asks for the password up to three times, except where a file says that it was given just now.
var askingSudo = strings.Replace(fakeSudo, "# HERE", `
if ! [ -e "@DIR@/cached" ]; then
  n=0
  while :; do
    printf %s "$prompt" >&2
    read -r pw || { echo >&2; echo "sudo: no password was provided" >&2; echo "sudo: 1 incorrect password attempt" >&2; exit 1; }
    [ "$pw" = "s3cret word" ] && break
    n=$((n+1))
    if [ $n = 3 ]; then echo "sudo: 3 incorrect password attempts" >&2; exit 1; fi
    echo "Sorry, try again." >&2
  done
fi`, 1)

func installSudo(t *testing.T, s *sshServer, script, as string) {
	t.Helper()
	s.tool(t, "id", fakeID)
	s.tool(t, "sudo", strings.NewReplacer("@DIR@", s.dir, "@AS@", as).Replace(script))
}

// throughFakeSudo is root's view of h, by way of the script.
func throughFakeSudo(t *testing.T, h Host, s *sshServer, script string) Host {
	t.Helper()
	installSudo(t, s, script, "")
	root, err := h.Root(testContext(t))
	must(t, err)
	return root
}

// sudoHost is an ordinary user's login whose sudo is the script.
func sudoHost(t *testing.T, ask Prompter, script string) (Host, *sshServer) {
	t.Helper()
	h, s := connected(t)
	h.(*machine).ask = ask
	installSudo(t, s, script, "")
	return h, s
}

func TestRootNeedsNoSudo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this needs root: it logs in as root")
	}
	for _, h := range []Host{Local("here", nil), first(connected(t))} {
		root, err := h.Root(testContext(t))
		must(t, err)
		if root != h {
			t.Error("root uses sudo")
		}
	}
}

func first(h Host, _ *sshServer) Host { return h }

func TestSudoPassword(t *testing.T) {
	ask := &oracle{answers: map[QuestionKind][]string{SudoPassword: {"wrong", "s3cret word"}}}
	h, s := sudoHost(t, ask, askingSudo)
	root, err := h.Root(testContext(t))
	must(t, err)
	again, err := h.Root(testContext(t))
	must(t, err)
	if again != root || ask.count() != 2 {
		t.Errorf("asked %d times", ask.count())
	}
	for _, cached := range []bool{false, true} {
		if cached { // sudo asks for nothing: the password must not become input
			must(t, os.WriteFile(filepath.Join(s.dir, "cached"), nil, 0o600))
		}
		res, err := root.Run(testContext(t), Command{Argv: []string{"cat"}, Stdin: strings.NewReader("input\n")})
		must(t, err)
		if string(res.Stdout) != "input\n" || len(res.Stderr) != 0 {
			t.Errorf("cached %v: stdout %q, stderr %q", cached, res.Stdout, res.Stderr)
		}
		p := filepath.Join(s.dir, "written")
		must(t, root.WriteFile(testContext(t), p, []byte("data"), FileMeta{Mode: 0o600}))
		if got := mustRead(t, p); string(got) != "data" {
			t.Errorf("cached %v: wrote %q", cached, got)
		}
	}
	if strings.Contains(string(mustRead(t, filepath.Join(s.dir, "sudo.log"))), "s3cret") {
		t.Error("the password is on a command line")
	}
}

func TestSudoFails(t *testing.T) {
	says := func(line string) string {
		return "#!/bin/sh\necho 'sudo: " + line + "' >&2\nexit 1\n"
	}
	tests := []struct {
		what, script string
		ask          Prompter
		want         error
	}{
		{"nobody to ask", askingSudo, nil, ErrSudoPassword},
		{"nobody to ask", askingSudo, nil, ErrNotAnswered},
		{"wrong password", askingSudo, &oracle{answers: map[QuestionKind][]string{SudoPassword: {"hunter2"}}}, ErrSudoPassword},
		{"prompter fails", askingSudo, &oracle{}, ErrSudoPassword},
		{"not in sudoers", says("ops is not in the sudoers file."), nil, ErrSudoDenied},
		{"not allowed", says("Sorry, user ops is not allowed to execute /bin/sh as root on zk1."), nil, ErrSudoDenied},
		{"requiretty", says("sorry, you must have a tty to run sudo"), nil, ErrSudoTerminal},
		{"missing", "#!/bin/sh\necho '/bin/sh: 1: exec: sudo: not found' >&2\nexit 127\n", nil, ErrSudoMissing},
	}
	for _, tt := range tests {
		h, _ := sudoHost(t, tt.ask, tt.script)
		_, err := h.Root(testContext(t))
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), "zk1") || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", tt.what, err)
		}
		if problem.Remedy(err) == "" {
			t.Errorf("%s: no remedy", tt.what)
		}
	}
}

func TestSudoPasswordChangesMeanwhile(t *testing.T) {
	ask := &oracle{answers: map[QuestionKind][]string{SudoPassword: {"s3cret word"}}}
	h, s := sudoHost(t, ask, askingSudo)
	root, err := h.Root(testContext(t))
	must(t, err)
	installSudo(t, s, strings.Replace(askingSudo, "s3cret word", "another", 1), "")
	if _, err := root.Run(testContext(t), Command{Argv: []string{"true"}}); !errors.Is(err, ErrSudoPassword) {
		t.Errorf("Run = %v", err)
	}
	if ask.count() != 1 {
		t.Errorf("asked %d times", ask.count())
	}
}

// asNobody is a view of a host with the rights of the user nobody.
func asNobody(t *testing.T) Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this needs root: it becomes another user")
	}
	lookTool(t, "setpriv", "util-linux")
	h, s := connected(t)
	installSudo(t, s, fakeSudo, "setpriv --reuid=65534 --regid=65534 --clear-groups")
	v, err := h.Root(testContext(t))
	must(t, err)
	return v
}

func TestNoPermission(t *testing.T) {
	h, ctx, dir := asNobody(t), testContext(t), t.TempDir()
	secret := filepath.Join(dir, "secret")
	must(t, os.Mkdir(secret, 0o700))
	must(t, os.WriteFile(filepath.Join(secret, "f"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "g"), nil, 0o600))
	unlisted := filepath.Join(dir, "unlisted")
	must(t, os.Mkdir(unlisted, 0o711))
	_, read := h.ReadFile(ctx, dir+"/g")
	_, stat := h.Stat(ctx, secret+"/f")
	_, list := h.ReadDir(ctx, secret)
	_, listX := h.ReadDir(ctx, unlisted)
	_, sum := h.SHA256(ctx, dir+"/g")
	for op, err := range map[string]error{
		"read": read, "stat": stat, "list": list, "list what may be entered only": listX, "sum": sum,
		"write": h.WriteFile(ctx, dir+"/new", []byte("x"), FileMeta{Mode: 0o644}), "mkdir": h.MkdirAll(ctx, dir+"/a/b", FileMeta{Mode: 0o755}),
		"remove": h.Remove(ctx, dir+"/g"), "chmod": h.SetMeta(ctx, dir+"/g", FileMeta{Mode: 0o644}), "rename": h.Rename(ctx, dir+"/g", dir+"/h"),
		"link": h.Symlink(ctx, "x", dir+"/l"), "remove all": h.RemoveAll(ctx, secret),
	} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this needs root: it gives files away")
	}
	hosts(t, func(t *testing.T, h Host) {
		ctx, dir := testContext(t), t.TempDir()
		must(t, h.WriteFile(ctx, dir+"/f", []byte("x"), FileMeta{Mode: 0o4755, Owner: "nobody", Group: "daemon"}))
		must(t, h.WriteFile(ctx, dir+"/f", []byte("x"), FileMeta{Mode: 0o755 | fs.ModeSetuid, Owner: "nobody", Group: "daemon"}))
		must(t, h.MkdirAll(ctx, dir+"/d", FileMeta{Mode: 0o750, Owner: "nobody"}))
		must(t, h.MkdirAll(ctx, dir+"/n", FileMeta{Mode: 0o750, Owner: "54321", Group: "54321"}))
		f, err := h.Stat(ctx, dir+"/f")
		must(t, err)
		if f.Owner != "nobody" || f.Group != "daemon" || f.Mode != 0o755|fs.ModeSetuid {
			t.Errorf("file %+v", f)
		}
		d, err := h.Stat(ctx, dir+"/d")
		must(t, err)
		if d.Owner != "nobody" || d.Group != "root" || d.Mode != 0o750|fs.ModeDir {
			t.Errorf("directory %+v", d)
		}
		n, err := h.Stat(ctx, dir+"/n")
		must(t, err)
		if n.Owner != "54321" || n.UID != 54321 || n.Group != "54321" {
			t.Errorf("directory %+v", n)
		}
	})
}
