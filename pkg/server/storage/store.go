package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// Errors of a Store.
var (
	// ErrFailed is wrapped by whatever a Store refuses after a failure of
	// the disk. Only a new process, which looks at what is really there, may
	// go on.
	ErrFailed = errors.New("storage has failed and takes no more")
	// ErrCannotTruncate means that the history up to the zxid asked for
	// cannot be rebuilt from what is on the disk. Nothing was changed.
	ErrCannotTruncate = errors.New("cannot truncate")
	// ErrOutOfOrder means that a record does not follow the one before it.
	ErrOutOfOrder = errors.New("record out of order")
	// ErrLayout means that the directories are not as they must be.
	ErrLayout = errors.New("data directories are not usable")
)

// Options say where a Store keeps its files and how. The names in
// parentheses are those of zoo.cfg and of Apache's system properties.
type Options struct {
	DataDir string // dataDir: snapshots and epochs are in its version-2
	LogDir  string // dataLogDir: the same for logs; "" is DataDir

	// PreAllocKB is the step in which log files grow, in KiB (preAllocSize;
	// Apache's default is 65536). 0 turns it off.
	PreAllocKB int64
	// ForceSync makes Sync wait for the disk (forceSync; Apache's default is
	// yes). Without it a power failure loses acknowledged transactions.
	ForceSync bool
	// FsyncWarn is how long a sync may take before it is logged as slow
	// (fsync.warningthresholdms; Apache's default is 1 s). 0 turns it off.
	FsyncWarn time.Duration
	// MaxRecord is the longest record in bytes that an Apache server with
	// the same jute.maxbuffer could read back; a longer one is logged as a
	// warning. 0 turns it off.
	MaxRecord int

	// TrustEmpty lets Recover replay logs though there is no snapshot
	// (snapshot.trust.empty; Apache's default is false).
	TrustEmpty bool
	// NoAutoCreate makes an empty directory no database, unless there is a
	// file "initialize" in DataDir (db.autocreate=false).
	NoAutoCreate bool
	// NoMakeDirs makes Open fail when a directory is missing
	// (datadir.autocreate=false).
	NoMakeDirs bool

	// WindowCount and WindowBytes bound how many of the newest records
	// Recover returns (commitLogCount); 0 bytes is without that bound.
	WindowCount int
	WindowBytes int64

	// Compression is how snapshots are written (snapshot.compression.method);
	// all kinds are read.
	Compression Compression

	Tree   tree.Options
	FS     disk.FS      // nil is the operating system's
	Logger *slog.Logger // nil is silent

	Metrics *metrics.Metrics // nil is nobody's
}

// Store is the one owner of a pair of data directories. Append, Sync, Roll,
// Recover, Truncate, Install and WriteEpochs are for one goroutine at a
// time; WriteSnapshot may run beside them, and Stats, DirSizes and Past anywhere.
type Store struct {
	o       Options
	fs      disk.FS
	log     *slog.Logger
	snapDir string // with version-2
	logDir  string
	locks   []io.Closer

	recovered bool
	rejoin    bool  // see RejoinName
	last      int64 // zxid of the last record appended or recovered
	seg       *segment
	reached   reached // as its file says
	buf       []byte
	sinceRoll Load

	snapshots  sync.Mutex    // one snapshot is written at a time
	generation atomic.Uint64 // of the history; raised when it is cut
	base       atomic.Int64  // zxid of the snapshot that the history was replayed from, or that was installed

	mu     sync.Mutex
	failed error
	stats  Stats
}

// Load is how much was appended.
type Load struct {
	Txns  int64
	Bytes int64
}

// Stats are figures of a Store since Open.
type Stats struct {
	LastSnapshot SnapshotInfo  // newest known; zero when there is none
	Appended     Load          // records and bytes of log
	Syncs        int64         // of the log
	SyncTotal    time.Duration // spent in them
	SyncMax      time.Duration
	SyncLast     time.Duration
	SlowSyncs    int64 // that took longer than Options.FsyncWarn
}

// Open makes the version-2 directories, unless told not to, and locks them
// for this process. Call Recover next.
func Open(o Options) (*Store, error) {
	if o.DataDir == "" {
		return nil, fmt.Errorf("%w: no dataDir given", ErrLayout)
	}
	if o.LogDir == "" {
		o.LogDir = o.DataDir
	}
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	o.Metrics = metrics.Or(o.Metrics)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		o: o, fs: o.FS, log: o.Logger,
		snapDir: filepath.Join(o.DataDir, VersionDir), logDir: filepath.Join(o.LogDir, VersionDir),
	}
	if err := s.prepare(); err != nil {
		s.unlock()
		return nil, err
	}
	return s, nil
}

func (s *Store) prepare() error {
	for _, dir := range s.dirs() {
		if err := s.makeDir(dir); err != nil {
			return err
		}
		l, err := s.fs.Lock(filepath.Join(filepath.Dir(dir), lockName))
		if errors.Is(err, disk.ErrLocked) {
			return fmt.Errorf("another server uses %s: %w; stop it, or give this server its own directory", filepath.Dir(dir), err)
		}
		if err != nil {
			return fmt.Errorf("lock %s: %w", filepath.Dir(dir), err)
		}
		s.locks = append(s.locks, l)
	}
	if err := s.checkLayout(); err != nil {
		return err
	}
	return s.removePartial()
}

// dirs are the different directories with files, one or two.
func (s *Store) dirs() []string {
	if s.snapDir == s.logDir {
		return []string{s.snapDir}
	}
	return []string{s.snapDir, s.logDir}
}

func (s *Store) makeDir(dir string) error {
	_, err := s.fs.Stat(dir)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrLayout, err)
	case s.o.NoMakeDirs:
		return fmt.Errorf("%w: %s is missing and datadir.autocreate is false; make it, or correct dataDir and dataLogDir", ErrLayout, dir)
	}
	if err := s.fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%w: make %s: %w", ErrLayout, dir, err)
	}
	return nil
}

// checkLayout refuses directories in which the two kinds of files are mixed
// up, as after exchanging dataDir and dataLogDir (FileTxnSnapLog.java).
func (s *Store) checkLayout() error {
	if s.snapDir == s.logDir {
		return nil
	}
	for dir, prefix := range map[string]string{s.snapDir: logPrefix, s.logDir: snapshotPrefix} {
		infos, err := s.fs.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("%w: list %s: %w", ErrLayout, dir, err)
		}
		for _, in := range infos {
			if strings.HasPrefix(in.Name, prefix) {
				return fmt.Errorf("%w: %s holds %s, which belongs in the other directory; check dataDir and dataLogDir, or move the %s* files",
					ErrLayout, dir, in.Name, prefix)
			}
		}
	}
	return nil
}

// removePartial removes what a crash left of a snapshot that was never
// finished.
func (s *Store) removePartial() error {
	infos, err := s.fs.ReadDir(s.snapDir)
	if err != nil {
		return fmt.Errorf("%w: list %s: %w", ErrLayout, s.snapDir, err)
	}
	for _, in := range infos {
		if strings.HasPrefix(in.Name, partialPrefix+snapshotPrefix) {
			if err := s.fs.Remove(filepath.Join(s.snapDir, in.Name)); err != nil {
				return fmt.Errorf("remove unfinished snapshot: %w", err)
			}
		}
	}
	return nil
}

// Close syncs what was appended and lets go of the directories.
func (s *Store) Close() error {
	err := s.closeSegment()
	s.unlock()
	_ = s.fail(errors.New("closed"))
	return err
}

func (s *Store) unlock() {
	for _, l := range s.locks {
		_ = l.Close() // the lock ends with the process at the latest
	}
	s.locks = nil
}

// fail remembers the first failure and returns err with it.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

// usable is nil as long as nothing failed.
func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return fmt.Errorf("%w: %w", ErrFailed, s.failed)
	}
	return nil
}

// Stats returns the figures so far.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// DirSizes is how many bytes the files in the snapshot and in the log
// directory have; the two are the same when the directories are.
func (s *Store) DirSizes() (data, logs int64, err error) {
	if data, err = s.dirSize(s.snapDir); err != nil {
		return 0, 0, err
	}
	logs, err = s.dirSize(s.logDir)
	return data, logs, err
}

func (s *Store) dirSize(dir string) (int64, error) {
	infos, err := s.fs.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", dir, err)
	}
	var sum int64
	for _, in := range infos {
		if !in.Dir {
			sum += in.Size
		}
	}
	return sum, nil
}
