package inspect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// CutOptions say what Cut does.
type CutOptions struct {
	Zxid   Zxid     // the last one to stay
	Dirs   []string // dataDir, and dataLogDir when it is another
	DryRun bool
	Now    time.Time // names the directory of what goes
	FS     disk.FS   // nil is the operating system's
}

// CutReport is what was done.
type CutReport struct {
	Zxid      Zxid     `json:"zxid"` // the last one that is left
	DryRun    bool     `json:"dry_run"`
	Snapshots int      `json:"snapshots"` // set aside
	Logs      int      `json:"logs"`      // set aside, whole
	Shortened string   `json:"shortened"` // the log file that now ends with Zxid; "" when none had to be
	Lost      int64    `json:"lost"`      // whole transactions that are behind Zxid
	Aside     []string `json:"aside"`     // where the former files are; moving them back undoes the cut
}

// Cut removes everything behind a zxid from the data directory of a server that
// does not run: logs and snapshots. Nothing is deleted: the former files are set
// aside. It refuses, and changes nothing, unless the snapshots and logs up to the
// zxid lead to exactly it.
func Cut(ctx context.Context, o CutOptions) (*CutReport, error) {
	fsys := o.FS
	if fsys == nil {
		fsys = disk.OS{}
	}
	dirs, err := homes(fsys, o.Dirs...)
	if err != nil {
		return nil, err
	}
	release, err := hold(fsys, dirs)
	if err != nil {
		return nil, err
	}
	defer release()
	files, err := findOn(fsys, storage.KindOther, dirs...)
	if err != nil {
		return nil, err
	}
	if err := noIntent(fsys, files); err != nil {
		return nil, err
	}
	p, err := planCut(ctx, fsys, files, o.Zxid)
	if err != nil {
		return nil, err
	}
	r := &CutReport{Zxid: o.Zxid, DryRun: o.DryRun, Snapshots: len(p.snapshots), Logs: len(p.logs), Shortened: p.shorten, Lost: p.lost, Aside: []string{}}
	if o.DryRun {
		return r, nil
	}
	a := newAside(fsys, "cut", o.Now)
	for _, dir := range dirs {
		p.dirs = append(p.dirs, filepath.Join(dir, storage.VersionDir))
	}
	err = p.carryOut(a, o.Zxid)
	r.Aside = append(r.Aside, a.Moved...)
	return r, err
}

// noIntent refuses a directory that the next start of our server would still
// change.
func noIntent(fsys disk.FS, files Files) error {
	for _, path := range append(files.Snapshots, files.Logs...) {
		at := filepath.Join(filepath.Dir(path), storage.IntentName)
		if _, err := fsys.Stat(at); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there: a truncation was interrupted, which the server's next start ends; start it once before", at)
		}
	}
	return nil
}

// cutPlan is what has to happen, in this order.
type cutPlan struct {
	snapshots []string // newest first
	logs      []string // newest first
	shorten   string
	lost      int64
	dirs      []string // version-2 of each
}

func planCut(ctx context.Context, fsys disk.FS, files Files, zxid Zxid) (*cutPlan, error) {
	p := &cutPlan{}
	for i := len(files.Snapshots) - 1; i >= 0; i-- {
		if nameOf(files.Snapshots[i]).zxid > int64(zxid) {
			p.snapshots = append(p.snapshots, files.Snapshots[i])
		}
	}
	c := chain{fs: fsys, goal: int64(zxid)}
	if err := c.follow(ctx, files); err != nil {
		return nil, fmt.Errorf("cannot cut behind %v: %w", zxid, err)
	}
	for i := len(files.Logs) - 1; i >= 0; i-- {
		path := files.Logs[i]
		before, after, dirty, err := split(ctx, fsys, path, int64(zxid))
		switch {
		case err != nil:
			return nil, err
		case before == 0 && (after > 0 || dirty || nameOf(path).zxid > int64(zxid)):
			p.logs = append(p.logs, path)
		case after > 0 || dirty:
			if p.shorten != "" {
				return nil, fmt.Errorf("both %s and %s go beyond %v: these logs are no one history", path, p.shorten, zxid)
			}
			p.shorten = path
		}
		p.lost += after
	}
	return p, nil
}

// split counts a file's transactions up to zxid and behind it; dirty tells that
// there is damage behind the last good one.
func split(ctx context.Context, fsys disk.FS, path string, zxid int64) (before, after int64, dirty bool, err error) {
	err = eachRecordOn(ctx, fsys, path, func(_ int64, rec storage.Record) error {
		if rec.Zxid <= zxid {
			before++
		} else {
			after++
		}
		return nil
	})
	if errors.Is(err, storage.ErrCorrupt) {
		return before, after, true, nil
	}
	return before, after, false, err
}

// carryOut can stop after any step: what is left is a history up to somewhere
// between zxid and the former end.
func (p *cutPlan) carryOut(a *aside, zxid Zxid) error {
	short := ""
	if p.shorten != "" {
		short = filepath.Join(filepath.Dir(p.shorten), "partial."+filepath.Base(p.shorten))
		_ = a.fs.Remove(short) // of an attempt before; CopyLog tells when it is still there
		if _, err := storage.CopyLog(a.fs, p.shorten, short, int64(zxid)); err != nil {
			return err
		}
	}
	if err := p.forgetReached(a.fs); err != nil {
		return err
	}
	for _, path := range append(p.snapshots, p.logs...) {
		if err := a.move(path); err != nil {
			return fmt.Errorf("set %s aside: %w", path, err)
		}
	}
	if short == "" {
		return nil
	}
	to, err := a.prepare(p.shorten)
	if err == nil {
		err = a.fs.Link(p.shorten, to) // so that the name is never without a file
	}
	if err == nil {
		err = a.fs.SyncDir(filepath.Dir(to))
	}
	if err == nil {
		err = a.fs.Rename(short, p.shorten)
	}
	if err != nil {
		return fmt.Errorf("shorten %s: %w", p.shorten, err)
	}
	return a.moved(p.shorten, to)
}

// forgetReached removes what says that the files that are to go must be there.
func (p *cutPlan) forgetReached(fsys disk.FS) error {
	for _, dir := range p.dirs {
		err := fsys.Remove(filepath.Join(dir, storage.ReachedName))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err = errors.Join(err, fsys.SyncDir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// chain finds out whether snapshots and logs lead to a zxid.
type chain struct {
	fs   disk.FS
	goal int64
	last int64
	any  bool
}

var errReached = errors.New("reached")

func (c *chain) follow(ctx context.Context, files Files) error {
	for i := len(files.Snapshots) - 1; i >= 0 && !c.any; i-- {
		path := files.Snapshots[i]
		if at := nameOf(path).zxid; at <= c.goal && storage.VerifySnapshotOn(c.fs, path) == nil {
			c.last, c.any = at, true
		}
	}
	for _, path := range files.Logs {
		err := eachRecordOn(ctx, c.fs, path, func(_ int64, rec storage.Record) error { return c.record(rec.Zxid) })
		if errors.Is(err, errReached) {
			return nil
		}
		if err != nil && !errors.Is(err, storage.ErrCorrupt) { // what damage hides is missed below
			return err
		}
	}
	switch {
	case !c.any:
		return errors.New("there is no whole snapshot up to it, and no log from the start")
	case c.last != c.goal:
		return fmt.Errorf("snapshots and logs lead to %v only; cut there, or at an earlier zxid that zkctl txnlog dump shows", Zxid(c.last))
	}
	return nil
}

func (c *chain) record(zxid int64) error {
	switch {
	case c.any && c.last == c.goal:
		return errReached
	case !c.any && (zxid == 1 || zxid == 1<<32|1):
		c.any = true
	case !c.any:
		return fmt.Errorf("there is no whole snapshot up to it, and the log starts with %v", Zxid(zxid))
	case zxid <= c.last:
		return nil
	case !storage.Follows(c.last, zxid) || zxid > c.goal:
		return fmt.Errorf("the log goes on with %v after %v", Zxid(zxid), Zxid(c.last))
	}
	c.last = zxid
	return nil
}
