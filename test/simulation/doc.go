// Package simulation plays whole ensembles in one process: the real code of
// packages zab, storage, tree, session and pipeline, on a clock, a network and
// disks that are simulated and fail. One number, the seed, decides everything;
// a seed that fails is played again, the same, by
//
//	go test ./test/simulation -run TestSimulation -v -simulation.seed N
//
// A thin driver in world_test.go and server_test.go stands for package quorum:
// it carries packets and does what zab asks for, one thing at a time. The
// goroutines of the pipelines live in a bubble of testing/synctest, and the
// driver waits until all of them are idle before it does the next thing.
package simulation
