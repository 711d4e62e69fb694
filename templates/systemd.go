package templates

import (
	"strconv"
	"strings"
	"time"
)

// Variable is an environment variable.
type Variable struct{ Name, Value string }

// Unit is the systemd unit of a server. The server reports READY=1 once its ports are open (not once a quorum
// is there: systemctl start would then wait for the other hosts), and WATCHDOG=1 while it is alive.
type Unit struct {
	Name         string     // without .service
	Description  string     // one line
	Binary       string     // absolute path of zkctl; no $, backslash or quote
	ConfigFile   string     // absolute path of zoo.cfg
	Args         []string   // further arguments of zkctl server start-foreground
	Environment  []Variable // for the server; no secrets, every user can read them
	User, Group  string     // empty: root
	Writable     []string   // the folders the server writes to; all else is read-only to it
	MaxOpenFiles int        // LimitNOFILE; 0 means 65536

	Watchdog     time.Duration // silence after which systemd restarts the server; 0 means 30 s
	StartTimeout time.Duration // 0 means 10 min: a large snapshot takes a while to load
	StopTimeout  time.Duration // 0 means 60 s
}

// ExecStart is the server's command.
func (u Unit) ExecStart() []string {
	return append([]string{u.Binary, "server", "start-foreground", "--config", u.ConfigFile}, u.Args...)
}

// Render returns the unit file NAME.service.
func (u Unit) Render() ([]byte, error) {
	u.MaxOpenFiles = firstOf(u.MaxOpenFiles, 65536)
	u.Watchdog = firstOf(u.Watchdog, 30*time.Second)
	u.StartTimeout = firstOf(u.StartTimeout, 10*time.Minute)
	u.StopTimeout = firstOf(u.StopTimeout, time.Minute)
	if err := u.check(); err != nil {
		return nil, err
	}
	return render("unit.tmpl", u)
}

func (u Unit) check() error {
	c := &checks{what: "unit " + u.Name}
	c.word("name", u.Name)
	c.phrase("description", u.Description)
	c.program("binary", u.Binary)
	c.path("config file", u.ConfigFile)
	for _, a := range u.Args {
		c.phrase("argument", a)
	}
	c.variables(u.Environment)
	c.account("user", u.User)
	c.account("group", u.Group)
	c.paths("writable folder", u.Writable)
	c.between("open files", u.MaxOpenFiles, 1024, 1<<30)
	for _, d := range []time.Duration{u.Watchdog, u.StartTimeout, u.StopTimeout} {
		if d < time.Second {
			c.addf("watchdog and timeouts are at least 1s, not %s", d)
		}
	}
	return c.err()
}

// used lists the paths the unit must be able to see.
func (u Unit) used() []string { return append([]string{u.Binary, u.ConfigFile}, u.Writable...) }

// Purge is the scheduled purge of one server.
type Purge struct {
	Name        string        // of unit and timer, without suffix; such as zkctl-zk1-purge
	Description string        // one line
	Binary      string        // absolute path of zkctl; no $, backslash or quote
	ConfigFile  string        // absolute path of zoo.cfg
	Keep        int           // snapshots that stay; at least 3
	User, Group string        // empty: root, or the owner of the crontab
	Writable    []string      // the data folders
	OnCalendar  string        // when, for systemd (systemd.time(7))
	Cron        string        // when, for cron: five fields
	RandomDelay time.Duration // spread of the timer; 0 for none
	LogFile     string        // where cron's runs write to; empty leaves it to cron, which mails it
}

// ExecStart is the purge's command.
func (p Purge) ExecStart() []string {
	return []string{p.Binary, "purge", "--config", p.ConfigFile, "--keep", strconv.Itoa(p.Keep)}
}

func (p Purge) used() []string { return append([]string{p.Binary, p.ConfigFile}, p.Writable...) }

// Service returns the unit file NAME.service.
func (p Purge) Service() ([]byte, error) {
	if err := p.checks().err(); err != nil {
		return nil, err
	}
	return render("purge.service.tmpl", p)
}

// Timer returns the unit file NAME.timer.
func (p Purge) Timer() ([]byte, error) {
	c := p.checks()
	c.phrase("OnCalendar", p.OnCalendar)
	if strings.ContainsAny(p.OnCalendar, `%\"'`) {
		c.addf("OnCalendar %q is not a calendar expression", p.OnCalendar)
	}
	if p.RandomDelay < 0 {
		c.addf("random delay is not negative, as %s is", p.RandomDelay)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return render("purge.timer.tmpl", struct {
		Purge
		Service string
	}{p, p.Name + ".service"})
}

func (p Purge) checks() *checks {
	c := &checks{what: "purge " + p.Name}
	c.word("name", p.Name)
	c.phrase("description", p.Description)
	c.program("binary", p.Binary)
	c.path("config file", p.ConfigFile)
	c.between("keep", p.Keep, 3, 1<<20)
	c.account("user", p.User)
	c.account("group", p.Group)
	c.paths("writable folder", p.Writable)
	return c
}

// user is a set of paths that a unit's sandbox must leave in sight.
type user interface{ used() []string }

// protectHome hides home folders from a service, unless something of it lives there.
func protectHome(u user) string {
	if anyBelow(u.used(), "/home", "/root", "/run/user") {
		return "read-only"
	}
	return "yes"
}

// privateTmp gives a service its own /tmp, unless something of it lives in the shared one.
func privateTmp(u user) string {
	if anyBelow(u.used(), "/tmp", "/var/tmp") {
		return "no"
	}
	return "yes"
}

func anyBelow(paths []string, folders ...string) bool {
	for _, p := range paths {
		for _, f := range folders {
			if p == f || strings.HasPrefix(p, f+"/") {
				return true
			}
		}
	}
	return false
}
