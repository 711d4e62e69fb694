package storage

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// pastFiles bounds how many log files a [Past] holds open.
const pastFiles = 32

// ErrPurged means that the log does not reach back far enough.
var ErrPurged = errors.New("the log does not reach back to it")

// Past reads again what the log holds. It has its files open, so that a purge takes
// nothing from under it, and reads what they held when it was made. It is not safe for
// concurrent use, but may be used beside everything that a [Store] does: what a
// Truncate or Install does to the files shows as an error, as damage does.
type Past struct {
	base  int64
	files []*LogReader // from the oldest on
	at    int          // the one being read

	marked place
	last   place // before the record that was read last
}

// place is one in the files of a Past.
type place struct {
	file int
	off  int64 // bytes
	zxid int64 // of the record before it in that file; 0 if there is none
}

// Past opens the log from the last file on that begins with zxid or before. The
// error wraps [ErrPurged] when there is none, or when more than 32 files follow.
func (s *Store) Past(zxid int64) (*Past, error) {
	p := &Past{base: s.base.Load()} // before the files: an Install between the two leaves a base that is too low, and no file
	_, logs, err := List(s.fs, s.logDir)
	if err != nil {
		return nil, err
	}
	if len(logs) == 0 || logs[0].Zxid > zxid {
		return nil, fmt.Errorf("0x%x: %w", zxid, ErrPurged)
	}
	if logs = filesFrom(logs, zxid-1); len(logs) > pastFiles {
		return nil, fmt.Errorf("0x%x: %w within %d files", zxid, ErrPurged, pastFiles)
	}
	for _, f := range logs {
		l, err := openLog(s.fs, filepath.Join(s.logDir, f.Name))
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.files = append(p.files, l)
	}
	return p, nil
}

// Base is a zxid that is in the history, and from which on this Store knows that the
// log goes on without a gap, because it has replayed or written all of that.
func (p *Past) Base() int64 { return p.base }

// Next returns the next record; its bytes are valid until the next call. It returns
// io.EOF at the end of the newest file, and otherwise the errors of
// [LogReader.Next]. A record that was being written when the Past was made may show
// as damage.
func (p *Past) Next() (Record, error) {
	for {
		l := p.files[p.at]
		p.last = place{p.at, l.off, l.last}
		entry, err := l.next(true)
		switch {
		case err == nil:
			return Record{Zxid: l.last, Data: entry}, nil
		case !errors.Is(err, io.EOF) || p.at == len(p.files)-1:
			return Record{}, err
		}
		p.at++
	}
}

// Mark remembers where the record that was read last begins.
func (p *Past) Mark() { p.marked = p.last }

// Rewind goes back to the mark: Next returns the record that it stands before.
func (p *Past) Rewind() {
	for i := p.marked.file; i <= p.at; i++ {
		l := p.files[i]
		switch {
		case i == p.marked.file:
			l.seek(p.marked.off, p.marked.zxid)
		case l.last != 0:
			l.seek(logHeaderSize, 0)
		}
	}
	p.at = p.marked.file
}

// Close closes the files.
func (p *Past) Close() error {
	var errs []error
	for _, l := range p.files {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// seek goes on from an offset at which a record begins; last is the one before it.
func (l *LogReader) seek(off, last int64) {
	l.r.Reset(io.NewSectionReader(l.file, off, l.size-off))
	l.off, l.last, l.err = off, last, nil
}
