package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// fakeHost is a host in memory with root's rights. It knows the commands that an installation needs; any other fails
// the test.
type fakeHost struct {
	t     *testing.T
	name  string
	facts transport.Facts

	mu       sync.Mutex
	files    map[string]*fakeFile
	users    map[string]bool
	groups   map[string]bool
	enabled  map[string]bool
	running  map[string]bool // units
	linked   map[string]bool // init scripts
	daemon   bool            // a server of zkctl's own daemon runs
	reread   bool            // systemd is yet to read its units
	crontab  string
	commands []string // that changed something
}

type fakeFile struct {
	data         string
	mode         fs.FileMode
	owner, group string
}

func newFakeHost(t *testing.T, name string, systemd bool) *fakeHost {
	h := &fakeHost{t: t, name: name, files: make(map[string]*fakeFile), users: make(map[string]bool), groups: make(map[string]bool),
		enabled: make(map[string]bool), running: make(map[string]bool), linked: make(map[string]bool)}
	h.facts = transport.Facts{User: "root", OS: "linux", Arch: "amd64", Init: "init", CronDir: true, MaxOpenFiles: -1,
		Tools: map[string]string{"cron": "/usr/sbin/cron", "runuser": "/sbin/runuser", "update-rc.d": "/usr/sbin/update-rc.d"}}
	if systemd {
		h.facts.Systemd, h.facts.Init = true, "systemd"
	}
	for _, d := range []string{"/", "/etc", "/etc/systemd/system", "/etc/init.d", "/etc/cron.d", "/etc/profile.d", "/usr/local/bin", "/var/lib", "/var/log"} {
		h.mkdir(d)
	}
	return h
}

func (h *fakeHost) mkdir(dir string) {
	for d := dir; h.files[d] == nil; d = path.Dir(d) {
		h.files[d] = &fakeFile{mode: fs.ModeDir | 0o755, owner: "root", group: "root"}
	}
}

func (h *fakeHost) connect(context.Context, inventory.Server, string) (transport.Host, error) {
	return h, nil
}

// state is everything about the host that an installation may change.
func (h *fakeHost) state() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(h.files)) {
		f := h.files[p]
		fmt.Fprintf(&b, "%s %s %s:%s %q\n", p, f.mode, f.owner, f.group, f.data[:min(len(f.data), 2000)])
	}
	fmt.Fprintln(&b, h.users, h.groups, h.enabled, h.running, h.linked, h.daemon, h.reread, h.crontab)
	return b.String()
}

func (h *fakeHost) Name() string { return h.name }
func (h *fakeHost) Close() error { return nil }

func (h *fakeHost) Root(context.Context) (transport.Host, error) { return h, nil }

func (h *fakeHost) Facts(context.Context) (transport.Facts, error) { return h.facts, nil }

func (h *fakeHost) find(p string) (*fakeFile, error) {
	if f := h.files[p]; f != nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: "open", Path: p, Err: syscall.ENOENT}
}

func (h *fakeHost) Stat(_ context.Context, p string) (transport.FileInfo, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := h.find(p)
	if err != nil {
		return transport.FileInfo{}, err
	}
	return transport.FileInfo{Name: path.Base(p), Size: int64(len(f.data)), Mode: f.mode, Owner: f.owner, Group: f.group}, nil
}

func (h *fakeHost) ReadFile(_ context.Context, p string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := h.find(p)
	if err != nil {
		return nil, err
	}
	return []byte(f.data), nil
}

func (h *fakeHost) ReadDir(_ context.Context, p string) ([]transport.FileInfo, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.find(p); err != nil {
		return nil, err
	}
	var out []transport.FileInfo
	for _, c := range slices.Sorted(maps.Keys(h.files)) {
		if c != "/" && path.Dir(c) == p {
			f := h.files[c]
			out = append(out, transport.FileInfo{Name: path.Base(c), Mode: f.mode, Owner: f.owner, Group: f.group})
		}
	}
	return out, nil
}

func (h *fakeHost) SHA256(ctx context.Context, p string) (string, error) {
	data, err := h.ReadFile(ctx, p)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), err
}

func (h *fakeHost) WriteFile(_ context.Context, p string, data []byte, meta transport.FileMeta) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.find(path.Dir(p)); err != nil {
		return err
	}
	h.files[p] = &fakeFile{data: string(data), owner: "root", group: "root"}
	h.reread = h.reread || path.Dir(p) == unitDir
	return h.give(p, meta)
}

func (h *fakeHost) give(p string, meta transport.FileMeta) error {
	f, err := h.find(p)
	if err != nil {
		return err
	}
	if meta.Owner != "" && !h.users[meta.Owner] || meta.Group != "" && !h.groups[meta.Group] {
		return fmt.Errorf("%s: no user %q or group %q", p, meta.Owner, meta.Group)
	}
	f.mode = f.mode&fs.ModeDir | meta.Mode
	if meta.Owner != "" {
		f.owner = meta.Owner
	}
	if meta.Group != "" {
		f.group = meta.Group
	}
	return nil
}

func (h *fakeHost) Upload(ctx context.Context, p string, src transport.Source, meta transport.FileMeta, progress func(int64)) error {
	data, err := io.ReadAll(io.NewSectionReader(src.Reader, 0, src.Size))
	if err != nil {
		return err
	}
	progress(src.Size)
	return h.WriteFile(ctx, p, data, meta)
}

func (h *fakeHost) SetMeta(_ context.Context, p string, meta transport.FileMeta) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.give(p, meta)
}

func (h *fakeHost) MkdirAll(_ context.Context, p string, meta transport.FileMeta) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files[p] != nil {
		return nil
	}
	h.mkdir(p)
	return h.give(p, meta)
}

func (h *fakeHost) Remove(_ context.Context, p string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.find(p); err != nil {
		return err
	}
	for c := range h.files {
		if c != "/" && path.Dir(c) == p {
			return &fs.PathError{Op: "remove", Path: p, Err: syscall.ENOTEMPTY}
		}
	}
	delete(h.files, p)
	h.reread = h.reread || path.Dir(p) == unitDir
	return nil
}

func (h *fakeHost) RemoveAll(_ context.Context, p string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.files, func(c string, _ *fakeFile) bool { return c == p || strings.HasPrefix(c, p+"/") })
	return nil
}

func (h *fakeHost) Rename(context.Context, string, string) error  { return h.unexpected("rename") }
func (h *fakeHost) Symlink(context.Context, string, string) error { return h.unexpected("symlink") }

func (h *fakeHost) unexpected(what string) error {
	h.t.Errorf("unexpected on %s: %s", h.name, what)
	return fmt.Errorf("unexpected: %s", what)
}

// Run knows the scripts and programs of an installation.
func (h *fakeHost) Run(_ context.Context, cmd transport.Command) (transport.Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out, code, err := h.command(cmd)
	if changesHost(cmd.Argv) {
		h.commands = append(h.commands, strings.Join(cmd.Argv, " "))
	}
	res := transport.Result{Stdout: []byte(out), ExitCode: code}
	if err == nil && code != 0 {
		err = &transport.ExitError{Host: h.name, Command: cmd.Argv[0], Code: code, Stdout: res.Stdout}
	}
	return res, err
}

func (h *fakeHost) command(cmd transport.Command) (out string, code int, err error) {
	argv := cmd.Argv
	switch argv[0] {
	case "systemctl":
		out, code = h.systemctl(argv[1:])
		return out, code, nil
	case "update-rc.d":
		h.linked[argv[1]] = argv[2] == "defaults"
		return "", 0, nil
	case "touch":
		return "", 0, nil
	case "/usr/local/bin/zkctl":
		if argv[1] == "4lw" { // no server answers
			return "", 1, nil
		}
	case "/bin/sh":
		return h.script(argv[2], argv[4:], cmd)
	}
	return "", 0, h.unexpected(strings.Join(argv, " "))
}

func (h *fakeHost) script(script string, args []string, cmd transport.Command) (string, int, error) {
	switch script {
	case accountScript:
		out := map[bool]string{true: "user\n"}[h.users[args[0]]]
		return out + map[bool]string{true: "group\n"}[h.groups[args[1]]], 0, nil
	case addGroupScript:
		h.groups[args[0]] = true
	case addUserScript:
		if !h.groups[args[1]] {
			return "", 6, nil
		}
		h.users[args[0]] = true
	case stateScript:
		if h.daemon {
			return "42\n/usr/local/bin/zkctl\nserver\nstart-foreground\n--config\n/etc/zkctl/zoo.cfg\n", 0, nil
		}
	case keepScript:
		old := *h.files[args[0]]
		h.files[args[1]] = &old
	case takeLock:
		return h.lock(args[0], args[1], cmd.Stdin)
	case linkedScript:
		return map[bool]string{true: "yes\n"}[h.linked[args[0]]], 0, nil
	case disableScript:
		h.enabled[args[0]], h.running[args[0]] = false, false
	case usersScript:
	case limitScript: // args: the command, without its first word
		return h.server(cmd.Argv[4:])
	default:
		return "", 0, h.unexpected(script)
	}
	return "", 0, nil
}

func (h *fakeHost) lock(dir, name string, note io.Reader) (string, int, error) {
	h.mkdir(dir)
	file := path.Join(dir, name)
	if h.files[file] != nil {
		return "0\n" + h.files[file].data, lockIsTaken, nil
	}
	text, err := io.ReadAll(note)
	h.files[file] = &fakeFile{data: string(text)}
	return "", 0, err
}

// server is `zkctl server start` and stop, run as the server's account.
func (h *fakeHost) server(argv []string) (string, int, error) {
	if strings.Join(argv[:4], " ") != "runuser -u zookeeper --" {
		return "", 0, h.unexpected(strings.Join(argv, " "))
	}
	switch strings.Join(argv[4:7], " ") {
	case "/usr/local/bin/zkctl server start":
		h.daemon = true
	case "/usr/local/bin/zkctl server stop":
		h.daemon = false
	default:
		return "", 0, h.unexpected(strings.Join(argv, " "))
	}
	return "", 0, nil
}

func (h *fakeHost) systemctl(argv []string) (string, int) {
	unit := argv[len(argv)-1]
	have := h.files[path.Join(unitDir, unit)] != nil
	switch argv[0] {
	case "is-enabled":
		if h.enabled[unit] {
			return "enabled\n", 0
		}
		return "disabled\n", 1
	case "show":
		switch {
		case slices.Contains(argv, "MainPID"):
			return map[bool]string{true: "42\n", false: "0\n"}[h.running[unit]], 0
		case slices.Contains(argv, "NeedDaemonReload"):
			return "NeedDaemonReload=" + map[bool]string{true: "yes\n", false: "no\n"}[h.reread && have], 0
		}
		return "ActiveState=" + map[bool]string{true: "active\n", false: "inactive\n"}[h.running[unit]] +
			"UnitFileState=" + map[bool]string{true: "enabled\n", false: "disabled\n"}[h.enabled[unit]], 0
	case "daemon-reload":
		h.reread = false
		return "", 0
	case "start", "restart", "enable":
		if !have || h.reread && argv[0] != "enable" {
			return "", 5 // systemd would start an older unit
		}
	}
	switch argv[0] {
	case "start", "restart":
		h.running[unit] = true
	case "stop":
		h.running[unit] = false
	case "enable", "disable":
		h.enabled[unit] = argv[0] == "enable"
	default:
		h.unexpected("systemctl " + strings.Join(argv, " "))
	}
	return "", 0
}

// remoteInventory is one server on a host reached by SSH, which nothing here dials.
func remoteInventory(t *testing.T, config string) *inventory.Inventory {
	return parse(t, "name: test\nconfig:\n  clientPortAddress: 127.0.0.1\n"+config+"hosts:\n  - {name: zk1, address: 127.0.0.1, ports: {client: 1, quorum: 2, election: 3}}\n")
}

func fakeSession(t *testing.T, h *fakeHost, inv *inventory.Inventory, change func(*Options)) *Session {
	return session(t, inv, func(o *Options) {
		o.Connect, o.Timeout, o.Binary = h.connect, time.Second, smallBinary(t, "a program")
		if change != nil {
			change(o)
		}
	})
}
