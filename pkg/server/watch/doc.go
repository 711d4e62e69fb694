// Package watch knows who watches what on one server, and who is to be told
// when the tree changes.
//
// There are two tables, as in Java servers: data, filled by exists and
// getData, and child, filled by getChildren. A change triggers them so:
//
//	event               data table at the path   child table at the path
//	NodeCreated         NodeCreated              -
//	NodeDeleted         NodeDeleted              NodeDeleted, except to whom the data table told it
//	NodeDataChanged     NodeDataChanged          -
//	NodeChildrenChanged -                        NodeChildrenChanged
//
// A standard watch is gone when its table is triggered. A persistent one is in
// both tables and stays. A persistent recursive one is in the data table only,
// stays, and is triggered from every path below as well. Whoever has several
// watches that a table's trigger finds is told once.
//
// Watches belong to a connection; they say nothing about the znode being there.
//
// Source: WatchManager.java, WatcherMode.java, PathParentIterator.java and
// DataTree.java of 3.9.
package watch
