// Package metrics counts and measures what a server does, under the names that
// Apache ZooKeeper has for it (ServerMetrics.java), so that dashboards and
// alerts go on to work. To count costs a few atomic operations, no lock and no
// memory.
//
// A metric is here only if this server can tell it truly. Those of Apache's
// that stand for parts which this server does not have, such as the stages of
// its CommitProcessor, are listed with the reason in docs/compatibility.md.
package metrics
