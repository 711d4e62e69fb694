// Package server is a ZooKeeper-compatible server. To read it, start with
//
//	zab        what the ensemble agrees on, without I/O
//	storage    what must survive a crash
//	tree       the znodes, and what a transaction does to them
//	quorum     zab's packets on the network, and the goroutine that drives it
//	pipeline   a request's way from the client port to the tree and back
//	front      the client port
//
// quorum is the only package that drives zab; zab imports nothing of ours.
// This package puts the parts together for one zoo.cfg and answers the
// four-letter words from them.
package server
