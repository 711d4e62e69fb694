// Command bench measures zkctl's server and Apache ZooKeeper's side by side on
// this machine: requests per second, latencies, and what a request costs the
// servers in processor time and memory, alone and as an ensemble of three,
// and how long writes stand still after the leader was killed.
//
//	go run ./test/bench                       # everything, about three minutes
//	go run ./test/bench -servers 1 -clients 16 -json bench.json
//
// Servers are processes on loopback with directories of their own under the
// temporary directory; clients are spread over the servers of an ensemble.
// Apache's server comes from Debian's packages (default-jre-headless,
// libzookeeper-java) and is left out where they are missing. The figures are
// for comparison and never a condition of a test: they depend on the machine
// and on what else it does.
package main
