// Package jute reads and writes the binary encoding that every ZooKeeper
// protocol and file is made of: big-endian integers, length-prefixed strings
// and buffers, counted vectors, and records that are their fields in order.
//
//	byte     1 byte
//	boolean  1 byte, any non-zero value reads as true, written as 0 or 1
//	int      4 bytes, two's complement
//	long     8 bytes, two's complement
//	ustring  int length, then that many bytes; length -1 is the null string
//	buffer   int length, then that many bytes; length -1 is the null buffer
//	vector   int count, then the elements; count -1 is the null vector
//
// Encoding appends to a byte slice and cannot fail. Decoding goes through a
// [Decoder] that checks every length against what is left before it
// allocates, and keeps the first error so that callers check once.
//
// Source: BinaryInputArchive.java and BinaryOutputArchive.java.
package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// DefaultMaxBuffer is Apache's default for jute.maxbuffer, in bytes: the
// longest request, string or buffer that a server accepts.
const DefaultMaxBuffer = 0xfffff

// ErrMalformed is wrapped by every error of a [Decoder].
var ErrMalformed = errors.New("malformed jute data")

// AppendBool appends a boolean.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendInt appends an int.
func AppendInt(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

// AppendLong appends a long.
func AppendLong(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// AppendString appends a non-null ustring.
func AppendString(b []byte, s string) []byte { return append(AppendInt(b, int32(len(s))), s...) }

// AppendBuffer appends a buffer; nil is written as the null buffer.
func AppendBuffer(b, v []byte) []byte {
	if v == nil {
		return AppendInt(b, -1)
	}
	return append(AppendInt(b, int32(len(v))), v...)
}

// AppendStrings appends a vector of ustrings; nil is written as the null vector.
func AppendStrings(b []byte, v []string) []byte {
	if v == nil {
		return AppendInt(b, -1)
	}
	b = AppendInt(b, int32(len(v)))
	for _, s := range v {
		b = AppendString(b, s)
	}
	return b
}

// A Decoder reads values from the front of a byte slice. After the first
// error every method returns a zero value and Err keeps that error. It is not
// safe for concurrent use.
type Decoder struct {
	buf []byte
	off int
	err error
}

// NewDecoder returns a Decoder over b. Buffers that it returns are parts of
// b, not copies.
func NewDecoder(b []byte) *Decoder { return &Decoder{buf: b} }

// Err is the first error met; it wraps [ErrMalformed].
func (d *Decoder) Err() error { return d.err }

// Len is how many bytes are left.
func (d *Decoder) Len() int { return len(d.buf) - d.off }

// Offset is how many bytes have been read.
func (d *Decoder) Offset() int { return d.off }

// Rest returns the unread bytes and leaves the Decoder at the end.
func (d *Decoder) Rest() []byte {
	if d.err != nil {
		return nil
	}
	r := d.buf[d.off:]
	d.off = len(d.buf)
	return r
}

// Fail records an error about the value just read, unless one is there
// already. Record decoders use it for values that are out of range.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w at byte %d: %s", ErrMalformed, d.off, fmt.Sprintf(format, args...))
	}
}

func (d *Decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > d.Len() {
		d.Fail("%d bytes wanted, %d left", n, d.Len())
		return nil
	}
	v := d.buf[d.off : d.off+n : d.off+n]
	d.off += n
	return v
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

// Bool reads a boolean.
func (d *Decoder) Bool() bool { return d.Byte() != 0 }

// Int reads an int.
func (d *Decoder) Int() int32 {
	if v := d.take(4); v != nil {
		return int32(binary.BigEndian.Uint32(v))
	}
	return 0
}

// Long reads a long.
func (d *Decoder) Long() int64 {
	if v := d.take(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

// Buffer reads a buffer. It returns nil for the null buffer and a non-nil
// slice, which may be empty, otherwise.
func (d *Decoder) Buffer() []byte {
	n := d.Int()
	if n == -1 || d.err != nil {
		return nil
	}
	v := d.take(int(n))
	if v == nil && d.err == nil {
		return []byte{}
	}
	return v
}

// String reads a ustring; the null string reads as "".
func (d *Decoder) String() string { return string(d.Buffer()) }

// Count reads a vector's length and bounds it: a vector whose elements take
// at least minSize bytes each cannot be longer than what is left. One of a
// negative length other than -1 is empty (BinaryInputArchive.java, BinaryIndex).
// The second result is false for the null vector.
func (d *Decoder) Count(minSize int) (int, bool) {
	n := d.Int()
	switch {
	case d.err != nil:
		return 0, false
	case n == -1:
		return 0, false
	case n < 0: // as Java's readers take it
		return 0, true
	case int(n) > d.Len()/max(minSize, 1):
		d.Fail("vector of %d elements, %d bytes left", n, d.Len())
		return 0, false
	}
	return int(n), true
}

// Strings reads a vector of ustrings; the null vector reads as nil.
func (d *Decoder) Strings() []string {
	n, ok := d.Count(4)
	if !ok {
		return nil
	}
	v := make([]string, 0, n)
	for range n {
		v = append(v, d.String())
	}
	if d.err != nil {
		return nil
	}
	return v
}
