package storage

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// reachedName is the file in a version-2 directory that tells whether files are
// missing: what is not there has no checksum.
const reachedName = "zkctl.reached"

// ReachedName is the file in a version-2 directory that says which history its files
// have to reach. Who takes files away on purpose takes it away, too.
const ReachedName = reachedName

const reachedLimit = 1 << 20 // bytes of it that are read

// reached says what is on the disk at least: the history up to last, and the log file
// that was begun behind it. Any epoch may follow any other without a gap that could be
// seen, so it keeps, for each log file that begins an epoch, what came before.
//
//	0x100000009 log.200000001
//	log.100000001 after 0x0
//	log.200000001 after 0x100000009
type reached struct {
	last  int64
	log   int64 // first zxid of the file; 0 is none
	after []afterwards
}

type afterwards struct{ log, last int64 }

func (r reached) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "0x%x", r.last)
	if r.log != 0 {
		fmt.Fprintf(&b, " %s", LogName(r.log))
	}
	for _, a := range r.after {
		fmt.Fprintf(&b, "\n%s after 0x%x", LogName(a.log), a.last)
	}
	return b.String()
}

func parseReached(text string) (r reached, err error) {
	for i, line := range strings.Split(text, "\n") {
		var a afterwards
		switch {
		case i > 0:
			_, err = fmt.Sscanf(line, "log.%x after 0x%x", &a.log, &a.last)
			r.after = append(r.after, a)
		case strings.Contains(line, " "):
			_, err = fmt.Sscanf(line, "0x%x log.%x", &r.last, &r.log)
		default:
			_, err = fmt.Sscanf(line, "0x%x", &r.last)
		}
		if err != nil {
			return reached{}, fmt.Errorf("%w: line %d is %q", ErrCorrupt, i+1, line)
		}
	}
	return r, nil
}

func (s *Store) reachedPath() string { return filepath.Join(s.snapDir, reachedName) }

func (s *Store) readReached() (r reached, found bool, err error) {
	b, err := disk.ReadFile(s.fs, s.reachedPath(), reachedLimit)
	if notExist(err) {
		return reached{}, false, nil
	}
	if err != nil {
		return reached{}, false, fmt.Errorf("read: %w", err)
	}
	text, guarded, err := unguard(reachedName, b)
	if err == nil && !guarded {
		err = fmt.Errorf("%w: it has no checksum", ErrCorrupt)
	}
	if err == nil {
		r, err = parseReached(text)
	}
	if err != nil {
		return reached{}, true, fmt.Errorf("%s: %w; %s", s.reachedPath(), err, wayOut)
	}
	return r, true, nil
}

// wayOut is what is left to do when files cannot be trusted.
const wayOut = "restore a backup, or, in an ensemble, let this server copy the state from the leader: zkctl server rejoin"

// onPurpose is the way out when files are missing.
func (s *Store) onPurpose() string {
	return fmt.Sprintf("if they went on purpose, remove %s; else %s", s.reachedPath(), wayOut)
}

// reach makes it durable that the history up to last is on the disk, and, when log is
// not 0, a file of that name with nothing but its header.
func (s *Store) reach(last, log int64) error {
	r := reached{last: max(last, 0), log: log}
	_, logs, err := s.list()
	if err != nil {
		return err
	}
	for _, a := range s.reached.after {
		if a.log <= last && a.log != log && slices.ContainsFunc(logs, func(f NamedFile) bool { return f.Zxid == a.log }) {
			r.after = append(r.after, a)
		}
	}
	if log&0xffffffff == 1 {
		r.after = append(r.after, afterwards{log, r.last})
	}
	s.reached = r
	if err := disk.WriteAtomic(s.fs, s.reachedPath(), guard(reachedName, r.String()), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", s.reachedPath(), err)
	}
	return nil
}

// loadReached reads the file; what it asks for counts unless another server has gone
// on with the directory.
func (s *Store) loadReached() error {
	r, found, err := s.readReached()
	s.reached = r
	if err != nil || !found || !s.othersWrote() {
		return err
	}
	s.reached.last, s.reached.log = 0, 0
	if err := s.fs.Remove(s.reachedPath()); err != nil {
		return fmt.Errorf("remove %s: %w", s.reachedPath(), err)
	}
	return s.fs.SyncDir(s.snapDir)
}

// othersWrote tells whether an Apache server has been at work: it may have cut the log
// at its leader's word, but not without writing one of the epochs.
func (s *Store) othersWrote() bool {
	for _, name := range []string{acceptedName, currentName} {
		if e, err := s.readEpoch(name); err == nil && e.found && !e.guarded {
			return true
		}
	}
	return false
}

// reaches refuses a history that ends before what is known to have been there.
func (p *replay) reaches(logs []NamedFile) error {
	r := p.s.reached
	if p.last < r.last {
		return fmt.Errorf("%w: the files in %s end with 0x%x, but 0x%x was on the disk (%s): some are missing; %s",
			ErrCorrupt, p.s.logDir, p.last, r.last, reachedName, p.s.onPurpose())
	}
	if r.log == 0 || slices.ContainsFunc(logs, func(f NamedFile) bool { return f.Zxid > r.log && !slices.Contains(p.empty, f.Name) }) {
		return nil // none, or older than others: a purge may have taken it
	}
	why := "is missing"
	if slices.ContainsFunc(logs, func(f NamedFile) bool { return f.Zxid == r.log }) {
		l, err := openLog(p.s.fs, filepath.Join(p.s.logDir, LogName(r.log)))
		if err != nil {
			return err
		}
		defer l.Close()
		if l.off == logHeaderSize {
			return nil
		}
		why = "has lost its contents"
	}
	return fmt.Errorf("%w: %s %s, which was begun behind 0x%x (%s); %s",
		ErrCorrupt, filepath.Join(p.s.logDir, LogName(r.log)), why, r.last, reachedName, p.s.onPurpose())
}

// comesAfter refuses a file that begins an epoch when what came before is not there.
func (p *replay) comesAfter(zxid int64, path string) error {
	for _, a := range p.s.reached.after {
		if a.log == zxid && a.last != p.last {
			return fmt.Errorf("%w: transactions are missing: %s came after 0x%x, and what is there ends with 0x%x; %s",
				ErrCorrupt, path, a.last, p.last, p.s.onPurpose())
		}
	}
	return nil
}
