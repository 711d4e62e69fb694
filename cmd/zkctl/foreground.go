package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/daemon"
)

// Rotation of a log file.
const (
	logMaxMB   = 64
	logBackups = 10
	logMaxDays = 30
)

// levelFile, beside the pid file, holds the log level asked for at run time.
const levelFile = "zkctl.loglevel"

// foreground runs the server until it is told to end.
func (o *serverOptions) foreground(c *cli.Context) error {
	daemon.Inherited(o.env.getenv)
	o.tell = o.env.getenv(daemon.ReadyEnv) == "" // else the parent has told
	err := o.serve(c)
	if err != nil {
		daemon.Started(o.env.getenv, complaint(err))
	}
	return err
}

// tryMark stands between what went wrong and what to try, in the one line that a
// server in the background has for its parent.
const tryMark = "; try: "

// complaint makes an error one that blame reads on the other side of a pipe.
func complaint(err error) error {
	text := err.Error()
	if p, ok := err.(*problem.Problem); ok { // the parent says what was tried
		text = p.Err.Error()
	}
	if do := advice(err); len(do) > 0 {
		text += tryMark + do[0]
	}
	return errors.New(text)
}

// blame makes a problem of what the server in the background said; otherwise is
// what to try when it gave no advice.
func blame(err error, otherwise string) error {
	text, do, ok := strings.Cut(strings.TrimPrefix(err.Error(), daemon.ErrNotStarted.Error()+": "), tryMark)
	if !ok {
		do = otherwise
	}
	return &problem.Problem{Op: "start", Err: errors.New(text), Do: do}
}

// advise says what to try when a port could not be bound or the disk is full.
func advise(err error, cfg *config.Config) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &problem.Problem{Op: "start", Err: err, Do: "stop that process, or set another port in " + cfg.File}
	case errors.Is(err, syscall.ENOSPC):
		return &problem.Problem{Op: "keep the log", Err: err,
			Do: "free space on the file systems of dataDir and dataLogDir (zkctl purge --dry-run --config " + cfg.File + " shows what may go), then start again"}
	}
	return damaged(err, cfg)
}

func (o *serverOptions) serve(c *cli.Context) error {
	cfg, err := o.load(c)
	if err != nil {
		return err
	}
	if cfg.Distributed() {
		warnings, err := cfg.ReadMyID()
		for _, w := range warnings {
			fmt.Fprintf(o.env.stderr, "zkctl: warning: %s\n", w)
		}
		if err != nil {
			return &problem.Problem{Op: "start", Err: err, Do: "write this server's number to " + filepath.Join(cfg.DataDir, "myid")}
		}
	}
	log, level, closeLog, err := o.openLog()
	if err != nil {
		return err
	}
	defer closeLog()
	pid, err := daemon.Hold(o.pidFile)
	if err != nil {
		return &problem.Problem{Op: "start", Err: err, Do: "zkctl server stop --config " + o.config + ", or restart"}
	}
	defer pid.Release()
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	go watchLevel(ctx, level, filepath.Join(filepath.Dir(o.pidFile), levelFile), log)
	var srv *server.Server
	srv = server.New(cfg, server.Options{Version: o.env.build.server(), Logger: log, Ready: func() {
		if !cfg.Distributed() {
			awaitAlive(ctx, srv, log) // an ensemble's server waits for the others instead
		}
		daemon.Started(o.env.getenv, nil)
		notify(log, sd.SdNotifyReady)
		go watchdog(ctx, srv, log)
		log.Info("started", "version", o.env.build.version, "client port", cfg.ClientPort, "secure client port", cfg.SecureClientPort, "config", o.config, "pid", os.Getpid())
	}})
	err = srv.Run(ctx)
	notify(log, sd.SdNotifyStopping)
	if err != nil {
		err = advise(err, cfg)
		if do := problem.Remedy(err); do != "" {
			log.Error("stopped", "err", err, "try", do)
		} else {
			log.Error("stopped", "err", err)
		}
		return err
	}
	log.Info("stopped")
	return nil
}

// awaitAlive waits until a server without an ensemble answers requests, so that
// who started it may go on with the next command.
func awaitAlive(ctx context.Context, srv *server.Server, log *slog.Logger) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := srv.Alive(ctx); err != nil {
		log.Warn("does not answer yet", "err", err)
	}
}

// notify tells systemd, if it is there.
func notify(log *slog.Logger, state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		log.Warn("systemd was not notified", "err", err)
	}
}

// watchdog tells systemd regularly that the server lives, if it wants to know
// and as long as it does: what hangs is restarted.
func watchdog(ctx context.Context, srv *server.Server, log *slog.Logger) {
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		soon, cancel := context.WithTimeout(ctx, every/3)
		if err := srv.Alive(soon); err == nil {
			_, _ = sd.SdNotify(false, sd.SdNotifyWatchdog) // a lost one is made up for by the next
		} else if ctx.Err() == nil {
			log.Error("the server hangs: the watchdog is not told that it lives", "err", err)
		}
		cancel()
	}
}

// openLog opens the log that the flags ask for.
func (o *serverOptions) openLog() (*slog.Logger, *slog.LevelVar, func(), error) {
	level := new(slog.LevelVar)
	if err := o.checkLog(level); err != nil {
		return nil, nil, nil, err
	}
	var out io.Writer = o.env.stderr
	closeLog := func() {}
	if o.logFile != "" {
		f := &lumberjack.Logger{Filename: o.logFile, MaxSize: logMaxMB, MaxBackups: logBackups, MaxAge: logMaxDays, Compress: true}
		out, closeLog = f, func() { _ = f.Close() }
	}
	options := &slog.HandlerOptions{Level: level}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, options)), level, closeLog, nil
	}
	return slog.New(slog.NewTextHandler(out, options)), level, closeLog, nil
}

// checkLog checks the flags on logging and sets the level.
func (o *serverOptions) checkLog(level *slog.LevelVar) error {
	if err := setLevel(level, o.logLevel); err != nil {
		return usageError{err}
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		return usagef("--log-format %q: text or json", o.logFormat)
	}
	return nil
}

func setLevel(level *slog.LevelVar, name string) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return fmt.Errorf("log level %q: debug, info, warn or error", name)
	}
	level.Set(l)
	return nil
}

// watchLevel sets the level that the level file holds at each SIGHUP.
func watchLevel(ctx context.Context, level *slog.LevelVar, path string, log *slog.Logger) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		text, err := os.ReadFile(path)
		if err == nil {
			err = setLevel(level, strings.TrimSpace(string(text)))
		}
		if err != nil {
			log.Warn("log level not changed", "err", err)
			continue
		}
		log.Log(ctx, level.Level(), "log level changed", "level", level.Level().String())
	}
}

func serverLogLevel(env environment) *cli.Command {
	o := &serverOptions{env: env}
	return &cli.Command{
		Name: "log-level", Usage: "change how much the running server logs, until it is restarted", ArgsUsage: "LEVEL",
		Flags: o.configFlags(),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("one level is needed: debug, info, warn or error")
			}
			return o.changeLevel(c.Args().First())
		},
	}
}

func (o *serverOptions) changeLevel(name string) error {
	if err := setLevel(new(slog.LevelVar), name); err != nil {
		return usageError{err}
	}
	path, err := filepath.Abs(o.config)
	if err != nil {
		return err
	}
	if o.pidFile == "" {
		cfg, _, err := config.Load(path)
		if err != nil {
			return err
		}
		o.pidFile = filepath.Join(cfg.DataDir, daemon.PIDFileName)
	}
	pid, err := daemon.Running(o.pidFile)
	if err != nil {
		return err
	}
	if pid == 0 {
		return &problem.Problem{Op: "change the log level", Err: errors.New("no server runs with " + path), Do: "zkctl server start --log-level " + name}
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(o.pidFile), levelFile), []byte(name+"\n"), 0o644); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	_, err = fmt.Fprintf(o.env.stdout, "process %d logs at level %s and above\n", pid, name)
	return err
}
