// Package ensemble runs real zkctl servers on loopback for tests: each is a
// process of the binary built from this checkout, with its own data directory
// and its own addresses. Every server reaches the others through relays of the
// test's own process, so a test can cut, slow down or break the network between
// any two of them, and can kill, pause and restart each process.
//
//	e := ensemble.Start(t, ensemble.Options{Servers: 3})
//	leader := e.WaitLeader()
//	e.Kill(leader)
//	e.WaitLeader() // another one
//
// Servers are named by their sid, 1 to Servers for participants and the numbers
// behind for observers. An ensemble has a network 127.x.y.0/24 to itself: server
// i listens at 127.x.y.i, and what server i believes to be server j is the relay
// at 127.x.y.(10i+j).
//
// Nothing is left behind: the processes end with the test, also when the test's
// own process is killed. When a test fails the end of every server's log is
// printed.
package ensemble
