//go:build !linux

package quorum

import "syscall"

// dropDeadConnections does nothing where TCP_USER_TIMEOUT does not exist.
func dropDeadConnections(_, _ string, _ syscall.RawConn) error { return nil }
