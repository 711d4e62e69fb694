package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install"
	"github.com/zkctl/zkctl/pkg/install/problem"
)

// installOptions are the flags of install and plan.
type installOptions struct {
	hostOptions
	binary   string
	takeOver bool
	dryRun   bool
}

// installReport is what install and plan answer with -o json and yaml.
type installReport struct {
	Ensemble string            `json:"ensemble"`
	Checks   []install.Finding `json:"checks"`
	Plan     install.Plan      `json:"plan"`
	Changed  bool              `json:"changed"`          // whether anything was changed
	Result   *install.Result   `json:"result,omitempty"` // what was done; absent when nothing was to do
	Status   *ensembleReport   `json:"status,omitempty"` // as the command status tells it; absent after a dry run
	Log      string            `json:"log"`              // the file that tells what was done where
	Error    string            `json:"error,omitempty"`
}

func (o *installOptions) flags() []cli.Flag {
	return append(o.hostOptions.flags(),
		&cli.StringFlag{Name: "binary", Usage: "install the zkctl in `FILE`, such as one for another architecture (default: this one)", Destination: &o.binary, TakesFile: true},
		&cli.BoolFlag{Name: "take-over", Usage: "keep and serve the ZooKeeper data and replace the zoo.cfg that another installation left", Destination: &o.takeOver},
	)
}

func installCommand(env environment) *cli.Command {
	o := &installOptions{hostOptions: hostOptions{env: env, verb: "install"}}
	return &cli.Command{
		Name: "install", Category: groupSetup, Usage: "bring the hosts of an inventory to a running ensemble; again changes only what differs",
		Flags: append(o.flags(), o.yesFlag(),
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "show the plan and change nothing", Destination: &o.dryRun}),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("install takes no argument; name the inventory with -i")
			}
			return o.run(c.Context)
		},
	}
}

// run is the whole command: connect, check, plan, ask, apply, verify.
func (o *installOptions) run(ctx context.Context) (err error) {
	exe, err := executable(o.binary)
	if err != nil {
		return err
	}
	w, err := o.open(ctx, exe, o.takeOver)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	report := installReport{Ensemble: w.Servers()[0].Ensemble, Log: w.logPath}
	runErr := o.steps(ctx, w, &report)
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

func (o *installOptions) steps(ctx context.Context, w *work, report *installReport) (err error) {
	report.Checks, err = w.Preflight(ctx)
	failed := install.FailedChecks(report.Checks)
	if err == nil {
		report.Plan, err = w.Plan(ctx)
	}
	// What the other hosts told is shown whatever one of them did.
	if err := errors.Join(o.show(w, *report, err == nil), err); err != nil {
		return fmt.Errorf("nothing was changed:\n%w", errors.Join(failed, err))
	}
	switch {
	case failed != nil:
		return fmt.Errorf("nothing was changed:\n%w", failed)
	case o.dryRun:
		return nil
	case report.Plan.Empty():
		return o.showServers(w, report, w.Status(ctx), true)
	}
	if err := o.approve(ctx, w, fmt.Sprintf("Make %s?", changes(report.Plan.Len()))); err != nil {
		return err
	}
	began := time.Now()
	result, err := w.Apply(ctx, report.Plan)
	report.Result, report.Changed = &result, true
	if err != nil {
		o.showResult(w, result)
		return fmt.Errorf("not everything was done; run the command again when this is mended:\n%w", err)
	}
	ensemble, err := w.Verify(ctx)
	w.console.say("done in %s\n", stopwatch(began))
	return errors.Join(o.showServers(w, report, ensemble, err == nil && len(o.only.Value()) == 0), err)
}

// show prints what the checks found and, when it is whole, what the plan is.
func (o *installOptions) show(w *work, report installReport, whole bool) error {
	if o.output != outputTable {
		return nil
	}
	w.console.say("")
	if err := printFindings(o.env.stdout, o.env.screen(), report.Checks); err != nil || !whole {
		return err
	}
	return printPlan(o.env.stdout, o.env.screen(), report.Plan)
}

// printFindings shows what the checks did not pass, with what to do.
func printFindings(out io.Writer, s screen, findings []install.Finding) error {
	passed := 0
	for _, f := range findings {
		t := toneWarn
		switch f.Outcome {
		case install.Pass:
			passed++
			continue
		case install.Fail:
			t = toneBad
		}
		fmt.Fprintln(out, s.paint(t, fmt.Sprintf("%s  %s: %s: %s", f.Outcome, f.Host, f.Check, f.Detail)))
		if f.Remedy != "" {
			fmt.Fprintf(out, "      try: %s\n", f.Remedy)
		}
	}
	_, err := fmt.Fprintf(out, "%d of %d checks passed\n", passed, len(findings))
	return err
}

// printPlan shows the changes host by host, files as diffs.
func printPlan(out io.Writer, s screen, plan install.Plan) error {
	if plan.Empty() {
		_, err := fmt.Fprintln(out, "nothing to do")
		return err
	}
	for _, h := range plan.Hosts {
		fmt.Fprintf(out, "\n%s\n", s.paint(toneLead, h.Host))
		if len(h.Changes)+len(h.Starts) == 0 {
			fmt.Fprintln(out, "  nothing to do")
		}
		for _, c := range h.Changes {
			fmt.Fprintf(out, "  %s\n", planLine(c.Server, h, c.What))
			printDiff(out, s, c.Diff)
		}
		for _, st := range h.Starts {
			fmt.Fprintf(out, "  %s\n", planLine("", h, st.What()))
		}
	}
	_, err := fmt.Fprintf(out, "\n%s\n", changes(plan.Len()))
	return err
}

// planLine names the server where a machine has several.
func planLine(server string, h install.HostPlan, what string) string {
	if server == "" || len(h.Servers) == 1 {
		return what
	}
	return server + ": " + what
}

func printDiff(out io.Writer, s screen, diff string) {
	for line := range strings.Lines(diff) {
		t := toneNone
		switch line[0] {
		case '+':
			t = toneGood
		case '-':
			t = toneBad
		}
		fmt.Fprintf(out, "      %s\n", s.paint(t, strings.TrimSuffix(line, "\n")))
	}
}

// approve asks once. Without a terminal there is nobody to ask.
func (o *hostOptions) approve(ctx context.Context, w *work, question string) error {
	if o.yes {
		return nil
	}
	if !w.console.interactive() {
		return &problem.Problem{Op: o.verb, Err: errors.New("nothing was changed: there is no terminal to ask on"), Do: "add --yes to go ahead without asking"}
	}
	answer, err := w.console.ask(ctx, question+" [y/N] ")
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return errors.New("nothing was changed: the answer was not yes")
	}
	return nil
}

// showResult says host by host what was done and what was not.
func (o *hostOptions) showResult(w *work, result install.Result) {
	for _, h := range result.Hosts {
		w.console.say("%s: %d of %d changes done\n", h.Host, len(h.Done), len(h.Done)+len(h.NotDone))
		if h.Error != "" {
			w.console.say("  failed: %s\n", strings.ReplaceAll(h.Error, "\n", "\n  "))
		}
		for _, n := range h.NotDone {
			w.console.say("  not done: %s\n", n)
		}
	}
}

// showServers ends a run with the status of the ensemble; judge makes its verdict the exit status.
func (o *installOptions) showServers(w *work, report *installReport, e fourletter.Ensemble, judge bool) error {
	found := surveyOf(w.Servers(), e)
	if o.output == outputTable {
		w.console.say("")
		if err := found.write(o.env.stdout, o.env.screen()); err != nil {
			return err
		}
	}
	report.Status = new(found.report())
	if status := e.Verdict.ExitStatus(); judge && status != exitOK {
		return exitError(status)
	}
	return nil
}

// changes counts in words.
func changes(n int) string {
	if n == 1 {
		return "1 change"
	}
	return fmt.Sprintf("%d changes", n)
}
