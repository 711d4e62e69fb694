package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/install/transport"
	"github.com/zkctl/zkctl/pkg/server/daemon"
)

// record is what a server was last started with, kept beside its zoo.cfg. It tells a server that runs with older
// files than those on disk.
type record struct {
	Note     string            `json:"note"`
	Ensemble string            `json:"ensemble"`
	Server   string            `json:"server"`
	Started  map[string]string `json:"started"` // what -> its SHA-256
}

func recordFile(v inventory.Server) string { return path.Join(v.Paths.ConfDir, "zkctl.json") }

// readRecord reads the record of a server; the zero record when there is none, or one that cannot be understood.
func readRecord(ctx context.Context, h transport.Host, v inventory.Server) (record, error) {
	text, err := readMaybe(ctx, h, recordFile(v))
	if err != nil || text == nil {
		return record{}, err
	}
	var r record
	if json.Unmarshal(text, &r) != nil {
		return record{}, nil // the server is started again, and the record with it
	}
	return r, nil
}

func newRecord(v inventory.Server, started map[string]string) record {
	return record{Note: "Written by zkctl: what the server was started with.", Ensemble: v.Ensemble, Server: v.Name, Started: started}
}

func (r record) text() []byte {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil // strings always marshal
	}
	return append(text, '\n')
}

// stale names what differs from what the server was started with.
func (r record) stale(now map[string]string) []string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(now)) {
		if r.Started[what] != now[what] {
			out = append(out, what)
		}
	}
	return out
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// controller starts and stops one server.
type controller struct {
	m       *machine
	v       inventory.Server
	systemd bool
	stray   bool // it runs outside the service manager that is to keep it
	rec     record
}

// state is what a server's process is about.
type state struct {
	pid     int  // 0 when it does not run
	managed bool // by systemd
}

// stateScript prints the process of a pid file, if it lives, and its command line.
const stateScript = `p=$(cat "$1" 2>/dev/null) && [ -r "/proc/$p/cmdline" ] && echo "$p" && tr '\0' '\n' <"/proc/$p/cmdline"; :`

// state looks whether the server runs. A process counts only when it runs this server's zoo.cfg.
func (m *machine) state(ctx context.Context, v inventory.Server) (state, error) {
	out, err := m.output(ctx, "/bin/sh", "-c", stateScript, "sh", path.Join(v.Paths.DataDir, daemon.PIDFileName))
	if err != nil {
		return state{}, err
	}
	var st state
	if pid, argv, ok := strings.Cut(out, "\n"); ok && runsServer(strings.Split(argv, "\n"), v.ConfigFile()) {
		st.pid, _ = strconv.Atoi(pid)
	}
	if !m.systemd(v) || !m.facts.Systemd {
		return st, nil
	}
	out, err = m.output(ctx, "systemctl", "show", "-p", "MainPID", "--value", v.Service.Name+".service")
	if err != nil {
		return state{}, err
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(out)); err == nil && pid > 0 {
		return state{pid: pid, managed: true}, nil
	}
	return st, nil
}

// runsServer tells whether argv is a zkctl server of that zoo.cfg.
func runsServer(argv []string, config string) bool {
	return len(argv) > 2 && slices.Contains(argv[1:], "server") && slices.Contains(argv[2:], config)
}

// start wants the server to run, with the files as they are to be.
func (p *planner) start(ctx context.Context, v inventory.Server) error {
	st, err := p.m.state(ctx, v)
	if err != nil {
		return err
	}
	cfg, err := p.s.zooCfg(v)
	if err != nil {
		return err
	}
	now := map[string]string{"zoo.cfg": digest(startedWith(v, cfg)), "zkctl": p.s.opts.Binary.SHA256}
	if unit, ok := p.units[v.Name]; ok {
		now["unit"] = digest([]byte(unit))
	}
	old := p.s.manifest[v.Name]
	c := controller{m: p.m, v: v, systemd: p.m.systemd(v), rec: newRecord(v, now)}
	c.stray = st.pid != 0 && c.systemd && !st.managed
	start := Start{Server: v.Name, do: c}
	if st.pid != 0 {
		stale := old.stale(now)
		if c.stray {
			stale = append(stale, "it is not under systemd")
		}
		if len(stale) == 0 {
			return nil
		}
		start.Restart, start.Why = true, "changed: "+strings.Join(stale, ", ")
		if old.Started == nil {
			start.Why = "what it was started with is not known"
		}
	}
	p.out.Starts = append(p.out.Starts, start)
	return nil
}

// start starts the server with the files on disk, and notes which. It returns when the server's ports are open.
func (c controller) start(ctx context.Context) error {
	if c.rec.Server != "" {
		if err := c.m.host.WriteFile(ctx, recordFile(c.v), c.rec.text(), transport.FileMeta{Mode: 0o644}); err != nil {
			return err
		}
	}
	if c.systemd {
		return c.startUnit(ctx)
	}
	return c.failed("start", c.server(ctx, "start", "--log-file", logFile(c.v)))
}

func (c controller) startUnit(ctx context.Context) error {
	name := c.v.Service.Name + ".service"
	err := c.m.run(ctx, "systemctl", "start", name)
	if err == nil || ctx.Err() != nil {
		return err
	}
	said, logErr := c.m.output(ctx, "journalctl", "-u", name, "-n", "15", "--no-pager", "-o", "cat")
	if logErr != nil {
		said = ""
	}
	if line := lastError(said); line != "" {
		err = fmt.Errorf("%s: %w", line, err)
	}
	return &problem.Problem{Op: "start", On: c.v.Name, Err: err, Do: onHost(lastAdvice(said)) + "look into " + logFile(c.v) + " there, or journalctl -u " + name}
}

// stop stops the server, whoever started it; one that does not run is no error.
func (c controller) stop(ctx context.Context) error {
	if c.systemd && c.m.facts.Systemd {
		if err := c.m.run(ctx, "systemctl", "stop", c.v.Service.Name+".service"); err != nil && !c.stray {
			return &problem.Problem{Op: "stop", On: c.v.Name, Err: err, Do: "journalctl -u " + c.v.Service.Name + " on the host"}
		}
		if !c.stray {
			return nil
		}
	}
	return c.failed("stop", c.server(ctx, "stop"))
}

// server runs a `zkctl server` command on the host as the server's account.
func (c controller) server(ctx context.Context, verb string, args ...string) error {
	argv := append([]string{c.v.Paths.Binary, "server", verb, "--config", c.v.ConfigFile()}, args...)
	_, err := c.m.host.Run(ctx, transport.Command{Argv: c.m.as(c.v, argv), Dir: "/"})
	return err
}

// as makes a command run as the server's account and with its limit of open files, where the host lets us.
func (m *machine) as(v inventory.Server, argv []string) []string {
	if user, _ := m.owner(v); user != "" {
		switch {
		case m.facts.Tools["runuser"] != "":
			argv = append([]string{"runuser", "-u", user, "--"}, argv...)
		case m.facts.Tools["setpriv"] != "" && m.facts.Tools["runuser"] == "" && m.facts.Tools["su"] == "":
			argv = append([]string{"setpriv", "--reuid", user, "--regid", v.Service.Group, "--init-groups", "--"}, argv...)
		default:
			argv = []string{"su", "-s", "/bin/sh", user, "-c", transport.QuoteAll(argv...)}
		}
	}
	return append([]string{"/bin/sh", "-c", limitScript, strconv.Itoa(v.Service.MaxOpenFiles)}, argv...)
}

// limitScript runs a command with a limit of open files of $0, or as near to it as the host lets it.
const limitScript = `ulimit -n "$0" 2>/dev/null || ulimit -n "$(ulimit -H -n)" 2>/dev/null; exec "$@"`

// failed explains a `zkctl server` command that failed with what it said.
func (c controller) failed(op string, err error) error {
	var exit *transport.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	reason := error(exit)
	if line := lastError(string(exit.Stderr)); line != "" {
		reason = errors.New(line)
	}
	return &problem.Problem{Op: op, On: c.v.Name, Err: reason, Do: onHost(lastAdvice(string(exit.Stderr))) + "look into " + logFile(c.v) + " there"}
}

// onHost leads from what a command on the host advises to what else there is to do.
func onHost(advice string) string {
	if advice == "" {
		return ""
	}
	return "on that host: " + advice + "; or "
}

// lastAdvice is what zkctl printed last as the thing to try, "" when it did not.
func lastAdvice(said string) string {
	last := ""
	for line := range strings.Lines(said) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "try: "); ok {
			last = text
		}
	}
	return last
}

// lastError is the last line that zkctl printed as an error, without its name.
func lastError(said string) string {
	last := ""
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "zkctl: "); ok && !strings.HasPrefix(text, "warning: ") {
			last = text
		} else if last != "" && line != "" && !strings.HasPrefix(line, "try: ") {
			last += "; " + line
		}
	}
	return last
}
