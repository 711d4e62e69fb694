// Package storage keeps what must survive a crash: the transaction log, the
// snapshots of the tree and the two epochs of Zab, in the files and formats
// of Apache ZooKeeper 3.4 to 3.9, so that either server can go on with the
// directory of the other.
//
// # Directories
//
//	dataDir/version-2/snapshot.<zxid>   tree after that zxid (hex)
//	dataDir/version-2/acceptedEpoch     decimal, and a second line: see guard
//	dataDir/version-2/currentEpoch
//	logDir/version-2/log.<zxid>         log whose first transaction that is
//	dataDir/zkctl.lock                  held while a server runs
//	dataDir/version-2/zkctl.reached     what must be there: see reached
//	dataDir/version-2/zkctl.intent      only while a truncation or the
//	                                    install of a snapshot is under way
//
// # Log file
//
// All numbers are big-endian (FileTxnLog.java):
//
//	header  "ZKLG" | version 2 (4) | dbid (8)
//	record  Adler-32 of entry (8) | length of entry (4) | entry | 'B'
//	...
//	zeros up to the preallocated length
//
// An entry is what package txn encodes. Apache writes 0 for the dbid and
// nobody reads it, so this package keeps its sync mark there: see mark.
//
// # Snapshot file
//
//	header    "ZKSN" | version 2 (4) | dbid -1 (8)
//	contents  as package tree writes them: sessions, ACLs, znodes, "/"
//	seal      Adler-32 of all before (8) | "/"
//	digest    zxid (8) | version (4) | digest (8), and another seal
//	last zxid zxid (8), and another seal
//
// The last two parts are optional (FileSnap.java, from 3.6 and from 3.9 on).
//
// # What is promised
//
// After [Store.Sync] returned without error, every record appended before
// survives, in order and without a gap. A snapshot is there whole or not at
// all. What is damaged is never taken for what is absent: [Store.Recover]
// returns an error that names the file and the offset, rather than a history
// with a hole in it. The only thing it cuts is a torn tail: records at the
// end of the newest log file that no Sync covered.
//
// After any failed write or sync the Store refuses further work
// ([ErrFailed]): what a disk holds after a failed fsync is not known.
//
// To read the package start with names.go, logfile.go and recover.go.
package storage
