// Package tree is the replicated state of a ZooKeeper server: the hierarchy
// of znodes with their ACLs, the table of global sessions and their
// ephemerals, quotas, and the digest over it all. [Tree.Apply] changes it by
// one transaction; nothing else does while a server runs.
//
// # Concurrency
//
// A Tree has no lock: its owner allows one writer or many readers at a time.
// [Tree.Snapshot] takes constant time, and its result may be read without any
// lock while the tree goes on. That works because znodes hang in persistent
// hash tries (pmap.go): everything reachable carries the epoch in which it was
// made, a snapshot starts a new epoch, and what an older epoch made is copied
// before its first change.
//
// A [Node] that [Tree.Get] returned is to be read only while the lock under
// which it was got is held; its data and ACL slices may be kept but never
// written.
//
// # Where the rules come from
//
// DataTree.java, DataNode.java, ReferenceCountedACLCache.java,
// EphemeralType.java, Quotas.java, StatsTrack.java, DigestCalculator.java and
// AdHash.java. Where releases differ the tree follows 3.6 and later: a parent's
// cversion and pzxid are only ever raised.
package tree
