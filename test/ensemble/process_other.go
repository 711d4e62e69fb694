//go:build !linux

package ensemble

import "syscall"

func endsWithTest() *syscall.SysProcAttr { return nil }
