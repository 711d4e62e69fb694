package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
)

// validFollows looks for a valid record behind damage in a file without a
// mark, which an Apache server wrote. It holds a piece of the file at a time,
// however long the file and a record in it.
func validFollows(l *LogReader, from int64) (string, error) {
	const least = recordHead + minEntry // of a record, to judge it by
	buf := make([]byte, bufferFor(l.size-from)+least)
	for base := from + 1; base+least < l.size; base += int64(len(buf) - least) {
		n, err := l.file.ReadAt(buf, base)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read log %s at offset %d: %w", l.path, base, err)
		}
		if zero(buf[:n]) {
			continue
		}
		for at := range max(n-least, 0) {
			if buf[at] != 0 || buf[at+8] > 0x7f {
				continue
			}
			zxid, ok, err := l.recordAt(base+int64(at), buf[at:n])
			if err != nil {
				return "", err
			}
			if ok {
				return fmt.Sprintf("a valid record, 0x%x, follows at offset %d", zxid, base+int64(at)), nil
			}
		}
	}
	return "", nil
}

// recordAt tells whether a valid record with a later zxid starts at an offset
// of the file, where the bytes of head stand.
func (l *LogReader) recordAt(off int64, head []byte) (int64, bool, error) {
	sum, n := binary.BigEndian.Uint64(head), int64(int32(binary.BigEndian.Uint32(head[8:])))
	zxid := zxidOf(head[recordHead:])
	switch {
	case sum>>32 != 0, n < minEntry, n > l.size-off-recordExtra, zxid <= l.last:
		return 0, false, nil
	case n+recordExtra <= int64(len(head)):
		entry := head[recordHead : recordHead+n]
		return zxid, head[recordHead+n] == endOfRecord && uint64(adler32.Checksum(entry)) == sum, nil
	}
	flaw, err := l.tryEntry(off, n, sum)
	return zxid, flaw == "", err
}

// tryEntry checks the end mark and the checksum of a record at an offset, whose
// length says that it ends inside the file, without holding it. The flaw is ""
// when it is whole.
func (l *LogReader) tryEntry(off, length int64, sum uint64) (Flaw, error) {
	var mark [1]byte
	if _, err := l.file.ReadAt(mark[:], off+recordHead+length); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read log %s at offset %d: %w", l.path, off, err)
	}
	if mark[0] != endOfRecord {
		return FlawMarker, nil
	}
	h := adler32.New()
	entry := io.NewSectionReader(l.file, off+recordHead, length)
	if _, err := io.CopyBuffer(h, onlyReader{entry}, make([]byte, bufferFor(length))); err != nil {
		return "", fmt.Errorf("read log %s at offset %d: %w", l.path, off, err)
	}
	if uint64(h.Sum32()) != sum {
		return FlawChecksum, nil
	}
	return "", nil
}

// onlyReader hides the other ways to read, so that io.CopyBuffer takes its buffer.
type onlyReader struct{ io.Reader }
