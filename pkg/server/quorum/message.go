package quorum

import (
	"fmt"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// protocolVersion is that of Zab 1.0, in LearnerInfo and LEADERINFO.
const protocolVersion = 0x10000

// learnerInfo is the data of FOLLOWERINFO and OBSERVERINFO: long sid | int
// protocol version | long configuration version. Older servers leave out the
// last one or two; an anonymous observer sends the null buffer.
type learnerInfo struct {
	sid           int64
	version       int32
	configVersion int64
}

func (l learnerInfo) append(b []byte) []byte {
	b = jute.AppendInt(jute.AppendLong(b, l.sid), l.version)
	return jute.AppendLong(b, l.configVersion)
}

// parseLearnerInfo reads the data of a FOLLOWERINFO or OBSERVERINFO that is not null.
func parseLearnerInfo(b []byte) (learnerInfo, error) {
	d := jute.NewDecoder(b)
	l := learnerInfo{sid: d.Long()}
	if len(b) >= 12 {
		l.version = d.Int()
	}
	if len(b) >= 20 {
		l.configVersion = d.Long()
	}
	if d.Err() != nil {
		return learnerInfo{}, fmt.Errorf("%w: LearnerInfo of %d bytes", errWire, len(b))
	}
	return l, nil
}

// errOldLearner refuses learners from before Zab 1.0, which 3.4 brought.
var errOldLearner = fmt.Errorf("%w: the learner does not speak Zab 1.0; it must be ZooKeeper 3.4 or later", errWire)

// fromZab makes the packet that carries a message of zab's.
func fromZab(p zab.Packet) packet {
	out := packet{zxid: int64(p.Zxid)}
	switch p.Kind {
	case zab.FollowerInfo, zab.ObserverInfo:
		out.kind = typeFollowerInfo
		if p.Kind == zab.ObserverInfo {
			out.kind = typeObserverInfo
		}
		out.zxid = int64(zab.MakeZxid(p.Epoch, 0))
		info := learnerInfo{sid: int64(p.From), version: protocolVersion}
		if p.Members != nil {
			info.configVersion = int64(p.Members.Version)
		}
		out.data = info.append(nil)
	case zab.LeaderInfo:
		out.kind, out.data = typeLeaderInfo, jute.AppendInt(nil, protocolVersion)
	case zab.AckEpoch:
		out.kind, out.data = typeAckEpoch, jute.AppendInt(nil, int32(p.Epoch))
	case zab.Diff:
		out.kind = typeDiff
	case zab.Trunc:
		out.kind = typeTrunc
	case zab.Snap:
		out.kind = typeSnap
	case zab.NewLeader:
		out.kind = typeNewLeader
		if p.Members != nil {
			out.data = []byte(withVersion(p.Members))
		}
	case zab.UpToDate:
		out.kind, out.zxid = typeUpToDate, -1
	case zab.Propose:
		out.kind, out.data = typeProposal, p.Data
	case zab.Ack:
		out.kind = typeAck
	case zab.Commit:
		out.kind = typeCommit
	case zab.Inform:
		out.kind, out.data = typeInform, p.Data
	case zab.CommitAndActivate:
		out.kind, out.data = typeCommitAndActivate, jute.AppendLong(nil, int64(p.Leader))
	case zab.InformAndActivate:
		out.kind, out.data = typeInformAndActivate, append(jute.AppendLong(nil, int64(p.Leader)), p.Data...)
	case zab.Ping:
		out.kind, out.data = typePing, p.Data
	}
	return out
}

// zabKind returns the kind of message that a packet carries. It is false for
// packets that zab has no part in and for unknown ones.
func zabKind(t packetType) (zab.Kind, bool) {
	switch t {
	case typeProposal:
		return zab.Propose, true
	case typeAck:
		return zab.Ack, true
	case typeCommit:
		return zab.Commit, true
	case typeCommitAndActivate:
		return zab.CommitAndActivate, true
	case typePing:
		return zab.Ping, true
	case typeInform:
		return zab.Inform, true
	case typeInformAndActivate:
		return zab.InformAndActivate, true
	case typeNewLeader:
		return zab.NewLeader, true
	case typeFollowerInfo:
		return zab.FollowerInfo, true
	case typeUpToDate:
		return zab.UpToDate, true
	case typeDiff:
		return zab.Diff, true
	case typeTrunc:
		return zab.Trunc, true
	case typeSnap:
		return zab.Snap, true
	case typeObserverInfo:
		return zab.ObserverInfo, true
	case typeLeaderInfo:
		return zab.LeaderInfo, true
	case typeAckEpoch:
		return zab.AckEpoch, true
	default:
		return 0, false
	}
}

// toZab reads a packet as a message to zab, or is false where zabKind is.
func toZab(p packet) (zab.Packet, bool, error) {
	kind, ok := zabKind(p.kind)
	if !ok {
		return zab.Packet{}, false, nil
	}
	out := zab.Packet{Kind: kind, Zxid: zab.Zxid(p.zxid)}
	switch p.kind {
	case typeFollowerInfo, typeObserverInfo, typeLeaderInfo, typeNewLeader:
		out.Epoch = out.Zxid.Epoch()
	case typeAckEpoch:
		if len(p.data) != 4 {
			return zab.Packet{}, false, fmt.Errorf("%w: ACKEPOCH with %d bytes of data", errWire, len(p.data))
		}
		out.Epoch = int64(jute.NewDecoder(p.data).Int())
	case typeProposal, typeInform:
		out.Data = p.data
	case typeInformAndActivate:
		if len(p.data) < 8 {
			return zab.Packet{}, false, fmt.Errorf("%w: INFORMANDACTIVATE with %d bytes of data", errWire, len(p.data))
		}
		out.Leader, out.Data = zab.Sid(jute.NewDecoder(p.data).Long()), p.data[8:]
	case typeCommitAndActivate:
		if len(p.data) < 8 {
			return zab.Packet{}, false, fmt.Errorf("%w: COMMITANDACTIVATE with %d bytes of data", errWire, len(p.data))
		}
		out.Leader = zab.Sid(jute.NewDecoder(p.data).Long())
	}
	return out, true, nil
}

// requestPacket carries a client's request to the leader: long session | int cxid
// | int op | body, and who the client is in authinfo.
func requestPacket(r Request) packet {
	b := jute.AppendInt(jute.AppendLong(nil, r.Session), r.Cxid)
	b = append(jute.AppendInt(b, int32(r.Op)), r.Body...)
	return packet{kind: typeRequest, zxid: -1, data: b, auth: r.Auth}
}

// parseRequest reads a packet of type REQUEST.
func parseRequest(p packet) (Request, error) {
	d := jute.NewDecoder(p.data)
	r := Request{Session: d.Long(), Cxid: d.Int(), Op: proto.Op(d.Int()), Auth: p.auth}
	if d.Err() != nil {
		return Request{}, fmt.Errorf("%w: REQUEST with %d bytes of data", errWire, len(p.data))
	}
	r.Body = d.Rest()
	return r, nil
}

// revalidatePacket asks the leader about a session: long session | int timeout in ms.
func revalidatePacket(session int64, timeout int32) packet {
	return packet{kind: typeRevalidate, zxid: -1, data: jute.AppendInt(jute.AppendLong(nil, session), timeout)}
}

// revalidatedPacket answers it: long session | byte valid.
func revalidatedPacket(session int64, valid bool) packet {
	return packet{kind: typeRevalidate, zxid: -1, data: jute.AppendBool(jute.AppendLong(nil, session), valid)}
}

// parseRevalidate reads a learner's question.
func parseRevalidate(b []byte) (session int64, timeout int32, err error) {
	d := jute.NewDecoder(b)
	session, timeout = d.Long(), d.Int()
	if d.Err() != nil {
		err = fmt.Errorf("%w: REVALIDATE with %d bytes of data", errWire, len(b))
	}
	return session, timeout, err
}

// parseRevalidated reads a leader's answer.
func parseRevalidated(b []byte) (session int64, valid bool, err error) {
	d := jute.NewDecoder(b)
	session, valid = d.Long(), d.Bool()
	if d.Err() != nil {
		err = fmt.Errorf("%w: REVALIDATE answer with %d bytes of data", errWire, len(b))
	}
	return session, valid, err
}

// touchSize is the length of an encoded [Touch]: long session | int timeout in ms.
const touchSize = 12

// appendTouches makes the data of a learner's PING: empty, not null, for none.
func appendTouches(touches []Touch) []byte {
	b := make([]byte, 0, touchSize*len(touches))
	for _, t := range touches {
		b = jute.AppendInt(jute.AppendLong(b, t.Session), t.Timeout)
	}
	return b
}

// parseTouches reads the data of a learner's PING.
func parseTouches(b []byte) ([]Touch, error) {
	if len(b)%touchSize != 0 {
		return nil, fmt.Errorf("%w: PING with %d bytes of data, not a multiple of %d", errWire, len(b), touchSize)
	}
	touches := make([]Touch, len(b)/touchSize)
	d := jute.NewDecoder(b)
	for i := range touches {
		touches[i] = Touch{Session: d.Long(), Timeout: d.Int()}
	}
	return touches, nil
}
