package purge

import (
	"fmt"
	"os"
	"path/filepath"
)

// openFiles tells for each file that a process has open which process that is, by
// path. It sees the processes that this user may look into (all of them as root)
// and none where there is no /proc.
func openFiles(files []File) map[string]string {
	found := map[string]string{}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil || len(files) == 0 {
		return found
	}
	byName := map[string]File{}
	for _, f := range files {
		byName[f.Name()] = f
	}
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil {
			continue // the process ended, or belongs to someone else
		}
		f, candidate := byName[filepath.Base(target)]
		if !candidate {
			continue
		}
		if info, err := os.Stat(fd); err == nil && os.SameFile(info, f.info) {
			found[f.Path] = fmt.Sprintf("process %s", filepath.Base(filepath.Dir(filepath.Dir(fd))))
		}
	}
	return found
}
