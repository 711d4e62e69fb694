package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/pkg/install"
	"github.com/zkctl/zkctl/pkg/install/problem"
)

// reconfigOptions are the flags of reconfig.
type reconfigOptions struct {
	hostOptions
	authFile string
	dryRun   bool
}

// reconfigReport is what reconfig answers with -o json and yaml.
type reconfigReport struct {
	Ensemble string           `json:"ensemble"`
	Plan     install.Reconfig `json:"plan"`
	Changed  bool             `json:"changed"`
	Status   *ensembleReport  `json:"status,omitempty"` // absent after a dry run
	Log      string           `json:"log"`
	Error    string           `json:"error,omitempty"`
}

func reconfigCommand(env environment) *cli.Command {
	o := &reconfigOptions{hostOptions: hostOptions{env: env, verb: "reconfig"}}
	flags := slices.DeleteFunc(o.flags(), func(f cli.Flag) bool { return slices.Contains(f.Names(), "only") })
	return &cli.Command{
		Name: "reconfig", Category: groupSetup, Usage: "make the members of a running ensemble those of the inventory (servers with reconfigEnabled)",
		Description: "Servers that are new in the inventory are brought up by zkctl install before; then they follow without a vote.\n" +
			"Servers that leave run on without a vote until they are stopped. It takes who may write /zookeeper/config: the super user, unless its ACL says otherwise.",
		Flags: append(flags, o.yesFlag(),
			&cli.StringFlag{Name: "auth-file", Usage: "authenticate with what `FILE` holds, such as digest:super:PASSWORD", EnvVars: []string{"ZKCTL_AUTH_FILE"}, TakesFile: true, Destination: &o.authFile},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "show what would change, and change nothing", Destination: &o.dryRun}),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("reconfig takes no argument; name the inventory with -i")
			}
			return o.run(c.Context)
		},
	}
}

// credentials reads the file of --auth-file.
func (o *reconfigOptions) credentials() (install.Credentials, error) {
	if o.authFile == "" {
		return install.Credentials{}, nil
	}
	text, err := os.ReadFile(o.authFile)
	if err != nil {
		return install.Credentials{}, &problem.Problem{Op: "read credentials", Err: err}
	}
	scheme, secret, ok := strings.Cut(strings.TrimRight(string(text), "\r\n"), ":")
	if !ok || scheme == "" || strings.ContainsAny(scheme, " \n\t") {
		return install.Credentials{}, &problem.Problem{Op: "read credentials", Err: fmt.Errorf("%s has no scheme and credentials", o.authFile),
			Do: "write one line such as digest:super:PASSWORD"}
	}
	return install.Credentials{Scheme: scheme, Secret: []byte(secret)}, nil
}

func (o *reconfigOptions) run(ctx context.Context) (err error) {
	who, err := o.credentials()
	if err != nil {
		return err
	}
	w, err := o.open(ctx, "", false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	report := reconfigReport{Ensemble: w.Servers()[0].Ensemble, Log: w.logPath}
	runErr := o.steps(ctx, w, who, &report)
	var code exitError
	if runErr != nil && !errors.As(runErr, &code) {
		report.Error = runErr.Error()
		w.console.say("log of this run: %s\n", w.logPath)
	}
	if o.output != outputTable {
		return errors.Join(runErr, o.output.print(o.env.stdout, report, nil))
	}
	return runErr
}

func (o *reconfigOptions) steps(ctx context.Context, w *work, who install.Credentials, report *reconfigReport) (err error) {
	report.Plan, err = w.PlanReconfig(ctx, who)
	o.show(w, report.Plan)
	if err != nil {
		return fmt.Errorf("nothing was changed:\n%w", err)
	}
	if o.dryRun {
		return nil
	}
	if !report.Plan.Empty() {
		if err := o.approve(ctx, w, "Change the members?"); err != nil {
			return err
		}
		if err := w.ApplyReconfig(ctx, report.Plan, who); err != nil {
			return err
		}
		report.Changed = true
	}
	ensemble, err := w.Verify(ctx)
	found := surveyOf(w.Servers(), ensemble)
	report.Status = new(found.report())
	if o.output == outputTable {
		w.console.say("")
		err = errors.Join(found.write(o.env.stdout, o.env.screen()), err)
	}
	return err
}

// show prints what differs, and what will be asked for.
func (o *reconfigOptions) show(w *work, r install.Reconfig) {
	if o.output != outputTable || r.Version == "" {
		return
	}
	w.console.say("")
	if r.Empty() {
		fmt.Fprintf(o.env.stdout, "the members (version %s) are those of the inventory\n", r.Version)
		return
	}
	fmt.Fprintf(o.env.stdout, "members, version %s:\n", r.Version)
	for _, c := range r.Changes {
		fmt.Fprintf(o.env.stdout, "  %s\n", c)
	}
	for _, line := range r.Joining {
		fmt.Fprintln(o.env.stdout, o.env.screen().paint(toneGood, "+ "+line))
	}
	for _, id := range r.Leaving {
		fmt.Fprintln(o.env.stdout, o.env.screen().paint(toneBad, "- server."+id))
	}
}
