// Package auth says who a client is and what it may do: the schemes of
// authentication, the rules of ACLs, and which clients have to authenticate at
// all. To read it, start with
//
//	policy.go    which schemes there are, and what each of them knows
//	acl.go       the rules: what an ACL allows, and what may be stored as one
//	identity.go  the identities of a connection, and their order
//	sasl.go      SASL, whose mechanism is in digestmd5
//	enforce.go   clients that have to authenticate before they may ask anything
//	dn.go        names of X.500 as Java prints and reads them
//
// A [Policy] does not change once it is made and is safe for concurrent use.
//
// Source: ZooKeeperServer.java (checkACL, processSasl), PrepRequestProcessor.java
// (fixupACL), ProviderRegistry.java and the providers beside it,
// AuthenticationHelper.java.
package auth
