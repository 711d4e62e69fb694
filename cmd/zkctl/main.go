// Command zkctl installs a ZooKeeper ensemble on your own hosts, is the server
// that runs there, and helps whoever is on call.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Set by the linker, see the Makefile.
var (
	version = "dev"
	commit  = "unknown"
	date    = "unknown"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	env := environment{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
		build: build{version: version, commit: commit, date: date},
	}
	code := run(ctx, os.Args, env)
	stop()
	os.Exit(code)
}
