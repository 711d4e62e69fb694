package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
)

// A Host is a machine to work on, with the rights of one user. Paths are absolute. Errors name
// the host and what was tried; those of files match [fs.ErrNotExist], [fs.ErrPermission],
// [fs.ErrExist] and errno values such as syscall.ENOSPC with [errors.Is]. A connection that is
// gone gives [ErrConnectionLost]. The methods may be called from several goroutines.
type Host interface {
	// Name is what the inventory calls the host.
	Name() string

	// Run runs a command to its end. A command that ends with another status than 0, or by a
	// signal, gives its Result and an [*ExitError]. When ctx ends, the command and what it
	// started in its process group are terminated, and killed after a grace of 2 s.
	// A daemon that the command left behind is not waited for.
	Run(ctx context.Context, cmd Command) (Result, error)

	// Stat describes the file itself; it does not follow a symbolic link.
	Stat(ctx context.Context, path string) (FileInfo, error)

	// ReadFile returns the file's content; it follows symbolic links.
	ReadFile(ctx context.Context, path string) ([]byte, error)

	// ReadDir describes what the directory holds, sorted by name.
	ReadDir(ctx context.Context, path string) ([]FileInfo, error)

	// SHA256 returns the digest of the file's content, in lower-case hex, taken on the host.
	SHA256(ctx context.Context, path string) (string, error)

	// WriteFile puts data at path, whole or not at all: a temporary file beside it, synced,
	// verified by its SHA-256, given its meta, renamed. It replaces a symbolic link at path
	// and refuses a directory.
	WriteFile(ctx context.Context, path string, data []byte, meta FileMeta) error

	// Upload is WriteFile for large files. progress, when not nil, hears how many bytes went
	// out so far; it is called from one goroutine.
	Upload(ctx context.Context, path string, src Source, meta FileMeta, progress func(sent int64)) error

	// SetMeta changes mode and owner of a file or directory; it refuses symbolic links.
	SetMeta(ctx context.Context, path string, meta FileMeta) error

	// MkdirAll makes the directory with the given meta; parents that are missing get mode 0755
	// and the acting user. A directory that is there stays as it is.
	MkdirAll(ctx context.Context, path string, meta FileMeta) error

	// Remove removes a file, a symbolic link (never its target) or an empty directory.
	Remove(ctx context.Context, path string) error

	// RemoveAll removes path and what is below, following no symbolic link. A path that is not
	// there is no error; "/" is refused.
	RemoveAll(ctx context.Context, path string) error

	// Rename moves a file or directory, replacing a file at the new path; atomic within one
	// file system.
	Rename(ctx context.Context, oldPath, newPath string) error

	// Symlink makes path a symbolic link to target, atomically replacing a file or link there.
	Symlink(ctx context.Context, target, path string) error

	// Facts asks the host what it is; nothing is cached.
	Facts(ctx context.Context) (Facts, error)

	// Root returns this host with the rights of root: itself when the user is root, else by
	// sudo, which may ask for the password once. It shares the connection. Errors are
	// [ErrSudoMissing], [ErrSudoDenied], [ErrSudoPassword] and [ErrSudoTerminal].
	Root(ctx context.Context) (Host, error)

	// Close ends the connection, for Root's view of the host too. Commands under way fail.
	Close() error
}

// Errors that callers tell apart with [errors.Is].
var (
	// ErrConnectionLost: the connection broke, or the host stopped answering.
	ErrConnectionLost = errors.New("connection lost")
	// ErrSudoMissing: there is no sudo on the host.
	ErrSudoMissing = errors.New("sudo is not installed")
	// ErrSudoDenied: sudoers does not let the user run commands as root.
	ErrSudoDenied = errors.New("the user may not use sudo")
	// ErrSudoPassword: sudo wants a password, and none or a wrong one was given.
	ErrSudoPassword = errors.New("sudo needs a password")
	// ErrSudoTerminal: sudoers has requiretty for the user.
	ErrSudoTerminal = errors.New("sudo insists on a terminal")
	// ErrAuth: the host accepted none of the keys and passwords.
	ErrAuth = errors.New("permission denied")
	// ErrHostKeyUnknown: known_hosts has no key of the host.
	ErrHostKeyUnknown = errors.New("host key is unknown")
	// ErrHostKeyChanged: known_hosts has another key of the host.
	ErrHostKeyChanged = errors.New("host key has changed")
	// ErrHostKeyRevoked: known_hosts has the key of the host, marked @revoked.
	ErrHostKeyRevoked = errors.New("host key is revoked")
	// ErrChecksum: what arrived on the host is not what was sent.
	ErrChecksum = errors.New("checksum of the written file differs")
	// ErrNotAnswered: a question had nobody to answer it.
	ErrNotAnswered = errors.New("nobody to ask")
)

// A Command is a program with its arguments, run without a shell's interpretation. Argv and Env
// can be seen by every user of the host: what is secret goes to Stdin.
type Command struct {
	Argv  []string          // program (a path, or found in PATH) and arguments
	Stdin io.Reader         // nil for no input
	Env   map[string]string // besides the host's environment; LC_ALL is C unless set here
	Dir   string            // working directory; empty for wherever the user starts

	op string // how messages call it; empty for the first words of Argv
}

// Result is what a command said.
type Result struct {
	Stdout, Stderr []byte
	ExitCode       int // 0..255; -1 when a signal ended it
}

// ExitError tells of a command that ended with a status other than 0. Its message is one line;
// the whole of what the command said is in the fields.
type ExitError struct {
	Host           string
	Command        string // program and arguments, shortened
	Code           int    // 1..255; -1 when Signal says why
	Signal         string // such as "KILL"; empty unless a signal ended the command
	Stdout, Stderr []byte
}

// Error gives the host, the command, its status and the last line of its standard error.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Code)
	if e.Signal != "" {
		how = "ended by signal " + e.Signal
	}
	msg := e.Host + ": " + e.Command + ": " + how
	if last := lastLine(e.Stderr); last != "" {
		msg += ": " + last
	}
	return msg
}

// lastLine is the last line of b that is not blank, in at most 300 characters.
func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	return shorten(strings.ToValidUTF8(last, "?"), 300)
}

// shorten cuts s to n characters, marking the cut.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// FileMeta is mode and owner of a file. Owner and Group are names or numbers; when empty they
// stay what the acting user makes them.
type FileMeta struct {
	Mode         fs.FileMode // permission bits, with setuid, setgid and sticky
	Owner, Group string
}

// FileInfo describes a file on a host.
type FileInfo struct {
	Name         string      // last element of the path
	Size         int64       // bytes
	Mode         fs.FileMode // type and permission bits
	UID, GID     int
	Owner, Group string // names; the number where the host knows no name
	ModTime      time.Time
	Target       string // what a symbolic link says; only from Stat
}

// A Source is content of a known size that can be read more than once (it is hashed first, sent
// then). A [bytes.Reader], [strings.Reader] or opened file is an [io.ReaderAt].
type Source struct {
	Reader io.ReaderAt
	Size   int64 // bytes
}

func (s Source) open() io.Reader { return io.NewSectionReader(s.Reader, 0, s.Size) }
