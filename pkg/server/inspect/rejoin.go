package inspect

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// SetAside makes the server of a data directory, which must not run, forget its
// history: snapshots, logs and currentEpoch move into a directory beside version-2.
// acceptedEpoch stays unless it is damaged. [storage.RejoinName] keeps the server from
// voting until it has the history of a leader, and holds what it promised: at least
// accepted, and the epoch of every file's name. It returns where the files are.
// After an error, or a crash, it may be called again.
func SetAside(fsys disk.FS, accepted int64, now time.Time, dirs ...string) (moved []string, err error) {
	list, err := homes(fsys, dirs...)
	if err != nil {
		return nil, err
	}
	release, err := hold(fsys, list)
	if err != nil {
		return nil, err
	}
	defer release()
	files, err := history(fsys, list)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		if kind, zxid := storage.ParseName(filepath.Base(path)); kind != storage.KindOther {
			accepted = max(accepted, zxid>>32)
		}
	}
	first := filepath.Join(list[0], storage.VersionDir)
	if err := storage.BeginRejoin(fsys, first, promised(fsys, first, accepted)); err != nil {
		return nil, err
	}
	a := newAside(fsys, "damaged", now)
	for _, path := range files {
		if err := a.move(path); err != nil {
			return a.Moved, fmt.Errorf("set %s aside: %w", path, err)
		}
	}
	if err := storage.EndRejoin(fsys, first); err != nil {
		return a.Moved, err
	}
	return a.Moved, nil
}

// promised raises an epoch to that of currentEpoch, where it can be read, since what is
// accepted is never below it, and to that of a rejoin that was interrupted.
func promised(fsys disk.FS, dir string, accepted int64) int64 {
	for _, name := range append(storage.EpochNames(), storage.RejoinName, storage.RejoiningName) {
		if epoch, ok := storage.ReadEpoch(fsys, filepath.Join(dir, name)); ok {
			accepted = max(accepted, epoch)
		}
	}
	return accepted
}

// history lists what a server's history is made of, in the order in which it has to
// go: without currentEpoch, and with RejoinName, it has no vote, whatever else is
// still there.
func history(fsys disk.FS, homes []string) ([]string, error) {
	var epochs, damaged, rest []string
	for _, home := range homes {
		dir := filepath.Join(home, storage.VersionDir)
		infos, err := fsys.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, in := range infos {
			path := filepath.Join(dir, in.Name)
			switch name := in.Name; {
			case in.Dir:
			case slices.Contains(storage.EpochNames(), name):
				epochs = append(epochs, path)
			case name == storage.AcceptedName:
				if _, ok := storage.ReadEpoch(fsys, path); !ok {
					damaged = append(damaged, path)
				}
			case name == storage.IntentName, name == storage.ReachedName, strings.HasPrefix(name, "snapshot."), strings.HasPrefix(name, "log."), strings.HasPrefix(name, "partial."):
				rest = append(rest, path)
			}
		}
	}
	return slices.Concat(epochs, damaged, rest), nil
}
