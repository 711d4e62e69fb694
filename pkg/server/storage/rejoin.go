package storage

import (
	"fmt"
	"path/filepath"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// RejoinName is the file in a version-2 directory that says that this server's
// history was set aside. As long as it is there and currentEpoch is 0, what this
// server acknowledged before may be missing here, and it must not have a part in
// electing a leader. The first currentEpoch that it writes, when the leader's
// history is on disk, ends that.
const RejoinName = "zkctl.rejoin"

// EpochNames are the files that hold currentEpoch, or may replace it.
func EpochNames() []string { return []string{currentName, currentName + ".tmp", updatingName} }

// AcceptedName is the file that holds acceptedEpoch.
const AcceptedName = acceptedName

func (s *Store) rejoinPath() string { return filepath.Join(s.snapDir, RejoinName) }

// rejoins tells whether the file is there. That it cannot be looked at is an error:
// the vote is what must not be given by mistake.
func (s *Store) rejoins() (bool, error) {
	_, err := s.fs.Stat(s.rejoinPath())
	if notExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot tell whether this server may vote: %w; make the file readable, or remove it if this server never ran zkctl server rejoin", err)
	}
	return true, nil
}

func (s *Store) forgetRejoin() error {
	if err := s.fs.Remove(s.rejoinPath()); err != nil {
		return fmt.Errorf("remove %s: %w", s.rejoinPath(), err)
	}
	s.rejoin = false
	return s.fs.SyncDir(s.snapDir)
}

// RejoiningName is the file in a version-2 directory that says that a history is being
// set aside. What is left of it then leads nowhere, so that no server starts on it until
// [EndRejoin].
const RejoiningName = "zkctl.rejoining"

// BeginRejoin writes, durably, the file RejoiningName to a version-2 directory. What this
// server promised is at least accepted.
func BeginRejoin(fsys disk.FS, dir string, accepted int64) error {
	return (&Store{fs: fsys, snapDir: dir}).writeEpoch(RejoiningName, accepted, true)
}

// EndRejoin puts RejoinName, with the same promise, in the place of RejoiningName.
func EndRejoin(fsys disk.FS, dir string) error {
	s := &Store{fs: fsys, snapDir: dir}
	promised, err := s.readEpoch(RejoiningName)
	if err != nil {
		return err
	}
	if err := s.writeEpoch(RejoinName, promised.value, true); err != nil {
		return err
	}
	if err := s.fs.Remove(filepath.Join(dir, RejoiningName)); err != nil {
		return fmt.Errorf("end the rejoin: %w", err)
	}
	return s.fs.SyncDir(dir)
}

// unlessRejoining refuses what a rejoin that was interrupted has left.
func (s *Store) unlessRejoining() error {
	path := filepath.Join(s.snapDir, RejoiningName)
	_, err := s.fs.Stat(path)
	switch {
	case notExist(err):
		return nil
	case err != nil:
		return fmt.Errorf("cannot tell whether the history is being set aside: %w", err)
	}
	return fmt.Errorf("%w: zkctl server rejoin was interrupted (%s); give that command again", ErrCorrupt, path)
}
