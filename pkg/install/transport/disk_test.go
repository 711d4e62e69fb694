package transport

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestDiskFull(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
			t.Skipf("cannot mount a small tmpfs: %v", err)
		}
		defer func() { must(t, syscall.Unmount(dir, 0)) }()
		must(t, os.WriteFile(dir+"/f", []byte("old"), 0o644))
		err := h.WriteFile(testContext(t), dir+"/f", noise(1<<20), FileMeta{Mode: 0o644})
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir+"/f") {
			t.Errorf("WriteFile = %v", err)
		}
		if got := string(mustRead(t, dir+"/f")); got != "old" {
			t.Errorf("the file is now %d bytes", len(got))
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("left over: %v", left)
		}
	})
}
