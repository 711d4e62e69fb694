package install

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

const (
	unitDir = "/etc/systemd/system"
	initDir = "/etc/init.d"
	cronDir = "/etc/cron.d"
)

// systemd tells whether a systemd unit keeps the server running.
func (m *machine) systemd(v inventory.Server) bool {
	return v.Service.Manager == inventory.ManagerSystemd || v.Service.Manager == inventory.ManagerAuto && m.facts.Systemd
}

// hook is how a server without systemd starts at boot.
type hook string

const (
	hookNone    hook = ""
	hookInit    hook = "init script"
	hookCron    hook = "file of /etc/cron.d"
	hookCrontab hook = "crontab"
)

// bootHookOf chooses the hook that the host can offer; hookNone when there is none.
func (m *machine) bootHookOf() hook {
	switch {
	case m.facts.UID == 0 && m.facts.Tools["update-rc.d"] != "":
		return hookInit
	default:
		return m.cronHook()
	}
}

// cronHook chooses where cron is told of work.
func (m *machine) cronHook() hook {
	switch {
	case m.facts.UID == 0 && m.facts.CronDir:
		return hookCron
	case m.facts.Tools["crontab"] != "":
		return hookCrontab
	}
	return hookNone
}

func unitFile(name string) string { return path.Join(unitDir, name) }
func initFile(name string) string { return path.Join(initDir, name) }

// cronFile is a file that cron reads: it skips names with a dot.
func cronFile(name string) string { return path.Join(cronDir, strings.ReplaceAll(name, ".", "-")) }

// service puts what keeps the server running: the unit, or the boot hook of the daemon.
func (p *planner) service(ctx context.Context, v inventory.Server) error {
	if p.m.systemd(v) {
		return p.unit(ctx, v)
	}
	if !*v.Service.AtBoot {
		return p.removeBootHook(ctx, v)
	}
	boot := p.m.bootHook(v)
	switch p.m.bootHookOf() {
	case hookInit:
		text, err := boot.InitScript()
		if err != nil {
			return err
		}
		if _, err := p.file(ctx, v.Name, initFile(boot.Name), text, transport.FileMeta{Mode: 0o755}); err != nil {
			return err
		}
		return p.linkInit(ctx, v, boot.Name)
	case hookCron:
		text, err := boot.CronFile()
		if err != nil {
			return err
		}
		_, err = p.file(ctx, v.Name, cronFile(boot.Name), text, transport.FileMeta{Mode: 0o644})
		return err
	case hookCrontab:
		line, err := boot.CrontabLine()
		if err != nil {
			return err
		}
		return p.crontab(ctx, v, bootWords(v), line)
	}
	return nil // preflight says so
}

// unit writes the systemd unit and has it start at boot, or not.
func (p *planner) unit(ctx context.Context, v inventory.Server) error {
	text, err := p.m.serviceUnit(v)
	if err != nil {
		return err
	}
	name := v.Service.Name + ".service"
	p.units[v.Name] = string(text)
	changes, err := p.file(ctx, v.Name, unitFile(name), text, transport.FileMeta{Mode: 0o644})
	if err != nil {
		return err
	}
	p.reload = p.reload || changes
	state, err := p.m.output(ctx, "systemctl", "is-enabled", name)
	if err != nil {
		return err
	}
	enabled := strings.TrimSpace(state) == "enabled"
	verb := map[bool]string{true: "enable", false: "disable"}[*v.Service.AtBoot]
	if enabled == *v.Service.AtBoot || !*v.Service.AtBoot && changes && !enabled {
		return nil
	}
	p.add(v.Name, "systemctl "+verb+" "+name, func(ctx context.Context) error {
		return p.m.run(ctx, "systemctl", verb, name)
	})
	return nil
}

const linkedScript = `for f in /etc/rc?.d/S??"$1"; do [ -e "$f" ] && echo yes && break; done; :`

// linkInit wants the init script in the run levels.
func (p *planner) linkInit(ctx context.Context, v inventory.Server, name string) error {
	out, err := p.m.output(ctx, "/bin/sh", "-c", linkedScript, "sh", name)
	if err != nil || strings.TrimSpace(out) == "yes" {
		return err
	}
	p.add(v.Name, "update-rc.d "+name+" defaults", func(ctx context.Context) error {
		return p.m.run(ctx, "update-rc.d", name, "defaults")
	})
	return nil
}

// purge puts the schedule of the purge: a timer, or a line for cron.
func (p *planner) purge(ctx context.Context, v inventory.Server) error {
	if !*v.Purge.Enabled {
		return p.removePurge(ctx, v)
	}
	job, err := p.m.purgeJob(v)
	if err != nil {
		return err
	}
	if p.m.systemd(v) {
		return p.timer(ctx, v)
	}
	switch p.m.cronHook() {
	case hookCron:
		text, err := job.CronFile()
		if err != nil {
			return err
		}
		_, err = p.file(ctx, v.Name, cronFile(job.Name), text, transport.FileMeta{Mode: 0o644})
		return err
	case hookCrontab:
		line, err := job.CrontabLine()
		if err != nil {
			return err
		}
		return p.crontab(ctx, v, purgeWords(v), line)
	}
	return nil // preflight says so
}

func (p *planner) timer(ctx context.Context, v inventory.Server) error {
	job, err := p.m.purgeJob(v)
	if err != nil {
		return err
	}
	service, err1 := job.Service()
	timer, err2 := job.Timer()
	if err := firstError(err1, err2); err != nil {
		return err
	}
	name := job.Name + ".timer"
	changes1, err1 := p.file(ctx, v.Name, unitFile(job.Name+".service"), service, transport.FileMeta{Mode: 0o644})
	changes2, err2 := p.file(ctx, v.Name, unitFile(name), timer, transport.FileMeta{Mode: 0o644})
	if err := firstError(err1, err2); err != nil {
		return err
	}
	p.reload = p.reload || changes1 || changes2
	out, err := p.m.output(ctx, "systemctl", "show", "-p", "ActiveState", "-p", "UnitFileState", name)
	if err != nil {
		return err
	}
	if !changes2 && strings.Contains(out, "ActiveState=active") && strings.Contains(out, "UnitFileState=enabled") {
		return nil
	}
	p.add(v.Name, "systemctl enable and restart "+name, func(ctx context.Context) error {
		return errors.Join(p.m.run(ctx, "systemctl", "daemon-reload"), p.m.run(ctx, "systemctl", "enable", name), p.m.run(ctx, "systemctl", "restart", name))
	})
	return nil
}

// daemonReload has systemd read units that changed. A run that was cut short before is made up for.
func (p *planner) daemonReload(ctx context.Context) error {
	if !p.m.facts.Systemd {
		return nil
	}
	for _, v := range p.m.servers {
		if !p.m.systemd(v) || p.reload {
			continue
		}
		out, err := p.m.output(ctx, "systemctl", "show", "-p", "NeedDaemonReload", v.Service.Name+".service")
		if err != nil {
			return err
		}
		p.reload = strings.Contains(out, "NeedDaemonReload=yes")
	}
	if p.reload {
		p.add("", "systemctl daemon-reload", func(ctx context.Context) error { return p.m.run(ctx, "systemctl", "daemon-reload") })
	}
	return nil
}

// bootWords and purgeWords are what tells a line of ours in a user's crontab.
func bootWords(v inventory.Server) []string {
	return []string{" server start ", transport.Quote(v.ConfigFile())}
}

func purgeWords(v inventory.Server) []string {
	return []string{" purge ", transport.Quote(v.ConfigFile())}
}

// crontab wants line to be the one line with those words in the acting user's crontab; an empty line wants none.
func (p *planner) crontab(ctx context.Context, v inventory.Server, words []string, line string) error {
	if p.m.facts.Tools["crontab"] == "" {
		return nil
	}
	before, err := p.m.output(ctx, "crontab", "-l")
	if err != nil {
		return err
	}
	if after := withLine(before, words, line); after == before {
		return nil
	}
	diff, added, removed := unifiedDiff("crontab of "+p.m.facts.User, before, withLine(before, words, line))
	p.add(v.Name, "change the crontab of "+fmt.Sprintf("%s (+%d -%d lines)", p.m.facts.User, added, removed), func(ctx context.Context) error {
		now, err := p.m.output(ctx, "crontab", "-l") // another server's line may have come meanwhile
		if err != nil {
			return err
		}
		_, err = p.m.host.Run(ctx, transport.Command{Argv: []string{"crontab", "-"}, Stdin: strings.NewReader(withLine(now, words, line))})
		return err
	})
	p.out.Changes[len(p.out.Changes)-1].Diff = diff
	return nil
}

// withLine replaces the lines of text that have all words by line.
func withLine(text string, words []string, line string) string {
	var out []string
	found := false
	for _, l := range splitLines(text) {
		ours := !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(l, w) })
		switch {
		case ours && line != "" && !found:
			out = append(out, line)
			found = true
		case !ours:
			out = append(out, l)
		}
	}
	if !found && line != "" {
		out = append(out, line)
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "\n") + "\n"
}
