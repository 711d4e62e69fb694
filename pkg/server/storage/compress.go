package storage

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"io"
)

// Compression is how a snapshot file is compressed; its values are those of
// Apache's snapshot.compression.method (SnapStream.java).
type Compression string

// The kinds of compression.
const (
	Plain  Compression = ""
	Gzip   Compression = "gz"
	Snappy Compression = "snappy" // in snappy-java's framing
)

// suffix ends the names of such files.
func (c Compression) suffix() string {
	switch c {
	case Gzip:
		return gzSuffix
	case Snappy:
		return snappySuffix
	}
	return ""
}

// writer compresses on the way to w. Close ends what was written and leaves w open.
func (c Compression) writer(w io.Writer) io.WriteCloser {
	switch b := (&bufferedEnd{bufio.NewWriterSize(w, readBuffer)}); c {
	case Gzip:
		z, _ := gzip.NewWriterLevel(b, gzip.BestSpeed) // fails only for a level that does not exist
		return &packer{z, b}
	case Snappy:
		return &packer{newSnappyWriter(b), b}
	}
	return nothingToClose{w} // what is written comes gathered
}

type nothingToClose struct{ io.Writer }

func (nothingToClose) Close() error { return nil }

// bufferedEnd is a bufio.Writer that flushes when it is closed.
type bufferedEnd struct{ *bufio.Writer }

func (b *bufferedEnd) Close() error { return b.Flush() }

// packer closes a compressor and then what is below it.
type packer struct {
	io.WriteCloser
	below io.Closer
}

func (p *packer) Close() error {
	if err := p.WriteCloser.Close(); err != nil {
		return err
	}
	return p.below.Close()
}

// snappyBlock is how much is compressed at once, as SnappyOutputStream.java does
// by default. Within it every distance fits 16 bits.
const snappyBlock = 32 << 10

// snappyVersion is what snappy-java writes as its version and as the oldest that
// reads the stream.
const snappyVersion = 1

// snappyWriter writes the stream that snappyReader reads.
type snappyWriter struct {
	w       io.Writer
	started bool
	block   []byte
	packed  []byte
	table   [1 << snapBits]uint16 // position + 1 in the block of four bytes with that hash; 0 is none
}

func newSnappyWriter(w io.Writer) *snappyWriter {
	return &snappyWriter{w: w, block: make([]byte, 0, snappyBlock)}
}

func (s *snappyWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n := min(len(p)-done, snappyBlock-len(s.block))
		s.block = append(s.block, p[done:done+n]...)
		done += n
		if len(s.block) == snappyBlock {
			if err := s.flush(); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// Close writes what is left.
func (s *snappyWriter) Close() error { return s.flush() }

func (s *snappyWriter) flush() error {
	out := s.packed[:0]
	if !s.started {
		out = append(out, snappyMagic[:]...)
		out = binary.BigEndian.AppendUint32(out, snappyVersion)
		out = binary.BigEndian.AppendUint32(out, snappyVersion)
		s.started = true
	}
	if len(s.block) > 0 {
		at := len(out)
		out = append(out, 0, 0, 0, 0)
		out = s.snap(out)
		binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-4))
		s.block = s.block[:0]
	}
	s.packed = out
	_, err := s.w.Write(out)
	return err
}

const (
	snapBits    = 14
	snapMinCopy = 4
	snapMaxCopy = 64
)

// snap appends the block in Snappy's form to dst: wherever four bytes occurred
// before, a copy of as much as is equal.
func (s *snappyWriter) snap(dst []byte) []byte {
	b := s.block
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	clear(s.table[:])
	from := 0 // start of what is not written yet
	for i := 0; i+snapMinCopy <= len(b); {
		word := binary.LittleEndian.Uint32(b[i:])
		slot := &s.table[word*0x1e35a7bd>>(32-snapBits)]
		before := int(*slot) - 1
		*slot = uint16(i + 1)
		if before < 0 || binary.LittleEndian.Uint32(b[before:]) != word {
			i += 1 + (i-from)>>6 // hurry through what does not compress
			continue
		}
		n := snapMinCopy
		for i+n < len(b) && b[before+n] == b[i+n] {
			n++
		}
		dst = snapLiteral(dst, b[from:i])
		dst = snapCopy(dst, i-before, n)
		i += n
		from = i
	}
	return snapLiteral(dst, b[from:])
}

func snapLiteral(dst, lit []byte) []byte {
	switch n := len(lit) - 1; {
	case n < 0:
		return dst
	case n < 60:
		dst = append(dst, byte(n)<<2)
	case n < 1<<8:
		dst = append(dst, 60<<2, byte(n))
	default:
		dst = append(dst, 61<<2, byte(n), byte(n>>8))
	}
	return append(dst, lit...)
}

func snapCopy(dst []byte, back, n int) []byte {
	for n > 0 {
		step := min(n, snapMaxCopy)
		dst = append(dst, byte(step-1)<<2|2, byte(back), byte(back>>8))
		n -= step
	}
	return dst
}
