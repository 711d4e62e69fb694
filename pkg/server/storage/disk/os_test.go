package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLockNamesItsHolder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first, err := OS{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (OS{}).Lock(name); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Fatalf("second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OS{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestWriteAtomic(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := (OS{}).MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "f")
	for _, text := range []string{"one", "2"} {
		if err := WriteAtomic(OS{}, name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if b, err := ReadFile(OS{}, name, 10); err != nil || string(b) != text {
			t.Fatalf("%q %v", b, err)
		}
	}
	if _, err := ReadFile(OS{}, name, 0); err == nil {
		t.Fatal("a file longer than the limit was read")
	}
	infos, err := OS{}.ReadDir(dir)
	if err != nil || len(infos) != 1 || infos[0].Name != "f" || infos[0].Size != 1 {
		t.Fatal(infos, err)
	}
	if err := (OS{}).MkdirAll(filepath.Join(name, "x"), 0o755); err == nil {
		t.Fatal("made a directory below a file")
	}
}

func TestAllocateReadsAsZeros(t *testing.T) {
	f, err := OS{}.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int64{1 << 20, 5} { // it never shrinks
		if err := f.Allocate(size); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Size(); err != nil || got != 1<<20 {
			t.Fatal(got, err)
		}
	}
	b := []byte{1}
	if _, err := f.ReadAt(b, 1<<20-1); err != nil || b[0] != 0 {
		t.Fatal(b, err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := (OS{}).OpenFile("/nonexistent/f", os.O_RDONLY, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
