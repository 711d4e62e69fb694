package transport

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The same tests run against every kind of host.
func hosts(t *testing.T, test func(t *testing.T, h Host)) {
	t.Helper()
	t.Run("local", func(t *testing.T) { test(t, Local("here", nil)) })
	t.Run("ssh", func(t *testing.T) { h, _ := connected(t); test(t, h) })
	t.Run("ssh without sftp", func(t *testing.T) { h, _ := connected(t, "Subsystem sftp /bin/false"); test(t, h) })
	t.Run("ssh with sudo", func(t *testing.T) { h, s := connected(t); test(t, throughFakeSudo(t, h, s, fakeSudo)) })
}

func TestRun(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		ctx := testContext(t)
		res, err := h.Run(ctx, Command{Argv: []string{"/bin/sh", "-c", `cat; echo "$A|$1"; echo err >&2; echo "$LC_ALL"; pwd; umask`, "sh", "it's $HOME\n\"x\""},
			Stdin: strings.NewReader("in\n"), Env: map[string]string{"A": "b 'c'"}, Dir: "/"})
		must(t, err)
		if got, want := string(res.Stdout), "in\nb 'c'|it's $HOME\n\"x\"\nC\n/\n0022\n"; got != want {
			t.Errorf("stdout %q, want %q", got, want)
		}
		if got := string(res.Stderr); got != "err\n" {
			t.Errorf("stderr %q", got)
		}
	})
}

func TestRunFails(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		ctx := testContext(t)
		res, err := h.Run(ctx, Command{Argv: []string{"/bin/sh", "-c", "echo one; echo two >&2; echo three >&2; exit 7"}})
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != 7 || string(exit.Stderr) != "two\nthree\n" || string(exit.Stdout) != "one\n" || res.ExitCode != 7 {
			t.Fatalf("%#v, %v", res, err)
		}
		if msg := exit.Error(); strings.Contains(msg, "\n") || !strings.HasSuffix(msg, "exit status 7: three") || !strings.HasPrefix(msg, h.Name()+": ") {
			t.Errorf("message %q", msg)
		}
		if _, err = h.Run(ctx, Command{Argv: []string{"no-such-program"}}); !errors.As(err, &exit) || exit.Code != 127 {
			t.Errorf("a program that is missing: %v", err)
		}
		for _, cmd := range []Command{{}, {Argv: []string{"echo", "a\x00b"}}, {Argv: []string{"echo"}, Env: map[string]string{"A;B": "c"}}} {
			if _, err := h.Run(ctx, cmd); err == nil {
				t.Errorf("%q is run", cmd.Argv)
			}
		}
	})
}

func TestRunLargeStreams(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		in := noise(3 << 20)
		res, err := h.Run(testContext(t), Command{Argv: []string{"cat"}, Stdin: bytes.NewReader(in)})
		must(t, err)
		if !bytes.Equal(res.Stdout, in) {
			t.Errorf("%d bytes came back of %d", len(res.Stdout), len(in))
		}
		// A command that does not read its input ends all the same.
		_, err = h.Run(testContext(t), Command{Argv: []string{"true"}, Stdin: endless{}})
		must(t, err)
	})
}

func TestCancelKills(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(testContext(t))
		done := make(chan error, 1)
		go func() {
			// The child ignores nothing and is in the same process group, as a pipeline would be.
			_, err := h.Run(ctx, Command{Argv: []string{"/bin/sh", "-c", `sleep 1000 & echo $! >"$1/tmp"; mv "$1/tmp" "$1/pid"; wait`, "sh", dir}})
			done <- err
		}()
		pid := waitForPid(t, filepath.Join(dir, "pid"))
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), h.Name()) {
			t.Errorf("Run = %v", err)
		}
		waitUntil(t, "the command's child is gone", func() bool { return !running1(pid) })
	})
}

func TestDaemonDoesNotHang(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		dir := t.TempDir()
		begun := time.Now()
		// The worst case: it keeps standard output and error open.
		res, err := h.Run(testContext(t), Command{Argv: []string{"/bin/sh", "-c",
			`setsid /bin/sh -c 'echo $$ >"$0/tmp"; mv "$0/tmp" "$0/pid"; exec sleep 1000' "$1" & echo started`, "sh", dir}})
		must(t, err)
		pid := waitForPid(t, filepath.Join(dir, "pid"))
		defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
		if string(res.Stdout) != "started\n" {
			t.Errorf("stdout %q", res.Stdout)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("took %s", took)
		}
		if !running1(pid) {
			t.Error("the daemon is gone")
		}
	})
}

func TestFiles(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		ctx, dir := testContext(t), t.TempDir()
		conf := filepath.Join(dir, "a b", "it's", "conf")
		must(t, h.MkdirAll(ctx, conf, FileMeta{Mode: 0o750}))
		must(t, h.MkdirAll(ctx, conf, FileMeta{Mode: 0o700})) // stays as it is
		wantMode(t, conf, 0o750)
		wantMode(t, filepath.Dir(conf), 0o755)
		p := filepath.Join(conf, "-zoo $x.cfg")
		for _, data := range [][]byte{[]byte("tickTime=2000\n"), {}, noise(100_000)} {
			must(t, h.WriteFile(ctx, p, data, FileMeta{Mode: 0o640}))
			got, err := h.ReadFile(ctx, p)
			must(t, err)
			if !bytes.Equal(got, data) {
				t.Errorf("%d bytes read, %d written", len(got), len(data))
			}
		}
		wantMode(t, p, 0o640)
		info, err := h.Stat(ctx, p)
		must(t, err)
		if info.Size != 100_000 || info.Mode != 0o640 || info.Owner != me(t) || info.Name != "-zoo $x.cfg" || info.UID != os.Geteuid() || time.Since(info.ModTime).Abs() > time.Hour {
			t.Errorf("Stat = %+v", info)
		}
		must(t, h.SetMeta(ctx, p, FileMeta{Mode: 0o600 | fs.ModeSetgid}))
		info, err = h.Stat(ctx, p)
		must(t, err)
		if info.Mode != 0o600|fs.ModeSetgid {
			t.Errorf("mode %v", info.Mode)
		}
		sum, err := h.SHA256(ctx, p)
		must(t, err)
		if want, _ := digest(bytes.NewReader(mustRead(t, p))); sum != want {
			t.Errorf("SHA256 = %s, want %s", sum, want)
		}
		must(t, h.Rename(ctx, p, filepath.Join(conf, "zoo.cfg")))
		must(t, h.Symlink(ctx, "zoo.cfg", filepath.Join(conf, "link")))
		must(t, h.Symlink(ctx, "nowhere", filepath.Join(conf, "link"))) // replaces
		info, err = h.Stat(ctx, filepath.Join(conf, "link"))
		must(t, err)
		if info.Mode.Type() != fs.ModeSymlink || info.Target != "nowhere" {
			t.Errorf("Stat of a link = %+v", info)
		}
		must(t, os.WriteFile(filepath.Join(conf, ".hidden\nname ./x"[:12]), nil, 0o600))
		infos, err := h.ReadDir(ctx, conf)
		must(t, err)
		var names []string
		for _, i := range infos {
			names = append(names, i.Name)
		}
		if got := strings.Join(names, "|"); got != ".hidden\nname|link|zoo.cfg" {
			t.Errorf("ReadDir = %q", got)
		}
		empty := filepath.Join(dir, "empty")
		must(t, h.MkdirAll(ctx, empty, FileMeta{Mode: 0o755}))
		if infos, err := h.ReadDir(ctx, empty); err != nil || len(infos) != 0 {
			t.Errorf("ReadDir of an empty directory = %v, %v", infos, err)
		}
		must(t, h.Remove(ctx, empty))
		must(t, h.RemoveAll(ctx, filepath.Join(dir, "a b")))
		must(t, h.RemoveAll(ctx, filepath.Join(dir, "a b")))
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

func TestFileErrors(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		ctx, dir := testContext(t), t.TempDir()
		missing := filepath.Join(dir, "missing")
		full := filepath.Join(dir, "full")
		must(t, os.Mkdir(full, 0o755))
		must(t, os.WriteFile(filepath.Join(full, "file"), []byte("x"), 0o644))
		must(t, os.Symlink(full, filepath.Join(dir, "link")))
		stat := func(p string) error { _, err := h.Stat(ctx, p); return err }
		read := func(p string) error { _, err := h.ReadFile(ctx, p); return err }
		list := func(p string) error { _, err := h.ReadDir(ctx, p); return err }
		sum := func(p string) error { _, err := h.SHA256(ctx, p); return err }
		write := func(p string) error { return h.WriteFile(ctx, p, []byte("x"), FileMeta{Mode: 0o644}) }
		mkdir := func(p string) error { return h.MkdirAll(ctx, p, FileMeta{Mode: 0o755}) }
		tests := []struct {
			what string
			err  error
			want error
		}{
			{"stat missing", stat(missing), fs.ErrNotExist},
			{"read missing", read(missing), fs.ErrNotExist},
			{"read directory", read(full), syscall.EISDIR},
			{"list missing", list(missing), fs.ErrNotExist},
			{"list file", list(full + "/file"), syscall.ENOTDIR},
			{"sum missing", sum(missing), fs.ErrNotExist},
			{"sum directory", sum(full), syscall.EISDIR},
			{"write below missing", write(missing + "/x"), fs.ErrNotExist},
			{"write over directory", write(full), syscall.EISDIR},
			{"mkdir over file", mkdir(full + "/file"), syscall.ENOTDIR},
			{"mkdir below file", mkdir(full + "/file/x"), syscall.ENOTDIR},
			{"remove missing", h.Remove(ctx, missing), fs.ErrNotExist},
			{"remove full directory", h.Remove(ctx, full), syscall.ENOTEMPTY},
			{"rename missing", h.Rename(ctx, missing, missing+"2"), fs.ErrNotExist},
			{"chmod missing", h.SetMeta(ctx, missing, FileMeta{Mode: 0o600}), fs.ErrNotExist},
			{"link over directory", h.Symlink(ctx, "x", full), syscall.EISDIR},
		}
		for _, tt := range tests {
			if !errors.Is(tt.err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.what, tt.err, tt.want)
			} else if msg := tt.err.Error(); !strings.Contains(msg, h.Name()) || !strings.Contains(msg, dir) || strings.Contains(msg, "\n") {
				t.Errorf("%s: message %q", tt.what, msg)
			}
		}
		for what, err := range map[string]error{
			"relative": h.Remove(ctx, "x"), "root": h.RemoveAll(ctx, "/a/.."), "chmod link": h.SetMeta(ctx, dir+"/link", FileMeta{Mode: 0o600}),
			"unknown owner": h.WriteFile(ctx, dir+"/o", nil, FileMeta{Mode: 0o600, Owner: "no-such-user-here"}),
		} {
			if err == nil {
				t.Errorf("%s: no error", what)
			}
		}
		must(t, h.RemoveAll(ctx, filepath.Join(dir, "link")+"/")) // the link, not what it points to
		if got := mustRead(t, full+"/file"); string(got) != "x" {
			t.Errorf("the link was followed")
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

func TestUploadBig(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		data := noise(20<<20 + 17)
		p := filepath.Join(t.TempDir(), "zkctl")
		var last, calls int64
		must(t, h.Upload(testContext(t), p, Source{Reader: bytes.NewReader(data), Size: int64(len(data))}, FileMeta{Mode: 0o755},
			func(n int64) {
				if n < last {
					t.Errorf("progress goes back from %d to %d", last, n)
				}
				last = n
				calls++
			}))
		if last != int64(len(data)) || calls < 2 {
			t.Errorf("progress ended at %d after %d calls", last, calls)
		}
		if !bytes.Equal(mustRead(t, p), data) {
			t.Error("the file differs")
		}
		wantMode(t, p, 0o755)
	})
}

func TestFacts(t *testing.T) {
	hosts(t, func(t *testing.T, h Host) {
		f, err := h.Facts(testContext(t))
		must(t, err)
		if f.User != me(t) || f.UID != os.Geteuid() || f.OS != "linux" || f.Hostname == "" || f.Kernel == "" || f.Tools["sha256sum"] == "" || f.Memory <= 0 {
			t.Errorf("Facts = %+v", f)
		}
		if f.ClockAhead.Abs() > f.ClockError+time.Second || f.ClockError <= 0 {
			t.Errorf("the clock of this machine is %v ahead of itself, ±%v", f.ClockAhead, f.ClockError)
		}
	})
}

func noise(n int) []byte {
	var seed [32]byte
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

func mustRead(t *testing.T, p string) []byte {
	t.Helper()
	b, err := os.ReadFile(p)
	must(t, err)
	return b
}

func wantMode(t *testing.T, p string, want fs.FileMode) {
	t.Helper()
	fi, err := os.Stat(p)
	must(t, err)
	if fi.Mode().Perm() != want {
		t.Errorf("%s has mode %v, want %v", p, fi.Mode(), want)
	}
}
