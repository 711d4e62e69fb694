// Package fourletter holds both ends of ZooKeeper's four-letter words: what a
// server answers and what a tool reads from it.
//
// A word is sent as four bytes on a client connection; the server writes its
// answer and closes. Each answer with content is a struct that writes itself
// (Write) and a function that reads it back (ParseSrvr and so on). What a Java
// server wrote comes out byte for byte the same when it is read and written, but
// for the average latency of 3.4 and 3.5, a whole number there.
//
// [Client] asks a server, [Client.Status] gathers what one server tells of
// itself, and [Evaluate] judges an ensemble by the statuses of its servers. All
// of it works with Apache ZooKeeper 3.4 to 3.9. The package stands on the
// standard library alone, so other programs can use it.
//
// Sources: server/command/*.java, ServerStats.java, ServerCnxn.java of Apache
// ZooKeeper.
package fourletter
