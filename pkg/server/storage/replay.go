package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"path/filepath"
	"slices"

	"github.com/zkctl/zkctl/pkg/server/txn"
)

// replay applies the log to a snapshot.
type replay struct {
	s   *Store
	r   *Recovered
	ctx context.Context

	hasSnapshot bool
	from        int64 // zxid of the snapshot
	last        int64 // zxid that the tree has reached
	skipped     []skippedSnapshot
	passed      map[int64]bool // those of them that the log has
	started     bool           // a record was applied
	digest      *txn.Digest
	window      window
	recent      recent

	tail  *tail    // of the newest file with records
	empty []string // newer files without records
	cut   []tail   // files that another server cut: their marks are beyond their ends
}

// skippedSnapshot is one that could not be read.
type skippedSnapshot struct {
	zxid int64
	why  error
}

// tail is where the newest log file ends.
type tail struct {
	path string
	end  int64 // of the last good record
	mark mark
	torn bool // there is something behind end that must be cut
}

// filesFrom returns the files that can hold a record after zxid: the last one
// whose name is not greater than zxid+1, and all later ones.
func filesFrom(logs []NamedFile, zxid int64) []NamedFile {
	first := 0
	for i, f := range logs {
		if f.Zxid <= zxid+1 {
			first = i
		}
	}
	return logs[min(first, len(logs)):]
}

func (p *replay) logs(all []NamedFile) error {
	files := filesFrom(all, p.from)
	newest, err := p.newest(files)
	if err != nil {
		return err
	}
	for i, f := range files {
		if err := p.file(f, i == newest); err != nil {
			return err
		}
	}
	return nil
}

// newest finds the newest file with records, which may have a torn tail:
// those behind it were begun, but nothing in them is of use. It is -1 when
// there is none.
func (p *replay) newest(files []NamedFile) (int, error) {
	for i := len(files) - 1; i >= 0; i-- {
		l, err := openLog(p.s.fs, filepath.Join(p.s.logDir, files[i].Name))
		if err != nil {
			return 0, err
		}
		_, err = l.skip()
		l.Close()
		if !errors.Is(err, io.EOF) {
			return i, nil // what is wrong with it is found again
		}
	}
	return -1, nil
}

// file replays one log file.
func (p *replay) file(f NamedFile, newest bool) error {
	path := filepath.Join(p.s.logDir, f.Name)
	l, err := openLog(p.s.fs, path)
	if err != nil {
		return err
	}
	defer l.Close()
	err = p.records(l)
	var d *DamageError
	switch {
	case errors.As(err, &d):
		return p.damaged(l, d, f, newest)
	case err != nil:
		return err
	}
	return p.ended(l, f, newest)
}

// records replays records until the reader ends; only io.EOF is no error.
func (p *replay) records(l *LogReader) error {
	for {
		rec, err := l.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.record(rec, l.path); err != nil {
			return err
		}
	}
}

func (p *replay) record(rec Record, path string) error {
	switch {
	case rec.Zxid <= p.from && p.hasSnapshot:
		return nil
	case p.started && rec.Zxid <= p.last:
		return p.repeated(rec, path)
	}
	if err := p.mayFollow(rec.Zxid, path); err != nil {
		return err
	}
	x, err := txn.Decode(rec.Data)
	if err != nil {
		return fmt.Errorf("log %s: %w: %w; %s", path, ErrCorrupt, err, wayOut)
	}
	p.r.Tree.Apply(x)
	p.r.Tree.SetLastZxid(x.Zxid)
	p.started, p.last, p.digest = true, rec.Zxid, x.Digest
	p.pass(rec.Zxid)
	p.r.Replayed++
	p.window.add(rec)
	p.recent.add(rec)
	if p.r.Replayed%1024 == 0 {
		return p.ctx.Err()
	}
	return nil
}

// pass notes that the log has the transaction of a skipped snapshot.
func (p *replay) pass(zxid int64) {
	if !slices.ContainsFunc(p.skipped, func(s skippedSnapshot) bool { return s.zxid == zxid }) {
		return
	}
	if p.passed == nil {
		p.passed = make(map[int64]bool)
	}
	p.passed[zxid] = true
}

// mayFollow refuses a gap.
func (p *replay) mayFollow(zxid int64, path string) error {
	if !p.hasSnapshot && !p.started {
		return p.mayBeFirst(zxid, path)
	}
	if follows(p.last, zxid) {
		return p.comesAfter(zxid, path)
	}
	return fmt.Errorf("%w: transactions are missing: %s goes on with 0x%x after 0x%x; restore the missing log files, or, in an ensemble, let this server copy the state from the leader: zkctl server rejoin",
		ErrCorrupt, path, zxid, p.last)
}

// mayBeFirst accepts logs without a snapshot only when they start where a
// database starts: a young server of release 3.4 has no snapshot yet.
func (p *replay) mayBeFirst(zxid int64, path string) error {
	if zxid == 1 || zxid == 1<<32|1 {
		p.warn("there is no snapshot; replaying the log from its start, 0x%x", zxid)
		return nil
	}
	if p.s.o.TrustEmpty {
		p.warn("there is no snapshot, and the log starts with 0x%x; replaying it, since snapshot.trust.empty is set", zxid)
		return nil
	}
	return fmt.Errorf("%w: %s has no snapshot, but %s starts with 0x%x; set snapshot.trust.empty=true for one start if there never was one; else %s",
		ErrCorrupt, p.s.snapDir, path, zxid, wayOut)
}

// repeated accepts a record that is in the log already when it is the same.
// Servers before 3.4.12 could log a proposal twice (ZOOKEEPER-2845).
func (p *replay) repeated(rec Record, path string) error {
	if p.recent.has(rec) {
		return nil
	}
	return fmt.Errorf("%w: %s goes back to 0x%x after 0x%x with a different transaction; in an ensemble, let this server copy the state from the leader: zkctl server rejoin",
		ErrCorrupt, path, rec.Zxid, p.last)
}

// ended notes how a file without damage ends.
func (p *replay) ended(l *LogReader, f NamedFile, newest bool) error {
	if err := p.clean(l); err != nil {
		return err
	}
	if l.last == 0 {
		return p.noRecords(f)
	}
	p.empty = nil
	if newest {
		p.tail = &tail{path: l.path, end: l.off, mark: l.mark}
	}
	return nil
}

// clean checks a file against its mark: it must not end before what was synced. An
// Apache server that truncates its log leaves one that does, and ends behind a record.
func (p *replay) clean(l *LogReader) error {
	m := decodedMark(l)
	switch {
	case m.from <= l.off:
		return nil
	case l.size != l.off || l.last == 0 || !p.s.othersWrote():
		return fmt.Errorf("%w: %s ends at offset %d after 0x%x, but was synced up to offset %d; %s",
			ErrCorrupt, l.path, l.off, l.last, m.from, wayOut)
	}
	p.warn("%s was cut to offset %d by an Apache server, after 0x%x", l.path, l.off, l.last)
	p.cut = append(p.cut, tail{path: l.path, end: l.off})
	return nil
}

// noRecords handles a file that was begun but holds nothing.
func (p *replay) noRecords(f NamedFile) error {
	if f.Zxid > p.last {
		if err := p.mayFollow(f.Zxid, filepath.Join(p.s.logDir, f.Name)); err != nil {
			return err
		}
	}
	p.empty = append(p.empty, f.Name)
	return nil
}

// damaged decides whether damage is a torn tail, which is cut, or a loss.
func (p *replay) damaged(l *LogReader, d *DamageError, f NamedFile, newest bool) error {
	if !newest && d.Flaw != FlawShort && d.Flaw != FlawMarker {
		return p.hopeless(d, "newer log files follow")
	}
	why, err := tornOrLost(l, d)
	if err != nil {
		return err
	}
	if why != "" {
		return p.hopeless(d, why)
	}
	if newest {
		p.warn("%v; cut there: it was being written when the server stopped, and never acknowledged", d)
	}
	if l.last == 0 {
		return p.noRecords(f)
	}
	p.empty = nil
	if !newest {
		return nil // an Apache server passed over it; the next file must go on without a gap
	}
	p.tail = &tail{path: l.path, end: l.off, mark: l.mark, torn: true}
	return nil
}

func (p *replay) hopeless(d *DamageError, why string) error {
	return fmt.Errorf("%w; this is no torn end, since %s (last zxid recovered 0x%x); restore a backup, or, in an ensemble, let this server copy the state from the leader: zkctl server rejoin",
		d, why, p.last)
}

// checkDigest compares the tree with the digest that was recorded for it.
func (p *replay) checkDigest() {
	want, at := p.digest, p.last
	if in := p.r.Snapshot; !p.started && in.HasDigest && in.DigestZxid == in.Zxid && in.Zxid > 0 {
		want = &txn.Digest{Version: in.DigestVersion, Tree: in.Digest}
	}
	if want == nil || want.Version != txn.DigestVersion || want.Tree == p.r.Tree.Digest() {
		return
	}
	p.warn("the tree at 0x%x has digest 0x%x, but 0x%x was recorded: it differs from that of the server that wrote the files",
		at, p.r.Tree.Digest(), want.Tree)
}

// window keeps the newest records within bounds.
type window struct {
	count int
	bytes int64
	list  []Record
	sum   int64
}

func (w *window) add(r Record) {
	if w.count <= 0 {
		return
	}
	w.list = append(w.list, r)
	w.sum += int64(len(r.Data))
	for len(w.list) > w.count || w.bytes > 0 && w.sum > w.bytes {
		w.sum -= int64(len(w.list[0].Data))
		w.list[0] = Record{}
		w.list = w.list[1:]
	}
}

func (w *window) records() []Record { return append([]Record(nil), w.list...) }

// recent remembers the newest records by their checksums.
type recent struct {
	ring [4096]struct {
		zxid int64
		sum  uint32
	}
}

func (r *recent) add(rec Record) {
	at := &r.ring[int(rec.Zxid)&(len(r.ring)-1)]
	at.zxid, at.sum = rec.Zxid, adler32.Checksum(rec.Data)
}

func (r *recent) has(rec Record) bool {
	at := r.ring[int(rec.Zxid)&(len(r.ring)-1)]
	return at.zxid == rec.Zxid && at.sum == adler32.Checksum(rec.Data)
}
