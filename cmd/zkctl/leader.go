package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install/problem"
)

// leaderReport is what leader tells with -o json and -o yaml.
type leaderReport struct {
	Name    string `json:"name"`    // as the inventory calls it, else the address
	Address string `json:"address"` // host:port for clients
	ID      *int   `json:"id"`      // the number in its myid; null when not told
	Role    string `json:"role"`    // leader or standalone
	Zxid    string `json:"zxid"`    // last transaction, in hexadecimal with 0x
	Epoch   uint32 `json:"epoch"`   // that of the zxid
}

type leaderOptions struct {
	env     environment
	targets targetFlags
	output  output
}

func leaderCommand(env environment) *cli.Command {
	o := &leaderOptions{env: env}
	return &cli.Command{
		Name: "leader", Category: groupOnCall, Usage: "print name and address of the server that leads",
		Description: "Prints one line, \"NAME HOST:PORT\", or \"HOST:PORT\" with --servers. Nothing but the leader goes to standard output.\n" +
			"Exits 0 when the ensemble is healthy, 3 when it serves and something is wrong, 4 when it does not serve, 1 when it serves and the leader is not among those that answered.",
		Flags: append(o.targets.flags(), o.output.flag(outputTable, outputJSON, outputYAML)),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("leader takes no arguments; name servers with --servers %s", strings.Join(c.Args().Slice(), ","))
			}
			return o.run(c.Context)
		},
	}
}

func (o *leaderOptions) run(ctx context.Context) error {
	name, targets, err := o.targets.targets(o.env)
	if err != nil {
		return err
	}
	s := ask(ctx, name, targets, o.targets.timeout)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	i := s.leads()
	if i < 0 && s.Verdict == fourletter.Degraded {
		return &problem.Problem{Op: "leader", Err: errors.New(strings.Join(s.Reasons, "; ")), Do: "name all servers of the ensemble; see zkctl status"}
	}
	if i >= 0 && s.Verdict != fourletter.Down {
		if err := o.print(s, i); err != nil {
			return err
		}
	}
	if s.Verdict != fourletter.Healthy {
		if err := s.writeVerdict(o.env.stderr, screen{}); err != nil {
			return err
		}
	}
	return s.exit()
}

// leads finds the leader, or the standalone server, which needs none.
func (s *survey) leads() int {
	if s.Leader < 0 && len(s.Members) == 1 && s.Members[0].Role == fourletter.ModeStandalone {
		return 0
	}
	return s.Leader
}

func (o *leaderOptions) print(s *survey, i int) error {
	server := s.server(i)
	report := leaderReport{server.Name, server.Address, server.ID, *server.Role, *server.Zxid, *server.Epoch}
	return o.output.print(o.env.stdout, report, func(w io.Writer) error {
		line := server.Address
		if server.Name != server.Address {
			line = server.Name + " " + server.Address
		}
		_, err := fmt.Fprintln(w, line)
		return err
	})
}
