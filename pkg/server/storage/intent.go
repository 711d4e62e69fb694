package storage

import (
	"fmt"
	"path/filepath"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// An intent says, durably and before the first file is touched, what is going
// to be done to several files. Whatever a crash leaves half done is done
// again by the next Recover, so that the order of the steps does not matter:
//
//	truncate <zxid> <limit>   cut everything behind zxid
//	install <zxid> <limit>    the same, and all logs go, if the snapshot of
//	                          that name is there and whole; else nothing
//
// The limit is the highest zxid there was. Should an Apache server have gone
// on with the directory meanwhile, there are names beyond it, and the intent
// has no meaning any more.
type intent struct {
	verb        string
	zxid, limit int64
}

func (in intent) String() string { return fmt.Sprintf("%s 0x%x 0x%x", in.verb, in.zxid, in.limit) }

const (
	verbTruncate = "truncate"
	verbInstall  = "install"
	intentLimit  = 1 << 10 // bytes of the file that are read
)

func (s *Store) intentPath() string { return filepath.Join(s.snapDir, intentName) }

// announce makes an intent durable.
func (s *Store) announce(verb string, zxid int64) (intent, error) {
	snaps, logs, err := s.list()
	if err != nil {
		return intent{}, err
	}
	in := intent{verb: verb, zxid: zxid, limit: max(s.last, zxid)}
	for _, f := range append(snaps, logs...) {
		in.limit = max(in.limit, f.Zxid)
	}
	if err := disk.WriteAtomic(s.fs, s.intentPath(), guard(intentName, in.String()), 0o644); err != nil {
		return intent{}, fmt.Errorf("write %s: %w", s.intentPath(), err)
	}
	return in, nil
}

// finishIntent does again what was interrupted.
func (s *Store) finishIntent() error {
	b, err := disk.ReadFile(s.fs, s.intentPath(), intentLimit)
	if notExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read intent: %w", err)
	}
	var in intent
	text, _, bad := unguard(intentName, b)
	line, single := oneLine(text)
	n, err := fmt.Sscanf(line, "%s 0x%x 0x%x", &in.verb, &in.zxid, &in.limit)
	if bad != nil || !single || in.String() != line || err != nil || n != 3 || in.verb != verbTruncate && in.verb != verbInstall {
		return fmt.Errorf("%w: %s holds %q; in an ensemble, let this server copy the state from the leader: zkctl server rejoin",
			ErrCorrupt, s.intentPath(), b)
	}
	stale, err := s.stale(in)
	if err != nil {
		return err
	}
	if stale {
		s.log.Warn("forgetting an interrupted change of the data directory: another server has gone on with it since", "change", string(b))
		return s.forgetIntent()
	}
	s.log.Info("finishing an interrupted change of the data directory", "change", string(b))
	return s.carryOut(in)
}

// stale tells whether another server has gone on with the directory.
func (s *Store) stale(in intent) (bool, error) {
	snaps, logs, err := s.list()
	if err != nil {
		return false, err
	}
	for _, f := range append(snaps, logs...) {
		if f.Zxid > in.limit {
			return true, nil
		}
	}
	return false, nil
}

// carryOut does what the intent says and then forgets it. It may be repeated
// from any point.
func (s *Store) carryOut(in intent) error {
	if in.verb == verbInstall {
		path, _, err := s.wholeSnapshot(in.zxid)
		if err != nil && path == "" { // what it replaces may be gone in part
			return fmt.Errorf("the snapshot that was being installed cannot be read: %w; let this server copy the state from the leader: zkctl server rejoin", err)
		}
		if path == "" {
			return s.forgetIntent()
		}
	}
	if err := s.reach(in.zxid, 0); err != nil {
		return err
	}
	if err := s.cut(in.zxid, in.verb == verbInstall); err != nil {
		return err
	}
	return s.forgetIntent()
}

func (s *Store) forgetIntent() error {
	if err := s.fs.Remove(s.intentPath()); err != nil {
		return err
	}
	return s.fs.SyncDir(s.snapDir)
}
