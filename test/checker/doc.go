// Package checker looks for wrong answers of an ensemble under faults. Clients
// work at once on an ensemble of three and one of five servers while leaders are
// killed and paused and the network between servers is cut in several ways.
// Afterwards
//
//   - the history of every register (a znode that is created, set, compared and
//     set, read and deleted) must be linearizable, which porcupine judges;
//   - no sequential name was given twice or out of order, and no lock was held
//     by two sessions at once;
//   - all servers must have the same tree.
//
// TestNemesis does the same on installed servers, each on a host of its own that
// loses power, network or disk space (see docs/reliability.md); it needs root.
//
// How long clients work is set by -checker.duration, and -checker.seed repeats
// a schedule of faults; -nemesis.duration and -nemesis.hosts are for TestNemesis. A
// history that is not linearizable is written to a file that a browser shows; the
// test prints its path.
//
// Reads that must see all that was acknowledged before are made behind a
// transaction of the same session. A sync is not enough for that while a leader
// is cut off or paused: it is answered by a leader that does not know yet that
// it is none (ZooKeeper's sync is no quorum operation). It is enough while
// leaders are only killed, which has a test of its own.
package checker
