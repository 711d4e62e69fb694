package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/zkctl/zkctl/pkg/server/tree"
)

// Recovered is the state that a directory holds.
type Recovered struct {
	Tree     *tree.Tree
	LastZxid int64 // of the tree; -1 when the directory is empty and may not be a database
	// Fresh tells that the directory held no database at all.
	Fresh bool
	// Window holds the newest records, oldest first, without a gap up to
	// LastZxid, as far as Options allow and the log since the snapshot goes.
	Window []Record
	// Epochs are as ReadEpochs returns them; HasEpochs is false when neither
	// file is there. EpochsErr is why they cannot be used, which concerns
	// only a member of an ensemble.
	Epochs    Epochs
	HasEpochs bool
	EpochsErr error
	// Rejoin tells that the history was set aside (see [RejoinName]): this server
	// must not vote until it has taken over a leader's.
	Rejoin bool

	Snapshot SnapshotInfo  // that was read; zero when there was none
	Replayed int64         // records applied to it
	Took     time.Duration // all of it
	Warnings []string      // what an administrator should know
}

// Recover reads the newest valid snapshot and replays the log after it. It
// first ends a truncation or install that was interrupted, and makes
// everything it found durable before it returns: what this server then says
// it has may be counted on by others.
//
// An error that wraps [ErrCorrupt] means that the files do not add up to one
// history without a gap; nothing was removed then.
func (s *Store) Recover(ctx context.Context) (*Recovered, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := s.closeSegment(); err != nil {
		return nil, s.fail(err)
	}
	if err := s.unlessRejoining(); err != nil {
		return nil, err
	}
	if err := s.loadReached(); err != nil {
		return nil, err
	}
	if err := s.finishIntent(); err != nil {
		return nil, err
	}
	snaps, logs, err := s.list()
	if err != nil {
		return nil, err
	}
	r := &Recovered{}
	p := &replay{s: s, r: r, ctx: ctx, window: window{count: s.o.WindowCount, bytes: s.o.WindowBytes}}
	if err := p.base(snaps); err != nil {
		return nil, err
	}
	if err := p.logs(logs); err != nil {
		return nil, p.because(err)
	}
	if err := p.reachesSkipped(); err != nil {
		return nil, err
	}
	if err := p.reaches(logs); err != nil {
		return nil, err
	}
	if err := s.adopt(p, len(snaps) == 0 && len(logs) == 0); err != nil {
		return nil, err
	}
	r.Epochs, r.HasEpochs, r.EpochsErr = s.ReadEpochs()
	r.Rejoin = s.rejoin
	r.Took = time.Since(start)
	for _, w := range r.Warnings {
		s.log.Warn("recovering", "warning", w)
	}
	return r, nil
}

// list names all snapshots and logs.
func (s *Store) list() (snaps, logs []NamedFile, err error) {
	if snaps, logs, err = List(s.fs, s.snapDir); err != nil || s.snapDir == s.logDir {
		return snaps, logs, err
	}
	_, logs, err = List(s.fs, s.logDir)
	return snaps, logs, err
}

// adopt makes what was replayed durable and the Store's own.
func (s *Store) adopt(p *replay, fresh bool) error {
	if err := p.settle(); err != nil {
		return s.fail(fmt.Errorf("make the recovered log durable: %w", err))
	}
	for _, dir := range s.dirs() {
		if err := s.fs.SyncDir(dir); err != nil {
			return s.fail(fmt.Errorf("make %s durable: %w", dir, err))
		}
	}
	s.last, s.recovered, s.sinceRoll = p.last, true, Load{}
	s.base.Store(p.from)
	p.r.LastZxid, p.r.Fresh = p.last, fresh
	p.r.Window = p.window.records()
	p.checkDigest()
	s.noteSnapshot(p.r.Snapshot)
	switch {
	case fresh:
		return s.found(p.r)
	case !p.hasSnapshot:
		s.firstSnapshot(p.r)
	}
	if err := s.forgetInitialize(); err != nil {
		p.warn("%v; remove it: it would let this server pass for a new one if it lost its files, and have a vote", err)
	}
	return nil
}

// firstSnapshot ends the time without a snapshot, which only a young server of
// release 3.4 or snapshot.trust.empty can explain: with one on disk that setting
// is not needed for another start (ZOOKEEPER-3781). The log says all without it.
func (s *Store) firstSnapshot(r *Recovered) {
	digest := r.Tree.Digest()
	if _, err := s.WriteSnapshot(r.Tree.Snapshot(), &digest); err != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the first snapshot could not be written: %v", err))
	}
}

// found makes an empty directory a database by a first snapshot, so that one
// that loses its files later cannot pass for new (ZKDatabase, db.autocreate).
func (s *Store) found(r *Recovered) error {
	_, err := s.fs.Stat(s.initializeFile())
	asked := err == nil
	if err != nil && !notExist(err) {
		return fmt.Errorf("cannot tell whether this server may begin a database: %w", err)
	}
	rejoins, err := s.rejoins()
	if err != nil {
		return err
	}
	if s.o.NoAutoCreate && !asked && !rejoins {
		r.LastZxid = -1
		r.Warnings = append(r.Warnings, "the data directory is empty and db.autocreate is false: this server has no vote until it has copied the state from a leader")
		return nil
	}
	digest := r.Tree.Digest()
	if r.Snapshot, err = s.WriteSnapshot(r.Tree.Snapshot(), &digest); err != nil {
		return s.fail(err)
	}
	if err := s.forgetInitialize(); err != nil {
		return s.fail(err)
	}
	return nil
}

// initializeFile is the file by which an operator says that a server is new.
func (s *Store) initializeFile() string { return filepath.Join(s.o.DataDir, "initialize") }

// forgetInitialize removes that file, durably. It counts for one database only, and
// may be left over from a stop between the first snapshot and this: each start
// removes it, as Apache's does (FileTxnSnapLog.java, restore).
func (s *Store) forgetInitialize() error {
	_, err := s.fs.Stat(s.initializeFile())
	if notExist(err) {
		return nil
	}
	if err == nil {
		err = s.fs.Remove(s.initializeFile())
	}
	if err == nil {
		err = s.fs.SyncDir(s.o.DataDir)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", s.initializeFile(), err)
	}
	return nil
}

// base reads the newest snapshot that is valid.
func (p *replay) base(snaps []NamedFile) error {
	var bad []error
	for i := len(snaps) - 1; i >= 0; i-- {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(p.s.snapDir, snaps[i].Name)
		t, info, err := readSnapshot(p.s.fs, path, p.s.o.Tree)
		if err == nil {
			p.r.Tree, p.r.Snapshot, p.from, p.last = t, info, info.Zxid, info.Zxid
			p.hasSnapshot = true
			return nil
		}
		bad = append(bad, err)
		p.skipped = append(p.skipped, skippedSnapshot{snaps[i].Zxid, err})
		p.warn("skipped %v", err)
	}
	if len(bad) > 0 {
		return fmt.Errorf("no snapshot in %s can be read: %w; restore one from a backup, or, in an ensemble, let this server copy the state from the leader: zkctl server rejoin",
			p.s.snapDir, errors.Join(bad...))
	}
	p.r.Tree = tree.New(p.s.o.Tree)
	return nil
}

// reachesSkipped refuses an older snapshot whose log does not lead through where
// the skipped ones were. The log may go on behind one that came from a leader
// without what led to it: a later epoch follows any transaction without a gap that
// could be seen. (One that ends with an epoch's first zxid, counter 0, stands for no
// transaction; an Apache leader that had proposed nothing writes it.)
func (p *replay) reachesSkipped() error {
	for _, s := range p.skipped {
		if p.passed[s.zxid] || int32(s.zxid) == 0 && p.last >= s.zxid {
			continue
		}
		return fmt.Errorf("%w: a snapshot cannot be read (%w), and snapshot 0x%x with the log after it, which ends with 0x%x, does not have its zxid, so that acknowledged transactions would be lost; restore a backup, or, in an ensemble, let this server copy the state from the leader: zkctl server rejoin",
			ErrCorrupt, s.why, p.from, p.last)
	}
	return nil
}

// because adds to an error about the log which newer snapshots could not be read.
func (p *replay) because(err error) error {
	for _, s := range p.skipped {
		err = fmt.Errorf("%w; the log was needed because of this: %w", err, s.why)
	}
	return err
}

func (p *replay) warn(format string, args ...any) {
	p.r.Warnings = append(p.r.Warnings, fmt.Sprintf(format, args...))
}
