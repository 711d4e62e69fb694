package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// snappyMagic starts a stream of xerial's snappy-java:
//
//	magic (8) | version (4) | compatible version (4)
//	blocks: length (4) | that many bytes of one snappy block
//
// (SnappyOutputStream.java of snappy-java; SnapStream.java). A block is a
// varint of its unpacked length followed by literals and copies, as
// format_description.txt of Snappy says.
var snappyMagic = [8]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0} //nolint:gochecknoglobals // a constant

const (
	snappyHeader   = 16
	snappyMaxBlock = 64 << 20 // bytes unpacked; Java's default is 32 KiB
)

var errSnappy = errors.New("malformed snappy data")

// snappyReader unpacks such a stream.
type snappyReader struct {
	r       io.Reader
	started bool
	packed  []byte
	block   []byte // unpacked
	at      int    // of block that is handed out
}

func newSnappyReader(r io.Reader) io.Reader { return &snappyReader{r: r} }

func (s *snappyReader) Read(p []byte) (int, error) {
	for s.at == len(s.block) {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.block[s.at:])
	s.at += n
	return n, nil
}

func (s *snappyReader) next() error {
	if !s.started {
		var h [snappyHeader]byte
		if _, err := io.ReadFull(s.r, h[:]); err != nil || [8]byte(h[:8]) != snappyMagic {
			return fmt.Errorf("%w: no header", errSnappy)
		}
		s.started = true
	}
	var head [4]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return err // io.EOF between blocks is the end
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > snappyMaxBlock {
		return fmt.Errorf("%w: block of %d bytes", errSnappy, n)
	}
	var err error
	if s.packed, err = readUpTo(s.r, s.packed[:0], int(n)); err != nil {
		return fmt.Errorf("%w: block: %w", errSnappy, err)
	}
	s.at = 0
	s.block, err = unsnap(s.block[:0], s.packed)
	return err
}

// readUpTo reads n bytes behind b and allocates as they come.
func readUpTo(r io.Reader, b []byte, n int) ([]byte, error) {
	for n > 0 {
		step, at := min(n, readBuffer), len(b)
		b = append(b, make([]byte, step)...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return b[:0], err
		}
		n -= step
	}
	return b, nil
}

// unsnap unpacks one block behind dst, which is empty.
func unsnap(dst, src []byte) ([]byte, error) {
	size, k := binary.Uvarint(src)
	if k <= 0 || size > snappyMaxBlock {
		return nil, fmt.Errorf("%w: length of a block", errSnappy)
	}
	src = src[k:]
	for len(src) > 0 {
		used, err := unsnapOne(&dst, src, int(size))
		if err != nil {
			return nil, err
		}
		src = src[used:]
	}
	if len(dst) != int(size) {
		return nil, fmt.Errorf("%w: block of %d bytes, not %d", errSnappy, len(dst), size)
	}
	return dst, nil
}

// unsnapOne does one literal or copy and returns how many bytes it took.
func unsnapOne(dst *[]byte, src []byte, limit int) (int, error) {
	tag := src[0]
	if tag&3 == 0 {
		return unsnapLiteral(dst, src, limit)
	}
	width := [4]int{0, 2, 3, 5}[tag&3]
	if len(src) < width {
		return 0, fmt.Errorf("%w: cut copy", errSnappy)
	}
	var length, back int
	switch tag & 3 {
	case 1:
		length, back = int(tag>>2&7)+4, int(tag>>5)<<8|int(src[1])
	case 2:
		length, back = int(tag>>2)+1, int(binary.LittleEndian.Uint16(src[1:]))
	default:
		length, back = int(tag>>2)+1, int(binary.LittleEndian.Uint32(src[1:]))
	}
	d := *dst
	if back == 0 || back > len(d) || len(d)+length > limit {
		return 0, fmt.Errorf("%w: copy of %d from %d back at %d", errSnappy, length, back, len(d))
	}
	for range length { // one by one: a copy may overlap itself
		d = append(d, d[len(d)-back])
	}
	*dst = d
	return width, nil
}

func unsnapLiteral(dst *[]byte, src []byte, limit int) (int, error) {
	length, at := int(src[0]>>2), 1
	if length >= 60 {
		extra := length - 59
		if len(src) < 1+extra {
			return 0, fmt.Errorf("%w: cut literal", errSnappy)
		}
		var wide [8]byte
		copy(wide[:], src[1:1+extra])
		length, at = int(binary.LittleEndian.Uint64(wide[:])), 1+extra
	}
	length++
	if length > len(src)-at || len(*dst)+length > limit {
		return 0, fmt.Errorf("%w: literal of %d bytes", errSnappy, length)
	}
	*dst = append(*dst, src[at:at+length]...)
	return at + length, nil
}
