package install

import (
	"errors"
	"syscall"
)

// processLives tells whether a process of this machine is alive.
func processLives(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
