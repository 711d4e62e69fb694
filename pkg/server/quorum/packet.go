package quorum

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// errWire is wrapped by every error about bytes that break the protocol.
var errWire = errors.New("malformed message")

// packetType is the first field of a packet on the quorum port (Leader.java).
type packetType int32

const (
	typeRequest           packetType = 1
	typeProposal          packetType = 2
	typeAck               packetType = 3
	typeCommit            packetType = 4
	typePing              packetType = 5
	typeRevalidate        packetType = 6
	typeSync              packetType = 7
	typeInform            packetType = 8
	typeCommitAndActivate packetType = 9
	typeNewLeader         packetType = 10
	typeFollowerInfo      packetType = 11
	typeUpToDate          packetType = 12
	typeDiff              packetType = 13
	typeTrunc             packetType = 14
	typeSnap              packetType = 15
	typeObserverInfo      packetType = 16
	typeLeaderInfo        packetType = 17
	typeAckEpoch          packetType = 18
	typeInformAndActivate packetType = 19
)

// A packet is a record of the quorum port (QuorumPacket in zookeeper.jute).
// Packets follow each other without a frame:
//
//	int type | long zxid | buffer data | vector<ustring scheme, ustring id> authinfo
type packet struct {
	kind packetType
	zxid int64
	data []byte // nil is the null buffer
	auth []proto.ID
}

// packetOverhead is the length of a packet without data and authinfo.
const packetOverhead = 20

// append writes the packet behind b.
func (p packet) append(b []byte) []byte {
	b = jute.AppendLong(jute.AppendInt(b, int32(p.kind)), p.zxid)
	return proto.AppendIDs(jute.AppendBuffer(b, p.data), p.auth)
}

// readPacket reads the next packet. Data and each part of authinfo may be limit
// bytes long; memory grows only as bytes arrive. At a clean end between two
// packets the error is [io.EOF].
func readPacket(r *bufio.Reader, limit int) (packet, error) {
	head, err := next(r, 16)
	if err != nil {
		return packet{}, err
	}
	p := packet{
		kind: packetType(int32(binary.BigEndian.Uint32(head))),
		zxid: int64(binary.BigEndian.Uint64(head[4:])),
	}
	if p.data, err = readBytes(r, int32(binary.BigEndian.Uint32(head[12:])), limit); err != nil {
		return packet{}, fmt.Errorf("packet of type %d: data: %w", p.kind, noEOF(err))
	}
	if p.auth, err = readIDs(r, limit); err != nil {
		return packet{}, fmt.Errorf("packet of type %d: authinfo: %w", p.kind, noEOF(err))
	}
	return p, nil
}

// maxIDs bounds the identities of one client.
const maxIDs = 1024

// readIDs reads an authinfo vector.
func readIDs(r *bufio.Reader, limit int) ([]proto.ID, error) {
	n, err := readInt(r)
	switch {
	case err != nil:
		return nil, err
	case n == -1:
		return nil, nil
	case n < 0 || n > maxIDs:
		return nil, fmt.Errorf("%w: %d identities, at most %d are allowed", errWire, n, maxIDs)
	}
	ids := []proto.ID{}
	for range n {
		var id proto.ID
		if id.Scheme, err = readString(r, limit); err != nil {
			return nil, err
		}
		if id.ID, err = readString(r, limit); err != nil {
			return nil, err
		}
		limit -= len(id.Scheme) + len(id.ID)
		ids = append(ids, id)
	}
	return ids, nil
}

// readString reads a ustring of at most limit bytes; the null string reads as "".
func readString(r *bufio.Reader, limit int) (string, error) {
	n, err := readInt(r)
	if err != nil {
		return "", err
	}
	b, err := readBytes(r, n, limit)
	return string(b), err
}

func readInt(r *bufio.Reader) (int32, error) {
	b, err := next(r, 4)
	if err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(b)), nil
}

// next reads n bytes, few enough for any buffer; they are good until the next read.
func next(r *bufio.Reader, n int) ([]byte, error) {
	b, err := r.Peek(n)
	if err != nil {
		if len(b) > 0 {
			err = noEOF(err)
		}
		return nil, err
	}
	_, err = r.Discard(n)
	return b, err
}

// readBytes reads n bytes, or nil if n is -1.
func readBytes(r io.Reader, n int32, limit int) ([]byte, error) {
	const atOnce = 1 << 20 // a length alone must not cost memory
	switch {
	case n == -1:
		return nil, nil
	case n < 0 || int(n) > limit:
		return nil, fmt.Errorf("%w: length %d, at most %d is allowed", errWire, n, limit)
	}
	b := make([]byte, 0, min(int(n), atOnce))
	for len(b) < int(n) {
		from := len(b)
		to := min(int(n), max(2*from, atOnce))
		b = append(b, make([]byte, to-from)...)
		if _, err := io.ReadFull(r, b[from:]); err != nil {
			return nil, noEOF(err)
		}
	}
	return b, nil
}

// noEOF makes an end within a packet an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
