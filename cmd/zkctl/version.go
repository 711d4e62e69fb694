package main

import (
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"
)

func versionCommand(env environment) *cli.Command {
	return &cli.Command{
		Name: "version", Category: groupOther, Usage: "tell which zkctl this is",
		Action: func(*cli.Context) error {
			_, err := fmt.Fprintf(env.stdout, "zkctl %s (commit %s, built %s, %s %s/%s); serves as Apache ZooKeeper %s\n",
				env.build.version, env.build.commit, env.build.date, runtime.Version(), runtime.GOOS, runtime.GOARCH, compatible)
			return err
		},
	}
}
