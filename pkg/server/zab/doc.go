// Package zab is ZooKeeper's atomic broadcast as a state machine: leader
// election, discovery, synchronisation and broadcast, as Apache ZooKeeper 3.4 to
// 3.9 perform them, with no goroutine, clock, socket or file. It depends on
// nothing but a few packages of the standard library, so whoever needs Zab can
// use it alone.
//
// # How it is driven
//
// A [Peer] is one server's part in the protocol. Its caller, the driver, owns
// time, network and disk. It tells the peer what happened:
//
//	Tick()          a fixed while passed
//	Step(packet)    this arrived from another server
//	LinkUp(sid)     the connection we dialled to the leader stands
//	LinkDown(sid)   the connection to our leader, or to one of our learners, is gone
//	Heard(sid)      there is life on the link beside packets
//	Durable(mark)   what the Readys up to mark asked for is on disk
//	Propose(p)      (leader) order this transaction
//
// and collects what is to be done as a sequence of [Ready] values. The same
// inputs give the same Readys, so any run can be replayed. What may only be said
// once something is on disk (ACK, ACKEPOCH, LEADERINFO) is not in a Ready before
// Durable was called: the driver cannot send it too early. One sync of the disk
// may answer for many Readys, and nothing obliges the driver to wait for it
// before it acts on the next.
//
// A Peer is not safe for concurrent use.
//
// # What the driver has to see to
//
//   - Collect Readys after every input, and work them off in their order.
//   - Hand in packets in the order sent, and only those of a living link. When a
//     learner's FOLLOWERINFO comes by a new link, close its former one without a
//     LinkDown and drop what is queued for it, then call Step.
//   - Report each broken link once by LinkDown, unless Hangup closed it. Hangup also
//     ends a dial. Listen for learners only while the role is Leading.
//   - Close a link whose packet Step refuses with [ErrCloseLink].
//   - After Truncate, trust no snapshot on disk that is newer than its zxid: while a
//     peer looks for a leader its tree holds what may have to be taken back.
//   - Call Step with a Snap packet only when the whole snapshot has arrived, and
//     Heard while it does.
//
// # Reading order
//
//	types.go      the words: Zxid, Vote, Packet, Proposal, Epochs
//	quorum.go     which sets of servers are large enough
//	ready.go      what a Ready promises, and how work queues up for it
//	peer.go       Peer: inputs, roles, durability; election again when a role ends
//	history.go    the transactions a peer has; window.go: the newest of them
//	election.go   LOOKING: fast leader election
//	leader.go     LEADING: discovery, synchronisation, liveness
//	learner.go    the leader's view of one learner
//	membership.go who is in the ensemble, and how that changes
//	sync.go       how the leader brings a learner up to date; catchup.go: from its log
//	broadcast.go  LEADING: proposals, acknowledgements, commits
//	following.go  FOLLOWING and OBSERVING: joining; apply.go: what then arrives
//
// # Where it differs from Apache ZooKeeper
//
// All of it is compatible on the wire.
//
//   - A vote on which every voter agrees is final at once; Apache waits another
//     200 ms although no better vote can come.
//   - A leader that has not yet served steps down as soon as those who elected it
//     are seen electing again, instead of waiting out initLimit.
//   - A leader whose epoch is below what a voter has promised to another gives up
//     for a higher epoch. In Apache that voter stays outside until the leader fails.
//   - A learner receives uncommitted proposals after NEWLEADER, not before it, since
//     many Java learners lose those they hold at NEWLEADER (ZOOKEEPER-4394).
//   - An acknowledgement counts for the connection it came by. A learner that comes
//     back, and is possibly told to truncate, has to acknowledge again.
//   - A learner below the window is brought up to date from the transaction log only
//     if that is known to be whole and the leader's own, see [Walk].
//   - Who promises a new epoch, and who holds its history, is counted in a proposed
//     membership as well as in the one in force; Apache counts promises in the latter
//     only, so that two leaders could be promised the same epoch.
//   - A learner is told of a membership that is proposed as of any proposal. Apache's
//     leader gives it with NEWLEADER, and a late learner then acts on what may never
//     be committed.
package zab
