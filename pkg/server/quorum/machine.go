package quorum

import (
	"io"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// Machine is what the ensemble agrees for: the replicated tree and the
// requests around it. Package pipeline implements it, for an ensemble
// ([Peer]) and for a server that stands alone ([Solo]) alike.
//
// Unless a method says otherwise it is called from one goroutine, the peer's
// loop, and must return without waiting for the network or the disk.
type Machine interface {
	// Commit takes the next committed proposals, in zxid order and each exactly
	// once. The machine applies them in the background.
	Commit([]zab.Proposal)

	// Snapshot is the state after everything that Commit was given; it waits
	// for that to be applied. The result is written to a learner later and
	// meanwhile the machine goes on.
	Snapshot() (Snapshot, error)

	// Receive reads a snapshot stream (session table, ACL table and znodes, as
	// in a SNAP) and keeps it aside. It is called from the goroutine of the
	// leader's connection and may block. It must not read past the stream's end;
	// the reader is a *bufio.Reader, so that small reads cost little. A Staged
	// that is an io.Closer is closed if it is not to be installed after all.
	Receive(io.Reader) (Staged, error)

	// MembersIn is the text of the membership that a received snapshot holds
	// (/zookeeper/config), with its version; "" for none.
	MembersIn(Staged) string

	// Install makes a received snapshot the state and the base of the log, at
	// zxid, and returns when that is durable. It is called from the disk
	// goroutine and may block. Nothing is given to Commit meanwhile; what was
	// before may still have to be applied.
	Install(s Staged, zxid zab.Zxid) error

	// Truncate cuts the log behind zxid and rebuilds the state from the disk.
	// It is called as Install is.
	Truncate(zxid zab.Zxid) error

	// CanTruncate tells whether Truncate would end at exactly zxid. It is called
	// from the goroutine of the leader's connection, before anything of that leader
	// is to be logged, and may block.
	CanTruncate(zxid zab.Zxid) bool

	// Term tells which role the server has from now on. While it neither serves
	// nor is read-only there are no client connections and no requests under way.
	Term(Term)

	// Request takes a client's write or sync that came through the learner
	// from; called on the leader only.
	Request(from zab.Sid, r Request)

	// Revalidate says whether a session that a client presents to the learner
	// from is alive, and if so makes that learner its owner; on the leader only.
	Revalidate(from zab.Sid, session int64, timeout int32) bool

	// Touch takes the sessions that a learner heard of; on the leader only.
	Touch(from zab.Sid, sessions []Touch)

	// Touched returns, and forgets, the sessions that clients of this learner
	// used since the last call.
	Touched() []Touch

	// Revalidated is the leader's answer to [Peer.Revalidate]; on a learner.
	Revalidated(session int64, valid bool)

	// Synced is the leader's answer to the oldest sync that this learner
	// forwarded: everything that was committed before has been given to Commit.
	Synced()
}

// Snapshot is a point of the replicated state, to be sent to a learner.
type Snapshot interface {
	// Zxid is the last transaction in it.
	Zxid() int64
	// WriteTo writes the stream that [Machine.Receive] reads.
	io.WriterTo
}

// Staged is a received snapshot that is not in use yet.
type Staged any

// Term is a role and what goes with it.
type Term struct {
	zab.RoleChange
	// Next is the zxid that the machine gives to its first proposal; it counts
	// when the server leads and serves.
	Next zab.Zxid
	// ReadOnly lets a server that looks for a leader, and does not serve, answer
	// clients that only read. Nothing is given to Commit and nobody leads.
	ReadOnly bool
}

// Request is a client's write or sync on its way to the leader (QuorumPacket
// of type REQUEST).
type Request struct {
	Session int64
	Cxid    int32
	Op      proto.Op
	Body    []byte     // the request's record without its header
	Auth    []proto.ID // who the client is; nil for createSession
}

// Touch says that a session was used; Timeout is its timeout in ms.
type Touch struct {
	Session int64
	Timeout int32
}

// Log makes proposals and epochs durable. Its methods are called from one
// goroutine. After an error the server stops: nothing is acknowledged again.
type Log interface {
	Append([]zab.Proposal) error
	Sync() error // returns when everything appended is on disk
	WriteEpochs(zab.Epochs) error
}

// Order is how the machine hands its work to the ensemble; [Peer] and [Solo]
// implement it. Methods are safe for concurrent use and do not wait.
type Order interface {
	// Propose hands over the next transactions of this term, whose zxids the
	// machine has numbered from Term.Next on without a gap. Those of an ended
	// term are dropped: the machine has been told of the new term.
	Propose(epoch int64, ps []zab.Proposal)
	// Sync calls done, from the peer's loop, after everything proposed before
	// has been given to Commit. It is the leader's half of a client's sync;
	// done is dropped when the term ends first. When from is another server the
	// peer sends it SYNC, and done may be nil.
	Sync(epoch int64, from zab.Sid, done func())
	// CheckReconfig says why the membership of that text cannot be proposed in this term
	// as things are, or nil. Errors: [zab.ErrReconfig], [zab.ErrNoQuorum],
	// [zab.ErrNotLeader], or what is wrong with the text. It waits for the peer's loop, which
	// must not wait for the caller.
	CheckReconfig(epoch int64, text string) error
	// Forward sends a client's write or sync to the leader. It is dropped when
	// the link is gone: the term ends then.
	Forward(Request)
	// Revalidate asks the leader about a session.
	Revalidate(session int64, timeout int32)
}
