package tlsconf

import (
	"os"
	"strconv"
	"syscall"
)

// inode tells files apart that replace one another with equal size and time.
func inode(info os.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(s.Ino, 10)
	}
	return ""
}
