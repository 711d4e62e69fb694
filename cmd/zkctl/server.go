package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/daemon"
)

// serverOptions are the flags of the commands under `zkctl server`.
type serverOptions struct {
	env       environment
	config    string
	pidFile   string
	logFile   string
	logFormat string // text or json
	logLevel  string
	wait      time.Duration
	tls       tlsFlags // of status
	defines   cli.StringSlice
	tell      bool // print what is odd about the configuration
}

func (o *serverOptions) configFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "read zoo.cfg from `FILE` (or give it as the argument)", Destination: &o.config, EnvVars: []string{"ZOOCFG"}, Value: "zoo.cfg"},
		&cli.StringFlag{Name: "pid-file", Usage: "keep the process number in `FILE` (default: dataDir/" + daemon.PIDFileName + ")", Destination: &o.pidFile, EnvVars: []string{"ZOOPIDFILE"}},
	}
}

func (o *serverOptions) logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-file", Usage: "log to `FILE`, which is rotated (start: dataDir/zkctl.log; start-foreground: standard error)", Destination: &o.logFile},
		&cli.StringFlag{Name: "log-format", Usage: "`FORMAT` of the log: text or json", Value: "text", Destination: &o.logFormat},
		&cli.StringFlag{Name: "log-level", Usage: "least `LEVEL` to log: debug, info, warn or error; see log-level for changing it later", Value: "info", Destination: &o.logLevel},
	}
}

// load takes the configuration from the flag or the first argument, as
// zkServer.sh does, and reports what is odd about it.
func (o *serverOptions) load(c *cli.Context) (*config.Config, error) {
	cfg, err := o.read(c)
	if err != nil {
		return nil, err
	}
	return cfg, o.locate(cfg)
}

// loadRunning is load for a server that may run already: a zoo.cfg that was
// broken since it started must not keep anybody from stopping it.
func (o *serverOptions) loadRunning(c *cli.Context) (*config.Config, error) {
	cfg, err := o.read(c)
	if err != nil {
		var usage usageError
		if errors.As(err, &usage) || cfg == nil || cfg.DataDir == "" && o.pidFile == "" {
			return nil, err
		}
		fmt.Fprintf(o.env.stderr, "zkctl: warning: %v\n", err)
	}
	return cfg, o.locate(cfg)
}

// read reads the configuration. With an error there may still be a Config, of
// what could be understood.
func (o *serverOptions) read(c *cli.Context) (*config.Config, error) {
	if c.NArg() > 1 {
		return nil, usagef("%d arguments; one zoo.cfg at the most", c.NArg())
	}
	if c.Args().Present() {
		o.config = c.Args().First()
	}
	path, err := filepath.Abs(o.config)
	if err != nil {
		return nil, err
	}
	o.config = path
	sources, flagErr := o.sources()
	cfg, warnings, err := config.Load(path, sources...)
	if o.tell {
		warnings = append(warnings, o.unread()...)
		for _, w := range warnings {
			fmt.Fprintf(o.env.stderr, "zkctl: warning: %s\n", w)
		}
	}
	var unread *fs.PathError
	switch {
	case errors.As(err, &unread) && unread.Path == path:
		return nil, &problem.Problem{Op: "read the configuration", Err: unread, Do: "name the server's zoo.cfg, as with: " + commandPath(c) + " --config /etc/zkctl/zoo.cfg"}
	case err != nil:
		return cfg, &problem.Problem{Op: "read the configuration", Err: err, Do: "mend " + path}
	}
	return cfg, flagErr
}

// locate makes the paths of the server's files absolute.
func (o *serverOptions) locate(cfg *config.Config) (err error) {
	if o.pidFile == "" {
		o.pidFile = filepath.Join(cfg.DataDir, daemon.PIDFileName)
	}
	if o.pidFile, err = filepath.Abs(o.pidFile); err != nil {
		return err
	}
	if o.logFile != "" {
		o.logFile, err = filepath.Abs(o.logFile)
	}
	return err
}

func serverCommand(env environment) *cli.Command {
	return &cli.Command{
		Name: "server", Category: groupHost, Usage: "run, start and stop the server of one zoo.cfg, as zkServer.sh does",
		Subcommands: []*cli.Command{
			serverStart(env), serverForeground(env), serverStop(env), serverRestart(env),
			serverStatus(env), serverPrintCmd(env), serverConfig(env), serverLogLevel(env), serverRejoin(env),
		},
	}
}

func serverStart(env environment) *cli.Command {
	o := &serverOptions{env: env}
	return &cli.Command{
		Name: "start", Usage: "start in the background; returns when the server is up, or says why it is not", ArgsUsage: "[zoo.cfg]",
		Flags:  append(append(o.settingFlags(), o.logFlags()...), o.waitFlag("wait at most `TIME` for the server to load its database", 2*time.Minute)),
		Action: func(c *cli.Context) error { return o.start(c) },
	}
}

func (o *serverOptions) waitFlag(usage string, value time.Duration) cli.Flag {
	return &cli.DurationFlag{Name: "wait", Usage: usage, Value: value, Destination: &o.wait}
}

func (o *serverOptions) start(c *cli.Context) error {
	if err := o.checkLog(new(slog.LevelVar)); err != nil {
		return err
	}
	o.tell = true
	cfg, err := o.load(c)
	if err != nil {
		return err
	}
	if o.logFile == "" {
		if o.logFile, err = filepath.Abs(filepath.Join(cfg.DataDir, "zkctl.log")); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(o.logFile), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(o.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	defer out.Close()
	argv, err := o.foregroundArgv()
	if err != nil {
		return err
	}
	fmt.Fprintf(o.env.stdout, "Starting zkctl server with %s ... ", o.config)
	ctx, cancel := context.WithTimeout(c.Context, o.wait)
	defer cancel()
	pid, err := daemon.Spawn(ctx, argv, out)
	if err != nil {
		fmt.Fprintln(o.env.stdout, "FAILED")
		return blame(err, "look into "+o.logFile)
	}
	fmt.Fprintf(o.env.stdout, "STARTED (process %d)\n", pid)
	return nil
}

// foregroundArgv is the command that runs this server in the foreground.
func (o *serverOptions) foregroundArgv() ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	argv := []string{exe, "server", "start-foreground", "--config", o.config, "--pid-file", o.pidFile, "--log-format", o.logFormat, "--log-level", o.logLevel}
	if o.logFile != "" {
		argv = append(argv, "--log-file", o.logFile)
	}
	for _, d := range o.defines.Value() {
		argv = append(argv, "-"+defineFlag, d)
	}
	return argv, nil
}

func serverForeground(env environment) *cli.Command {
	o := &serverOptions{env: env}
	return &cli.Command{
		Name: "start-foreground", Usage: "run in the foreground (what systemd starts)", ArgsUsage: "[zoo.cfg]",
		Flags:  append(o.settingFlags(), o.logFlags()...),
		Action: func(c *cli.Context) error { return o.foreground(c) },
	}
}

func serverStop(env environment) *cli.Command {
	o := &serverOptions{env: env}
	return &cli.Command{
		Name: "stop", Usage: "stop the server", ArgsUsage: "[zoo.cfg]",
		Flags:  append(o.configFlags(), o.waitFlag("kill it when it has not ended after `TIME`", 30*time.Second)),
		Action: func(c *cli.Context) error { return o.stop(c) },
	}
}

func (o *serverOptions) stop(c *cli.Context) error {
	if _, err := o.loadRunning(c); err != nil {
		return err
	}
	pid, killed, err := daemon.Stop(c.Context, o.pidFile, o.wait)
	switch {
	case errors.Is(err, syscall.EPERM):
		return &problem.Problem{Op: "stop", Err: err, Do: "run it as the user that started the server, or with sudo"}
	case err != nil:
		return err
	case pid == 0:
		fmt.Fprintf(o.env.stdout, "no server to stop: none holds %s\n", o.pidFile)
	case killed:
		fmt.Fprintf(o.env.stdout, "Stopped process %d: it had to be killed after %v\n", pid, o.wait)
	default:
		fmt.Fprintf(o.env.stdout, "Stopped process %d\n", pid)
	}
	return nil
}

func serverRestart(env environment) *cli.Command {
	o := &serverOptions{env: env}
	return &cli.Command{
		Name: "restart", Usage: "stop and start", ArgsUsage: "[zoo.cfg]",
		Flags: append(append(o.settingFlags(), o.logFlags()...), o.waitFlag("bound on the stop and on the start", 2*time.Minute)),
		Action: func(c *cli.Context) error {
			if err := o.checkLog(new(slog.LevelVar)); err != nil {
				return err
			}
			if _, err := o.load(c); err != nil { // nothing is stopped that cannot be started
				return err
			}
			if err := o.stop(c); err != nil {
				return err
			}
			return o.start(c)
		},
	}
}

func serverStatus(env environment) *cli.Command {
	o := &serverOptions{env: env}
	return &cli.Command{
		Name: "status", Usage: "ask the server on this host for its mode; exits 0, or 4 when it does not serve", ArgsUsage: "[zoo.cfg]",
		Flags: slices.Concat(o.configFlags(), o.tls.flags(), []cli.Flag{o.waitFlag("wait at most `TIME` for an answer", 5*time.Second)}),
		Action: func(c *cli.Context) error {
			cfg, err := o.loadRunning(c)
			if err != nil {
				return err
			}
			return o.tellStatus(c.Context, cfg)
		},
	}
}

func (o *serverOptions) tellStatus(ctx context.Context, cfg *config.Config) error {
	who := "The server"
	pid, err := daemon.Running(o.pidFile)
	hidden := errors.Is(err, fs.ErrPermission) // who may not read the pid file may still ask the server
	switch {
	case err != nil && !hidden:
		return err
	case pid != 0:
		who = fmt.Sprintf("Process %d", pid)
	}
	t, err := o.tls.own(cfg)
	if err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(t.address)
	fmt.Fprintf(o.env.stdout, "Client port found: %s. Client address: %s. Client SSL: %t.\n", port, host, t.tls != nil)
	ctx, cancel := context.WithTimeout(ctx, o.wait)
	defer cancel()
	status := t.client(o.wait).Status(ctx, t.address)
	switch {
	case status.State == fourletter.Serving:
		fmt.Fprintf(o.env.stdout, "Mode: %s\n", status.Role)
		return nil
	case status.State == fourletter.NotServing:
		fmt.Fprintf(o.env.stdout, "%s runs and serves no clients: it has no leader yet, or no quorum.\n", who)
	case hidden:
		fmt.Fprintf(o.env.stdout, "No server answers (%v), and who you are may not see whether one runs: %v\n", status.Err, err)
	case pid == 0:
		fmt.Fprintf(o.env.stdout, "No server runs with %s.\n", o.config)
	default:
		fmt.Fprintf(o.env.stdout, "%s runs and does not answer: %v\n", who, status.Err)
	}
	return exitError(exitNotServing)
}

func serverPrintCmd(env environment) *cli.Command {
	o := &serverOptions{env: env}
	return &cli.Command{
		Name: "print-cmd", Usage: "print the command that runs the server in the foreground", ArgsUsage: "[zoo.cfg]",
		Flags: append(o.settingFlags(), o.logFlags()...),
		Action: func(c *cli.Context) error {
			if _, err := o.load(c); err != nil {
				return err
			}
			argv, err := o.foregroundArgv()
			if err != nil {
				return err
			}
			_, err = io.WriteString(o.env.stdout, o.environmentWords()+shellWords(argv)+"\n")
			return err
		},
	}
}

// shellWords joins words so that a shell reads them as they are.
func shellWords(argv []string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@,+"
	out := make([]string, len(argv))
	for i, a := range argv {
		if a != "" && strings.Trim(a, plain) == "" {
			out[i] = a
		} else {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}
