package storage

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

const (
	acceptedName = "acceptedEpoch"
	currentName  = "currentEpoch"
	updatingName = "updatingEpoch" // release 3.4, while it changes currentEpoch
	epochLimit   = 1 << 10         // bytes of such a file that are read
)

// Epochs are the two numbers that a member of an ensemble must remember.
type Epochs struct {
	Accepted int64 // the newest epoch that this server promised to follow
	Current  int64 // the newest epoch whose history it has taken over
}

// ReadEpochs reads both files; found is false when there is neither, as
// after standalone operation. What is missing is the epoch of the last zxid,
// so Recover comes first. It repairs what a crash of an Apache server leaves
// (QuorumPeer.loadDataBase) and refuses contents that make no sense.
func (s *Store) ReadEpochs() (e Epochs, found bool, err error) {
	zxidEpoch := max(epochOf(s.last), 0)
	accepted, err := s.readEpoch(acceptedName)
	if err != nil {
		return Epochs{}, false, err
	}
	current, err := s.readEpoch(currentName)
	if err != nil {
		return Epochs{}, false, err
	}
	e = Epochs{Accepted: accepted.value, Current: current.value}
	if !accepted.found {
		e.Accepted = zxidEpoch
	}
	rejoins, err := s.rejoins()
	if err != nil {
		return Epochs{}, false, err
	}
	if s.rejoin = rejoins && current.value == 0; rejoins && !s.rejoin { // its removal was interrupted
		if err := s.forgetRejoin(); err != nil {
			return Epochs{}, false, err
		}
	}
	if s.rejoin {
		promised, err := s.readEpoch(RejoinName)
		if err != nil {
			return Epochs{}, true, err
		}
		e.Accepted = max(e.Accepted, promised.value)
	}
	if err := s.missingEpoch(accepted, current); err != nil {
		return Epochs{}, true, err
	}
	if !current.found && !s.rejoin {
		e.Current = zxidEpoch
	}
	if e.Current < zxidEpoch && !s.rejoin {
		if e.Current, err = s.repairCurrent(Epochs{accepted.value, e.Current}, zxidEpoch); err != nil {
			return Epochs{}, true, err
		}
	}
	if e.Accepted < e.Current {
		return Epochs{}, true, fmt.Errorf("%w: %s holds %d, less than the %d of %s; restore both from a backup, or let this server copy the state from the leader: zkctl server rejoin",
			ErrCorrupt, filepath.Join(s.snapDir, acceptedName), e.Accepted, e.Current, currentName)
	}
	return e, accepted.found || current.found, nil
}

// repairCurrent finds the epoch that an interrupted change was to write. A learner
// logs what it lacks before it writes the epoch down (Learner.java, NEWLEADER), so
// a crash or a full disk between the two leaves transactions of a later epoch: one
// that was promised, or it would not have been joined. They are the beginning of
// that epoch's history, which is what currentEpoch says. Apache refuses to start
// then, unless its own unfinished file is there.
func (s *Store) repairCurrent(e Epochs, zxidEpoch int64) (int64, error) {
	if _, err := s.fs.Stat(filepath.Join(s.snapDir, updatingName)); err == nil {
		return zxidEpoch, nil
	}
	if next, err := s.readEpoch(currentName + ".tmp"); err == nil && next.found && next.value >= zxidEpoch {
		return next.value, nil
	}
	if e.Accepted >= zxidEpoch {
		return zxidEpoch, nil
	}
	return 0, fmt.Errorf("%w: %s holds %d and %s %d, but the last zxid is 0x%x; restore them from a backup, or let this server copy the state from the leader: zkctl server rejoin",
		ErrCorrupt, filepath.Join(s.snapDir, currentName), e.Current, acceptedName, e.Accepted, s.last)
}

// missingEpoch refuses one file without the other: that never is on the disk when
// this package wrote the one with its checksum, see [Store.WriteEpochs].
func (s *Store) missingEpoch(accepted, current epochFile) error {
	name := ""
	switch {
	case accepted.guarded && !current.found && !s.rejoin:
		name = currentName
	case current.guarded && !accepted.found:
		name = acceptedName
	default:
		return nil
	}
	return fmt.Errorf("%w: %s is missing; %s", ErrCorrupt, filepath.Join(s.snapDir, name), wayOut)
}

// epochFile is what a file holds.
type epochFile struct {
	value   int64
	found   bool
	guarded bool // with a checksum: this package wrote it
}

func (s *Store) readEpoch(name string) (epochFile, error) {
	path := filepath.Join(s.snapDir, name)
	b, err := disk.ReadFile(s.fs, path, epochLimit)
	if notExist(err) {
		return epochFile{}, nil
	}
	if err != nil {
		return epochFile{}, fmt.Errorf("read epoch: %w", err)
	}
	text, guarded, err := unguard(strings.TrimSuffix(name, ".tmp"), b)
	if err != nil {
		return epochFile{}, fmt.Errorf("%s: %w; %s", path, err, wayOut)
	}
	line, ok := oneLine(text)
	v, err := strconv.ParseInt(line, 10, 64)
	if !ok || err != nil || v < 0 || line[0] == '+' {
		return epochFile{}, fmt.Errorf("%w: %s holds %q where an epoch is expected; %s", ErrCorrupt, path, text, wayOut)
	}
	return epochFile{v, true, guarded}, nil
}

// ReadEpoch reads one of the files that hold an epoch, by its path. ok is false when
// it is not there, or damaged.
func ReadEpoch(fsys disk.FS, path string) (epoch int64, ok bool) {
	s := &Store{fs: fsys, snapDir: filepath.Dir(path)}
	e, err := s.readEpoch(filepath.Base(path))
	return e.value, err == nil && e.found
}

// WriteEpochs makes both epochs durable, acceptedEpoch first, so that it is
// never less than currentEpoch. Files that hold the value already are left
// alone.
func (s *Store) WriteEpochs(e Epochs) error {
	if err := s.usable(); err != nil {
		return err
	}
	if e.Accepted < e.Current || e.Current < 0 {
		return fmt.Errorf("write epochs: current %d above accepted %d", e.Current, e.Accepted)
	}
	if err := s.writeBoth(e); err != nil {
		return s.fail(err)
	}
	if s.rejoin && e.Current > 0 { // it has the history that its leader began with
		if err := s.forgetRejoin(); err != nil {
			return s.fail(err)
		}
	}
	return nil
}

// writeBoth writes the first acceptedEpoch of a directory without a checksum until
// currentEpoch is there: with one it says that the other must be.
func (s *Store) writeBoth(e Epochs) error {
	current, err := s.readEpoch(currentName)
	if err == nil && !current.found && !s.rejoin {
		if err := s.writeEpoch(acceptedName, e.Accepted, false); err != nil {
			return err
		}
		if err := s.writeEpoch(currentName, e.Current, true); err != nil {
			return err
		}
	}
	if err := s.writeEpoch(acceptedName, e.Accepted, true); err != nil {
		return err
	}
	return s.writeEpoch(currentName, e.Current, true)
}

func (s *Store) writeEpoch(name string, epoch int64, guarded bool) error {
	have, err := s.readEpoch(name)
	if err == nil && have == (epochFile{epoch, true, guarded}) {
		return s.clearUpdating(name)
	}
	path, text := filepath.Join(s.snapDir, name), strconv.AppendInt(nil, epoch, 10)
	if guarded {
		text = guard(name, string(text))
	}
	if err := disk.WriteAtomic(s.fs, path, text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return s.clearUpdating(name)
}

// clearUpdating removes the marker of release 3.4 once currentEpoch is right.
func (s *Store) clearUpdating(name string) error {
	if name != currentName {
		return nil
	}
	err := s.fs.Remove(filepath.Join(s.snapDir, updatingName))
	if err == nil {
		return s.fs.SyncDir(s.snapDir)
	}
	if notExist(err) {
		return nil
	}
	return err
}
