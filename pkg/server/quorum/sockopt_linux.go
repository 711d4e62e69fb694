package quorum

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// deadAfter is how long, in ms, sent bytes may stay unacknowledged before the
// kernel gives a connection up. Without it a connection of the election port that
// was cut for a while would come back only after the kernel's growing pauses.
const deadAfter = 10_000

// dropDeadConnections sets TCP_USER_TIMEOUT. Where that fails the connection
// merely takes longer to be found dead.
func dropDeadConnections(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, deadAfter)
	})
}
