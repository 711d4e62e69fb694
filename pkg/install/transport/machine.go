package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// machine is a Host: an engine for commands and a store for files.
type machine struct {
	name   string
	engine *engine
	store  store
	ask    Prompter // for sudo; may be nil
	close  func() error

	mu   sync.Mutex
	root Host // once known
}

var _ Host = (*machine)(nil)

func (m *machine) Name() string { return m.name }

func (m *machine) Close() error { return m.close() }

func (m *machine) Run(ctx context.Context, cmd Command) (Result, error) {
	return m.engine.run(ctx, cmd)
}

func (m *machine) Root(ctx context.Context) (Host, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.root != nil {
		return m.root, nil
	}
	res, err := m.engine.run(ctx, shell("learn the user", `id -u && id -un`))
	if err != nil {
		return nil, err
	}
	uid, name, _ := strings.Cut(strings.TrimSpace(string(res.Stdout)), "\n")
	if uid == "0" {
		m.root = m
		return m, nil
	}
	su := &sudo{user: name, host: m.name, prompter: m.ask}
	e := &engine{host: m.name, starter: m.engine.starter, sudo: su}
	if _, err := e.run(ctx, shell("become root", ":")); err != nil {
		return nil, err
	}
	su.settled = true
	r := &machine{name: m.name, engine: e, store: &shellStore{engine: e}, close: m.close}
	r.root, m.root = r, r
	return r, nil
}

// on makes an error of the store the host's.
func (m *machine) on(op, p string, err error) error {
	var known *problem.Problem
	if err == nil || errors.As(err, &known) {
		return err
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err // op and path are said by the Problem, unless they differ
		if pathErr.Path != p && pathErr.Path != "" && !strings.Contains(pathErr.Path, tempTag) {
			err = pathErr
		}
	}
	return &problem.Problem{Op: op + " " + p + " on", On: m.name, Err: err}
}

func (m *machine) check(op string, paths ...*string) error {
	for _, p := range paths {
		if !path.IsAbs(*p) || strings.ContainsRune(*p, 0) {
			return &problem.Problem{Op: op, On: m.name, Err: fmt.Errorf("%q is not an absolute path", *p)}
		}
		*p = path.Clean(*p)
	}
	return nil
}

func (m *machine) Stat(ctx context.Context, p string) (FileInfo, error) {
	if err := m.check("stat", &p); err != nil {
		return FileInfo{}, err
	}
	info, err := m.store.stat(ctx, p)
	return info, m.on("stat", p, err)
}

func (m *machine) ReadFile(ctx context.Context, p string) ([]byte, error) {
	if err := m.check("read", &p); err != nil {
		return nil, err
	}
	b, err := m.store.readFile(ctx, p)
	return b, m.on("read", p, err)
}

func (m *machine) ReadDir(ctx context.Context, p string) ([]FileInfo, error) {
	if err := m.check("read", &p); err != nil {
		return nil, err
	}
	infos, err := m.store.readDir(ctx, p)
	slices.SortFunc(infos, func(a, b FileInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, m.on("read", p, err)
}

func (m *machine) SHA256(ctx context.Context, p string) (string, error) {
	if err := m.check("read", &p); err != nil {
		return "", err
	}
	sum, err := m.store.sum(ctx, p)
	return sum, m.on("read", p, err)
}

func (m *machine) WriteFile(ctx context.Context, p string, data []byte, meta FileMeta) error {
	return m.Upload(ctx, p, Source{Reader: bytes.NewReader(data), Size: int64(len(data))}, meta, nil)
}

func (m *machine) Upload(ctx context.Context, p string, src Source, meta FileMeta, progress func(int64)) error {
	if err := m.check("write", &p); err != nil {
		return err
	}
	sum, err := digest(&ctxReader{ctx: ctx, r: src.open()})
	if err != nil {
		return &problem.Problem{Op: "write " + p + " on", On: m.name, Err: fmt.Errorf("read what is to be sent: %w", err)}
	}
	tell := forward(progress)
	open := func() io.Reader { return &ctxReader{ctx: ctx, r: src.open(), tell: tell} }
	return m.on("write", p, m.store.put(ctx, newFile{path: p, temp: tempFor(p), open: open, sha256: sum, size: src.Size, meta: meta}))
}

// forward makes progress hear growing numbers only, also when sending starts over.
func forward(progress func(int64)) func(int64) {
	if progress == nil {
		return nil
	}
	var most int64
	return func(n int64) {
		if n > most {
			most = n
			progress(n)
		}
	}
}

const tempTag = ".zkctl-"

// IsTemporary tells whether name, without its folder, is one that a file has only while it is written. A host or a
// connection that dies meanwhile leaves it.
func IsTemporary(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, tempTag)
}

// tempFor names a temporary file beside p.
func tempFor(p string) string {
	base := path.Base(p)
	if len(base) > 100 {
		base = base[:100]
	}
	return path.Join(path.Dir(p), "."+base+tempTag+strings.TrimPrefix(newMark(), "zkctl-"))
}

func (m *machine) SetMeta(ctx context.Context, p string, meta FileMeta) error {
	if err := m.check("chmod", &p); err != nil {
		return err
	}
	return m.on("set mode and owner of", p, m.store.setMeta(ctx, p, meta))
}

func (m *machine) MkdirAll(ctx context.Context, p string, meta FileMeta) error {
	if err := m.check("mkdir", &p); err != nil {
		return err
	}
	return m.on("make directory", p, m.store.mkdirAll(ctx, p, meta))
}

func (m *machine) Remove(ctx context.Context, p string) error {
	if err := m.check("remove", &p); err != nil {
		return err
	}
	return m.on("remove", p, m.store.remove(ctx, p))
}

func (m *machine) RemoveAll(ctx context.Context, p string) error {
	if err := m.check("remove", &p); err != nil {
		return err
	}
	if p == "/" {
		return m.on("remove", p, errors.New("that is everything"))
	}
	return m.on("remove", p, m.store.removeAll(ctx, p))
}

func (m *machine) Rename(ctx context.Context, oldPath, newPath string) error {
	if err := m.check("rename", &oldPath, &newPath); err != nil {
		return err
	}
	return m.on("rename", oldPath, m.store.rename(ctx, oldPath, newPath))
}

func (m *machine) Symlink(ctx context.Context, target, p string) error {
	if err := m.check("link", &p); err != nil {
		return err
	}
	if target == "" || strings.ContainsRune(target, 0) {
		return m.on("link", p, fmt.Errorf("%q is no target", target))
	}
	return m.on("link", p, m.store.symlink(ctx, target, p, tempFor(p)))
}
