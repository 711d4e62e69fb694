package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// growMargin is how close to the end of a file its next block is allocated,
// in bytes (FilePadding.java).
const growMargin = 4096

// segment is the log file that is appended to.
type segment struct {
	file   disk.File
	path   string
	pos    int64 // where the next record goes
	size   int64 // of the file
	synced int64 // all before it is durable
	marked bool  // the open mark of a log that is not synced is written

	markBuf [8]byte
}

// Append writes records behind the log, in one write; they are durable after
// the next Sync. The first Append after Open, Roll, Truncate or Install
// begins a new file. The records are not kept. Each must follow the one
// before it: the next zxid of the epoch, or the first of a later one.
// After any error the Store has failed for good.
func (s *Store) Append(records []Record) error {
	if len(records) == 0 {
		return nil
	}
	if err := s.usable(); err != nil {
		return err
	}
	last, err := s.encode(records)
	if err != nil {
		return s.fail(err)
	}
	if s.seg == nil {
		if err := s.begin(records[0].Zxid); err != nil {
			return s.fail(fmt.Errorf("begin log file: %w", err))
		}
	}
	if err := s.seg.write(s.buf, s.o.PreAllocKB<<10); err != nil {
		return s.fail(fmt.Errorf("append to log: %w", err))
	}
	s.last = last
	added := Load{Txns: int64(len(records)), Bytes: int64(len(s.buf))}
	s.sinceRoll.add(added)
	s.mu.Lock()
	s.stats.Appended.add(added)
	s.mu.Unlock()
	return nil
}

func (l *Load) add(m Load) { l.Txns += m.Txns; l.Bytes += m.Bytes }

// encode fills buf and returns the last zxid.
func (s *Store) encode(records []Record) (int64, error) {
	if !s.recovered {
		return 0, errors.New("append before recover")
	}
	last := s.last
	s.buf = s.buf[:0]
	for i := range records {
		r := &records[i]
		if len(r.Data) < minEntry || zxidOf(r.Data) != r.Zxid {
			return 0, fmt.Errorf("record 0x%x: its bytes are not that transaction", r.Zxid)
		}
		if !follows(last, r.Zxid) {
			return 0, fmt.Errorf("%w: 0x%x after 0x%x", ErrOutOfOrder, r.Zxid, last)
		}
		if s.o.MaxRecord > 0 && len(r.Data) > s.o.MaxRecord {
			s.log.Warn("transaction is longer than jute.maxbuffer lets an Apache ZooKeeper server read back",
				"zxid", fmt.Sprintf("0x%x", r.Zxid), "bytes", len(r.Data))
		}
		s.buf = appendRecord(s.buf, r.Data)
		last = r.Zxid
	}
	return last, nil
}

// begin makes the next log file. Its header and its name are durable before
// the first record is written, so that a file without a header never held
// one; and so is what tells when the file is missing.
func (s *Store) begin(zxid int64) error {
	path := filepath.Join(s.logDir, LogName(zxid))
	f, err := s.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	g := &segment{file: f, path: path}
	if err := g.start(s.o.PreAllocKB << 10); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := s.fs.SyncDir(s.logDir); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := s.reach(s.last, zxid); err != nil {
		return errors.Join(err, f.Close())
	}
	s.seg = g
	return nil
}

func (g *segment) start(block int64) error {
	if _, err := g.file.WriteAt(logHeader(mark{from: logHeaderSize}), 0); err != nil {
		return err
	}
	g.pos, g.size, g.synced = logHeaderSize, logHeaderSize, logHeaderSize
	if err := g.grow(0, block); err != nil {
		return err
	}
	return g.file.Sync()
}

// grow extends the file before n more bytes, as FilePadding.java counts.
func (g *segment) grow(n, block int64) error {
	if block <= 0 || g.pos+n+growMargin < g.size {
		return nil
	}
	size := g.size + block
	for g.pos+n+growMargin >= size {
		size += block
	}
	if err := g.file.Allocate(size); err != nil {
		return err
	}
	g.size = size
	return nil
}

func (g *segment) write(b []byte, block int64) error {
	if err := g.grow(int64(len(b)), block); err != nil {
		return err
	}
	n, err := g.file.WriteAt(b, g.pos)
	if err != nil {
		return err
	}
	g.pos += int64(n)
	g.size = max(g.size, g.pos)
	return nil
}

// Sync makes everything that was appended durable. After an error the Store
// has failed for good: a second try would prove nothing.
func (s *Store) Sync() error {
	if err := s.usable(); err != nil {
		return err
	}
	g := s.seg
	if g == nil || g.synced == g.pos {
		return nil
	}
	if !s.o.ForceSync {
		if err := g.markUnsynced(); err != nil {
			return s.fail(fmt.Errorf("mark log: %w", err))
		}
		return nil
	}
	start := time.Now()
	if err := g.sync(); err != nil {
		return s.fail(fmt.Errorf("sync log: %w", err))
	}
	s.countSync(time.Since(start), g.path)
	return nil
}

// sync writes the mark of the batch and syncs both; then it notes, for whenever
// that reaches the disk, that the batch is there. See mark.
func (g *segment) sync() error {
	if err := g.writeMark(mark{from: g.synced, length: g.pos - g.synced}); err != nil {
		return err
	}
	if err := g.file.Sync(); err != nil {
		return err
	}
	g.synced = g.pos
	return g.writeMark(mark{from: g.synced})
}

// markUnsynced tells a later reader that anything may be torn.
func (g *segment) markUnsynced() error {
	if g.marked {
		return nil
	}
	g.marked = true
	return g.writeMark(mark{from: g.synced, length: markOpen})
}

func (g *segment) writeMark(m mark) error {
	binary.BigEndian.PutUint64(g.markBuf[:], m.encode())
	_, err := g.file.WriteAt(g.markBuf[:], markAt)
	return err
}

func (s *Store) countSync(took time.Duration, path string) {
	slow := s.o.FsyncWarn > 0 && took > s.o.FsyncWarn
	s.o.Metrics.FsyncTime.Observe(took.Milliseconds())
	s.mu.Lock()
	s.stats.Syncs++
	if slow {
		s.stats.SlowSyncs++
	}
	s.stats.SyncTotal += took
	s.stats.SyncLast = took
	s.stats.SyncMax = max(s.stats.SyncMax, took)
	s.mu.Unlock()
	if slow {
		s.log.Warn("syncing the transaction log took long; every write waits for it", "file", path, "took", took)
	}
}

// Roll ends the current log file: it is synced and closed, and the next
// Append begins another. The caller does so when it takes a snapshot.
func (s *Store) Roll() error {
	if err := s.usable(); err != nil {
		return err
	}
	s.sinceRoll = Load{}
	if err := s.closeSegment(); err != nil {
		return s.fail(fmt.Errorf("end log file: %w", err))
	}
	return nil
}

// closeSegment syncs the current file, without its padding and with a mark behind
// all of it, and closes it.
func (s *Store) closeSegment() error {
	g := s.seg
	if g == nil {
		return nil
	}
	s.seg = nil
	err := s.usable()
	if err == nil && g.synced != g.pos {
		err = g.sync()
	}
	if err == nil && g.size != g.pos {
		err = g.file.Truncate(g.pos)
	}
	if err == nil {
		err = g.file.Sync()
	}
	return errors.Join(err, g.file.Close())
}

// SinceRoll is what was appended since Open or the last Roll: what snapCount
// and snapSizeLimitInKb are about.
func (s *Store) SinceRoll() Load { return s.sinceRoll }

// LastZxid is that of the last record appended, recovered or installed.
func (s *Store) LastZxid() int64 { return s.last }

// LogSize is the length of the current log file without its padding, in
// bytes; 0 when the next Append begins one.
func (s *Store) LogSize() int64 {
	if s.seg == nil {
		return 0
	}
	return s.seg.pos
}
