package storage

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"os"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// ErrCorrupt is wrapped by every error about contents of files that cannot
// be what a server wrote.
var ErrCorrupt = errors.New("corrupt")

// Flaw is how a log file ends when it does not end cleanly.
type Flaw string

// The flaws. Apache's reader takes the first two for the end of the file and
// fails on the others.
const (
	FlawShort    Flaw = "the file ends inside a record"
	FlawMarker   Flaw = "a record lacks its end mark"
	FlawChecksum Flaw = "a record's checksum does not match"
	FlawLength   Flaw = "a record has an impossible length"
	FlawHeader   Flaw = "the file's header is not that of a log"
	FlawNoHeader Flaw = "the file's header was never written"
)

// DamageError says where a log file is damaged. It wraps [ErrCorrupt].
type DamageError struct {
	Path   string
	Offset int64 // of the damaged record, in bytes from the start of the file
	Last   int64 // zxid of the last good record of this file; 0 if there is none
	Flaw   Flaw
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: %s at offset %d (last good zxid in it 0x%x)", e.Path, e.Flaw, e.Offset, e.Last)
}

// Unwrap makes the error an ErrCorrupt.
func (e *DamageError) Unwrap() error { return ErrCorrupt }

const readBuffer = 256 << 10

// bufferFor is how large a buffer pays for a file of that size, in bytes.
func bufferFor(size int64) int { return int(min(size, readBuffer)) }

// LogReader reads one log file from its start. It is not safe for concurrent
// use.
type LogReader struct {
	path  string
	file  disk.File
	size  int64
	r     *bufio.Reader
	off   int64 // end of the last good record
	last  int64
	mark  mark
	err   error
	reuse []byte // for skipped records
}

// OpenLog opens a log file of the operating system. A file that is shorter
// than a header, as a crash while it was made can leave it, reads as empty.
func OpenLog(path string) (*LogReader, error) { return openLog(disk.OS{}, path) }

// OpenLogOn does so on another file system.
func OpenLogOn(fsys disk.FS, path string) (*LogReader, error) { return openLog(fsys, path) }

func openLog(fsys disk.FS, path string) (*LogReader, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &LogReader{path: path, file: f}
	if err := l.readHeader(); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

func (l *LogReader) readHeader() error {
	size, err := l.file.Size()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	l.size = size
	l.r = bufio.NewReaderSize(io.NewSectionReader(l.file, 0, size), bufferFor(size))
	var h [logHeaderSize]byte
	n, err := io.ReadFull(l.r, h[:])
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		l.err = io.EOF
		return nil
	case err != nil:
		return fmt.Errorf("read log %s: %w", l.path, err)
	}
	l.off = int64(n)
	if h == [logHeaderSize]byte{} {
		l.off = 0                   // also in what end says
		l.err = l.end(FlawNoHeader) // made, but its header never reached the disk
		return nil
	}
	if binary.BigEndian.Uint32(h[:]) != logMagic {
		l.off = 0
		l.err = l.damage(FlawHeader)
		return nil
	}
	l.mark = decodeMark(binary.BigEndian.Uint64(h[markAt:]))
	return nil
}

// Next returns the next record. It returns io.EOF where the file ends
// cleanly: at its end, or at zeros up to its end. Otherwise the error is a
// *[DamageError], or that of the disk. An error comes again.
func (l *LogReader) Next() (Record, error) {
	entry, err := l.next(false)
	if err != nil {
		return Record{}, err
	}
	return Record{Zxid: l.last, Data: entry}, nil
}

// skip reads and checks the next record without keeping it.
func (l *LogReader) skip() (int64, error) {
	_, err := l.next(true)
	return l.last, err
}

func (l *LogReader) next(reuse bool) ([]byte, error) {
	if l.err != nil {
		return nil, l.err
	}
	entry, err := l.read(reuse)
	if err != nil {
		l.err = err
		return nil, err
	}
	l.off += int64(len(entry)) + recordExtra
	l.last = zxidOf(entry)
	return entry, nil
}

func (l *LogReader) read(reuse bool) ([]byte, error) {
	var head [recordHead]byte
	n, err := io.ReadFull(l.r, head[:])
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		if zero(head[:n]) {
			return nil, io.EOF
		}
		return nil, l.damage(FlawShort)
	case err != nil:
		return nil, fmt.Errorf("read log %s at offset %d: %w", l.path, l.off, err)
	}
	sum, length := binary.BigEndian.Uint64(head[:]), int64(int32(binary.BigEndian.Uint32(head[8:])))
	switch {
	case length == 0 && sum == 0:
		return nil, l.end(FlawShort)
	case length < minEntry:
		return nil, l.damage(FlawLength)
	case length+recordExtra > l.size-l.off:
		return nil, l.damage(FlawShort)
	case length > readBuffer: // a wrong one is not worth its memory
		if flaw, err := l.tryEntry(l.off, length, sum); err != nil {
			return nil, err
		} else if flaw != "" {
			return nil, l.damage(flaw)
		}
	}
	return l.entry(int(length), sum, reuse)
}

func (l *LogReader) entry(length int, sum uint64, reuse bool) ([]byte, error) {
	var b []byte
	if reuse && cap(l.reuse) > length {
		b = l.reuse[:length+1]
	} else {
		b = make([]byte, length+1)
		l.reuse = b
	}
	if _, err := io.ReadFull(l.r, b); err != nil {
		return nil, fmt.Errorf("read log %s at offset %d: %w", l.path, l.off, err)
	}
	entry := b[:length:length]
	switch {
	case b[length] != endOfRecord:
		return nil, l.damage(FlawMarker)
	case uint64(adler32.Checksum(entry)) != sum:
		return nil, l.damage(FlawChecksum)
	}
	return entry, nil
}

// end checks that nothing but zeros follows, which is a clean end; otherwise
// the damage is a record whose head was lost.
func (l *LogReader) end(f Flaw) error {
	for {
		_, err := l.r.Peek(1) // fills the buffer
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("read log %s: %w", l.path, err)
		}
		b, _ := l.r.Peek(l.r.Buffered())
		if !zero(b) {
			return l.damage(f)
		}
		_, _ = l.r.Discard(len(b)) // they are in the buffer
	}
}

func zero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (l *LogReader) damage(f Flaw) error {
	return &DamageError{Path: l.path, Offset: l.off, Last: l.last, Flaw: f}
}

// Offset is where the last record that was read ends, in bytes.
func (l *LogReader) Offset() int64 { return l.off }

// Size is the length of the file, with its padding, in bytes.
func (l *LogReader) Size() int64 { return l.size }

// Close closes the file.
func (l *LogReader) Close() error { return l.file.Close() }
