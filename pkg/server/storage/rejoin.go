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

// AnnounceRejoin writes, durably, the file RejoinName to a version-2 directory. The
// files of EpochNames must go next, then acceptedEpoch if it is damaged, and then the
// rest of the history. What this server promised is at least accepted: that stands in
// the file, and counts for as long as it is in force.
func AnnounceRejoin(fsys disk.FS, dir string, accepted int64) error {
	s := &Store{fs: fsys, snapDir: dir}
	return s.writeEpoch(RejoinName, accepted, true)
}
