package templates

import "strings"

// CronFile returns a file of /etc/cron.d that runs the purge. cron skips names with a dot in that folder.
func (p Purge) CronFile() ([]byte, error) {
	line, err := p.cronLine(firstOf(p.User, "root") + " ")
	if err != nil {
		return nil, err
	}
	return render("cron.tmpl", map[string]string{"Line": line})
}

// CrontabLine returns the same as one line of the user's own crontab, without its end.
func (p Purge) CrontabLine() (string, error) { return p.cronLine("") }

func (p Purge) cronLine(user string) (string, error) {
	c := p.checks()
	if fields := strings.Fields(p.Cron); len(fields) != 5 || strings.Trim(p.Cron, "0123456789*/,- ") != "" {
		c.addf("cron schedule %q is not five fields", p.Cron)
	}
	if p.LogFile != "" {
		c.path("log file", p.LogFile)
	}
	command := shellCommand(p.ExecStart())
	if p.LogFile != "" {
		command += " >>" + shellQuote(p.LogFile) + " 2>&1"
	}
	c.cron(command)
	if err := c.err(); err != nil {
		return "", err
	}
	return p.Cron + " " + user + cronCommand(command), nil
}

// cron refuses a backslash: some crons take it away before the shell sees it, some do not.
func (c *checks) cron(command string) {
	if strings.Contains(command, `\`) {
		c.addf("a path holds a backslash or single quote, which not every cron passes on: %s", command)
	}
}

// Boot starts a server when a host without systemd boots.
type Boot struct {
	Name         string // of the script and its service; such as zkctl-zk1
	Description  string // one line
	Binary       string // absolute path of zkctl; no $, backslash or quote
	ConfigFile   string // absolute path of zoo.cfg
	LogFile      string // absolute path of the server's messages; empty: where zkctl server start puts them
	User         string // empty: root, or the owner of the crontab
	MaxOpenFiles int    // 0 means 65536
}

func (b Boot) checks() *checks {
	c := &checks{what: "boot hook " + b.Name}
	c.word("name", b.Name)
	c.phrase("description", b.Description)
	c.program("binary", b.Binary)
	c.path("config file", b.ConfigFile)
	if b.LogFile != "" {
		c.path("log file", b.LogFile)
	}
	c.account("user", b.User)
	c.between("open files", b.limit(), 1024, 1<<30)
	return c
}

func (b Boot) limit() int { return firstOf(b.MaxOpenFiles, 65536) }

// start is the command that starts the server and returns when it is up.
func (b Boot) start() []string {
	return append([]string{b.Binary, "server", "start", "--config", b.ConfigFile}, b.logArgs()...)
}

func (b Boot) logArgs() []string {
	if b.LogFile == "" {
		return nil
	}
	return []string{"--log-file", b.LogFile}
}

// InitScript returns /etc/init.d/NAME, in POSIX sh with an LSB header. It answers start, stop, restart,
// try-restart, force-reload and status.
func (b Boot) InitScript() ([]byte, error) {
	if err := b.checks().err(); err != nil {
		return nil, err
	}
	b.MaxOpenFiles = b.limit()
	return render("init.sh.tmpl", b)
}

// CronFile returns a file of /etc/cron.d that starts the server at boot.
func (b Boot) CronFile() ([]byte, error) {
	line, err := b.cronLine(firstOf(b.User, "root") + " ")
	if err != nil {
		return nil, err
	}
	return render("cron.tmpl", map[string]string{"Line": line})
}

// CrontabLine returns the same as one line of the user's own crontab, without its end.
func (b Boot) CrontabLine() (string, error) { return b.cronLine("") }

func (b Boot) cronLine(user string) (string, error) {
	c := b.checks()
	command := shellCommand(b.start())
	c.cron(command)
	if err := c.err(); err != nil {
		return "", err
	}
	return "@reboot " + user + cronCommand(command), nil
}

// LocalBlock returns lines for rc.local, which root runs at boot, between marks that let them be found again.
func (b Boot) LocalBlock() ([]byte, error) {
	if err := b.checks().err(); err != nil {
		return nil, err
	}
	line := shellCommand(b.start())
	if b.User != "" && b.User != "root" {
		line = shellCommand([]string{"su", "-s", "/bin/sh", "-c", `exec "$0" server start --config "$1" ${2:+--log-file "$2"}`, b.User, b.Binary, b.ConfigFile, b.LogFile})
	}
	return render("rclocal.tmpl", map[string]string{"Name": b.Name, "Line": line})
}

// Profile is /etc/profile.d/zkctl.sh, which gives every user zkctl and its settings.
type Profile struct {
	Dirs        []string   // absolute folders to add to PATH; no ':'
	Environment []Variable // to export
}

// Render returns the file, in POSIX sh. Reading it twice changes nothing more.
func (p Profile) Render() ([]byte, error) {
	c := &checks{what: "profile"}
	for _, d := range p.Dirs {
		c.path("folder", d)
		if strings.Contains(d, ":") {
			c.addf("folder %q holds a ':', which PATH cannot", d)
		}
	}
	c.variables(p.Environment)
	if err := c.err(); err != nil {
		return nil, err
	}
	return render("profile.sh.tmpl", p)
}

// firstOf returns the first value that is not zero.
func firstOf[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
