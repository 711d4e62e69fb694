package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/inspect"
	"github.com/zkctl/zkctl/pkg/server/storage"
)

const fileArgs = "FILE... | DATADIR [DATALOGDIR]"

// txnlogOptions are the flags of the commands under `zkctl txnlog`.
type txnlogOptions struct {
	env                              environment
	from, to, session, after, before string
	types, paths, snapshots          cli.StringSlice
	data, yes, dryRun, noDigests     bool
	depth, top                       int
	output                           output
}

func txnlogCommand(env environment) *cli.Command {
	return &cli.Command{
		Name: "txnlog", Category: groupHost, Usage: "look into transaction logs, check and cut them, also those of Apache ZooKeeper",
		Subcommands: []*cli.Command{txnlogDump(env), txnlogVerify(env), txnlogStats(env), txnlogCut(env)},
	}
}

func (o *txnlogOptions) filterFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "from", Usage: "from this `ZXID` on (0x100000002, or decimal)", Destination: &o.from},
		&cli.StringFlag{Name: "to", Usage: "up to and with this `ZXID`", Destination: &o.to},
		&cli.StringFlag{Name: "after", Usage: "from this `TIME` on (2026-01-31T12:00:00Z)", Destination: &o.after},
		&cli.StringFlag{Name: "before", Usage: "before this `TIME`", Destination: &o.before},
		&cli.StringFlag{Name: "session", Usage: "of this session `ID` (0x...)", Destination: &o.session},
		&cli.StringSliceFlag{Name: "path", Usage: "on this `ZNODE` or below; * stands for one name (repeatable)", Destination: &o.paths},
		&cli.StringSliceFlag{Name: "type", Usage: "of this `TYPE`: create, setData, error, ... (repeatable)", Destination: &o.types},
	}
}

func (o *txnlogOptions) filter() (f inspect.Filter, err error) {
	number := func(name, text string) (z inspect.Zxid) {
		if text != "" && err == nil {
			if z, err = inspect.ParseZxid(text); err != nil {
				err = usagef("--%s: %w", name, err)
			}
		}
		return z
	}
	moment := func(name, text string) (t time.Time) {
		if text != "" && err == nil {
			if t, err = time.Parse(time.RFC3339, text); err != nil {
				err = usagef("--%s %q: a time like 2026-01-31T12:00:00Z", name, text)
			}
		}
		return t
	}
	f.From, f.To = number("from", o.from), number("to", o.to)
	f.After, f.Before = moment("after", o.after), moment("before", o.before)
	if session := number("session", o.session); o.session != "" {
		f.Session = &session
	}
	f.Types, f.Paths = o.types.Value(), o.paths.Value()
	if bad := f.Check(); bad != nil && err == nil {
		err = usagef("--path: %w", bad)
	}
	return f, err
}

// findFiles resolves the arguments of a command.
func findFiles(c *cli.Context, kind storage.Kind) (inspect.Files, error) {
	if !c.Args().Present() {
		return inspect.Files{}, usagef("%s: name files, or a data directory", commandPath(c))
	}
	if err := readable(c.Args().Slice()); err != nil {
		return inspect.Files{}, &problem.Problem{Op: commandName(c), Err: err, Do: "save it as a file first; it is read in more than one place"}
	}
	files, err := inspect.Find(kind, c.Args().Slice()...)
	if err != nil {
		return files, notFound(c, err, "name files, or the dataDir (and dataLogDir) of a zoo.cfg")
	}
	return files, nil
}

// readable refuses what is neither file nor directory, as a pipe.
func readable(args []string) error {
	for _, arg := range args {
		st, err := os.Stat(arg)
		switch {
		case err == nil && !st.IsDir() && !st.Mode().IsRegular():
			return fmt.Errorf("%s is no file", arg)
		case err != nil && arg == "-":
			return errors.New("standard input is not read")
		}
	}
	return nil
}

// notFound says what to do about an argument that names no file one may read.
func notFound(c *cli.Context, err error, do string) error {
	if errors.Is(err, fs.ErrPermission) {
		do = "the same command with sudo, or as the account that the server runs as"
	}
	return &problem.Problem{Op: commandName(c), Err: err, Do: do}
}

func commandName(c *cli.Context) string { return commandPath(c)[len("zkctl "):] }

func txnlogDump(env environment) *cli.Command {
	o := &txnlogOptions{env: env}
	return &cli.Command{
		Name: "dump", Usage: "print transactions, one a line", ArgsUsage: fileArgs,
		Description: "Each line has the time of the leader's clock, zxid, session, cxid and what was done; parts of a multi stand below it, indented.\n" +
			"With -o json one object a line. Logs are read as a stream, also while a server writes them. What cannot be read is told on\n" +
			"stderr: exit status 3 when only the end is torn, 1 when a file is damaged.",
		Flags: append(o.filterFlags(),
			&cli.BoolFlag{Name: "data", Usage: "with the content of znodes: quoted, in JSON base64", Destination: &o.data},
			o.output.flag(outputTable, outputJSON)),
		Action: func(c *cli.Context) error {
			f, err := o.filter()
			if err != nil {
				return err
			}
			files, err := findFiles(c, storage.KindLog)
			if err != nil {
				return err
			}
			return o.dump(c.Context, files, inspect.DumpOptions{Filter: f, Data: o.data})
		},
	}
}

func (o *txnlogOptions) dump(ctx context.Context, files inspect.Files, d inspect.DumpOptions) error {
	w := bufio.NewWriterSize(o.env.stdout, 64<<10)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	findings, err := inspect.Dump(ctx, files.Logs, d, func(e *inspect.Entry) error {
		if o.output == outputJSON {
			return enc.Encode(e)
		}
		_, err := fmt.Fprintln(w, e)
		return err
	})
	if flushed := w.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		return err
	}
	return unread(o.env.stderr, findings)
}

// unread tells on stderr what of the files could not be read, a line each, and
// returns the exit status for the gravest of it.
func unread(stderr io.Writer, findings []inspect.Finding) error {
	for _, f := range findings {
		fmt.Fprintln(stderr, "zkctl:", f)
		if f.Grade == inspect.Damage && f.Do != "" {
			fmt.Fprintf(stderr, "  try: %s\n", f.Do)
		}
	}
	return verdict(inspect.Worst(findings))
}

func txnlogVerify(env environment) *cli.Command {
	o := &txnlogOptions{env: env}
	return &cli.Command{
		Name: "verify", Usage: "check logs: checksums, contents, order and gaps, the end, digests", ArgsUsage: fileArgs,
		Description: "Exits 0 when all is whole, 3 when only the end is torn, which the next start of a server cuts, and 1 when something is damaged or missing.\n" +
			"A data directory is checked as one history, in which a snapshot may bridge a gap. The digests of the tree that logs carry\n" +
			"(from release 3.6 on) are compared with a tree that is replayed on a snapshot in the directory; the last line tells which.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "snapshot", Usage: "replay on this snapshot `FILE`, or one of this directory (repeatable)", Destination: &o.snapshots},
			&cli.BoolFlag{Name: "no-digests", Usage: "leave the digests out, which need the tree in memory", Destination: &o.noDigests},
			o.output.flag(outputTable, outputJSON, outputYAML),
		},
		Action: func(c *cli.Context) error {
			files, err := findFiles(c, storage.KindLog)
			if err != nil {
				return err
			}
			if list := o.snapshots.Value(); len(list) > 0 {
				more, err := inspect.Find(storage.KindSnapshot, list...)
				if err != nil {
					return &problem.Problem{Op: "txnlog verify", Err: err, Do: "name a snapshot with --snapshot, or a directory with some"}
				}
				files.Snapshots = more.Snapshots
			}
			r, err := inspect.VerifyLogs(c.Context, files, inspect.VerifyOptions{NoDigests: o.noDigests})
			if err != nil {
				return err
			}
			if err := o.output.print(env.stdout, r, func(w io.Writer) error { return writeLogReport(w, r, env.screen()) }); err != nil {
				return err
			}
			return verdict(r.Worst())
		},
	}
}

// verdict is the exit status for the gravest finding.
func verdict(g inspect.Grade) error {
	switch g {
	case inspect.Damage:
		return exitError(exitFailed)
	case inspect.Torn:
		return exitError(exitDegraded)
	}
	return nil
}

func writeLogReport(w io.Writer, r *inspect.LogReport, to screen) error {
	t := &table{columns: []column{{title: "FIRST"}, {title: "LAST"}, {title: "TXNS", right: true}, {title: "DIGESTS", right: true, drop: 1}, {title: "USED", right: true}, {title: "FILE"}}}
	var txns int64
	for _, f := range r.Files {
		t.add(toneNone, f.First.String(), f.Last.String(), strconv.FormatInt(f.Records, 10), strconv.FormatInt(f.Digests, 10), humanBytes(f.End), f.File)
		txns += f.Records
	}
	if _, err := t.write(w, to); err != nil {
		return err
	}
	writeFindings(w, r.Findings, to)
	if r.Digests != nil {
		fmt.Fprintln(w, digestLine(r.Digests))
	}
	_, err := fmt.Fprintf(w, "%d transactions in %s: %s\n", txns, files(len(r.Files)), judgement(r.Worst()))
	return err
}

// digestLine says which digests were compared, and why others were not.
func digestLine(d *inspect.DigestCheck) string {
	var b strings.Builder
	b.WriteString("digests: ")
	switch base := d.Base; {
	case d.Compared == 0:
		b.WriteString("none compared")
	default:
		if base == "" {
			base = "an empty tree"
		}
		fmt.Fprintf(&b, "%d compared, from %v to %v, replayed on %s: ", d.Compared, d.From, d.To, base)
		if d.Differ > 0 {
			fmt.Fprintf(&b, "%d differ", d.Differ)
		} else {
			b.WriteString("all agree")
		}
	}
	if rest := d.Unsettled + d.Skipped; rest > 0 {
		fmt.Fprintf(&b, "; %d not compared", rest)
	}
	if d.Why != "" {
		fmt.Fprintf(&b, " (%s)", d.Why)
	}
	return b.String()
}

func judgement(g inspect.Grade) string {
	switch g {
	case inspect.Damage:
		return "damaged"
	case inspect.Torn:
		return "whole but for a torn end"
	}
	return "whole"
}

func writeFindings(w io.Writer, list []inspect.Finding, to screen) {
	for _, f := range list {
		tone := toneNone
		switch f.Grade {
		case inspect.Damage:
			tone = toneBad
		case inspect.Torn:
			tone = toneWarn
		}
		fmt.Fprintln(w, to.paint(tone, f.String()))
		if f.Do != "" {
			fmt.Fprintf(w, "  try: %s\n", f.Do)
		}
	}
}

func txnlogStats(env environment) *cli.Command {
	o := &txnlogOptions{env: env}
	return &cli.Command{
		Name: "stats", Usage: "count transactions by type, path prefix and session; rates and sizes", ArgsUsage: fileArgs,
		Flags: append(o.filterFlags(),
			&cli.IntFlag{Name: "depth", Usage: "count paths by their first `N` names; 0: whole paths", Value: 2, Destination: &o.depth},
			&cli.IntFlag{Name: "top", Usage: "show the `N` greatest prefixes and sessions; 0: all", Value: 10, Destination: &o.top},
			o.output.flag(outputTable, outputJSON, outputYAML)),
		Action: func(c *cli.Context) error {
			f, err := o.filter()
			if err != nil {
				return err
			}
			files, err := findFiles(c, storage.KindLog)
			if err != nil {
				return err
			}
			s, err := inspect.Stats(c.Context, files.Logs, f, o.depth, o.top)
			if err != nil {
				return err
			}
			if err := o.output.print(env.stdout, s, func(w io.Writer) error { return writeLogStats(w, s, env.screen()) }); err != nil {
				return err
			}
			return unread(env.stderr, s.Findings)
		},
	}
}

func writeLogStats(w io.Writer, s *inspect.LogStats, to screen) error {
	if s.Txns == 0 {
		_, err := fmt.Fprintln(w, "no transactions")
		return err
	}
	const clock = "2006-01-02T15:04:05Z"
	fmt.Fprintf(w, "%d transactions, %s, %v to %v, %d failed requests\n", s.Txns, humanBytes(s.Bytes), s.First, s.Last, s.Failed)
	fmt.Fprintf(w, "%s to %s: %.1f a second, at most %d (%s)\n", s.From.Format(clock), s.To.Format(clock), s.Rate, s.Peak, s.PeakAt.Format(clock))
	for _, part := range []struct {
		title string
		list  []inspect.Count
	}{{"TYPE", s.Types}, {"PATH", s.Paths}, {"SESSION", s.Clients}} {
		t := &table{columns: []column{{title: part.title}, {title: "TXNS", right: true}, {title: "BYTES", right: true}}}
		for _, n := range part.list {
			t.add(toneNone, n.Name, strconv.FormatInt(n.Txns, 10), humanBytes(n.Bytes))
		}
		fmt.Fprintln(w)
		if _, err := t.write(w, to); err != nil {
			return err
		}
	}
	return nil
}

func txnlogCut(env environment) *cli.Command {
	o := &txnlogOptions{env: env}
	return &cli.Command{
		Name: "cut", Usage: "remove everything behind a zxid from the data directory of a stopped server", ArgsUsage: "DATADIR [DATALOGDIR]",
		Description: "What was acknowledged behind that zxid is lost. Never cut one member of an ensemble: the others may have what it loses;\n" +
			"zkctl server rejoin fetches the whole state from the leader instead. The former files are kept beside version-2.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "zxid", Usage: "the last `ZXID` to stay", Required: true, Destination: &o.to},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "say what would go, and change nothing", Destination: &o.dryRun},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do it", Destination: &o.yes},
			o.output.flag(outputTable, outputJSON, outputYAML),
		},
		Action: func(c *cli.Context) error { return o.cut(c) },
	}
}

func (o *txnlogOptions) cut(c *cli.Context) error {
	zxid, err := inspect.ParseZxid(o.to)
	switch {
	case err != nil:
		return usagef("--zxid: %w", err)
	case c.NArg() < 1 || c.NArg() > 2:
		return usagef("txnlog cut: name the data directory, and the log directory if that is another")
	case !o.yes && !o.dryRun:
		return usagef("txnlog cut loses transactions: look with --dry-run what goes, then give --yes")
	}
	r, err := inspect.Cut(c.Context, inspect.CutOptions{Zxid: zxid, Dirs: c.Args().Slice(), DryRun: o.dryRun, Now: time.Now()})
	if r == nil {
		return &problem.Problem{Op: "txnlog cut", Err: err, Do: "zkctl txnlog verify " + c.Args().First() + "; nothing was changed"}
	}
	return errors.Join(o.output.print(o.env.stdout, r, func(w io.Writer) error { return writeCutReport(w, r) }), err)
}

func writeCutReport(w io.Writer, r *inspect.CutReport) error {
	verb := "set aside"
	if r.DryRun {
		verb = "--dry-run, nothing was changed; would set aside"
	}
	fmt.Fprintf(w, "%s %d snapshots and %d logs behind %v, with %d transactions lost\n", verb, r.Snapshots, r.Logs, r.Zxid, r.Lost)
	if r.Shortened != "" {
		fmt.Fprintf(w, "shortened: %s\n", r.Shortened)
	}
	for _, path := range r.Aside {
		fmt.Fprintf(w, "kept: %s\n", path)
	}
	return nil
}
