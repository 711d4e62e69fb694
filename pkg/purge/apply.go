package purge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ErrChanged: what a plan keeps is no longer there, so nothing was removed.
var ErrChanged = errors.New("the directory changed since the purge was planned")

// Skipped is a file that stayed although the plan removes it, and why.
type Skipped struct {
	File
	Reason string
}

// Result is what a purge did.
type Result struct {
	Removed []File    // gone, in the order of removal
	Skipped []Skipped // still there
}

// Bytes is how much disk space was freed.
func (r Result) Bytes() int64 { return Plan{Remove: r.Removed}.Bytes() }

// Run plans and applies under one lock: what a schedule calls.
func (j Job) Run(ctx context.Context) (Plan, Result, error) {
	unlock, err := j.lock(ctx)
	if err != nil {
		return Plan{}, Result{}, err
	}
	defer unlock()
	p, err := j.Plan()
	if err != nil {
		return Plan{}, Result{}, err
	}
	r, err := j.remove(ctx, p)
	return p, r, err
}

// Apply removes what the plan says, after it has made sure that the files the
// plan keeps are still there and valid. Files that are gone already, changed, or
// open in a process are skipped. A file that cannot be removed does not stop the
// rest; the error joins all of them. Cancelling ctx stops between two files.
func (j Job) Apply(ctx context.Context, p Plan) (Result, error) {
	if len(p.Remove) == 0 {
		return Result{}, nil
	}
	unlock, err := j.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	if err := stillKept(p); err != nil {
		return Result{}, err
	}
	return j.remove(ctx, p)
}

// stillKept looks again at the snapshots to be kept. Logs may grow meanwhile.
func stillKept(p Plan) error {
	for _, f := range p.Keep {
		info, err := os.Lstat(f.Path)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrChanged, err)
		}
		if !os.SameFile(info, f.info) {
			return fmt.Errorf("%w: %s is another file", ErrChanged, f.Path)
		}
		if f.Kind != Snapshot {
			continue
		}
		if err := quickTest(f.Path); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrChanged, f.Path, err)
		}
	}
	return nil
}

// remove deletes in the plan's order, snapshots before logs, and makes each
// directory durable before it goes on to the next.
func (j Job) remove(ctx context.Context, p Plan) (Result, error) {
	var r Result
	var errs []error
	inUse := openFiles(p.Remove)
	for _, kind := range []Kind{Snapshot, Log} {
		batch := slices.DeleteFunc(slices.Clone(p.Remove), func(f File) bool { return f.Kind != kind })
		dir := filepath.Join(j.DataDir, versionDir)
		if kind == Log {
			dir = filepath.Join(j.logDir(), versionDir)
			if len(batch) == 0 {
				continue
			}
		}
		// Without snapshots to remove, those that an earlier run removed may still
		// come back: the directory is synced before logs go.
		errs = append(errs, j.removeFrom(ctx, dir, batch, inUse, &r))
		// A log must outlive the snapshots that need it.
		if kind == Snapshot && (errors.Join(errs...) != nil || len(r.Skipped) > 0) {
			r.keepLogs(p)
			break
		}
	}
	return r, errors.Join(errs...)
}

// keepLogs leaves the logs alone because an older snapshot stays.
func (r *Result) keepLogs(p Plan) {
	for _, f := range p.Remove {
		if f.Kind == Log {
			r.Skipped = append(r.Skipped, Skipped{f, "an older snapshot stays"})
		}
	}
}

// removeFrom works inside the opened directory, so that no link put in its place
// can lead elsewhere.
func (j Job) removeFrom(ctx context.Context, dir string, batch []File, inUse map[string]string, r *Result) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	defer root.Close()
	var errs []error
	for _, f := range batch {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("purge stopped before %s: %w", f.Path, context.Cause(ctx)))
			break
		}
		if reason := unsafe(root, f, inUse); reason != "" {
			r.Skipped = append(r.Skipped, Skipped{f, reason})
			continue
		}
		err := j.step("remove", f.Path, func() error { return root.Remove(f.Name()) })
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("purge %s: %w; check who owns %s", f.Path, err, dir))
			continue
		}
		r.Removed = append(r.Removed, f)
	}
	errs = append(errs, j.step("syncdir", dir, func() error { return syncDir(dir) }))
	return errors.Join(errs...)
}

// unsafe says why a file must stay; "" when it may go.
func unsafe(root *os.Root, f File, inUse map[string]string) string {
	if user := inUse[f.Path]; user != "" {
		return "it is open in " + user
	}
	info, err := root.Lstat(f.Name())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return ""
	case err != nil:
		return err.Error()
	case !info.Mode().IsRegular() || !os.SameFile(info, f.info) || info.Size() != f.Size || !info.ModTime().Equal(f.info.ModTime()):
		return "it changed since the purge was planned"
	}
	return ""
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("purge: sync %s: %w", dir, err)
	}
	return nil
}

// Every runs the job at once and then each interval until ctx ends, as Apache's
// autopurge does (DatadirCleanupManager.java). Report hears of every run, from
// the calling goroutine; an error does not end the schedule.
func (j Job) Every(ctx context.Context, interval time.Duration, report func(Plan, Result, error)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		report(j.Run(ctx))
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
