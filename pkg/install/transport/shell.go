package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A store is the files of a host as one user sees them. Paths are absolute and clean. Errors are
// those of the operating system, with the path; the caller adds the host.
type store interface {
	stat(ctx context.Context, path string) (FileInfo, error)
	readFile(ctx context.Context, path string) ([]byte, error)
	readDir(ctx context.Context, path string) ([]FileInfo, error)
	sum(ctx context.Context, path string) (string, error)
	put(ctx context.Context, f newFile) error
	setMeta(ctx context.Context, path string, meta FileMeta) error
	mkdirAll(ctx context.Context, path string, meta FileMeta) error
	remove(ctx context.Context, path string) error
	removeAll(ctx context.Context, path string) error
	rename(ctx context.Context, oldPath, newPath string) error
	symlink(ctx context.Context, target, path, temp string) error
}

// newFile is a file to be put in place.
type newFile struct {
	path   string
	temp   string           // where it is written first; in the same directory
	open   func() io.Reader // its content, from the start
	sha256 string           // what it will add up to, in hex
	size   int64
	meta   FileMeta
}

// The scripts let tools, not the shell, fail on a path: dash does not say why it cannot open or enter it.

// shellStore reaches files by scripts for /bin/sh with the usual small tools of a Linux host
// (coreutils or busybox). One operation is one command, so that it costs one round trip, and sudo
// changes nothing about it. Content travels on standard input and output.
type shellStore struct {
	engine *engine
	upload func(ctx context.Context, f newFile) error // writes f.temp in another way than the script's; nil, or errNoUpload, to let the script
}

// errNoUpload: this host has no other way of uploading.
var errNoUpload = errors.New("no sftp on the host")

// Status values of the scripts for what they find out by themselves.
const exitChecksum = 46

func (s *shellStore) do(ctx context.Context, op, path, script string, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := shell(op+" "+path, script, args...)
	cmd.Stdin = stdin
	res, err := s.engine.run(ctx, cmd)
	var exit *ExitError
	if errors.As(err, &exit) {
		return nil, &fs.PathError{Op: op, Path: path, Err: errnoOf(exit)}
	}
	return res.Stdout, err
}

// errnoOf finds the cause in what the tools print in the C locale.
func errnoOf(exit *ExitError) error {
	if exit.Code == exitChecksum {
		return ErrChecksum
	}
	last := lastLine(exit.Stderr)
	for _, errno := range []syscall.Errno{
		syscall.ENOENT, syscall.EACCES, syscall.EPERM, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EEXIST,
		syscall.ENOTEMPTY, syscall.EISDIR, syscall.ENOTDIR, syscall.EBUSY, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EIO,
	} {
		if bytes.Contains(bytes.ToLower(exit.Stderr), []byte(errno.Error())) {
			return errno
		}
	}
	if last == "" {
		return fmt.Errorf("exit status %d", exit.Code)
	}
	return errors.New(last)
}

// statFormat ends with a slash, which no name holds, so that names with newlines are told apart.
const statFormat = `'%f %s %u %g %U %G %Y %n/'`

func (s *shellStore) stat(ctx context.Context, p string) (FileInfo, error) {
	out, err := s.do(ctx, "stat", p, `stat -c `+statFormat+` -- "$1" || exit; if [ -L "$1" ]; then readlink -- "$1"; fi`, nil, p)
	if err != nil {
		return FileInfo{}, err
	}
	record, target, ok := strings.Cut(string(out), "/\n")
	if !ok {
		return FileInfo{}, &fs.PathError{Op: "stat", Path: p, Err: fmt.Errorf("stat printed %q", shorten(string(out), 80))}
	}
	info, err := parseStat(record)
	if err != nil {
		return FileInfo{}, &fs.PathError{Op: "stat", Path: p, Err: err}
	}
	info.Name, info.Target = path.Base(p), strings.TrimSuffix(target, "\n")
	return info, nil
}

func parseStat(record string) (FileInfo, error) {
	f := strings.SplitN(record, " ", 8)
	if len(f) != 8 {
		return FileInfo{}, fmt.Errorf("stat printed %q", shorten(record, 80))
	}
	mode, err1 := strconv.ParseUint(f[0], 16, 32)
	size, err2 := strconv.ParseInt(f[1], 10, 64)
	uid, err3 := strconv.Atoi(f[2])
	gid, err4 := strconv.Atoi(f[3])
	mtime, err5 := strconv.ParseInt(f[6], 10, 64)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return FileInfo{}, fmt.Errorf("stat printed %q", shorten(record, 80))
	}
	return FileInfo{Name: strings.TrimPrefix(f[7], "./"), Size: size, Mode: fileMode(uint32(mode)), UID: uid, GID: gid,
		Owner: nameOr(f[4], uid), Group: nameOr(f[5], gid), ModTime: time.Unix(mtime, 0)}, nil
}

func nameOr(name string, id int) string {
	if name == "" || name == "UNKNOWN" {
		return strconv.Itoa(id)
	}
	return name
}

// fileMode turns st_mode into Go's.
func fileMode(st uint32) fs.FileMode {
	mode := fs.FileMode(st & 0o777)
	switch st & syscall.S_IFMT {
	case syscall.S_IFDIR:
		mode |= fs.ModeDir
	case syscall.S_IFLNK:
		mode |= fs.ModeSymlink
	case syscall.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case syscall.S_IFSOCK:
		mode |= fs.ModeSocket
	case syscall.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case syscall.S_IFBLK:
		mode |= fs.ModeDevice
	}
	if st&syscall.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if st&syscall.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if st&syscall.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}

// octal is mode as chmod takes it.
func octal(mode fs.FileMode) string {
	m := uint32(mode.Perm())
	if mode&fs.ModeSetuid != 0 {
		m |= syscall.S_ISUID
	}
	if mode&fs.ModeSetgid != 0 {
		m |= syscall.S_ISGID
	}
	if mode&fs.ModeSticky != 0 {
		m |= syscall.S_ISVTX
	}
	return fmt.Sprintf("%04o", m)
}

// ownership is the owner as chown takes it, or "" to leave it.
func ownership(meta FileMeta) string {
	if meta.Group == "" {
		return meta.Owner
	}
	return meta.Owner + ":" + meta.Group
}

func (s *shellStore) readFile(ctx context.Context, p string) ([]byte, error) {
	return s.do(ctx, "read", p, `exec cat -- "$1"`, nil, p)
}

func (s *shellStore) readDir(ctx context.Context, p string) ([]FileInfo, error) {
	out, err := s.do(ctx, "read", p,
		`cd -- "$1" 2>/dev/null || { stat -- "$1/." >/dev/null; exit 1; }; if ! [ -r . ]; then echo "Permission denied" >&2; exit 1; fi; `+
			`find . ! -name . -prune -exec stat -c `+statFormat+` -- {} + 2>/dev/null; :`, nil, p)
	if err != nil {
		return nil, err
	}
	var infos []FileInfo
	for rest := string(out); rest != ""; {
		var record string
		record, rest, _ = strings.Cut(rest, "/\n")
		dot, name, _ := strings.Cut(record, " ./") // the cut may be right after the dot of "./name"
		if name == "" {
			return nil, &fs.PathError{Op: "read", Path: p, Err: fmt.Errorf("stat printed %q", shorten(record, 80))}
		}
		info, err := parseStat(dot + " " + name)
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: p, Err: err}
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (s *shellStore) sum(ctx context.Context, p string) (string, error) {
	out, err := s.do(ctx, "read", p, `if [ -d "$1" ]; then echo "Is a directory" >&2; exit 1; fi; exec sha256sum -- "$1"`, nil, p)
	if err != nil {
		return "", err
	}
	digest, _, _ := strings.Cut(string(out), " ")
	return strings.TrimPrefix(digest, `\`), nil // which says that the name, printed next, is escaped
}

// putScript takes path, temp, sha256, mode, ownership, and "stdin" when temp is still to be written.
const putScript = `t=$2; trap 'rm -f -- "$t"' EXIT; trap 'exit 1' HUP INT TERM
if [ -d "$1" ] && ! [ -L "$1" ]; then echo "Is a directory" >&2; exit 1; fi
if [ "$6" = stdin ]; then d=${1%/*}; stat -- "${d:-/}/." >/dev/null || exit; (umask 077; set -C; exec cat >"$t") || exit; fi
sync "$t" 2>/dev/null || sync
s=$(sha256sum <"$t") || exit
if [ "${s%% *}" != "$3" ]; then exit 46; fi
if [ -n "$5" ]; then chown -- "$5" "$t" || exit; fi
chmod -- "$4" "$t" && mv -f -T -- "$t" "$1" || exit
trap - EXIT; d=${1%/*}; sync "${d:-/}" 2>/dev/null || sync`

func (s *shellStore) put(ctx context.Context, f newFile) error {
	how := "stdin"
	var stdin io.Reader
	if s.upload != nil {
		switch err := s.upload(ctx, f); {
		case err == nil:
			how = "there"
		case !errors.Is(err, errNoUpload):
			return err
		}
	}
	if how == "stdin" {
		stdin = f.open()
	}
	_, err := s.do(ctx, "write", f.path, putScript, stdin, f.path, f.temp, f.sha256, octal(f.meta.Mode), ownership(f.meta), how)
	return err
}

func (s *shellStore) setMeta(ctx context.Context, p string, meta FileMeta) error {
	_, err := s.do(ctx, "chmod", p, `if [ -L "$1" ]; then echo "is a symbolic link" >&2; exit 1; fi
if [ -n "$3" ]; then chown -- "$3" "$1" || exit; fi; exec chmod -- "$2" "$1"`, nil, p, octal(meta.Mode), ownership(meta))
	return err
}

func (s *shellStore) mkdirAll(ctx context.Context, p string, meta FileMeta) error {
	_, err := s.do(ctx, "mkdir", p, `if [ -d "$1" ]; then exit 0; fi
if [ -e "$1" ] || [ -L "$1" ]; then echo "Not a directory" >&2; exit 1; fi
d=${1%/*}; mkdir -p -- "${d:-/}" && (umask 077; mkdir -- "$1") || { [ -d "$1" ]; exit; }
if [ -n "$3" ]; then chown -- "$3" "$1" || { rmdir -- "$1"; exit 1; }; fi; exec chmod -- "$2" "$1"`,
		nil, p, octal(meta.Mode), ownership(meta))
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) && pathErr.Err == syscall.EEXIST {
		pathErr.Err = syscall.ENOTDIR // that is what mkdir -p calls a file in its way
	}
	return err
}

func (s *shellStore) remove(ctx context.Context, p string) error {
	_, err := s.do(ctx, "remove", p, `if [ -d "$1" ] && ! [ -L "$1" ]; then exec rmdir -- "$1"; fi
[ -e "$1" ] || [ -L "$1" ] || exec stat -c %n -- "$1"; exec rm -f -- "$1"`, nil, p)
	return err
}

func (s *shellStore) removeAll(ctx context.Context, p string) error {
	_, err := s.do(ctx, "remove", p, `exec rm -rf -- "$1"`, nil, p)
	return err
}

func (s *shellStore) rename(ctx context.Context, oldPath, newPath string) error {
	_, err := s.do(ctx, "rename", oldPath, `exec mv -f -T -- "$1" "$2"`, nil, oldPath, newPath)
	return err
}

func (s *shellStore) symlink(ctx context.Context, target, p, temp string) error {
	_, err := s.do(ctx, "symlink", p, `if [ -d "$2" ] && ! [ -L "$2" ]; then echo "Is a directory" >&2; exit 1; fi
ln -s -- "$1" "$3" || exit; mv -f -T -- "$3" "$2" || { rm -f -- "$3"; exit 1; }`, nil, target, p, temp)
	return err
}
