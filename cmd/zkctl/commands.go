package main

import "github.com/urfave/cli/v2"

// commands lists every command; the help shows them by group.
func commands(env environment) []*cli.Command {
	return []*cli.Command{
		initCommand(env),
		inventoryCommand(env),
		planCommand(env),
		installCommand(env),
		reconfigCommand(env), uninstallCommand(env),
		startCommand(env),
		stopCommand(env),
		restartCommand(env),
		statusCommand(env),
		leaderCommand(env),
		wordCommand(env),
		purgeCommand(env),
		serverCommand(env),
		txnlogCommand(env),
		snapshotCommand(env),
		versionCommand(env),
		completionCommand(env),
	}
}
