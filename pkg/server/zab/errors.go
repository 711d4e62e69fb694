package zab

import "errors"

// Errors a caller may test for with [errors.Is].
var (
	// ErrCloseLink says that a packet came by a link the peer knows nothing of, or
	// no longer wants: close it. Links the peer knows are closed by Ready.Hangup.
	ErrCloseLink = errors.New("close the link")
	// ErrNotLeader refuses Propose on a peer that does not lead and serve.
	ErrNotLeader = errors.New("not an established leader")
	// ErrZxid refuses Propose with a zxid other than NextZxid.
	ErrZxid = errors.New("not the next zxid")
	// ErrEpochFull refuses Propose when the epoch's counter is used up. The peer
	// has stepped down; the next epoch starts again at 1.
	ErrEpochFull = errors.New("the epoch has no zxids left, a new one must be elected")
	// ErrReconfig refuses a membership: invalid, or another is under way.
	ErrReconfig = errors.New("the membership cannot change now")
	// ErrNoQuorum refuses a membership of which no quorum is connected and in sync.
	ErrNoQuorum = errors.New("no quorum of the new membership is connected and in sync")
	// ErrProtocol says that a packet breaks the protocol: malformed, or not to be
	// expected from its sender at this time.
	ErrProtocol = errors.New("zab protocol violation")
	// ErrEpochs refuses a start whose epochs contradict each other or the log.
	ErrEpochs = errors.New("epoch files contradict the data")
)
