// Package transport is the installer's only way to a host: run a command there, read and write
// files, learn what the host is.
//
// [Host] has two implementations. [Local] is this machine, without SSH and without root.
// [Dialer.Dial] logs in over SSH, as the user's own ssh would: agent, key files, passwords,
// ~/.ssh/config, jump hosts, known_hosts; one connection a host, used for everything.
// [Host.Root] gives the same host with the rights of root, through sudo where need be.
//
// To read it, start with
//
//	host.go       what a Host can do
//	engine.go     how a command line runs, the same for this machine, SSH and sudo
//	shell.go      files by way of /bin/sh, which is how sudo reaches them
//	native.go     files of this machine
//	dial.go       from a target to a connection: config, jumps, auth, host key
//	knownhosts.go which host key is the right one
//
// Nothing secret is ever part of a command line, an error or a log record.
package transport
