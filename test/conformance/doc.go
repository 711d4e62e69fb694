// Package conformance compares what servers answer to clients, frame by frame:
// Apache ZooKeeper's of the lines 3.8 and 3.9, and ours. The measure is 3.9.
//
// A case is a conversation. The files in testdata/cases hold them, one line a
// request:
//
//	== watch-data-fires-once
//	differs 3.8: events carry no zxid
//	a create ~/x data="1"
//	b getData ~/x watch
//	a setData ~/x data="2"
//
// a and b are clients, which connect when they are first named; ~ is a znode
// that belongs to the case. What came back, in the order it came, is kept in
// testdata/golden, and written anew from Apache's server by "go test -update".
// Frames are shown decoded, to the last byte; masked are session ids and
// passwords (as the client that has them), times, and zxids: these are shown as
// the distance from the transaction that made ~, so that it is still told which
// transaction each of them is.
//
// Other lines of a case: "config: NAME" chooses how the servers run, "differs
// TARGET: reason" says why a target does not answer as 3.9 does, "apache dies:
// reason" keeps it from Apache's servers.
//
// A line "each NAME: one | two" makes a case of each value, which stands for
// $NAME in the lines; these cases are numbered.
//
// When a request has been answered every client is asked for what it was told
// meanwhile, with a ping whose answer is not shown. The grammar of requests is
// in request_test.go.
//
// Cases are also made from seeds (seeds_test.go): several clients, all kinds of
// writes, ACLs and watches. What Apache 3.9 answered is kept as a hash a seed.
//
//	go test ./test/conformance                      all
//	go test ./test/conformance -run 'Cases/zkctl/watch-'
//	go test ./test/conformance -seeds 2000          more seeds
//	go test ./test/conformance -run Seeds -seed 17  one, with its conversation
//	go test ./test/conformance -update              new golden files, from 3.9 and 3.8
package conformance
