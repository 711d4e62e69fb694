package session

import (
	"encoding/binary"
	"math"
	"sync/atomic"
)

// passwordSecret is ZooKeeperServer.superSecret. It protects nothing: it makes
// the same password on every server.
const passwordSecret = 0xB3415C00

// Password is the password of a session, by which a client that reconnects is
// known. It depends on the id alone, so that any server of any version can
// check it: 16 bytes of java.util.Random seeded with id XOR a constant.
func Password(id int64) [16]byte {
	const multiplier, addend, mask = 0x5DEECE66D, 0xB, 1<<48 - 1
	state := (uint64(id) ^ passwordSecret ^ multiplier) & mask
	var p [16]byte
	for i := 0; i < len(p); i += 4 {
		state = (state*multiplier + addend) & mask
		binary.LittleEndian.PutUint32(p[i:], uint32(state>>16))
	}
	return p
}

// ValidPassword says whether a client that presents password may take session
// id over. Session 0 does not exist.
func ValidPassword(id int64, password []byte) bool {
	want := Password(id)
	return id != 0 && string(password) == string(want[:])
}

// IDs gives out session ids. It is safe for concurrent use.
type IDs struct{ last atomic.Int64 }

// NewIDs returns a generator for the server with number sid (1 to 255; a
// server alone is 1). now is its clock in ms; a server that restarts must hand
// in a later one, or ids repeat (SessionTrackerImpl.initializeNextSessionId).
func NewIDs(sid, now int64) *IDs {
	first := int64(uint64(now)<<24>>8 | uint64(sid)<<56)
	if first == math.MinInt64 {
		first++ // is the owner of containers
	}
	g := new(IDs)
	g.last.Store(first - 1)
	return g
}

// Next is an id that was not given out before.
func (g *IDs) Next() int64 { return g.last.Add(1) }
