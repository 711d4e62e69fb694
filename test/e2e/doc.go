// Package e2e tests zkctl as its users meet it: the real binary, run from a
// controller against real hosts over real SSH, and ZooKeeper clients that talk to
// what it installed. The hosts are those of test/testbed, once with systemd as
// process 1 and once without; the package skips where they cannot be booted.
//
//	go test -v ./test/e2e                                  everything
//	go test -short ./test/e2e                              a smoke test without systemd
//	go test -v ./test/e2e -run TestSystemd/reboot          one scene
//
// Each flavour of host boots once, and its scenes run one after another on it. A
// scene says what it needs (installed, bare), so that each runs alone as well.
// When one fails, what zkctl printed and the hosts' logs follow.
//
// To read it, start with world_test.go (hosts and zkctl), client_test.go
// (ZooKeeper clients that keep account), then the scenes.
package e2e
