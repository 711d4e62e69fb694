package zab

import (
	"fmt"
	"math"
)

// Sid is a server's number, as its myid file holds it. Configured servers have
// numbers >= 0; a leader's driver numbers anonymous observers -1, -2, ...
type Sid int64

// None stands where no server or number is meant: the vote of a server that may
// not vote carries it as leader, zxid and peerEpoch (FastLeaderElection.java).
const None = math.MinInt64

// Zxid orders transactions: the epoch in the high 32 bits, a counter in the low
// ones (ZxidUtils.java). The counter of an epoch's first transaction is 1.
type Zxid int64

// maxCounter is the counter a leader does not use: reaching it ends the epoch.
const maxCounter = math.MaxUint32

// maxEpoch is the highest epoch a leader may have, so that zxids stay positive.
const maxEpoch = math.MaxInt32

// MakeZxid composes a zxid from an epoch (0 to 2^31-1) and a counter.
func MakeZxid(epoch int64, counter uint32) Zxid { return Zxid(epoch<<32 | int64(counter)) }

// Epoch returns the high 32 bits, keeping the sign.
func (z Zxid) Epoch() int64 { return int64(z) >> 32 }

// Counter returns the low 32 bits.
func (z Zxid) Counter() uint32 { return uint32(z) }

// String returns the zxid in hexadecimal, such as 0x100000002.
func (z Zxid) String() string { return fmt.Sprintf("%#x", uint64(z)) }

// precedes reports whether next can be the transaction right after z: the next
// counter of the same epoch, or the first of a later one.
func (z Zxid) precedes(next Zxid) bool {
	if next.Epoch() == z.Epoch() {
		return next.Counter() == z.Counter()+1 && next.Counter() != 0
	}
	return next.Epoch() > z.Epoch() && next.Counter() == 1
}

// Role is what a peer does at present. The numbers are those of a notification's
// state field (QuorumPeer.ServerState).
type Role uint8

// The roles.
const (
	Looking Role = iota
	Following
	Leading
	Observing
)

// String returns the role in lower case, as monitoring shows it.
func (r Role) String() string {
	return name(r, "looking", "following", "leading", "observing")
}

// Phase is a peer's place in the protocol (QuorumPeer.ZabState).
type Phase uint8

// The phases.
const (
	Election        Phase = iota // no leader known
	Discovery                    // a new epoch is being agreed on
	Synchronization              // histories are being made equal
	Broadcast                    // transactions flow
)

// String returns the phase in lower case, as monitoring shows it.
func (p Phase) String() string {
	return name(p, "election", "discovery", "synchronization", "broadcast")
}

// SyncMode is how a learner was brought up to date (QuorumPeer.SyncMode).
type SyncMode uint8

// The modes.
const (
	SyncNone  SyncMode = iota // not synchronised, or a leader
	SyncDiff                  // by the transactions it lacked
	SyncTrunc                 // by taking back what the leader does not have
	SyncSnap                  // by a snapshot
)

// String returns the mode in lower case, as monitoring shows it.
func (m SyncMode) String() string { return name(m, "none", "diff", "trunc", "snap") }

// Kind is a packet's type. The numbers are ours; the driver maps them to those of
// the election port and of the quorum port (Leader.java).
type Kind uint8

// The kinds, with their direction and the Packet fields they use besides From
// and To. Every packet but Notification belongs to a learner's link to its leader.
const (
	Notification Kind = iota // any to any: Vote, Role, Version
	FollowerInfo             // to the leader: Epoch (acceptedEpoch), Zxid (that epoch's)
	ObserverInfo             // the same from an observer
	LeaderInfo               // to a learner: Epoch (the new one), Zxid (that epoch's)
	AckEpoch                 // to the leader: Zxid (last logged), Epoch (currentEpoch, or -1)
	Diff                     // to a learner: Zxid; the transactions it lacks follow
	Trunc                    // to a learner: Zxid after which it must forget
	Snap                     // to a learner: Zxid of the snapshot the driver streams
	NewLeader                // to a learner: Zxid (epoch, 0); it is in sync
	UpToDate                 // to a learner: it may serve
	Propose                  // to a follower: Zxid, Data
	Ack                      // to the leader: Zxid proposed, or (epoch, 0) for NewLeader and UpToDate
	Commit                   // to a follower: Zxid
	Inform                   // to an observer: Zxid, Data of a committed proposal
	Ping                     // both ways: Zxid the leader proposed last
	// When membership changes (3.5): Commit and Inform of the proposal that does it,
	// with Leader, who is to lead from then on.
	CommitAndActivate
	InformAndActivate
)

// String returns the kind in the capitals of the protocol's documents.
func (k Kind) String() string {
	return name(k, "NOTIFICATION", "FOLLOWERINFO", "OBSERVERINFO", "LEADERINFO", "ACKEPOCH", "DIFF", "TRUNC", "SNAP",
		"NEWLEADER", "UPTODATE", "PROPOSAL", "ACK", "COMMIT", "INFORM", "PING", "COMMITANDACTIVATE", "INFORMANDACTIVATE")
}

// name returns the i-th of names, or the number when there is none.
func name[T ~uint8](i T, names ...string) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%T(%d)", i, uint8(i))
}

// Vote proposes a leader.
type Vote struct {
	Leader    Sid
	Zxid      Zxid  // the leader's last logged zxid
	PeerEpoch int64 // the leader's currentEpoch; once it leads, its new epoch
	Round     int64 // electionEpoch: the election this vote was cast in
}

// Packet is a message between two servers.
type Packet struct {
	Kind     Kind
	From, To Sid
	Zxid     Zxid
	Epoch    int64    // see the kinds
	Data     []byte   // Propose and Inform: the transaction, opaque to this package
	Vote     Vote     // Notification
	Role     Role     // Notification: what the sender does at present
	Version  int      // Notification: 0 from Apache 3.4 (40 byte form), 2 from 3.5 on
	Leader   Sid      // CommitAndActivate, InformAndActivate: the designated leader
	Log      *CatchUp // Snap: how the log may stand in for the snapshot; never on the wire
	// Unable says of a Trunc that arrives that what is on this disk does not lead to
	// Zxid, so that it takes a snapshot. Never on the wire.
	Unable bool
	// Members is a membership: in a Notification and in FollowerInfo the sender's (the
	// latter carries its Version only), in NewLeader the leader's, in Propose and
	// Inform what the transaction makes, in a Snap that arrives what the snapshot's
	// last change of membership made. Nil when not told.
	Members *Membership
}

// notificationVersion is what our own notifications carry.
const notificationVersion = 2

// Proposal is a transaction with its place in the order. Data is opaque, shared
// and must not be changed.
type Proposal struct {
	Zxid    Zxid
	Data    []byte
	Members *Membership // what it makes of the ensemble; nil for all but reconfig transactions
}

// Epochs are a peer's two promises, both on disk.
type Epochs struct {
	Accepted int64 // acceptedEpoch: no leader of a lower epoch will be joined
	Current  int64 // currentEpoch: the epoch whose leader's history this peer last took on
}
