package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install/problem"
)

// Exit statuses, the same for every command.
const (
	exitOK         = 0
	exitFailed     = 1 // the command failed
	exitUsage      = 2 // the command line is wrong
	exitDegraded   = 3 // done; not all is well, but the ensemble serves, or all of a log but its torn end was read
	exitNotServing = 4 // done; the ensemble does not serve
)

// environment is what a command has of the world beside its arguments.
type environment struct {
	stdin          *os.File
	stdout, stderr io.Writer
	getenv         func(string) string
	build          build
}

// build says which zkctl this is.
type build struct{ version, commit, date string }

// compatible is the release of ZooKeeper that the server behaves as.
const compatible = "3.9.3"

// server is the text that srvr and mntr tell; tools parse the leading number
// (VerGen.java).
func (b build) server() string {
	which := b.version
	if !strings.Contains(which, b.commit) {
		which += "-" + b.commit
	}
	return fmt.Sprintf("%s-zkctl-%s, built on %s", compatible, which, b.date)
}

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError ends the command with a status when all there is to say has been
// printed.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run is the whole program: it returns the exit status.
func run(ctx context.Context, args []string, env environment) int {
	app := newApp(env)
	err := app.RunContext(ctx, arrange(app.Commands, args))
	var code exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	printError(env.stderr, err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// printError prints an error, and for each problem in it what to do.
func printError(w io.Writer, err error) {
	fmt.Fprintf(w, "zkctl: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	for _, do := range advice(err) {
		fmt.Fprintf(w, "  try: %s\n", do)
	}
}

// advice collects what the errors inside err say to try, each once.
func advice(err error) []string {
	var out []string
	var walk func(error)
	walk = func(err error) {
		var do string
		switch e := err.(type) {
		case nil:
			return
		case *problem.Problem:
			do = e.Do
		case *fourletter.AskError:
			do = e.Try
		}
		if do != "" && !contains(out, do) {
			out = append(out, do)
		}
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			for _, sub := range e.Unwrap() {
				walk(sub)
			}
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		}
	}
	walk(err)
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// The groups of the help, in the order shown.
const (
	groupSetup  = "1. Set up an ensemble"
	groupOnCall = "2. On call"
	groupHost   = "3. On one host"
	groupOther  = "4. Other"
)

func newApp(env environment) *cli.App {
	app := &cli.App{
		Name:      "zkctl",
		Usage:     "run a ZooKeeper ensemble on your own machines",
		UsageText: "zkctl COMMAND [flags]\n\nStart with: zkctl init > hosts.yaml, then zkctl install -i hosts.yaml",
		Version:   env.build.version,
		Writer:    env.stdout,
		ErrWriter: env.stderr,
		Reader:    env.stdin,
		Commands:  commands(env),
		// Errors are printed by run, in one place.
		ExitErrHandler:       func(*cli.Context, error) {},
		OnUsageError:         onUsageError,
		Suggest:              true,
		EnableBashCompletion: true,
		BashComplete:         completeWords(nil),
		// A path given with -i may hold a comma.
		DisableSliceFlagSeparator: true,
		HideVersion:               true,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c)
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		prepare(c)
	}
	return app
}

// prepare gives every command what urfave/cli does not inherit: usage errors
// as ours, and flags after arguments refused instead of taken for arguments.
func prepare(c *cli.Command) {
	c.OnUsageError = onUsageError
	if c.BashComplete == nil {
		c.BashComplete = completeWords(nil)
	}
	for _, sub := range c.Subcommands {
		prepare(sub)
	}
	if len(c.Subcommands) > 0 {
		c.Action = func(ctx *cli.Context) error {
			if ctx.Args().Present() {
				return unknownCommand(ctx)
			}
			return cli.ShowSubcommandHelp(ctx)
		}
		return
	}
	action := c.Action
	c.Action = func(ctx *cli.Context) error {
		for _, a := range ctx.Args().Slice() {
			if strings.HasPrefix(a, "-") && a != "-" {
				return usagef("%s: flag %s stands after an argument: put flags first", ctx.Command.FullName(), a)
			}
		}
		return action(ctx)
	}
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	return usageError{fmt.Errorf("%w (see %s --help)", err, commandPath(c))}
}

// commandPath is the command as it is typed, "zkctl server start".
func commandPath(c *cli.Context) string {
	if c.Command == nil || c.Command.HelpName == "" {
		return c.App.Name
	}
	return c.Command.HelpName
}

// unknownCommand refuses a command that is not there, and tells which are near.
func unknownCommand(c *cli.Context) error {
	list := c.App.Commands
	if c.Command != nil && len(c.Command.Subcommands) > 0 {
		list = c.Command.Subcommands
	}
	var names []string
	for _, sub := range list {
		if !sub.Hidden {
			names = append(names, sub.Name)
		}
	}
	name := c.Args().First()
	if s := nearest(name, names); s != "" {
		return usagef("no command %q; did you mean %q? (see %s --help)", name, s, commandPath(c))
	}
	return usagef("no command %q (see %s --help)", name, commandPath(c))
}
