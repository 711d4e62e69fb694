package main

import "github.com/urfave/cli/v2"

// commands lists every command; the help shows them by group.
func commands(env environment) []*cli.Command {
	return []*cli.Command{
		statusCommand(env),
		leaderCommand(env),
		wordCommand(env),
		serverCommand(env),
		versionCommand(env),
		completionCommand(env),
	}
}
