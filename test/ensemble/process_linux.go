package ensemble

import "syscall"

// endsWithTest has the kernel kill a server when the test's process ends.
func endsWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
