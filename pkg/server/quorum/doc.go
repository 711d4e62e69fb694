// Package quorum is a server's part in an ensemble as the network and the disk
// see it: it drives the state machine of package zab with connections, time and
// a log, and hands what the ensemble agrees on to a [Machine].
//
// On the wire it is a peer of Apache ZooKeeper 3.4 to 3.9: servers of either kind
// elect, follow and lead each other.
//
// # Goroutines
//
// One goroutine, the loop ([Peer.Run]), owns the zab.Peer and every link's
// registration. All others only put events into its inbox:
//
//	disk       one; appends, syncs, writes epochs, truncates, installs
//	election   an acceptor for each address, a dialler and a reader and writer
//	           for each server (QuorumCnxManager.java)
//	acceptor   one for each address while leading, and one for each greeting
//	link       a reader and a writer for each learner, or for the leader
//
// The loop waits for nobody but [Machine.Snapshot]. Locks are held for a few
// instructions, none while another is taken.
//
// # Reading order
//
//	machine.go       what the ensemble agrees for, and what it hands its work to
//	config.go        Config, Member
//	packet.go        the bytes of the quorum port; message.go: what they mean
//	notification.go  the bytes of the election port
//	election.go      connections of the election port; correspondent.go: one server's
//	link.go          one connection of the quorum port; acceptor.go, dial.go: how it starts
//	disk.go          group commit
//	loop.go          Peer and its loop; execute.go: what zab asks for; relay.go: requests
//	solo.go          a server that stands alone
package quorum
