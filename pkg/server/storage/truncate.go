package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ErrSuperseded is what WriteSnapshot returns when a Truncate or Install made
// the tree that it was writing obsolete.
var ErrSuperseded = errors.New("superseded: the history was cut meanwhile")

// CanTruncate returns nil if what the files hold leads to exactly zxid, and otherwise
// why not. Unlike the other methods it may be called from any goroutine, while
// nothing after zxid is appended; what is removed meanwhile may make it say no.
func (s *Store) CanTruncate(zxid int64) error { return s.leadsTo(zxid) }

// Truncate cuts everything after zxid, in the log and among the snapshots;
// call Recover next. It is all done or, after a crash, ended by the next
// Recover. It returns [ErrCannotTruncate], and changes nothing, when what
// would be left does not lead to exactly zxid. A snapshot that is being
// written is given up; none of the old tree must be begun afterwards.
func (s *Store) Truncate(zxid int64) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.closeSegment(); err != nil {
		return s.fail(err)
	}
	s.generation.Add(1)
	s.snapshots.Lock()
	defer s.snapshots.Unlock()
	if err := s.leadsTo(zxid); err != nil {
		return fmt.Errorf("%w %s to 0x%x: %w; %s", ErrCannotTruncate, s.logDir, zxid, err, wayOut)
	}
	s.recovered = false
	in, err := s.announce(verbTruncate, zxid)
	if err == nil {
		err = s.carryOut(in)
	}
	if err != nil {
		return s.fail(fmt.Errorf("truncate to 0x%x: %w", zxid, err))
	}
	s.forgetSnapshot()
	return nil
}

// Install makes a snapshot that came from the leader the base of this server:
// it is durable, no snapshot after it and no log is left, and the next Append
// goes on from its zxid in a new file. After a crash the old state or the new
// is there. Recover is not needed afterwards.
func (s *Store) Install(snap Snapshotter, digest *uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.closeSegment(); err != nil {
		return s.fail(err)
	}
	s.generation.Add(1)
	s.snapshots.Lock()
	defer s.snapshots.Unlock()
	in, err := s.announce(verbInstall, snap.Zxid())
	if err != nil {
		return s.fail(err)
	}
	s.forgetSnapshot()
	if _, err = s.putSnapshot(snap, digest, s.generation.Load()); err == nil {
		err = s.carryOut(in)
	}
	if err != nil {
		return s.fail(fmt.Errorf("install snapshot: %w", err))
	}
	s.last, s.recovered, s.sinceRoll = snap.Zxid(), true, Load{}
	s.base.Store(snap.Zxid())
	return nil
}

func (s *Store) forgetSnapshot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.LastSnapshot = SnapshotInfo{}
}

// leadsTo checks that the newest valid snapshot up to zxid and the log after
// it give exactly the history up to zxid.
func (s *Store) leadsTo(zxid int64) error {
	snaps, logs, err := s.list()
	if err != nil {
		return err
	}
	c := chain{zxid: zxid, last: -1, trustEmpty: s.o.TrustEmpty}
	for i := len(snaps) - 1; i >= 0 && c.last < 0; i-- {
		if snaps[i].Zxid <= zxid && verifySnapshot(s.fs, filepath.Join(s.snapDir, snaps[i].Name)) == nil {
			c.last = snaps[i].Zxid
		}
	}
	if c.last < 0 && len(logs) == 0 {
		return errors.New("there is no valid snapshot up to it and no log")
	}
	for _, f := range filesFrom(logs, c.last) {
		if c.last == zxid {
			return nil
		}
		if err := c.file(s, f); err != nil {
			return err
		}
	}
	if c.last != zxid {
		return fmt.Errorf("snapshots and log up to it lead to 0x%x only", c.last)
	}
	return nil
}

// chain follows a history without building it.
type chain struct {
	zxid       int64 // where it is to lead
	last       int64 // where it has come to; -1 before its start
	trustEmpty bool
}

func (c *chain) file(s *Store, f NamedFile) error {
	l, err := openLog(s.fs, filepath.Join(s.logDir, f.Name))
	if err != nil {
		return err
	}
	defer l.Close()
	for c.last != c.zxid {
		zxid, err := l.skip()
		if errors.Is(err, io.EOF) || errors.Is(err, ErrCorrupt) {
			return nil // what it lacks is a gap for the next file, or at the end
		}
		if err != nil {
			return err
		}
		if err := c.record(zxid); err != nil {
			return fmt.Errorf("%s: %w", l.path, err)
		}
	}
	return nil
}

func (c *chain) record(zxid int64) error {
	switch {
	case c.last < 0 && (zxid == 1 || zxid == 1<<32|1 || c.trustEmpty):
		if c.zxid == 0 {
			c.last = 0
			return nil
		}
	case c.last < 0:
		return fmt.Errorf("there is no valid snapshot up to it, and the log starts with 0x%x", zxid)
	case zxid <= c.last:
		return nil
	case zxid > c.zxid || !follows(c.last, zxid):
		return fmt.Errorf("the log goes on with 0x%x after 0x%x", zxid, c.last)
	}
	c.last = zxid
	return nil
}

// cut removes every snapshot and every record after zxid, and with all also
// the log up to it. It may be repeated from any point.
func (s *Store) cut(zxid int64, all bool) error {
	snaps, logs, err := s.list()
	if err != nil {
		return err
	}
	for i := len(snaps) - 1; i >= 0 && snaps[i].Zxid > zxid; i-- {
		if err := s.fs.Remove(filepath.Join(s.snapDir, snaps[i].Name)); err != nil {
			return err
		}
	}
	for i := len(logs) - 1; i >= 0; i-- {
		path := filepath.Join(s.logDir, logs[i].Name)
		if all || logs[i].Zxid > zxid {
			if err := s.fs.Remove(path); err != nil {
				return err
			}
			continue
		}
		clean, err := s.cutFile(path, zxid)
		if err != nil {
			return err
		}
		if clean {
			break // earlier files end earlier
		}
	}
	for _, dir := range s.dirs() {
		if err := s.fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// cutFile shortens one log file to the records up to zxid. It reports whether
// the file had some of them and nothing else.
func (s *Store) cutFile(path string, zxid int64) (clean bool, err error) {
	l, err := openLog(s.fs, path)
	if err != nil {
		return false, err
	}
	defer l.Close()
	end, had := l.off, false
	for {
		at, err := l.skip()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, ErrCorrupt) {
			return false, err
		}
		if errors.Is(err, io.EOF) && decodedMark(l).from <= l.off {
			return had, nil
		}
		if err != nil || at > zxid {
			break
		}
		end, had = l.off, true
	}
	return false, s.shorten(path, end, l.mark.valid())
}

// shorten cuts a log file and moves its mark along.
func (s *Store) shorten(path string, end int64, marked bool) error {
	f, err := s.fs.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if marked && end >= logHeaderSize {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], mark{from: end}.encode())
		_, err = f.WriteAt(b[:], markAt)
	}
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
