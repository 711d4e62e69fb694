package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/inventory"
)

func inventoryCommand(env environment) *cli.Command {
	return &cli.Command{
		Name: "inventory", Category: groupSetup, Usage: "check an inventory without touching a host; its schema for editors",
		Subcommands: []*cli.Command{inventoryCheck(env), inventorySchema(env)},
	}
}

func inventorySchema(env environment) *cli.Command {
	return &cli.Command{
		Name: "schema", Usage: "print the JSON schema of an inventory",
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("inventory schema takes no argument")
			}
			text, err := inventory.Schema()
			if err != nil {
				return err
			}
			_, err = env.stdout.Write(text)
			return err
		},
	}
}

// checkReport is what inventory check answers with -o json and yaml.
type checkReport struct {
	Ensemble string        `json:"ensemble"`
	Servers  []checkServer `json:"servers"`
	Warnings []string      `json:"warnings"`
}

// checkServer is one server as install would set it up; ids left out of the file are those of a first installation.
type checkServer struct {
	Name    string `json:"name"`
	ID      int    `json:"id"`
	Role    string `json:"role"`
	Machine string `json:"machine"`
	Client  int    `json:"clientPort"` // 0 when there is only one for TLS
	// SecureClient is 0 when there is none.
	SecureClient int    `json:"secureClientPort"`
	Quorum       int    `json:"quorumPort"`
	Election     int    `json:"electionPort"`
	DataDir      string `json:"dataDir"`
}

func inventoryCheck(env environment) *cli.Command {
	var files cli.StringSlice
	var out output
	return &cli.Command{
		Name: "check", Usage: "tell all that is wrong with an inventory, and what it comes to", ArgsUsage: "[FILE ...]",
		Flags: []cli.Flag{inventoryFlag(&files), out.flag(outputTable, outputJSON, outputYAML)},
		Action: func(c *cli.Context) error {
			inv, servers, err := loadServers(env, append(files.Value(), c.Args().Slice()...))
			if err != nil {
				return err
			}
			report := newCheckReport(inv, servers)
			if out == outputTable {
				for _, w := range report.Warnings {
					fmt.Fprintf(env.stderr, "warning: %s\n", w)
				}
			}
			return out.print(env.stdout, report, func(w io.Writer) error { return report.write(w, env.screen()) })
		},
	}
}

func newCheckReport(inv *inventory.Inventory, servers []inventory.Server) checkReport {
	r := checkReport{Ensemble: servers[0].Ensemble, Warnings: []string{}}
	for _, w := range inv.Warnings {
		r.Warnings = append(r.Warnings, w.String())
	}
	for _, s := range servers {
		r.Servers = append(r.Servers, checkServer{Name: s.Name, ID: s.ID, Role: string(s.Role), Machine: s.Machine(),
			Client: plainPort(s), SecureClient: s.Ports.SecureClient, Quorum: s.Ports.Quorum, Election: s.Ports.Election, DataDir: s.Paths.DataDir})
	}
	return r
}

// plainPort is the client port without TLS; 0 when there is none.
func plainPort(s inventory.Server) int {
	if s.Ports.OnlySecure() {
		return 0
	}
	return s.Ports.Client
}

// clientPorts lists the ports for clients, that with TLS last.
func (v checkServer) clientPorts() string {
	var ports []string
	if v.Client != 0 {
		ports = append(ports, strconv.Itoa(v.Client))
	}
	if v.SecureClient != 0 {
		ports = append(ports, strconv.Itoa(v.SecureClient)+" (TLS)")
	}
	return strings.Join(ports, ", ")
}

func (r checkReport) write(w io.Writer, s screen) error {
	t := &table{columns: []column{{title: "HOST"}, {title: "ID", right: true}, {title: "ROLE"}, {title: "MACHINE", drop: 1},
		{title: "CLIENT", right: true}, {title: "QUORUM", right: true}, {title: "ELECTION", right: true}, {title: "DATA", drop: 2}}}
	for _, v := range r.Servers {
		t.add(toneNone, v.Name, strconv.Itoa(v.ID), v.Role, v.Machine, v.clientPorts(), strconv.Itoa(v.Quorum), strconv.Itoa(v.Election), v.DataDir)
	}
	if _, err := t.write(w, s); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nensemble %s: the inventory is good\n", r.Ensemble)
	return err
}
