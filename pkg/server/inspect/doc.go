// Package inspect looks at the files of a server that is not asked: transaction
// logs and snapshots of Apache ZooKeeper 3.4 to 3.9 and of this project. Logs
// are streamed, so their length does not matter; what concerns the tree holds
// the tree in memory.
//
// It reads files while a server writes them (a log may then end in the middle
// of a record) and changes them only in [Cut], [Create] and [SetAside], which never
// delete: what has to go is renamed into a directory beside version-2.
//
// Types that commands print as JSON have their tags here; the fields are a
// promise to scripts.
package inspect
