package install

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// A Binary is the zkctl executable that goes to the hosts.
type Binary struct {
	Path    string // on this machine
	OS      string // as GOOS
	Arch    string // as GOARCH
	Size    int64  // bytes
	SHA256  string // hex, lower case
	Dynamic bool   // needs a loader and libraries on the host

	file *os.File
}

// OpenBinary reads what the executable at path is made for. Close it after use.
func OpenBinary(path string) (*Binary, error) {
	fail := func(err error) (*Binary, error) {
		return nil, &problem.Problem{Op: "read the binary " + path, Err: err,
			Do: "name a zkctl executable for the hosts with --binary"}
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	b := &Binary{Path: path, OS: "linux", file: f}
	if err := b.read(); err != nil {
		f.Close()
		return fail(err)
	}
	return b, nil
}

func (b *Binary) read() error {
	head, err := elf.NewFile(b.file)
	if err != nil {
		return fmt.Errorf("it is no executable for Linux: %w", err)
	}
	if b.Arch = goArch(head.FileHeader); b.Arch == "" {
		return fmt.Errorf("it is for a machine unknown here (%s)", head.Machine)
	}
	for _, p := range head.Progs {
		b.Dynamic = b.Dynamic || p.Type == elf.PT_INTERP
	}
	if _, err := b.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	if b.Size, err = io.Copy(sum, b.file); err != nil {
		return err
	}
	b.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// goArch is Go's name for the machine of an ELF file, "" when Go does not build for it.
func goArch(h elf.FileHeader) string {
	little := h.ByteOrder == binary.LittleEndian
	switch h.Machine {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_386:
		return "386"
	case elf.EM_ARM:
		return "arm"
	case elf.EM_RISCV:
		return "riscv64"
	case elf.EM_S390:
		return "s390x"
	case elf.EM_LOONGARCH:
		return "loong64"
	case elf.EM_PPC64:
		if little {
			return "ppc64le"
		}
		return "ppc64"
	}
	return ""
}

// Close lets go of the file.
func (b *Binary) Close() error { return b.file.Close() }

func (b *Binary) source() transport.Source {
	return transport.Source{Reader: b.file, Size: b.Size}
}
