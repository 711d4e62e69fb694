package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/problem"
)

// Outcome is what a check found.
type Outcome string

// Pass: as it should be. Warn: it works, but somebody should know. Fail: an installation would not work.
const (
	Pass Outcome = "pass"
	Warn Outcome = "warn"
	Fail Outcome = "fail"
)

// A Finding is what one check found on one host.
type Finding struct {
	Host    string  `json:"host"` // the machine, or the server it concerns
	Check   string  `json:"check"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`           // what was found
	Remedy  string  `json:"remedy,omitempty"` // what to do; empty when it passed
}

// Limits of the checks.
const (
	diskFail, diskWarn     = 256 << 20, 2 << 30 // bytes free: a log file alone is allocated 64 MiB at a time
	inodesFail, inodesWarn = 1000, 10000
	skewWarn               = 2 * time.Second
)

// check is one look at a machine. It only reads.
type check struct {
	name string
	look func(*inspector, context.Context) error
}

func checks() []check {
	return []check{
		{"platform", (*inspector).platform},
		{"rights", (*inspector).rights},
		{"service manager", (*inspector).manager},
		{"schedule", (*inspector).schedule},
		{"configuration", (*inspector).configuration},
		{"open files", (*inspector).openFiles},
		{"directories", (*inspector).directories},
		{"certificates", (*inspector).certificates},
		{"disk", (*inspector).disk},
		{"ports", (*inspector).ports},
		{"other ZooKeeper", (*inspector).foreign},
		{"network", (*inspector).network},
		{"membership", (*inspector).membership},
	}
}

// inspector collects the findings of one machine.
type inspector struct {
	s     *Session
	m     *machine
	check string
	out   []Finding

	looked map[string]folder // by path; see folders
}

func (i *inspector) find(host string, o Outcome, remedy, format string, args ...any) {
	i.out = append(i.out, Finding{Host: host, Check: i.check, Outcome: o, Detail: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (i *inspector) pass(host, format string, args ...any) { i.find(host, Pass, "", format, args...) }

// Preflight looks at every machine for what would keep an installation from working. Findings come in inventory
// order. It fails when a machine could not be looked at; whether a finding is a [Fail] is for the caller to see
// ([FailedChecks]).
func (s *Session) Preflight(ctx context.Context) ([]Finding, error) {
	results := make([][]Finding, len(s.machines))
	index := make(map[*machine]int)
	for i, m := range s.machines {
		index[m] = i
	}
	if err := s.readMembership(ctx); err != nil {
		return nil, err
	}
	err := s.each(ctx, s.machines, func(ctx context.Context, m *machine) error {
		in := &inspector{s: s, m: m}
		for _, c := range checks() {
			in.check = c.name
			if err := c.look(in, ctx); err != nil {
				s.teller.failed(PhasePreflight, m.name, c.name, err)
				return fmt.Errorf("check %s: %w", c.name, err)
			}
		}
		results[index[m]] = in.out
		return nil
	})
	findings := append(slices.Concat(results...), s.clocks()...)
	for _, f := range findings {
		if f.Outcome != Pass {
			s.opts.Logger.Warn(f.Detail, "phase", PhasePreflight, "host", f.Host, "check", f.Check, "outcome", f.Outcome)
		}
	}
	return findings, err
}

// FailedChecks joins the findings that failed as problems; nil when none did.
func FailedChecks(findings []Finding) error {
	var errs []error
	for _, f := range findings {
		if f.Outcome == Fail {
			errs = append(errs, &problem.Problem{Op: "check " + f.Check, On: f.Host, Err: errors.New(f.Detail), Do: f.Remedy})
		}
	}
	return errors.Join(errs...)
}

func (i *inspector) platform(context.Context) error {
	f, b := i.m.facts, i.s.opts.Binary
	about := fmt.Sprintf("%s/%s, %s", f.OS, f.Arch, firstText(f.Distribution, "Linux "+f.Kernel))
	switch {
	case f.OS != "linux":
		i.find(i.m.name, Fail, "use a Linux host", "%s: the server runs on Linux", about)
	case b != nil && b.Arch != f.Arch:
		i.find(i.m.name, Fail, "give a zkctl built for it: --binary FILE", "%s, but the binary %s is for %s", about, b.Path, b.Arch)
	case b != nil && b.Dynamic:
		i.find(i.m.name, Warn, "build with CGO_ENABLED=0", "%s; the binary needs the C library of the machine it was built on", about)
	default:
		i.pass(i.m.name, "%s", about)
	}
	return nil
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// rights asks for what only root may do.
func (i *inspector) rights(context.Context) error {
	f := i.m.facts
	if f.UID == 0 {
		i.pass(i.m.name, "root")
		return nil
	}
	for _, v := range i.m.servers {
		var needs []string
		if v.Service.User != "" && v.Service.User != f.User {
			needs = append(needs, "run as "+v.Service.User)
		}
		if i.m.systemd(v) {
			needs = append(needs, "install a systemd unit")
		}
		if *v.Service.Profile {
			needs = append(needs, "write "+profileFile)
		}
		for _, w := range portsOf(v) {
			if w.port < 1024 {
				needs = append(needs, fmt.Sprintf("open port %d", w.port))
			}
		}
		if len(needs) > 0 {
			i.find(v.Name, Fail, "log in as root or as a user with sudo (ssh.user, ssh.sudo), or set service.user, service.manager: builtin and service.profile: false",
				"user %s may not %s", f.User, strings.Join(needs, ", "))
			continue
		}
		i.pass(v.Name, "user %s suffices", f.User)
	}
	return nil
}

func (i *inspector) manager(context.Context) error {
	for _, v := range i.m.servers {
		hook := i.m.bootHookOf()
		switch {
		case v.Service.Manager == inventory.ManagerSystemd && !i.m.facts.Systemd:
			i.find(v.Name, Fail, "set service.manager: auto", "systemd does not run here (process 1 is %s)", firstText(i.m.facts.Init, "unknown"))
		case i.m.systemd(v):
			i.pass(v.Name, "systemd")
		case *v.Service.AtBoot && hook == hookNone:
			i.find(v.Name, Warn, "install cron, or start the server at boot in another way: zkctl server start --config "+v.ConfigFile(),
				"no systemd, init scripts or cron: nothing starts the server at boot")
		case *v.Service.AtBoot:
			i.pass(v.Name, "no systemd: zkctl's daemon, started at boot by %s", hook)
		default:
			i.pass(v.Name, "zkctl's daemon, not started at boot")
		}
	}
	return nil
}

func (i *inspector) schedule(context.Context) error {
	for _, v := range i.m.servers {
		switch {
		case !*v.Purge.Enabled:
			i.pass(v.Name, "no purge is wanted")
		case !i.m.systemd(v) && i.m.cronHook() == hookNone:
			i.find(v.Name, Fail, "install cron there, or set purge.enabled: false and purge in another way",
				"neither systemd nor cron is there to run the purge; old snapshots and logs would fill the disk")
		case !i.m.systemd(v) && !i.cronRuns():
			i.find(v.Name, Warn, "install and start cron", "cron's files are there, but no cron program was found: the purge may never run")
		default:
			i.pass(v.Name, "purge %s, keeping %d snapshots", v.Purge.Schedule, v.Purge.Keep)
		}
	}
	return nil
}

func (i *inspector) cronRuns() bool {
	return i.m.facts.Tools["cron"] != "" || i.m.facts.Tools["crond"] != ""
}

// openFiles compares the limit a server gets with what it is to have. systemd and root give what they are asked for.
func (i *inspector) openFiles(context.Context) error {
	for _, v := range i.m.servers {
		limit, want := i.m.facts.MaxOpenFiles, int64(v.Service.MaxOpenFiles)
		if i.m.systemd(v) || i.m.facts.UID == 0 || limit < 0 || limit >= want {
			i.pass(v.Name, "%d", want)
			continue
		}
		i.find(v.Name, Warn, "raise nofile of user "+i.m.facts.User+" in /etc/security/limits.conf, or lower service.maxOpenFiles",
			"user %s may open %d files, not %d: a server takes one for each client", i.m.facts.User, limit, want)
	}
	return nil
}

// clocks compares the machines' clocks with each other: what is told apart is their distance, not the time here.
func (s *Session) clocks() []Finding {
	if len(s.machines) < 2 {
		return nil
	}
	first, last := s.machines[0], s.machines[0]
	for _, m := range s.machines {
		if m.facts.ClockAhead < first.facts.ClockAhead {
			first = m
		}
		if m.facts.ClockAhead > last.facts.ClockAhead {
			last = m
		}
	}
	skew := last.facts.ClockAhead - first.facts.ClockAhead
	sure := skew - last.facts.ClockError - first.facts.ClockError
	f := Finding{Host: last.name, Check: "clocks", Outcome: Pass, Detail: fmt.Sprintf("at most %s apart", skew.Round(time.Millisecond))}
	if sure > skewWarn {
		f.Outcome = Warn
		f.Detail = fmt.Sprintf("%s is %s ahead of %s; times in logs and of znodes will not agree", last.name, skew.Round(time.Millisecond), first.name)
		f.Remedy = "keep the hosts' clocks with NTP (chrony, systemd-timesyncd)"
	}
	return []Finding{f}
}
