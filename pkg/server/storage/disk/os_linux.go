package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes a file's bytes durable, with its length but without the
// times that nobody reads.
func datasync(f *os.File) error {
	return retry(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// reserve extends a file to size with blocks that are allocated and read as
// zeros.
func reserve(f *os.File, size int64) error {
	return retry(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
}

// retry repeats a call that a signal interrupted before it did anything.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
