// Package purge removes snapshots and transaction logs that a ZooKeeper server
// no longer needs, from the directories of a zkctl server or of Apache's.
//
// The rule: of the N newest valid snapshots let L be the zxid of the oldest. All
// snapshots before L may go, and all logs before the one that holds the
// transaction after L: that is the log with the largest name not above L. N is at
// least 3. Where fewer than N valid snapshots exist, nothing goes; Apache would
// still remove what is older than those it finds. Source: PurgeTxnLog.java.
//
// What keeps a purge from doing harm:
//
//   - only regular files go whose name is exactly one a server gives
//     (snapshot.<hex>, with .gz or .snappy, and log.<hex>), in version-2;
//     symbolic links and every other name are left alone;
//   - a file that a process has open is left alone, and said so;
//   - snapshots go first, oldest first, then logs, oldest first, so that wherever
//     a purge is cut short, no snapshot is left without the logs that follow it;
//   - a lock file in dataDir lets only one purge work at a time, and before it
//     removes anything it looks again at what it means to keep.
package purge
