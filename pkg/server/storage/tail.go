package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// rewriteMax bounds how much of a log's end is written again, in bytes.
const rewriteMax = 16 << 20

// decodedMark is the file's mark, or one that says nothing.
func decodedMark(l *LogReader) mark {
	if !l.mark.valid() {
		return mark{}
	}
	return l.mark
}

// tornOrLost looks at damage in the newest log file. It returns why the
// damage cannot be a torn tail, or "" when it is one.
func tornOrLost(l *LogReader, d *DamageError) (string, error) {
	m := decodedMark(l)
	switch {
	case d.Flaw == FlawHeader:
		return "a torn one would be empty", nil
	case m == mark{}:
		return validFollows(l, d.Offset)
	case d.Offset < m.from:
		return fmt.Sprintf("the file was synced up to offset %d", m.from), nil
	case m.open(), d.Offset >= m.end():
		return "", nil
	}
	left := max(l.size-m.end(), 0)
	n, err := onlyZeros(io.NewSectionReader(l.file, m.end(), left), bufferFor(left))
	if err != nil {
		return "", fmt.Errorf("read log %s: %w", l.path, err)
	}
	if n >= 0 {
		return fmt.Sprintf("it was synced before what stands at offset %d was written", m.end()+n), nil
	}
	return "", nil
}

// onlyZeros returns the offset of the first byte that is not 0, or -1. It
// reads pieces of up to size bytes.
func onlyZeros(r io.Reader, size int) (int64, error) {
	buf := make([]byte, max(size, 1))
	at := int64(0)
	for {
		n, err := r.Read(buf)
		if !zero(buf[:n]) {
			for i, b := range buf[:n] {
				if b != 0 {
					return at + int64(i), nil
				}
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// settle makes what was recovered durable: the torn end is cut, files
// without records go, and the end of the newest file, which may have been
// read from memory after a sync failed, is written again.
func (p *replay) settle() error {
	if log := p.s.reached.log; log != 0 && slices.Contains(p.empty, LogName(log)) {
		if err := p.s.reach(p.s.reached.last, 0); err != nil {
			return err
		}
	}
	for _, name := range p.empty {
		path := filepath.Join(p.s.logDir, name)
		if err := p.s.fs.Remove(path); err != nil {
			return err
		}
		p.warn("removed %s, which held no transaction", path)
	}
	for _, t := range p.cut {
		if err := p.s.shorten(t.path, t.end, true); err != nil {
			return err
		}
	}
	if p.tail == nil {
		return nil
	}
	f, err := p.s.fs.OpenFile(p.tail.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if p.tail.torn {
		err = f.Truncate(p.tail.end)
	}
	if err == nil {
		err = rewrite(f, p.tail.from(), p.tail.end)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil && p.tail.mark.valid() {
		err = remark(f, mark{from: p.tail.end}) // only now: a mark promises what is on the disk
	}
	return errors.Join(err, f.Close())
}

// remark replaces a file's mark and syncs it.
func remark(f disk.File, m mark) error {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], m.encode())
	if _, err := f.WriteAt(b[:], markAt); err != nil {
		return err
	}
	return f.Sync()
}

// from is where to start writing again.
func (t *tail) from() int64 {
	from := t.end - rewriteMax
	if t.mark.valid() && t.mark.from <= t.end {
		from = max(from, t.mark.from)
	}
	return max(from, 0)
}

// rewrite writes a part of a file as it is, so that it will be synced.
func rewrite(f interface {
	io.ReaderAt
	io.WriterAt
}, from, to int64) error {
	if from >= to {
		return nil
	}
	b := make([]byte, to-from)
	if _, err := f.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err := f.WriteAt(b, from)
	return err
}
