package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/purge"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/storage"
)

// purgeReport is what a purge of one server's directories tells with -o json and
// -o yaml.
type purgeReport struct {
	Config  string       `json:"config"`   // path of the zoo.cfg
	DataDir string       `json:"data_dir"` // as in zoo.cfg
	LogDir  string       `json:"log_dir"`  // dataLogDir; data_dir when zoo.cfg has none
	Keep    int          `json:"keep"`     // valid snapshots to keep
	DryRun  bool         `json:"dry_run"`
	Removed []purgedFile `json:"removed"` // in the order of removal; with dry_run what would go
	Bytes   int64        `json:"bytes"`   // disk space that these took
	Kept    []purgedFile `json:"kept"`    // the snapshots to keep and the logs that go with them, oldest first
	Skipped []purgedFile `json:"skipped"` // stayed although they are old; note says why
	Broken  []purgedFile `json:"broken"`  // snapshots that fail their checksum; they stay and do not count as kept
	Nothing string       `json:"nothing"` // why nothing goes; "" when something does
}

// purgedFile is a snapshot or a log.
type purgedFile struct {
	Path  string `json:"path"`
	Kind  string `json:"kind"`           // snapshot or log
	Zxid  string `json:"zxid"`           // the one in its name, in hexadecimal with 0x
	Bytes int64  `json:"bytes"`          // disk space it takes
	Note  string `json:"note,omitempty"` // why it was skipped, or what is broken
}

func purgedFiles(files []purge.File) []purgedFile {
	out := make([]purgedFile, len(files))
	for i, f := range files {
		out[i] = purged(f, "")
	}
	return out
}

func purged(f purge.File, note string) purgedFile {
	return purgedFile{Path: f.Path, Kind: f.Kind.String(), Zxid: "0x" + strconv.FormatUint(f.Zxid, 16), Bytes: f.Disk, Note: note}
}

type purgeOptions struct {
	env         environment
	config      string
	keep        int // 0: as the zoo.cfg or the inventory says
	dryRun      bool
	inventories cli.StringSlice
	acceptNew   bool
	output      output
}

func purgeCommand(env environment) *cli.Command {
	o := &purgeOptions{env: env}
	return &cli.Command{
		Name: "purge", Category: groupOnCall, Usage: "remove snapshots and transaction logs that are no longer needed",
		Description: "With --config on the host itself, which is what the schedule runs; with -i on every host of an inventory.\n" +
			"The newest N snapshots that are whole stay, with all logs from the oldest of them on. Files that are open, and files that no server made, are left alone.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "purge the directories of this zoo.cfg `FILE`", Destination: &o.config, EnvVars: []string{"ZOOCFG"}},
			inventoryFlag(&o.inventories),
			&cli.IntFlag{Name: "keep", Usage: fmt.Sprintf("keep `N` snapshots, at least %d (default: autopurge.snapRetainCount of zoo.cfg, or keep of the inventory, or 3)", purge.MinKeep), Destination: &o.keep, Action: checkKeep},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "say what would go, and remove nothing", Destination: &o.dryRun},
			&cli.BoolFlag{Name: "accept-new-host-keys", Usage: "with -i: record SSH host keys that are not known yet", Destination: &o.acceptNew},
			o.output.flag(outputTable, outputJSON, outputYAML),
		},
		Action: func(c *cli.Context) error {
			hosts := o.inventories.Value() != nil
			switch {
			case c.Args().Present():
				return usagef("purge takes no arguments; name the zoo.cfg with --config %s", c.Args().First())
			case hosts && c.IsSet("config") && o.config != env.getenv("ZOOCFG"):
				return usagef("--config and -i exclude each other")
			case hosts:
				return o.onHosts(c.Context)
			case o.config == "":
				return usagef("purge what? --config zoo.cfg on the host itself, or -i hosts.yaml for all hosts")
			}
			return o.here(c.Context)
		},
	}
}

func checkKeep(_ *cli.Context, n int) error {
	if n < purge.MinKeep {
		return usagef("--keep %d: at least %d snapshots are kept, so that a damaged one is no loss", n, purge.MinKeep)
	}
	return nil
}

// here purges the directories of one zoo.cfg on this machine.
func (o *purgeOptions) here(ctx context.Context) error {
	path, err := filepath.Abs(o.config)
	if err != nil {
		return err
	}
	cfg, _, err := config.Load(path)
	if err != nil {
		return &problem.Problem{Op: "purge", Err: err, Do: "mend " + path + "; nothing was removed"}
	}
	job := purge.Job{DataDir: cfg.DataDir, LogDir: cfg.DataLogDir, Keep: o.keep, Check: storage.VerifySnapshot, NoWait: true}
	if job.Keep == 0 {
		job.Keep = max(cfg.PurgeRetainCount, purge.MinKeep)
	}
	report := purgeReport{Config: path, DataDir: job.DataDir, LogDir: job.LogDir, Keep: job.Keep, DryRun: o.dryRun}
	if report.LogDir == "" {
		report.LogDir = job.DataDir
	}
	failed := report.run(ctx, job)
	if failed != nil && report.Kept == nil { // it did not come to a plan
		if errors.Is(failed, purge.ErrLocked) {
			return &problem.Problem{Op: "purge", Err: failed, Do: "wait for the other purge to end; it does the same work"}
		}
		return failed
	}
	return errors.Join(o.output.print(o.env.stdout, report, func(w io.Writer) error { return report.write(w, o.env.screen()) }), failed)
}

// run does the purge, or plans it, and fills in what came of it.
func (r *purgeReport) run(ctx context.Context, job purge.Job) error {
	var plan purge.Plan
	var result purge.Result
	var err error
	if r.DryRun {
		plan, err = job.Plan()
		result.Removed = plan.Remove
	} else {
		plan, result, err = job.Run(ctx)
	}
	if err != nil && plan.Keep == nil {
		return err
	}
	r.Removed, r.Bytes, r.Kept, r.Nothing = purgedFiles(result.Removed), result.Bytes(), purgedFiles(plan.Keep), plan.Nothing
	r.Skipped, r.Broken = []purgedFile{}, []purgedFile{}
	for _, s := range result.Skipped {
		r.Skipped = append(r.Skipped, purged(s.File, s.Reason))
	}
	for _, b := range plan.Broken {
		r.Broken = append(r.Broken, purged(b.File, b.Err.Error()))
	}
	return err
}

// write prints what went and what stayed for people and for the log of cron.
func (r *purgeReport) write(w io.Writer, to screen) error {
	for _, b := range r.Broken {
		fmt.Fprintf(w, "broken: %s does not count as a snapshot: %s\n", b.Path, b.Note)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "stays: %s: %s\n", s.Path, s.Note)
	}
	if len(r.Removed) > 0 {
		t := &table{columns: []column{{title: "KIND"}, {title: "ZXID"}, {title: "SIZE", right: true}, {title: "FILE"}}}
		for _, f := range r.Removed {
			t.add(toneNone, f.Kind, f.Zxid, humanBytes(f.Bytes), f.Path)
		}
		if _, err := t.write(w, to); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, r.summary())
	return err
}

// summary is one line on what came of the purge.
func (r *purgeReport) summary() string {
	switch {
	case r.Nothing != "":
		return "nothing to purge: " + r.Nothing
	case r.DryRun:
		return fmt.Sprintf("%s would go, which frees %s (%d bytes); --dry-run, so nothing was removed", files(len(r.Removed)), humanBytes(r.Bytes), r.Bytes)
	case len(r.Skipped) > 0:
		return fmt.Sprintf("removed %s, which frees %s (%d bytes); %s had to stay", files(len(r.Removed)), humanBytes(r.Bytes), r.Bytes, files(len(r.Skipped)))
	}
	return fmt.Sprintf("removed %s, which frees %s (%d bytes)", files(len(r.Removed)), humanBytes(r.Bytes), r.Bytes)
}

func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return strconv.Itoa(n) + " files"
}
