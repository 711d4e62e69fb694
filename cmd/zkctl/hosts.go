package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/pkg/install"
)

// serviceOptions are the flags of start, stop and restart.
type serviceOptions struct {
	hostOptions
	atOnce bool
}

// serviceReport is what start, stop and restart answer with -o json and yaml.
type serviceReport struct {
	Ensemble string          `json:"ensemble"`
	Changed  bool            `json:"changed"`
	Result   install.Result  `json:"result"`
	Status   *ensembleReport `json:"status,omitempty"` // absent after stop
	Log      string          `json:"log"`
	Error    string          `json:"error,omitempty"`
}

func startCommand(env environment) *cli.Command {
	return serviceCommand(env, install.StartServers, "start", "start the installed servers that are down, and wait until they serve")
}

func stopCommand(env environment) *cli.Command {
	return serviceCommand(env, install.StopServers, "stop", "stop the servers; nothing is removed")
}

func restartCommand(env environment) *cli.Command {
	return serviceCommand(env, install.RestartServers, "restart", "restart the servers one after another, the leader last, the ensemble serving meanwhile")
}

func serviceCommand(env environment, action install.Action, verb, usage string) *cli.Command {
	o := &serviceOptions{hostOptions: hostOptions{env: env, verb: verb}}
	flags := o.flags()
	if action != install.StartServers {
		flags = append(flags, o.yesFlag())
	}
	if action == install.RestartServers {
		flags = append(flags, &cli.BoolFlag{Name: "at-once", Usage: "stop all, then start all: clients are cut off meanwhile", Destination: &o.atOnce})
	}
	return &cli.Command{
		Name: verb, Category: groupOnCall, Usage: usage, Flags: flags,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("%s takes no argument; name the inventory with -i, and single hosts with --only", verb)
			}
			return o.run(c.Context, action)
		},
	}
}

func (o *serviceOptions) run(ctx context.Context, action install.Action) (err error) {
	w, err := o.open(ctx, "", false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	report := serviceReport{Ensemble: w.Servers()[0].Ensemble, Log: w.logPath}
	runErr := o.steps(ctx, w, action, &report)
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

func (o *serviceOptions) steps(ctx context.Context, w *work, action install.Action, report *serviceReport) error {
	plan, err := w.PlanAction(ctx, action)
	if err != nil {
		return err
	}
	if o.output == outputTable {
		w.console.say("")
		if err := printPlan(o.env.stdout, o.env.screen(), plan); err != nil {
			return err
		}
	}
	if !plan.Empty() {
		if action != install.StartServers {
			if err := o.approve(ctx, w, fmt.Sprintf("Go ahead and %s?", o.verb)); err != nil {
				return err
			}
		}
		report.Changed = true
		if report.Result, err = o.apply(ctx, w, action, plan); err != nil {
			o.showResult(w, report.Result)
			return fmt.Errorf("not everything was done; run the command again when this is mended:\n%w", err)
		}
	}
	if action == install.StopServers {
		return nil
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

// apply does what the plan says; with --at-once a restart is a stop and a start.
func (o *serviceOptions) apply(ctx context.Context, w *work, action install.Action, plan install.Plan) (install.Result, error) {
	if action != install.RestartServers || !o.atOnce {
		return w.Apply(ctx, plan)
	}
	stop, err := w.PlanAction(ctx, install.StopServers)
	if err != nil {
		return install.Result{}, err
	}
	if result, err := w.Apply(ctx, stop); err != nil {
		return result, err
	}
	start, err := w.PlanAction(ctx, install.StartServers)
	if err != nil {
		return install.Result{}, err
	}
	return w.Apply(ctx, start)
}
