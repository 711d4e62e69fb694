package install

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/transport"
	"github.com/zkctl/zkctl/templates"
)

// installSteps is an installation, in its order.
func installSteps() []step {
	return []step{
		{"binary", (*planner).binary},
		{"account", eachServer((*planner).account)},
		{"directories", eachServer((*planner).directories)},
		{"configuration", eachServer((*planner).configuration)},
		{"id", eachServer((*planner).id)},
		{"profile", (*planner).profile},
		{"service", eachServer((*planner).service)},
		{"purge schedule", eachServer((*planner).purge)},
		{"systemd", (*planner).daemonReload},
		{"start", eachServer((*planner).start)},
	}
}

// uninstallSteps is a removal, in its order. The data go only when that is asked for.
func uninstallSteps(deleteData bool) []step {
	steps := []step{
		{"purge schedule", eachServer((*planner).removePurge)},
		{"stop", eachServer((*planner).stop)},
		{"service", eachServer((*planner).removeService)},
		{"systemd", (*planner).daemonReload},
	}
	if deleteData {
		steps = append(steps, step{"data", eachServer((*planner).removeData)})
	}
	return append(steps,
		step{"configuration", eachServer((*planner).removeConfiguration)},
		step{"profile", (*planner).removeProfile},
		step{"binary", (*planner).removeBinary},
	)
}

// binary puts zkctl itself in place, once for each path, and keeps the previous one for going back.
func (p *planner) binary(ctx context.Context) error {
	var done []string
	for _, v := range p.m.servers {
		dst := v.Paths.Binary
		if slices.Contains(done, dst) {
			continue
		}
		done = append(done, dst)
		if err := p.oneBinary(ctx, dst); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) oneBinary(ctx context.Context, dst string) error {
	info, err := p.stat(ctx, dst)
	if err != nil {
		return err
	}
	b, meta := p.s.opts.Binary, transport.FileMeta{Mode: 0o755}
	what := fmt.Sprintf("install %s (%s, %.1f MB)", dst, b.Arch, float64(b.Size)/1e6)
	if info != nil {
		sum, err := p.m.host.SHA256(ctx, dst)
		if err != nil {
			return err
		}
		if sum == b.SHA256 {
			p.meta("", dst, *info, meta)
			return nil
		}
		what = fmt.Sprintf("replace %s (%s, %.1f MB), keeping the old one as %s", dst, b.Arch, float64(b.Size)/1e6, path.Base(previous(dst)))
	}
	p.add("", what, func(ctx context.Context) error {
		if err := p.m.host.MkdirAll(ctx, path.Dir(dst), transport.FileMeta{Mode: 0o755}); err != nil {
			return err
		}
		if err := p.m.sweep(ctx, dst); err != nil {
			return err
		}
		if info != nil {
			if err := p.m.keepPrevious(ctx, dst); err != nil {
				return err
			}
		}
		return p.m.host.Upload(ctx, dst, b.source(), meta, func(sent int64) {
			p.s.teller.tell(Event{Phase: PhaseApply, Host: p.m.name, Kind: Progress, What: "upload zkctl", Sent: sent, Size: b.Size})
		})
	})
	return nil
}

// sweep removes what a run that was cut short left beside a file: a part of it, under a temporary name.
func (m *machine) sweep(ctx context.Context, file string) error {
	entries, err := m.host.ReadDir(ctx, path.Dir(file))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if transport.IsTemporary(e.Name) && strings.HasPrefix(e.Name, "."+path.Base(file)+".") {
			if err := m.host.Remove(ctx, path.Join(path.Dir(file), e.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// previous is where the binary that was replaced stays.
func previous(binary string) string { return binary + ".previous" }

const keepScript = `cp -p "$1" "$2.tmp" && mv -f "$2.tmp" "$2"`

// keepPrevious copies the binary aside; the binary itself stays in place until the new one replaces it.
func (m *machine) keepPrevious(ctx context.Context, binary string) error {
	return m.run(ctx, "/bin/sh", "-c", keepScript, "sh", binary, previous(binary))
}

// owner is the account that a server's own files belong to; empty when that is whoever acts.
func (m *machine) owner(v inventory.Server) (user, group string) {
	if v.Service.User == "" || v.Service.User == m.facts.User {
		return "", ""
	}
	return v.Service.User, v.Service.Group
}

// account makes the system user and group that the server runs as.
func (p *planner) account(ctx context.Context, v inventory.Server) error {
	user, group := p.m.owner(v)
	if user == "" {
		return nil
	}
	out, err := p.m.output(ctx, "/bin/sh", "-c", accountScript, "sh", user, group)
	if err != nil {
		return err
	}
	have := strings.Fields(out)
	if !slices.Contains(have, "group") && !p.planned("make group "+group) {
		p.add("", "make group "+group, func(ctx context.Context) error {
			return p.m.run(ctx, "/bin/sh", "-c", addGroupScript, "sh", group)
		})
	}
	if !slices.Contains(have, "user") && !p.planned("make user "+user) {
		p.add("", "make user "+user, func(ctx context.Context) error {
			return p.m.run(ctx, "/bin/sh", "-c", addUserScript, "sh", user, group)
		})
	}
	return nil
}

// accountScript tells whether user $1 and group $2 are there. The others make them, with the tools of shadow-utils,
// else those of busybox.
const (
	accountScript = `id -u "$1" >/dev/null 2>&1 && echo user
grep -q "^$2:" /etc/group && echo group; getent group "$2" >/dev/null 2>&1 && echo group; :`
	addGroupScript = `grep -q "^$1:" /etc/group && exit 0
if command -v groupadd >/dev/null; then exec groupadd --system "$1"; fi; exec addgroup -S "$1"`
	addUserScript = `id -u "$1" >/dev/null 2>&1 && exit 0
shell=/bin/false; for s in /usr/sbin/nologin /sbin/nologin; do [ -x $s ] && shell=$s; done
if command -v useradd >/dev/null; then exec useradd --system --gid "$2" --home-dir /nonexistent --no-create-home --shell $shell --comment "ZooKeeper server (zkctl)" "$1"; fi
exec adduser -S -D -H -h /nonexistent -s $shell -G "$2" "$1"`
)

// planned tells whether a change of that name is in the plan already.
func (p *planner) planned(what string) bool {
	return slices.ContainsFunc(p.out.Changes, func(c Change) bool { return c.What == what })
}

// dataDirs are the directories that hold a server's data, each once.
func dataDirs(v inventory.Server) []string {
	if v.Paths.DataLogDir == v.Paths.DataDir {
		return []string{v.Paths.DataDir}
	}
	return []string{v.Paths.DataDir, v.Paths.DataLogDir}
}

// directories makes the folders, and marks those of data as ours.
func (p *planner) directories(ctx context.Context, v inventory.Server) error {
	user, group := p.m.owner(v)
	data := transport.FileMeta{Mode: 0o750, Owner: user, Group: group}
	wanted := []struct {
		dir  string
		meta transport.FileMeta
	}{{v.Paths.ConfDir, p.confMeta(v)}, {v.Paths.LogDir, data}}
	for _, d := range dataDirs(v) {
		wanted = append(wanted, struct {
			dir  string
			meta transport.FileMeta
		}{d, data})
	}
	for _, w := range wanted {
		if err := p.directory(ctx, v, w.dir, w.meta); err != nil {
			return err
		}
	}
	for _, d := range dataDirs(v) {
		if err := p.markData(ctx, v, d); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) directory(ctx context.Context, v inventory.Server, dir string, meta transport.FileMeta) error {
	info, err := p.stat(ctx, dir)
	if err != nil {
		return err
	}
	if info != nil && info.Target != "" { // a symbolic link is the administrator's; what it points to is not ours to judge
		return nil
	}
	if info != nil {
		p.meta(v.Name, dir, *info, meta)
		return nil
	}
	p.add(v.Name, fmt.Sprintf("make directory %s (mode %04o%s)", dir, meta.Mode, ownedBy(meta)), func(ctx context.Context) error {
		if err := p.m.host.MkdirAll(ctx, dir, meta); err != nil {
			return err
		}
		return p.m.host.SetMeta(ctx, dir, meta) // the lock may have made it meanwhile
	})
	return nil
}

func ownedBy(meta transport.FileMeta) string {
	if meta.Owner == "" {
		return ""
	}
	return ", " + meta.Owner + ":" + meta.Group
}

// markData leaves a note in a data directory whose it is, so that a later run knows it again when the configuration
// is gone. What a former owner left there gets the server's account.
func (p *planner) markData(ctx context.Context, v inventory.Server, dir string) error {
	mark := markFile(dir)
	changes, err := p.file(ctx, v.Name, mark, markOf(v), transport.FileMeta{Mode: 0o644})
	if err != nil || !changes {
		return err
	}
	user, group := p.m.owner(v)
	entries, err := p.m.host.ReadDir(ctx, dir)
	if err != nil || user == "" {
		return nil // nothing there yet, or nothing to change: we act as the account
	}
	foreign := slices.ContainsFunc(entries, func(e transport.FileInfo) bool { return e.Owner != user && e.Name != path.Base(mark) })
	if foreign {
		p.add(v.Name, fmt.Sprintf("give what is in %s to %s:%s", dir, user, group), func(ctx context.Context) error {
			return p.m.run(ctx, "chown", "-R", user+":"+group, dir)
		})
	}
	return nil
}

func markFile(dataDir string) string { return path.Join(dataDir, ".zkctl") }

func markOf(v inventory.Server) []byte {
	return []byte("# Written by zkctl: whose data these are.\nensemble=" + v.Ensemble + "\nserver=" + v.Name + "\n")
}

// configuration writes zoo.cfg.
func (p *planner) configuration(ctx context.Context, v inventory.Server) error {
	text, err := p.s.zooCfg(v)
	if err != nil {
		return err
	}
	if text, err = p.onHost(ctx, v, text); err != nil {
		return err
	}
	_, err = p.file(ctx, v.Name, v.ConfigFile(), text, p.configMeta(v))
	return err
}

// confMeta is of the folder of zoo.cfg.
func (p *planner) confMeta(v inventory.Server) transport.FileMeta {
	user, group := p.m.confOwner(v)
	return transport.FileMeta{Mode: 0o755, Owner: user, Group: group}
}

// configMeta keeps secrets in zoo.cfg from other users.
func (p *planner) configMeta(v inventory.Server) transport.FileMeta {
	user, group := p.m.confOwner(v)
	if slices.ContainsFunc(v.Config, func(c inventory.Setting) bool { return isSecretKey(c.Key) }) {
		_, group = p.m.owner(v)
		return transport.FileMeta{Mode: 0o640, Owner: user, Group: group}
	}
	return transport.FileMeta{Mode: 0o644, Owner: user, Group: group}
}

// zooCfg is the configuration of one server, as it is written first.
func (s *Session) zooCfg(v inventory.Server) ([]byte, error) {
	cfg := templates.ZooCfg{
		Ensemble: v.Ensemble, Name: v.Name, DataDir: v.Paths.DataDir, ClientPort: plainPort(v),
		Observer: v.Role == inventory.Observer,
	}
	if v.Paths.DataLogDir != v.Paths.DataDir {
		cfg.DataLogDir = v.Paths.DataLogDir
	}
	for _, c := range v.Config {
		cfg.Config = append(cfg.Config, templates.Setting(c))
	}
	if len(s.servers) > 1 {
		for _, o := range s.servers {
			if !s.lists(v, o) {
				continue
			}
			cfg.Members = append(cfg.Members, templates.Member{ID: o.ID, Host: o.Address,
				QuorumPort: o.Ports.Quorum, ElectionPort: o.Ports.Election, Observer: o.Role == inventory.Observer})
		}
	}
	return cfg.Render()
}

// id writes myid.
func (p *planner) id(ctx context.Context, v inventory.Server) error {
	user, group := p.m.owner(v)
	_, err := p.file(ctx, v.Name, path.Join(v.Paths.DataDir, "myid"), templates.MyID(v.ID),
		transport.FileMeta{Mode: 0o644, Owner: user, Group: group})
	return err
}

// profileFile gives every user of a host zkctl and its configuration.
const profileFile = "/etc/profile.d/zkctl.sh"

func (p *planner) profile(ctx context.Context) error {
	var profile templates.Profile
	wanted := false
	for _, v := range p.m.servers {
		if !*v.Service.Profile {
			continue
		}
		if dir := path.Dir(v.Paths.Binary); !slices.Contains(profile.Dirs, dir) {
			profile.Dirs = append(profile.Dirs, dir)
		}
		if !wanted {
			profile.Environment = []templates.Variable{
				{Name: "ZOOCFGDIR", Value: v.Paths.ConfDir}, {Name: "ZOOCFG", Value: v.ConfigFile()},
			}
		}
		wanted = true
	}
	if !wanted {
		return nil
	}
	text, err := profile.Render()
	if err != nil {
		return err
	}
	_, err = p.file(ctx, "", profileFile, text, transport.FileMeta{Mode: 0o644})
	return err
}

// logFile is where a server's messages go.
func logFile(v inventory.Server) string { return path.Join(v.Paths.LogDir, "zookeeper.log") }

// purgeName is what the purge's unit, timer and cron file are called.
func purgeName(v inventory.Server) string { return v.Service.Name + "-purge" }

// serviceUnit is the systemd unit of a server.
func (m *machine) serviceUnit(v inventory.Server) ([]byte, error) {
	return templates.Unit{
		Name: v.Service.Name, Description: "ZooKeeper server " + v.Name + " of " + v.Ensemble + " (zkctl)",
		Binary: v.Paths.Binary, ConfigFile: v.ConfigFile(), Args: []string{"--log-file", logFile(v)},
		User: v.Service.User, Group: v.Service.Group,
		Writable:     writable(v),
		MaxOpenFiles: v.Service.MaxOpenFiles,
	}.Render()
}

func (m *machine) bootHook(v inventory.Server) templates.Boot {
	return templates.Boot{
		Name: v.Service.Name, Description: "ZooKeeper server " + v.Name + " of " + v.Ensemble + " (zkctl)",
		Binary: v.Paths.Binary, ConfigFile: v.ConfigFile(), LogFile: logFile(v), User: v.Service.User, MaxOpenFiles: v.Service.MaxOpenFiles,
	}
}

func (m *machine) purgeJob(v inventory.Server) (templates.Purge, error) {
	calendar, err1 := v.Purge.Schedule.OnCalendar()
	cron, err2 := v.Purge.Schedule.Cron()
	if err := firstError(err1, err2); err != nil {
		return templates.Purge{}, err
	}
	return templates.Purge{
		Name: purgeName(v), Description: "Purge of ZooKeeper server " + v.Name + " (zkctl)",
		Binary: v.Paths.Binary, ConfigFile: v.ConfigFile(), Keep: v.Purge.Keep, User: v.Service.User, Group: v.Service.Group,
		Writable: dataDirs(v), OnCalendar: calendar, Cron: cron, RandomDelay: time.Duration(v.Purge.RandomDelay),
		LogFile: path.Join(v.Paths.LogDir, "purge.log"),
	}, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
