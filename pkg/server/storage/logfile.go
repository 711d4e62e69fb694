package storage

import (
	"encoding/binary"
	"hash/adler32"
)

const (
	logMagic      = 0x5A4B4C47 // "ZKLG"
	formatVersion = 2
	logHeaderSize = 16
	recordHead    = 12 // checksum and length
	recordExtra   = recordHead + 1
	endOfRecord   = 'B'
	// minEntry is the shortest entry there can be: a transaction header.
	minEntry = 32
)

// Record is one transaction in the log.
type Record struct {
	Zxid int64
	Data []byte // header, body and digest, as package txn encodes them
}

// zxidOf reads the zxid out of an entry of at least minEntry bytes.
func zxidOf(entry []byte) int64 { return int64(binary.BigEndian.Uint64(entry[12:20])) }

// appendRecord writes one record behind b.
func appendRecord(b, entry []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(adler32.Checksum(entry)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(entry)))
	b = append(b, entry...)
	return append(b, endOfRecord)
}

// logHeader is the head of a log file.
func logHeader(m mark) []byte {
	b := binary.BigEndian.AppendUint32(nil, logMagic)
	b = binary.BigEndian.AppendUint32(b, formatVersion)
	return binary.BigEndian.AppendUint64(b, m.encode())
}

// mark says which part of a log file the last sync was about. It tells a
// torn tail from damage: a batch of records that was being written when the
// machine lost power may survive in any of its sectors, also with a hole
// before a valid record; what a sync has covered must not have holes.
//
//	from (36 bits) | length (28 bits)
//
// Everything before from was synced earlier. [from, from+length) is the
// batch that the sync after this mark makes durable; since a mark is written
// before each sync, anything found behind the batch proves that its sync
// ended. When it has ended the mark moves behind the batch, with length 0; that
// is not synced by itself but when the file is closed or recovered, so a crash may
// take it. The mark takes the place of the dbid in the file's header, one
// aligned 8 byte word, which a disk writes whole.
type mark struct{ from, length int64 }

const (
	markLengthBits = 28
	// markOpen is the length of a batch that may be of any size.
	markOpen = 1<<markLengthBits - 1
	markAt   = 8 // where in the file it is
)

func (m mark) encode() uint64 {
	if m.length > markOpen || m.length < 0 {
		m.length = markOpen
	}
	return uint64(m.from)<<markLengthBits | uint64(m.length)
}

func decodeMark(v uint64) mark {
	return mark{from: int64(v >> markLengthBits), length: int64(v & markOpen)}
}

// valid tells a mark of ours from the 0 (or -1) of other writers. It may be beyond
// the end of a file that has lost its end.
func (m mark) valid() bool { return m.from >= logHeaderSize && m != decodeMark(1<<64-1) }

func (m mark) open() bool { return m.length == markOpen }

func (m mark) end() int64 { return m.from + m.length }
