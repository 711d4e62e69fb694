package purge

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// MinKeep is the fewest snapshots a purge keeps, as with Apache.
const MinKeep = 3

// ErrKeep: asked to keep fewer snapshots than [MinKeep].
var ErrKeep = errors.New("too few snapshots to keep")

// Job is a purge of one server's directories. A Job is only read, so it may be
// used from many goroutines.
type Job struct {
	DataDir string // as in zoo.cfg, the directory above version-2
	LogDir  string // dataLogDir of zoo.cfg; "": DataDir
	Keep    int    // valid snapshots to keep, at least MinKeep
	// Check reads a snapshot in full, as a server would load it, and tells what is
	// wrong with it. A snapshot that fails does not count as valid. Nil: only the
	// first and last bytes are looked at, as Apache does.
	Check func(path string) error
	// NoWait: when another purge works on DataDir, give up with ErrLocked at once
	// instead of waiting for it.
	NoWait bool

	// around, when set, is what each removal of a file and each sync of a directory
	// goes through; tests make them fail there.
	around func(op, name string, act func() error) error
}

func (j Job) step(op, name string, act func() error) error {
	if j.around == nil {
		return act()
	}
	return j.around(op, name, act)
}

// Rejected is a snapshot that does not count as valid, and why.
type Rejected struct {
	File
	Err error
}

// Plan is what a purge would do.
type Plan struct {
	Keep   []File     // the valid snapshots that stay, and the logs from the oldest of them on; oldest first
	Remove []File     // in the order of removal
	Broken []Rejected // snapshots that failed a test; newer than the oldest kept, so they stay
	Others []string   // paths of names in version-2 that are no business of a purge
	// Nothing says why Remove is empty; "" when it is not.
	Nothing string
}

// Bytes is how much disk space the plan frees.
func (p Plan) Bytes() int64 {
	var n int64
	for _, f := range p.Remove {
		n += f.Disk
	}
	return n
}

// Plan looks at the directories and decides what may go. It changes nothing and
// takes no lock.
func (j Job) Plan() (Plan, error) {
	if j.Keep < MinKeep {
		return Plan{}, fmt.Errorf("keep %d: %w, the fewest is %d", j.Keep, ErrKeep, MinKeep)
	}
	var p Plan
	snapshots, logs, err := j.collect(&p)
	if err != nil {
		return Plan{}, err
	}
	p.choose(filepath.Join(j.DataDir, versionDir), j.Keep, snapshots, logs, func(f File) error { return j.test(f.Path) })
	return p, nil
}

// Choose is the rule of the package comment for files that are listed elsewhere than
// in a directory of the operating system, in dir: keep is how many snapshots that pass
// the test stay, at least [MinKeep]; both lists are by ascending zxid. The files to
// remove are in the order in which they must go.
func Choose(dir string, keep int, snapshots, logs []File, test func(File) error) Plan {
	var p Plan
	p.choose(dir, max(keep, MinKeep), snapshots, logs, test)
	return p
}

func (p *Plan) choose(dir string, keep int, snapshots, logs []File, test func(File) error) {
	valid := p.pickValid(keep, snapshots, test)
	if len(valid) < keep {
		p.Keep = append(slices.Clone(valid), logs...)
		p.Nothing = fmt.Sprintf("%d valid snapshots in %s, and %d are to be kept", len(valid), dir, keep)
		return
	}
	p.divide(valid, snapshots, logs)
	if len(p.Remove) == 0 {
		p.Nothing = fmt.Sprintf("nothing is older than the %d snapshots to be kept and their logs", keep)
	}
}

func (j Job) logDir() string {
	if j.LogDir == "" {
		return j.DataDir
	}
	return j.LogDir
}

// collect lists the snapshots in DataDir and the logs in LogDir. A log in a
// DataDir that is not LogDir is no business of a purge, nor is the reverse.
func (j Job) collect(p *Plan) (snapshots, logs []File, err error) {
	inData, others, err := list(j.DataDir)
	if err != nil {
		return nil, nil, err
	}
	p.Others = others
	snapshots, misplaced := split(inData, Snapshot)
	if filepath.Clean(j.logDir()) == filepath.Clean(j.DataDir) {
		logs, _ = split(inData, Log)
		return snapshots, logs, nil
	}
	inLog, others, err := list(j.logDir())
	if err != nil {
		return nil, nil, err
	}
	logs, misplacedToo := split(inLog, Log)
	p.Others = slices.Concat(p.Others, misplaced, others, misplacedToo)
	return snapshots, logs, nil
}

func list(dir string) ([]File, []string, error) {
	files, others, err := scan(filepath.Join(dir, versionDir))
	if errors.Is(err, fs.ErrNotExist) {
		advice := "is this the directory that zoo.cfg names, and has a server run there?"
		if filepath.Base(dir) == versionDir {
			advice = "name the directory above " + versionDir
		}
		return nil, nil, fmt.Errorf("purge %s: %w; %s", dir, err, advice)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("purge %s: %w", dir, err)
	}
	return files, others, nil
}

// pickValid finds the newest snapshots that pass the test, at most keep; oldest first.
func (p *Plan) pickValid(keep int, snapshots []File, test func(File) error) []File {
	var valid []File
	for _, f := range slices.Backward(snapshots) {
		if len(valid) == keep {
			break
		}
		if err := test(f); err != nil {
			p.Broken = append(p.Broken, Rejected{f, err})
			continue
		}
		valid = append(valid, f)
	}
	slices.Reverse(valid)
	slices.Reverse(p.Broken)
	return valid
}

func (j Job) test(path string) error {
	if err := quickTest(path); err != nil || j.Check == nil {
		return err
	}
	return j.Check(path)
}

// divide applies the rule of the package comment.
func (p *Plan) divide(valid, snapshots, logs []File) {
	oldest := valid[0].Zxid
	for _, f := range snapshots {
		if f.Zxid < oldest {
			p.Remove = append(p.Remove, f)
		}
	}
	var first uint64 // the log that holds what comes after the oldest snapshot
	for _, f := range logs {
		if f.Zxid <= oldest {
			first = f.Zxid
		}
	}
	p.Keep = slices.Clone(valid)
	for _, f := range logs {
		if f.Zxid < first {
			p.Remove = append(p.Remove, f)
		} else {
			p.Keep = append(p.Keep, f)
		}
	}
}
