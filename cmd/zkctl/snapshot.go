package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/inspect"
	"github.com/zkctl/zkctl/pkg/server/storage"
)

// snapshotOptions are the flags of the commands under `zkctl snapshot`.
type snapshotOptions struct {
	env              environment
	paths            cli.StringSlice
	data             bool
	depth, top       int
	zxid, dir, codec string
	output           output
}

func snapshotCommand(env environment) *cli.Command {
	return &cli.Command{
		Name: "snapshot", Category: groupHost, Usage: "look into snapshots, compare, check and make them, also those of Apache ZooKeeper",
		Subcommands: []*cli.Command{snapshotDump(env), snapshotVerify(env), snapshotDiff(env), snapshotStats(env), snapshotCreate(env)},
	}
}

func (o *snapshotOptions) pathFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "path", Usage: "only this `ZNODE` and below; * stands for one name (repeatable)", Destination: &o.paths}
}

func (o *snapshotOptions) filter() (inspect.Filter, error) {
	f := inspect.Filter{Paths: o.paths.Value()}
	if err := f.Check(); err != nil {
		return f, usagef("--path: %w", err)
	}
	return f, nil
}

// newest is the snapshot that an argument stands for: of a directory the newest.
func newest(c *cli.Context, arg string) (string, error) {
	if err := readable([]string{arg}); err != nil {
		return "", &problem.Problem{Op: commandName(c), Err: err, Do: "save it as a file snapshot.<zxid> first"}
	}
	files, err := inspect.Find(storage.KindSnapshot, arg)
	if err != nil {
		return "", notFound(c, err, "name a snapshot, or the dataDir of a zoo.cfg")
	}
	if name := filepath.Base(arg); len(files.Snapshots) == 1 && files.Snapshots[0] == arg {
		switch kind, _ := storage.ParseName(name); kind {
		case storage.KindSnapshot:
		case storage.KindLog:
			return "", &problem.Problem{Op: commandName(c), Err: fmt.Errorf("%s is named as a transaction log", arg), Do: "zkctl txnlog dump " + arg}
		default:
			return "", &problem.Problem{
				Op: commandName(c), Err: fmt.Errorf("%s is not named snapshot.<zxid>, and nothing else tells its zxid", arg),
				Do: "name it, or a link to it, snapshot. and the zxid in hexadecimal (the header last_zxid of /commands/snapshot), with .gz or .snappy if it is compressed",
			}
		}
	}
	return files.Snapshots[len(files.Snapshots)-1], nil
}

// one is the only argument's snapshot.
func one(c *cli.Context) (string, error) {
	if c.NArg() != 1 {
		return "", usagef("%s: name one snapshot, or a data directory for its newest", commandPath(c))
	}
	return newest(c, c.Args().First())
}

// unreadable adds what to try to an error about a snapshot.
func unreadable(c *cli.Context, err error) error {
	if !errors.Is(err, storage.ErrCorrupt) {
		return err
	}
	return &problem.Problem{Op: commandName(c), Err: err, Do: "name an older snapshot; zkctl snapshot verify on the data directory tells which are whole"}
}

func snapshotDump(env environment) *cli.Command {
	o := &snapshotOptions{env: env}
	return &cli.Command{
		Name: "dump", Usage: "print the znodes of a snapshot, one a line, and its sessions", ArgsUsage: "FILE | DATADIR",
		Description: "Sorted by path. With -o json one object a line: a znode has a path, a session an id.",
		Flags: []cli.Flag{
			o.pathFlag(),
			&cli.BoolFlag{Name: "data", Usage: "with the content of znodes: quoted, in JSON base64", Destination: &o.data},
			o.output.flag(outputTable, outputJSON),
		},
		Action: func(c *cli.Context) error {
			f, err := o.filter()
			if err != nil {
				return err
			}
			path, err := one(c)
			if err != nil {
				return err
			}
			return unreadable(c, o.dump(c, path, f))
		},
	}
}

func (o *snapshotOptions) dump(c *cli.Context, path string, f inspect.Filter) error {
	w := bufio.NewWriterSize(o.env.stdout, 64<<10)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	sessions, err := inspect.DumpSnapshot(c.Context, path, inspect.DumpOptions{Filter: f, Data: o.data}, func(z *inspect.Znode) error {
		if o.output == outputJSON {
			return enc.Encode(z)
		}
		_, err := fmt.Fprintln(w, z)
		return err
	})
	for _, s := range sessions {
		if o.output == outputJSON {
			err = errors.Join(err, enc.Encode(s))
			continue
		}
		fmt.Fprintf(w, "session %v timeout %dms ephemerals %d\n", s.ID, s.Timeout, s.Ephemerals)
	}
	return errors.Join(err, w.Flush())
}

func snapshotVerify(env environment) *cli.Command {
	o := &snapshotOptions{env: env}
	return &cli.Command{
		Name: "verify", Usage: "check snapshots: checksum, every znode, digest", ArgsUsage: "FILE... | DATADIR",
		Description: "Exits 0 when all are whole and 1 when one is damaged.",
		Flags:       []cli.Flag{o.output.flag(outputTable, outputJSON, outputYAML)},
		Action: func(c *cli.Context) error {
			files, err := findFiles(c, storage.KindSnapshot)
			if err != nil {
				return err
			}
			r, err := inspect.VerifySnapshots(c.Context, files.Snapshots)
			if err != nil {
				return err
			}
			if err := o.output.print(env.stdout, r, func(w io.Writer) error { return writeSnapshotReport(w, r, env.screen()) }); err != nil {
				return err
			}
			return verdict(r.Worst())
		},
	}
}

func writeSnapshotReport(w io.Writer, r *inspect.SnapshotReport, to screen) error {
	t := &table{columns: []column{{title: "ZXID"}, {title: "ZNODES", right: true}, {title: "SESSIONS", right: true}, {title: "DIGEST", drop: 1}, {title: "SIZE", right: true}, {title: "FILE"}}}
	for _, f := range r.Files {
		t.add(toneNone, f.Zxid.String(), strconv.Itoa(f.Znodes), strconv.Itoa(f.Sessions), f.Digest, humanBytes(f.Bytes), f.File)
	}
	if _, err := t.write(w, to); err != nil {
		return err
	}
	writeFindings(w, r.Findings, to)
	return nil
}

func snapshotDiff(env environment) *cli.Command {
	o := &snapshotOptions{env: env}
	return &cli.Command{
		Name: "diff", Usage: "tell which znodes and sessions a second snapshot has more, less or other", ArgsUsage: "OLD NEW",
		Description: "Each is a file, or a data directory for its newest snapshot. Exits 0 when they are equal and 3 when not.",
		Flags:       []cli.Flag{o.pathFlag(), o.output.flag(outputTable, outputJSON, outputYAML)},
		Action:      func(c *cli.Context) error { return o.diff(c) },
	}
}

func (o *snapshotOptions) diff(c *cli.Context) error {
	f, err := o.filter()
	if err != nil {
		return err
	}
	if c.NArg() != 2 {
		return usagef("snapshot diff: name two snapshots")
	}
	older, err := newest(c, c.Args().Get(0))
	if err != nil {
		return err
	}
	newer, err := newest(c, c.Args().Get(1))
	if err != nil {
		return err
	}
	d, err := inspect.Diff(c.Context, older, newer, f)
	if err != nil {
		return unreadable(c, err)
	}
	if err := o.output.print(o.env.stdout, d, func(w io.Writer) error { return writeDiff(w, d) }); err != nil {
		return err
	}
	if len(d.Changes)+len(d.SessionsAdded)+len(d.SessionsRemoved) > 0 {
		return exitError(exitDegraded)
	}
	return nil
}

func writeDiff(w io.Writer, d *inspect.SnapshotDiff) error {
	for _, x := range d.Changes {
		switch {
		case x.Old == nil:
			fmt.Fprintf(w, "+ %v\n", x.New)
		case x.New == nil:
			fmt.Fprintf(w, "- %v\n", x.Old)
		default:
			fmt.Fprintf(w, "~ %s: %s; %dB -> %dB, version %d -> %d, mzxid %v -> %v\n", x.Path, strings.Join(x.Fields, " "),
				x.Old.DataBytes, x.New.DataBytes, x.Old.Version, x.New.Version, x.Old.Mzxid, x.New.Mzxid)
		}
	}
	for _, s := range d.SessionsAdded {
		fmt.Fprintf(w, "+ session %v timeout %dms ephemerals %d\n", s.ID, s.Timeout, s.Ephemerals)
	}
	for _, s := range d.SessionsRemoved {
		fmt.Fprintf(w, "- session %v timeout %dms ephemerals %d\n", s.ID, s.Timeout, s.Ephemerals)
	}
	_, err := fmt.Fprintf(w, "%d znodes added, %d removed, %d changed; %d sessions added, %d removed\n",
		d.Added, d.Removed, d.Changed, len(d.SessionsAdded), len(d.SessionsRemoved))
	return err
}

func snapshotStats(env environment) *cli.Command {
	o := &snapshotOptions{env: env}
	return &cli.Command{
		Name: "stats", Usage: "show what takes the room in a snapshot: prefixes, biggest znodes, sessions", ArgsUsage: "FILE | DATADIR",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "depth", Usage: "sum up paths by their first `N` names", Value: 1, Destination: &o.depth},
			&cli.IntFlag{Name: "top", Usage: "show the `N` greatest of each kind; 0: all", Value: 10, Destination: &o.top},
			o.output.flag(outputTable, outputJSON, outputYAML),
		},
		Action: func(c *cli.Context) error {
			path, err := one(c)
			if err != nil {
				return err
			}
			s, err := inspect.StatSnapshot(c.Context, path, o.depth, o.top)
			if err != nil {
				return unreadable(c, err)
			}
			return o.output.print(env.stdout, s, func(w io.Writer) error { return writeSnapshotStats(w, s, env.screen()) })
		},
	}
}

func writeSnapshotStats(w io.Writer, s *inspect.SnapshotStats, to screen) error {
	fmt.Fprintf(w, "%s: %d znodes, %d of them ephemeral; %s of data, %s of paths; %d sessions\n",
		s.File, s.Znodes, s.Ephemerals, humanBytes(s.DataBytes), humanBytes(s.PathBytes), s.Sessions)
	subtrees := &table{columns: []column{{title: "PATH"}, {title: "ZNODES", right: true}, {title: "BYTES", right: true}}}
	for _, x := range s.Subtrees {
		subtrees.add(toneNone, x.Path, strconv.FormatInt(x.Znodes, 10), humanBytes(x.Bytes))
	}
	biggest := &table{columns: []column{{title: "BIGGEST"}, {title: "DATA", right: true}}}
	for _, z := range s.Biggest {
		biggest.add(toneNone, z.Path, humanBytes(int64(z.DataBytes)))
	}
	widest := &table{columns: []column{{title: "WIDEST"}, {title: "CHILDREN", right: true}}}
	for _, z := range s.Widest {
		widest.add(toneNone, z.Path, strconv.Itoa(z.Children))
	}
	sessions := &table{columns: []column{{title: "SESSION"}, {title: "EPHEMERALS", right: true}, {title: "TIMEOUT", right: true}}}
	for _, x := range s.Owners {
		sessions.add(toneNone, x.ID.String(), strconv.Itoa(x.Ephemerals), fmt.Sprintf("%dms", x.Timeout))
	}
	for _, t := range []*table{subtrees, biggest, widest, sessions} {
		fmt.Fprintln(w)
		if _, err := t.write(w, to); err != nil {
			return err
		}
	}
	return nil
}

func snapshotCreate(env environment) *cli.Command {
	o := &snapshotOptions{env: env}
	return &cli.Command{
		Name: "create", Usage: "make a snapshot from an older one and the logs after it", ArgsUsage: "DATADIR [DATALOGDIR]",
		Description: "Of the newest state, or of the state at an earlier zxid; the digests in the logs are compared on the way.\n" +
			"Exits 3 when a snapshot was made of what stands before a torn end of the logs; damage anywhere else is refused.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "zxid", Usage: "of the state after this `ZXID` (default: the last there is)", Destination: &o.zxid},
			&cli.StringFlag{Name: "to", Usage: "write it into `DIR`", Required: true, Destination: &o.dir},
			&cli.StringFlag{Name: "compress", Usage: "compress it as `KIND`: gz or snappy", Destination: &o.codec, Action: func(_ *cli.Context, v string) error {
				if v != string(storage.Gzip) && v != string(storage.Snappy) {
					return usagef("--compress %q: gz or snappy", v)
				}
				return nil
			}},
			o.output.flag(outputTable, outputJSON, outputYAML),
		},
		Action: func(c *cli.Context) error { return o.create(c) },
	}
}

func (o *snapshotOptions) create(c *cli.Context) error {
	files, err := findFiles(c, storage.KindOther)
	if err != nil {
		return err
	}
	if !files.Dir {
		return usagef("snapshot create: name the data directory, and the log directory if that is another")
	}
	opts := inspect.CreateOptions{Files: files, Dir: o.dir, Compression: storage.Compression(o.codec)}
	if o.zxid != "" {
		zxid, err := inspect.ParseZxid(o.zxid)
		if err != nil {
			return usagef("--zxid: %w", err)
		}
		opts.Zxid = &zxid
	}
	made, err := inspect.Create(c.Context, opts)
	if err != nil {
		return &problem.Problem{Op: "snapshot create", Err: err, Do: "zkctl txnlog verify " + c.Args().First() + " tells how far the logs lead; --zxid stops before"}
	}
	err = o.output.print(o.env.stdout, made, func(w io.Writer) error {
		base := made.Base
		if base == "" {
			base = "an empty tree"
		}
		_, err := fmt.Fprintf(w, "%s: %d znodes at %v, %s; %d transactions on top of %s\n", made.File, made.Znodes, made.Zxid, humanBytes(made.Bytes), made.Replayed, base)
		if made.Mismatches > 0 {
			fmt.Fprintf(w, "warning: after %d transactions the digest differed from the one in the log\n", made.Mismatches)
		}
		return err
	})
	if err != nil {
		return err
	}
	return unread(o.env.stderr, made.Findings)
}
