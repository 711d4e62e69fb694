package proto

import "fmt"

// Code is an error code of a reply; the zero value means success. A Code is
// an error so that it can travel up to the place that writes the reply. Use
// [Code.Err] to get a nil error for OK.
type Code int32

// Error codes (KeeperException.Code).
const (
	OK                      Code = 0
	ErrSystem               Code = -1
	ErrRuntimeInconsistency Code = -2
	ErrDataInconsistency    Code = -3
	ErrConnectionLoss       Code = -4
	ErrMarshalling          Code = -5
	ErrUnimplemented        Code = -6
	ErrOperationTimeout     Code = -7
	ErrBadArguments         Code = -8
	ErrUnknownSession       Code = -12
	ErrNewConfigNoQuorum    Code = -13
	ErrReconfigInProgress   Code = -14
	ErrNoNode               Code = -101
	ErrNoAuth               Code = -102
	ErrBadVersion           Code = -103
	ErrNoChildrenEphemeral  Code = -108
	ErrNodeExists           Code = -110
	ErrNotEmpty             Code = -111
	ErrSessionExpired       Code = -112
	ErrInvalidCallback      Code = -113
	ErrInvalidACL           Code = -114
	ErrAuthFailed           Code = -115
	ErrSessionMoved         Code = -118
	ErrNotReadOnly          Code = -119
	ErrEphemeralOnLocal     Code = -120
	ErrNoWatcher            Code = -121
	ErrReconfigDisabled     Code = -123
	ErrRequireSASL          Code = -124
	ErrQuotaExceeded        Code = -125
	ErrThrottled            Code = -127
)

var codeNames = map[Code]string{
	OK: "ok", ErrSystem: "system error", ErrRuntimeInconsistency: "runtime inconsistency",
	ErrDataInconsistency: "data inconsistency", ErrConnectionLoss: "connection loss",
	ErrMarshalling: "marshalling error", ErrUnimplemented: "unimplemented",
	ErrOperationTimeout: "operation timeout", ErrBadArguments: "bad arguments",
	ErrUnknownSession: "unknown session", ErrNewConfigNoQuorum: "no quorum of the new configuration",
	ErrReconfigInProgress: "reconfiguration in progress", ErrNoNode: "no node", ErrNoAuth: "not authorized",
	ErrBadVersion: "bad version", ErrNoChildrenEphemeral: "ephemerals have no children",
	ErrNodeExists: "node exists", ErrNotEmpty: "node has children", ErrSessionExpired: "session expired",
	ErrInvalidCallback: "invalid callback", ErrInvalidACL: "invalid ACL", ErrAuthFailed: "authentication failed",
	ErrSessionMoved: "session moved", ErrNotReadOnly: "server is read-only",
	ErrEphemeralOnLocal: "ephemeral on a local session", ErrNoWatcher: "no such watcher",
	ErrReconfigDisabled: "reconfiguration disabled", ErrRequireSASL: "SASL authentication required",
	ErrQuotaExceeded: "quota exceeded", ErrThrottled: "throttled",
}

// Error names the code.
func (c Code) Error() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return fmt.Sprintf("error %d", int32(c))
}

// Err returns nil for [OK] and c otherwise.
func (c Code) Err() error {
	if c == OK {
		return nil
	}
	return c
}
