package simulation

import (
	"cmp"
	"errors"
	"path"
	"slices"

	"github.com/zkctl/zkctl/pkg/purge"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
)

// purge removes the files that package purge says may go, in its order: snapshots
// before logs, each kind durably before the next. The server runs or is down; it may
// lose power at any step.
func (s *server) purge() {
	dir := path.Join(dataDir, storage.VersionDir)
	infos, err := s.fd.ReadDir(dir)
	if err != nil {
		return
	}
	files := map[purge.Kind][]purge.File{}
	for _, in := range infos {
		if kind, zxid, ok := purge.ParseName(in.Name); ok && !in.Dir {
			files[kind] = append(files[kind], purge.File{Path: path.Join(dir, in.Name), Kind: kind, Zxid: zxid, Size: in.Size})
		}
	}
	for _, list := range files {
		slices.SortStableFunc(list, func(a, b purge.File) int { return cmp.Compare(a.Zxid, b.Zxid) })
	}
	plan := purge.Choose(dir, purge.MinKeep, files[purge.Snapshot], files[purge.Log], s.looksWhole)
	s.sawIf(len(plan.Remove) == 0, "purge: nothing to remove")
	s.sawIf(len(plan.Remove) > 0, "purge: files removed")
	s.trace("%d: purge removes %d files", s.sid, len(plan.Remove))
	if err := s.remove(dir, plan.Remove); errors.Is(err, faultdisk.ErrStopped) {
		s.saw("purge: power lost in it")
		s.powerLost()
	}
}

func (s *server) looksWhole(f purge.File) error {
	file, err := s.fd.OpenFile(f.Path, 0, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return purge.LooksWhole(path.Base(f.Path), file, f.Size)
}

// remove goes on to the logs only when all the snapshots are gone.
func (s *server) remove(dir string, files []purge.File) error {
	if s.world.rnd.Intn(3) == 0 {
		s.fd.StopAfter(s.world.rnd.Intn(len(files) + 2))
	}
	for i, f := range files {
		if i > 0 && f.Kind != files[i-1].Kind {
			if err := s.fd.SyncDir(dir); err != nil {
				return err
			}
		}
		if err := s.fd.Remove(f.Path); err != nil {
			return err
		}
	}
	return s.fd.SyncDir(dir)
}

// powerLost ends a server whose disk has stopped, or leaves of the disk of one that is
// down what a crash leaves.
func (s *server) powerLost() {
	if s.peer != nil {
		s.crash(s.keep())
		return
	}
	s.fd = s.fd.Crash(s.keep())
}
