package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/pkg/install"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// hostOptions are the flags of the commands that work on the hosts of an inventory.
type hostOptions struct {
	env         environment
	verb        string // for the log's name: install, uninstall, ...
	inventories cli.StringSlice
	only        cli.StringSlice
	parallel    int
	timeout     time.Duration
	acceptNew   bool
	onePassword bool
	breakLock   bool
	yes         bool
	output      output
}

func (o *hostOptions) flags() []cli.Flag {
	return []cli.Flag{
		inventoryFlag(&o.inventories),
		&cli.StringSliceFlag{Name: "only", Usage: "work only on the host `NAME` (repeatable)", Destination: &o.only},
		&cli.IntFlag{Name: "parallel", Usage: "work on at most `N` hosts at once", Value: 10, Destination: &o.parallel, Action: func(_ *cli.Context, n int) error {
			if n < 1 {
				return usagef("--parallel %d: at least 1", n)
			}
			return nil
		}},
		&cli.DurationFlag{Name: "timeout", Usage: "give servers at most `TIME` to serve", Value: 2 * time.Minute, Destination: &o.timeout, Action: positive("timeout")},
		&cli.BoolFlag{Name: "accept-new-host-keys", Usage: "trust and record the SSH key of a host seen for the first time; a changed key is refused all the same", Destination: &o.acceptNew},
		&cli.BoolFlag{Name: "same-password", Usage: "a password that is asked for holds on all hosts", Destination: &o.onePassword},
		&cli.BoolFlag{Name: "break-lock", Usage: "take the hosts' locks, whoever holds them", Destination: &o.breakLock},
		o.output.flag(outputTable, outputJSON, outputYAML),
	}
}

func (o *hostOptions) yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", Destination: &o.yes}
}

// work is one command at work on the hosts.
type work struct {
	*install.Session
	env     environment
	console *console
	logPath string
	close   []func() error
}

// Close ends the connections and the log, and tells where the log is when the command failed.
func (w *work) Close() error {
	var errs []error
	for i := len(w.close) - 1; i >= 0; i-- {
		errs = append(errs, w.close[i]())
	}
	return errors.Join(errs...)
}

// open loads the inventory, opens the log and connects to the hosts. binary is "" where nothing is installed.
func (o *hostOptions) open(ctx context.Context, binary string, takeOver bool) (_ *work, err error) {
	inv, _, err := loadServers(o.env, o.inventories.Value())
	if err != nil {
		return nil, err
	}
	for _, w := range inv.Warnings {
		fmt.Fprintf(o.env.stderr, "warning: %s\n", w)
	}
	w := &work{env: o.env, console: newConsole(o.env, o.output)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	w.close = append(w.close, w.console.Close)
	logger, err := w.openLog(o.verb)
	if err != nil {
		return nil, err
	}
	opts := install.Options{
		Inventory: inv, Only: o.only.Value(), Parallel: o.parallel, Timeout: o.timeout, TakeOver: takeOver,
		BreakLock: o.breakLock, Owner: owner(), Logger: logger,
		Reporter: install.Reporters{w.console, install.LogReporter{Logger: logger}},
	}
	if binary != "" {
		if opts.Binary, err = install.OpenBinary(binary); err != nil {
			return nil, err
		}
		w.close = append(w.close, opts.Binary.Close)
	}
	dialer := o.dialer(w, logger)
	w.close = append(w.close, dialer.Close)
	opts.Connect = install.Connector{Dialer: dialer, Prompter: w.console.prompter(o.onePassword)}.Connect
	if w.Session, err = install.Open(ctx, opts); err != nil {
		return nil, err
	}
	w.close = append(w.close, w.Session.Close)
	return w, nil
}

func (o *hostOptions) dialer(w *work, logger *slog.Logger) *transport.Dialer {
	home := o.env.getenv("HOME")
	opts := transport.Options{
		Home: home, AgentSocket: o.env.getenv("SSH_AUTH_SOCK"),
		ConfigFiles: []string{filepath.Join(home, ".ssh", "config"), "/etc/ssh/ssh_config"},
		Prompter:    w.console.prompter(o.onePassword), AcceptNewHostKeys: o.acceptNew, Logger: logger,
	}
	if u, err := user.Current(); err == nil {
		opts.LocalUser = u.Username
	}
	return transport.NewDialer(opts)
}

// owner says who holds a host's lock.
func owner() install.Owner {
	o := install.Owner{User: "unknown", PID: os.Getpid()}
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	}
	if name, err := os.Hostname(); err == nil {
		o.Host = name
	}
	return o
}

// openLog makes the run's log, which only its owner may read.
func (w *work) openLog(verb string) (*slog.Logger, error) {
	dir := filepath.Join(w.env.getenv("HOME"), ".zkctl", "log")
	if state := w.env.getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		dir = filepath.Join(state, "zkctl", "log")
	}
	fail := func(err error) (*slog.Logger, error) {
		return nil, &problem.Problem{Op: "write the log of this run", Err: err, Do: "set XDG_STATE_HOME to a folder that you may write to"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	name := fmt.Sprintf("%s-%s.log", time.Now().UTC().Format("20060102T150405.000Z"), verb)
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	w.logPath = f.Name()
	w.close = append(w.close, f.Close)
	logger := slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))
	logger.Info("run", "command", verb, "version", w.env.build.version, "commit", w.env.build.commit)
	return logger, nil
}

// executable is the zkctl to install: the one named, else this very program.
func executable(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	exe, err := os.Executable()
	if err != nil {
		return "", &problem.Problem{Op: "find the running zkctl", Err: err, Do: "name it with --binary"}
	}
	return exe, nil
}
