package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/pkg/install"
	"github.com/zkctl/zkctl/pkg/install/problem"
)

type uninstallOptions struct {
	hostOptions
	deleteData bool
	dryRun     bool
}

// uninstallReport is what uninstall answers with -o json and yaml.
type uninstallReport struct {
	Ensemble string          `json:"ensemble"`
	Plan     install.Plan    `json:"plan"`
	Changed  bool            `json:"changed"`
	Result   *install.Result `json:"result,omitempty"`
	Log      string          `json:"log"`
	Error    string          `json:"error,omitempty"`
}

func uninstallCommand(env environment) *cli.Command {
	o := &uninstallOptions{hostOptions: hostOptions{env: env, verb: "uninstall"}}
	return &cli.Command{
		Name: "uninstall", Category: groupSetup, Usage: "stop the servers and remove what install brought; the data stay unless told otherwise",
		Flags: append(o.flags(), o.yesFlag(),
			&cli.BoolFlag{Name: "delete-data", Usage: "delete the servers' data and logs too, for good", Destination: &o.deleteData},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "show the plan and change nothing", Destination: &o.dryRun}),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("uninstall takes no argument; name the inventory with -i")
			}
			return o.run(c.Context)
		},
	}
}

func (o *uninstallOptions) run(ctx context.Context) (err error) {
	w, err := o.open(ctx, "", false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	report := uninstallReport{Ensemble: w.Servers()[0].Ensemble, Log: w.logPath}
	runErr := o.steps(ctx, w, &report)
	if runErr != nil {
		report.Error = runErr.Error()
		w.console.say("log of this run: %s\n", w.logPath)
	}
	if o.output != outputTable {
		return errors.Join(runErr, o.output.print(o.env.stdout, report, nil))
	}
	return runErr
}

func (o *uninstallOptions) steps(ctx context.Context, w *work, report *uninstallReport) (err error) {
	if report.Plan, err = w.PlanUninstall(ctx, o.deleteData); err != nil {
		return err
	}
	if o.output == outputTable {
		w.console.say("")
		if err := printPlan(o.env.stdout, o.env.screen(), report.Plan); err != nil {
			return err
		}
	}
	if o.dryRun || report.Plan.Empty() {
		return nil
	}
	if err := o.consent(ctx, w, report.Ensemble); err != nil {
		return err
	}
	result, err := w.Apply(ctx, report.Plan)
	report.Result, report.Changed = &result, true
	if err != nil {
		o.showResult(w, result)
		return fmt.Errorf("not everything was removed; run the command again when this is mended:\n%w", err)
	}
	if o.output == outputTable {
		fmt.Fprintf(o.env.stdout, "ensemble %s is uninstalled%s\n", report.Ensemble, map[bool]string{true: ", with its data", false: "; its data and logs are still there"}[o.deleteData])
	}
	return nil
}

// consent asks before anything goes. Who deletes data types the ensemble's name.
func (o *uninstallOptions) consent(ctx context.Context, w *work, ensemble string) error {
	if !o.deleteData || o.yes {
		return o.approve(ctx, w, "Uninstall?")
	}
	if !w.console.interactive() {
		return &problem.Problem{Op: o.verb, Err: errors.New("nothing was changed: there is no terminal to ask on"), Do: "add --yes to delete the data without asking"}
	}
	answer, err := w.console.ask(ctx, fmt.Sprintf("This deletes the data of every server listed. To go ahead, type the ensemble's name (%s): ", ensemble))
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if answer != ensemble {
		return fmt.Errorf("nothing was changed: %q is not the ensemble's name", answer)
	}
	return nil
}
