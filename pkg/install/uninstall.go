package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/transport"
	"github.com/zkctl/zkctl/pkg/server/daemon"
)

// PlanUninstall finds what a removal would change: everything that an installation brings, and with deleteData the
// data and logs of the servers. Files that zkctl did not write stay. It changes nothing.
func (s *Session) PlanUninstall(ctx context.Context, deleteData bool) (Plan, error) {
	return s.plan(ctx, uninstallSteps(deleteData))
}

func (p *planner) stop(ctx context.Context, v inventory.Server) error {
	st, err := p.m.state(ctx, v)
	if err != nil || st.pid == 0 {
		return err
	}
	c := controller{m: p.m, v: v, systemd: st.managed}
	p.add(v.Name, "stop server "+v.Name, c.stop)
	return nil
}

func (p *planner) removePurge(ctx context.Context, v inventory.Server) error {
	name := purgeName(v)
	if p.m.facts.Systemd {
		gone, err := p.removeOurs(ctx, v.Name, unitFile(name+".timer"), nil)
		if err != nil {
			return err
		}
		if gone { // before the file goes
			disable := Change{Server: v.Name, Step: p.step, What: "systemctl disable --now " + name + ".timer", apply: func(ctx context.Context) error {
				return p.m.disable(ctx, name+".timer")
			}}
			p.out.Changes = slices.Insert(p.out.Changes, len(p.out.Changes)-1, disable)
		}
		service, err := p.removeOurs(ctx, v.Name, unitFile(name+".service"), nil)
		if err != nil {
			return err
		}
		p.reload = p.reload || gone || service
	}
	if _, err := p.removeOurs(ctx, v.Name, cronFile(name), nil); err != nil {
		return err
	}
	return p.crontab(ctx, v, purgeWords(v), "")
}

const disableScript = `systemctl disable --now "$1" || ! systemctl is-enabled --quiet "$1"`

// disable stops a unit and takes it out of boot; one that is not there is no error.
func (m *machine) disable(ctx context.Context, unit string) error {
	return m.run(ctx, "/bin/sh", "-c", disableScript, "sh", unit)
}

func (p *planner) removeService(ctx context.Context, v inventory.Server) error {
	name := v.Service.Name + ".service"
	if p.m.facts.Systemd {
		gone, err := p.removeOurs(ctx, v.Name, unitFile(name), nil)
		if err != nil {
			return err
		}
		if gone {
			disable := Change{Server: v.Name, Step: p.step, What: "systemctl disable --now " + name, apply: func(ctx context.Context) error {
				return p.m.disable(ctx, name)
			}}
			p.out.Changes = slices.Insert(p.out.Changes, len(p.out.Changes)-1, disable)
		}
		p.reload = p.reload || gone
	}
	return p.removeBootHook(ctx, v)
}

func (p *planner) removeBootHook(ctx context.Context, v inventory.Server) error {
	name := v.Service.Name
	var unlink func(context.Context) error
	if p.m.facts.Tools["update-rc.d"] != "" {
		unlink = func(ctx context.Context) error { return p.m.run(ctx, "update-rc.d", name, "remove") }
	}
	if _, err := p.removeOurs(ctx, v.Name, initFile(name), unlink); err != nil {
		return err
	}
	if _, err := p.removeOurs(ctx, v.Name, cronFile(name), nil); err != nil {
		return err
	}
	return p.crontab(ctx, v, bootWords(v), "")
}

// removeData removes what a server keeps in its data and log folders, and the folders when nothing else is in them.
func (p *planner) removeData(ctx context.Context, v inventory.Server) error {
	for _, d := range dataDirs(v) {
		info, err := p.stat(ctx, d)
		if err != nil {
			return err
		}
		if info == nil {
			continue
		}
		mark, err := readMaybe(ctx, p.m.host, markFile(d))
		if err != nil {
			return err
		}
		if string(mark) != string(markOf(v)) {
			p.s.teller.tell(Event{Phase: PhasePlan, Host: v.Name, Kind: Note, What: d + " stays: it is not marked as this server's data"})
			continue
		}
		p.add(v.Name, "delete the data in "+d, func(ctx context.Context) error {
			return p.m.clear(ctx, v, d, func(name string) bool { return slices.Contains(dataNames(), name) })
		})
	}
	info, err := p.stat(ctx, v.Paths.LogDir)
	if err != nil || info == nil {
		return err
	}
	entries, err := p.m.host.ReadDir(ctx, v.Paths.LogDir)
	if err != nil {
		return err
	}
	if len(entries) == 0 || slices.ContainsFunc(entries, func(e transport.FileInfo) bool { return isLog(e.Name) }) {
		p.add(v.Name, "delete the logs in "+v.Paths.LogDir, func(ctx context.Context) error { return p.m.clear(ctx, v, v.Paths.LogDir, isLog) })
	}
	return nil
}

// dataNames are the files of a data folder; the mark goes last, so that a removal cut short is known as ours.
func dataNames() []string {
	return []string{"version-2", "myid", "initialize", daemon.PIDFileName, "zkctl.log", "zookeeper.out", "purge.lock", "zkctl.lock", ".zkctl"}
}

func isLog(name string) bool {
	return strings.HasPrefix(name, "zookeeper") && strings.Contains(name, ".log") || strings.HasPrefix(name, "purge.log")
}

// clear removes the entries of dir that are ours, then dir and the server's base folder when they are empty.
func (m *machine) clear(ctx context.Context, v inventory.Server, dir string, ours func(name string) bool) error {
	entries, err := m.host.ReadDir(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(entries, func(a, b transport.FileInfo) int { // the mark last
		return b2i(a.Name == ".zkctl") - b2i(b.Name == ".zkctl")
	})
	for _, e := range entries {
		if ours(e.Name) || transport.IsTemporary(e.Name) {
			if err := m.host.RemoveAll(ctx, path.Join(dir, e.Name)); err != nil {
				return err
			}
		}
	}
	return m.removeFolders(ctx, v, dir)
}

// removeFolders removes dir and the server's base folder when they are empty.
func (m *machine) removeFolders(ctx context.Context, v inventory.Server, dir string) error {
	if err := m.removeEmpty(ctx, dir); err != nil || v.Paths.BaseDir == "" {
		return err
	}
	return m.removeEmpty(ctx, v.Paths.BaseDir)
}

// removeEmpty removes a folder when nothing is in it, and those above it that are empty then, as long as their path
// says that they are zkctl's.
func (m *machine) removeEmpty(ctx context.Context, dir string) error {
	for d := dir; d == dir || strings.Contains(d, "zkctl"); d = path.Dir(d) {
		if err := m.host.Remove(ctx, d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EBUSY) || strings.Contains(err.Error(), "not empty") {
				return nil
			}
			return err
		}
	}
	return nil
}

// removeConfiguration removes zoo.cfg, the record and the lock. It comes late: until then a second run finds its way.
func (p *planner) removeConfiguration(ctx context.Context, v inventory.Server) error {
	text, err := readMaybe(ctx, p.m.host, v.ConfigFile())
	if err != nil {
		return err
	}
	rec, err := p.stat(ctx, recordFile(v))
	if err != nil {
		return err
	}
	if !writtenByUs(text) && rec == nil {
		return nil
	}
	ours := writtenByUs(text)
	names := []string{"zkctl.json", lockName}
	if ours {
		names = append(names, "zoo.cfg")
	} else {
		p.s.teller.tell(Event{Phase: PhasePlan, Host: v.Name, Kind: Note, What: v.ConfigFile() + " stays: zkctl did not write it"})
	}
	p.add(v.Name, fmt.Sprintf("remove the configuration in %s", v.Paths.ConfDir), func(ctx context.Context) error {
		return p.m.clear(ctx, v, v.Paths.ConfDir, func(name string) bool {
			return slices.Contains(names, name) || ours && reconfigures(v) && isMemberFile(name)
		})
	})
	return nil
}

func (p *planner) removeProfile(ctx context.Context) error {
	for _, v := range p.m.servers {
		if !*v.Service.Profile || p.staysInstalled(v) {
			continue
		}
		text, err := readMaybe(ctx, p.m.host, profileFile)
		if err != nil || !strings.Contains(string(text), v.Paths.ConfDir) {
			return err // another ensemble's
		}
		_, err = p.removeOurs(ctx, "", profileFile, nil)
		return err
	}
	return nil
}

// staysInstalled tells whether another server of the inventory that this run leaves alone shares the machine.
func (p *planner) staysInstalled(v inventory.Server) bool {
	return slices.ContainsFunc(p.s.servers, func(o inventory.Server) bool {
		return o.Machine() == v.Machine() && !p.s.chosen(o)
	})
}

// removeBinary removes zkctl where no other server uses it.
func (p *planner) removeBinary(ctx context.Context) error {
	var done []string
	for _, v := range p.m.servers {
		dst := v.Paths.Binary
		if slices.Contains(done, dst) {
			continue
		}
		done = append(done, dst)
		info, err := p.stat(ctx, dst)
		if err != nil {
			return err
		}
		old, err := p.stat(ctx, previous(dst))
		if err != nil || info == nil && old == nil {
			return err
		}
		user, err := p.binaryUser(ctx, dst)
		if err != nil {
			return err
		}
		if user != "" {
			p.s.teller.tell(Event{Phase: PhasePlan, Host: p.m.name, Kind: Note, What: dst + " stays: " + user + " uses it"})
			continue
		}
		p.add("", "remove "+dst, func(ctx context.Context) error {
			if err := errors.Join(removeFile(ctx, p.m.host, previous(dst)), removeFile(ctx, p.m.host, dst)); err != nil {
				return err
			}
			if !strings.Contains(path.Dir(dst), "zkctl") {
				return nil
			}
			return p.m.removeEmpty(ctx, path.Dir(dst))
		})
	}
	return nil
}

// usersScript prints the command lines of the processes that run $1, and the files that start it.
const usersScript = `b=$1; for d in /proc/[0-9]*; do [ "$(readlink "$d/exe" 2>/dev/null)" = "$b" ] && { tr '\0' ' ' <"$d/cmdline"; echo; }; done
grep -lsF -- "$b" /etc/systemd/system/*.service /etc/init.d/* /etc/cron.d/* 2>/dev/null; :`

// binaryUser names something else that uses the binary: a process, or a file that starts one. "" when nothing does.
func (p *planner) binaryUser(ctx context.Context, binary string) (string, error) {
	out, err := p.m.output(ctx, "/bin/sh", "-c", usersScript, "sh", binary)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line != "" && !p.mine(line) {
			return line, nil
		}
	}
	for _, o := range p.s.servers {
		if o.Paths.Binary == binary && p.staysInstalled(o) && !p.s.chosen(o) && o.Machine() == p.m.servers[0].Machine() {
			return o.Name, nil
		}
	}
	return "", nil
}

// mine tells whether a process or file is of the servers that go, or is zkctl's own work.
func (p *planner) mine(user string) bool {
	words := strings.Fields(user)
	if len(words) > 1 && words[1] != "server" {
		return true // zkctl at work, such as this very run
	}
	return slices.ContainsFunc(p.m.servers, func(v inventory.Server) bool {
		files := []string{v.ConfigFile(), unitFile(v.Service.Name + ".service"), unitFile(purgeName(v) + ".service"),
			initFile(v.Service.Name), cronFile(v.Service.Name), cronFile(purgeName(v))}
		return slices.ContainsFunc(files, func(f string) bool { return slices.Contains(words, f) })
	})
}
