// Package interop tests the server with the clients that people use: Apache's
// Java client and its shell, kazoo, go-zookeeper/zk, the C client, and bytes
// written by hand where no client can be brought to do what is to be tested.
//
// A client program in testdata is given the servers' addresses and prints what
// it sees, nothing that differs from run to run. It runs against one server of
// ours, three of ours that are killed under it, and Apache's own server; the
// transcripts must be the same. Tests of clients that are not installed are
// skipped with the names of their Debian packages.
package interop
