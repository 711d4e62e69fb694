package main

import "github.com/urfave/cli/v2"

func planCommand(env environment) *cli.Command {
	o := &installOptions{hostOptions: hostOptions{env: env, verb: "plan"}, dryRun: true}
	return &cli.Command{
		Name: "plan", Category: groupSetup, Usage: "show what install would change, and change nothing",
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("plan takes no argument; name the inventory with -i")
			}
			return o.run(c.Context)
		},
	}
}
