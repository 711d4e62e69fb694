package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// effect is how much of a step is done that fails.
type effect int

const (
	effectNone effect = iota
	effectHalf        // of a write; nothing of another step
	effectAll
)

// fault is what becomes of one step.
type fault struct {
	err    error
	effect effect
	stays  bool // every later step fails as well
}

// inode tells files of one directory apart, whatever their names.
func inode(t *testing.T, name string) uint64 {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return st.Sys().(*syscall.Stat_t).Ino
}

// faulty is a directory in which the step number nth fails. It keeps account of
// what the disk is sure to have: contents after a sync of the file, names after one
// of the directory.
type faulty struct {
	t      *testing.T
	dir    string
	nth    int
	fault  fault
	steps  int
	hit    string            // the step that failed
	synced map[uint64]string // contents
	sure   map[string]string // contents by name
}

func newFaulty(t *testing.T, dir string, nth int, f fault) *faulty {
	d := &faulty{t: t, dir: dir, nth: nth, fault: f, synced: map[uint64]string{}}
	d.sure = d.now()
	for name, text := range d.sure {
		d.synced[inode(t, filepath.Join(dir, name))] = text
	}
	return d
}

// now is what the directory holds.
func (d *faulty) now() map[string]string {
	d.t.Helper()
	files := map[string]string{}
	for name := range strings.FieldsSeq(names(d.t, d.dir)) {
		files[name] = string(read(d.t, filepath.Join(d.dir, name)))
	}
	return files
}

// unsynced is what it holds when the names are on the disk, and of the contents only
// what was synced.
func (d *faulty) unsynced() map[string]string {
	files := d.now()
	for name := range files {
		files[name] = d.synced[inode(d.t, filepath.Join(d.dir, name))]
	}
	return files
}

// becomes puts the directory in another state.
func (d *faulty) becomes(files map[string]string) {
	d.t.Helper()
	for name := range d.now() {
		if err := os.Remove(filepath.Join(d.dir, name)); err != nil {
			d.t.Fatal(err)
		}
	}
	for name, text := range files {
		write(d.t, filepath.Join(d.dir, name), text)
	}
}

func (d *faulty) around(op, name string, act func() error) error {
	n := d.steps
	d.steps++
	if n == d.nth || n > d.nth && d.fault.stays {
		if n == d.nth {
			d.hit = op + " " + filepath.Base(name)
		}
		return d.fail(op, name, act)
	}
	err := act()
	if err == nil {
		d.done(op, name)
	}
	return err
}

// fail does what a step does before it fails. What it synced is not sure.
func (d *faulty) fail(op, name string, act func() error) error {
	half := d.fault.effect == effectHalf && op == "write"
	if d.fault.effect == effectAll || half {
		if err := act(); err != nil {
			d.t.Fatal(err)
		}
	}
	if op == "create" && d.fault.effect == effectAll {
		d.done(op, name)
	}
	if half {
		if err := os.Truncate(name, int64(len(read(d.t, name))/2)); err != nil {
			d.t.Fatal(err)
		}
	}
	return &fs.PathError{Op: op, Path: name, Err: d.fault.err}
}

func (d *faulty) done(op, name string) {
	switch op {
	case "create":
		d.synced[inode(d.t, name)] = "" // of another file, maybe, that had the number
	case "sync":
		d.synced[inode(d.t, name)] = string(read(d.t, name))
	case "syncdir":
		d.sure = d.unsynced()
	}
}

// TestEveryStepOfMembershipFails lets each step of keeping and of activating a member
// list fail, in each way, and then starts a server in each state that the disk may be
// in: it has one of the lists, whole, the new one when that was said to be in
// force; and doing it again leads to where it would have led.
func TestEveryStepOfMembershipFails(t *testing.T) {
	for _, f := range []fault{
		{syscall.EIO, effectNone, false},
		{syscall.EIO, effectHalf, false},
		{syscall.EIO, effectAll, false},
		{syscall.EIO, effectNone, true}, // as the power gone
		{syscall.ENOSPC, effectHalf, true},
	} {
		t.Run(fmt.Sprintf("%v, effect %d, stays %t", f.err, f.effect, f.stays), func(t *testing.T) {
			for nth := 0; failStep(t, nth, f); nth++ {
				if nth > 100 {
					t.Fatal("there is no end")
				}
			}
		})
	}
}

// failStep tells whether there was such a step.
func failStep(t *testing.T, nth int, f fault) bool {
	file := ensembleFile(t)
	before, next := started(t, file).QuorumText(), members(t, plainThree)
	d := newFaulty(t, filepath.Dir(file), nth, f)
	w := writer{around: d.around}
	kept := w.writeNext(file, next)
	activated := w.activate(file, next, 1) // the log has what could not be kept
	for _, err := range []error{kept, activated} {
		if err != nil && (!errors.Is(err, f.err) || !strings.Contains(err.Error(), d.dir)) {
			t.Fatalf("%s failed: %v", d.hit, err)
		}
	}
	if d.hit == "" && errors.Join(kept, activated) != nil || d.hit != "" && errors.Join(kept, activated) == nil {
		t.Fatalf("%q failed, and %v, %v", d.hit, kept, activated)
	}
	for after, files := range map[string]map[string]string{
		"the process": d.now(), "the power, nothing unsynced left": d.sure, "the power, names left": d.unsynced(),
	} {
		d.becomes(files)
		at := fmt.Sprintf("step %d, %s failed, then %s ended: ", nth, d.hit, after)
		got := started(t, file).QuorumText()
		if got != plainThree && (got != before || activated == nil) {
			t.Errorf("%sa start reads\n%s", at, got)
		}
		if m, ok, err := ReadNextMembership(file); err != nil || ok && m.Text() != plainThree || !ok && got != plainThree && kept == nil {
			t.Errorf("%sthe proposed list is %v %t %v", at, m, ok, err)
		}
		if err := ActivateMembership(file, next, 1); err != nil {
			t.Fatalf("%sagain: %v", at, err)
		}
		left := slices.DeleteFunc(slices.Sorted(maps.Keys(d.now())), func(name string) bool { return strings.HasSuffix(name, ".tmp") })
		if got := strings.Join(left, " "); got != "myid zoo.cfg zoo.cfg.bak zoo.cfg.dynamic.100000000" || started(t, file).QuorumText() != plainThree {
			t.Errorf("%safter it was done again there are %s", at, got)
		}
	}
	return d.hit != ""
}
