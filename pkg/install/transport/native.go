package transport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// nativeStore is the files of this machine, as this process's user sees them.
type nativeStore struct{}

func (nativeStore) stat(_ context.Context, p string) (FileInfo, error) {
	fi, err := os.Lstat(p)
	if err != nil {
		return FileInfo{}, err
	}
	info := describe(fi)
	if fi.Mode()&fs.ModeSymlink != 0 {
		info.Target, err = os.Readlink(p)
	}
	return info, err
}

func describe(fi fs.FileInfo) FileInfo {
	info := FileInfo{Name: fi.Name(), Size: fi.Size(), Mode: fi.Mode(), ModTime: fi.ModTime()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		info.UID, info.GID = int(st.Uid), int(st.Gid)
	}
	info.Owner, info.Group = strconv.Itoa(info.UID), strconv.Itoa(info.GID)
	if u, err := user.LookupId(info.Owner); err == nil {
		info.Owner = u.Username
	}
	if g, err := user.LookupGroupId(info.Group); err == nil {
		info.Group = g.Name
	}
	return info
}

func (nativeStore) readFile(_ context.Context, p string) ([]byte, error) { return os.ReadFile(p) }

func (nativeStore) readDir(_ context.Context, p string) ([]FileInfo, error) {
	entries, err := os.ReadDir(p)
	if err != nil {
		return nil, err
	}
	infos := make([]FileInfo, 0, len(entries))
	for _, e := range entries {
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since the directory was read
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, describe(fi))
	}
	return infos, nil
}

func (nativeStore) sum(ctx context.Context, p string) (string, error) {
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digest(&ctxReader{ctx: ctx, r: f})
}

// digest reads r to its end and returns its SHA-256 in hex.
func digest(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (s nativeStore) put(ctx context.Context, f newFile) error {
	if fi, err := os.Lstat(f.path); err == nil && fi.IsDir() {
		return &fs.PathError{Op: "write", Path: f.path, Err: syscall.EISDIR}
	}
	if err := s.putTemp(ctx, f); err != nil {
		os.Remove(f.temp)
		return err
	}
	if err := os.Rename(f.temp, f.path); err != nil {
		os.Remove(f.temp)
		return err
	}
	return syncDir(filepath.Dir(f.path))
}

func (s nativeStore) putTemp(ctx context.Context, f newFile) error {
	if err := createTemp(f); err != nil {
		return err
	}
	got, err := s.sum(ctx, f.temp)
	if err != nil {
		return err
	}
	if got != f.sha256 {
		return &fs.PathError{Op: "write", Path: f.path, Err: ErrChecksum}
	}
	return s.setMeta(ctx, f.temp, f.meta)
}

func createTemp(f newFile) error {
	out, err := os.OpenFile(f.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, f.open())
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil // a directory we may write but not read: its sync is the kernel's affair
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (nativeStore) setMeta(_ context.Context, p string, meta FileMeta) error {
	fi, err := os.Lstat(p)
	if err != nil {
		return err
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		return &fs.PathError{Op: "chmod", Path: p, Err: errors.New("is a symbolic link")}
	}
	uid, gid, err := lookup(meta)
	if err != nil {
		return &fs.PathError{Op: "chown", Path: p, Err: err}
	}
	now := describe(fi)
	if uid >= 0 && uid != now.UID || gid >= 0 && gid != now.GID {
		if err := os.Lchown(p, uid, gid); err != nil {
			return err
		}
	}
	return os.Chmod(p, meta.Mode&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
}

// lookup finds the ids of meta's owner and group, -1 for one that is to stay.
func lookup(meta FileMeta) (uid, gid int, err error) {
	uid, gid = -1, -1
	if meta.Owner != "" {
		if uid, err = strconv.Atoi(meta.Owner); err != nil {
			u, err := user.Lookup(meta.Owner)
			if err != nil {
				return 0, 0, fmt.Errorf("no user %q on this machine: %w", meta.Owner, err)
			}
			uid, _ = strconv.Atoi(u.Uid)
		}
	}
	if meta.Group != "" {
		if gid, err = strconv.Atoi(meta.Group); err != nil {
			g, err := user.LookupGroup(meta.Group)
			if err != nil {
				return 0, 0, fmt.Errorf("no group %q on this machine: %w", meta.Group, err)
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
	}
	return uid, gid, nil
}

func (s nativeStore) mkdirAll(ctx context.Context, p string, meta FileMeta) error {
	if fi, err := os.Stat(p); err == nil {
		if !fi.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: p, Err: syscall.ENOTDIR}
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(p, 0o700); err != nil {
		if fi, statErr := os.Stat(p); errors.Is(err, fs.ErrExist) && statErr == nil && fi.IsDir() {
			return nil // made by another meanwhile
		}
		return err
	}
	if err := s.setMeta(ctx, p, meta); err != nil {
		os.Remove(p)
		return err
	}
	return nil
}

func (nativeStore) remove(_ context.Context, p string) error    { return os.Remove(p) }
func (nativeStore) removeAll(_ context.Context, p string) error { return os.RemoveAll(p) }

func (nativeStore) rename(_ context.Context, oldPath, newPath string) error {
	if err := os.Rename(oldPath, newPath); err != nil {
		return err
	}
	return syncDir(filepath.Dir(newPath))
}

func (nativeStore) symlink(_ context.Context, target, p, temp string) error {
	if fi, err := os.Lstat(p); err == nil && fi.IsDir() {
		return &fs.PathError{Op: "symlink", Path: p, Err: syscall.EISDIR}
	}
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, p); err != nil {
		os.Remove(temp)
		return err
	}
	return nil
}

// ctxReader fails once its context has ended, and counts.
type ctxReader struct {
	ctx  context.Context
	r    io.Reader
	n    int64
	tell func(n int64) // may be nil
}

func (c *ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(b)
	if n > 0 {
		c.n += int64(n)
		if c.tell != nil {
			c.tell(c.n)
		}
	}
	return n, err
}
