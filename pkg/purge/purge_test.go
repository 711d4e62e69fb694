package purge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// javaDirs copies the directories that a Java server filled.
func javaDirs(t *testing.T) Job {
	t.Helper()
	j := Job{DataDir: t.TempDir(), LogDir: t.TempDir(), Keep: 3}
	for dir, from := range map[string]string{j.DataDir: "testdata/java/data", j.LogDir: "testdata/java/log"} {
		if err := os.CopyFS(filepath.Join(dir, versionDir), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func (j Job) file(name string) string {
	if strings.HasPrefix(name, "log.") {
		return filepath.Join(j.logDir(), versionDir, name)
	}
	return filepath.Join(j.DataDir, versionDir, name)
}

// left lists the names in version-2 of both directories, sorted.
func left(t *testing.T, j Job) string {
	t.Helper()
	var names []string
	for _, dir := range []string{j.DataDir, j.logDir()} {
		entries, err := os.ReadDir(filepath.Join(dir, versionDir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLikeApache compares with what PurgeTxnLog left of the same directories.
func TestLikeApache(t *testing.T) {
	text, err := os.ReadFile("testdata/apache.txt")
	must(t, err)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		head, want, _ := strings.Cut(lines.Text(), ": ")
		fields := strings.Fields(head)
		t.Run(fields[0]+" "+fields[1], func(t *testing.T) {
			j := javaDirs(t)
			_, err := fmt.Sscanf(fields[1], "keep=%d", &j.Keep)
			must(t, err)
			for change := range strings.SplitSeq(strings.TrimPrefix(fields[2], "-"), ",") {
				what, name, _ := strings.Cut(change, ":")
				switch what {
				case "truncate":
					must(t, os.Truncate(j.file(name), 9))
				case "remove":
					must(t, os.Remove(j.file(name)))
				}
			}
			p, r, err := j.Run(t.Context())
			must(t, err)
			if got := left(t, j); got != want {
				t.Errorf("left    %s\nApache: %s", got, want)
			}
			if len(r.Removed) != len(p.Remove) || len(r.Skipped) > 0 || (p.Nothing == "") != (len(p.Remove) > 0) {
				t.Errorf("plan %d, removed %d, skipped %v, nothing %q", len(p.Remove), len(r.Removed), r.Skipped, p.Nothing)
			}
			again, r, err := j.Run(t.Context())
			if err != nil || len(r.Removed) > 0 || again.Nothing == "" {
				t.Errorf("a second run: %+v, %q, %v", r, again.Nothing, err)
			}
		})
	}
}

func TestPlanAlone(t *testing.T) {
	j := javaDirs(t)
	before := left(t, j)
	p, err := j.Plan()
	must(t, err)
	if left(t, j) != before || p.Bytes() <= 0 || len(p.Remove) != 13 {
		t.Errorf("%d to remove, %d bytes, left %s", len(p.Remove), p.Bytes(), left(t, j))
	}
	for i := 1; i < len(p.Remove); i++ {
		a, b := p.Remove[i-1], p.Remove[i]
		if a.Kind > b.Kind || a.Kind == b.Kind && a.Zxid >= b.Zxid {
			t.Errorf("%s goes before %s", a.Name(), b.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(j.DataDir, lockName)); !os.IsNotExist(err) {
		t.Errorf("a plan left a lock: %v", err)
	}
	if r, err := j.Apply(t.Context(), p); err != nil || r.Bytes() != p.Bytes() {
		t.Errorf("freed %d of %d bytes: %v", r.Bytes(), p.Bytes(), err)
	}
}

func TestTooFewValid(t *testing.T) {
	j := javaDirs(t)
	j.Keep = 11
	before := left(t, j)
	p, r, err := j.Run(t.Context())
	if err != nil || len(r.Removed) > 0 || left(t, j) != before || !strings.Contains(p.Nothing, "10 valid snapshots in") {
		t.Errorf("%q, %v", p.Nothing, err)
	}
	j.Keep = 2
	if _, err := j.Plan(); !errors.Is(err, ErrKeep) {
		t.Errorf("keep 2: %v", err)
	}
}

func TestFullCheck(t *testing.T) {
	j := javaDirs(t)
	bad := errors.New("checksum")
	j.Check = func(path string) error {
		if strings.HasSuffix(path, ".24") {
			return bad
		}
		return nil
	}
	p, err := j.Plan()
	must(t, err)
	if len(p.Broken) != 1 || !errors.Is(p.Broken[0].Err, bad) || p.Keep[0].Name() != "snapshot.1b" {
		t.Errorf("broken %v, keeps %v", p.Broken, p.Keep)
	}
}

// TestForeignFiles: names that no server gives, links and directories stay, and
// do not count as snapshots.
func TestForeignFiles(t *testing.T) {
	j := javaDirs(t)
	outside := filepath.Join(t.TempDir(), "snapshot.1")
	must(t, os.WriteFile(outside, []byte("precious"), 0o600))
	names := []string{"snapshot.1.tmp", "snapshot.01", "snapshot.A", "snapshot.", "snapshot.1.bak", "snapshot.1.snappy.gz", "log.1.gz",
		"log.", "log.zz", "acceptedEpoch", "currentEpoch", "snapshot.10000000000000000", "log.+1", "log.-1", "snapshot.0x1", "snapshot.1 "}
	for _, name := range names {
		must(t, os.WriteFile(j.file(name), nil, 0o600))
	}
	must(t, os.Mkdir(j.file("snapshot.2"), 0o700))
	must(t, os.Symlink(outside, j.file("snapshot.1")))
	must(t, os.Symlink(outside, j.file("snapshot.ff")))
	must(t, os.Symlink(outside, j.file("log.2")))
	stray := filepath.Join(j.DataDir, versionDir, "log.1") // a log, but not in dataLogDir
	must(t, os.WriteFile(stray, nil, 0o600))
	names = append(names, "snapshot.2", "snapshot.1", "snapshot.ff", "log.2")
	p, _, err := j.Run(t.Context())
	must(t, err)
	for _, name := range names {
		if _, err := os.Lstat(j.file(name)); err != nil || !slices.Contains(p.Others, j.file(name)) {
			t.Errorf("%s: %v, others %v", name, err, p.Others)
		}
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "precious" {
		t.Errorf("a link was followed: %q, %v", text, err)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Error(err)
	}
	if !strings.Contains(left(t, j), "snapshot.1f") || strings.Contains(left(t, j), "snapshot.1b") {
		t.Errorf("left %s", left(t, j))
	}
}

func TestOneDirectoryAndCompressed(t *testing.T) {
	j := Job{DataDir: t.TempDir(), Keep: 3}
	must(t, os.Mkdir(filepath.Join(j.DataDir, versionDir), 0o700))
	good := map[string]string{"": "ZKSN\x00\x00\x00\x02....\x00\x00\x00\x01/", ".gz": "\x1f\x8b....", ".snappy": "\x82SNAPPY\x00..."}
	for name, text := range map[string]string{
		"snapshot.5": good[""], "snapshot.10.gz": good[".gz"], "snapshot.20.snappy": good[".snappy"], "snapshot.30": good[""],
		"snapshot.40": "ZKSN\x00\x00\x00\x02..........", "snapshot.41.gz": good[""], "snapshot.42.snappy": good[".gz"], "snapshot.43": "ZKSN",
		"log.1": "", "log.6": "", "log.11": "", "log.35": "",
	} {
		must(t, os.WriteFile(j.file(name), []byte(text), 0o600))
	}
	p, _, err := j.Run(t.Context())
	must(t, err)
	want := "log.11 log.35 log.6 snapshot.10.gz snapshot.20.snappy snapshot.30 snapshot.40 snapshot.41.gz snapshot.42.snappy snapshot.43"
	if got := left(t, j); got != want || len(p.Others) > 0 || len(p.Broken) != 4 {
		t.Errorf("left %s, others %v, broken %d", got, p.Others, len(p.Broken))
	}
}

// TestOpenFile: an old snapshot that a process has open stays, and with it the logs.
func TestOpenFile(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("open files are seen in /proc only")
	}
	j := javaDirs(t)
	f, err := os.Open(j.file("snapshot.8"))
	must(t, err)
	defer f.Close()
	_, r, err := j.Run(t.Context())
	must(t, err)
	got := left(t, j)
	if !strings.Contains(got, "snapshot.8") || !strings.Contains(got, "log.1 ") || strings.Contains(got, "snapshot.3") {
		t.Errorf("left %s", got)
	}
	if want := fmt.Sprintf("it is open in process %d", os.Getpid()); r.Skipped[0].Reason != want {
		t.Errorf("skipped %s: %s", r.Skipped[0].Name(), r.Skipped[0].Reason)
	}
	must(t, f.Close())
	if _, _, err = j.Run(t.Context()); err != nil || strings.Contains(left(t, j), "log.1 ") {
		t.Errorf("left %s, %v", left(t, j), err)
	}
}

func TestApplyAfterAChange(t *testing.T) {
	changes := map[string]func(t *testing.T, j Job){
		"a kept snapshot is gone":     func(t *testing.T, j Job) { must(t, os.Remove(j.file("snapshot.24"))) },
		"a kept snapshot is cut":      func(t *testing.T, j Job) { must(t, os.Truncate(j.file("snapshot.24"), 50)) },
		"a kept snapshot is replaced": func(t *testing.T, j Job) { replace(t, j.file("snapshot.24")) },
		"a kept log is gone":          func(t *testing.T, j Job) { must(t, os.Remove(j.file("log.1d"))) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			j := javaDirs(t)
			p, err := j.Plan()
			must(t, err)
			change(t, j)
			before := left(t, j)
			if _, err := j.Apply(t.Context(), p); !errors.Is(err, ErrChanged) || left(t, j) != before {
				t.Errorf("%v, left %s", err, left(t, j))
			}
		})
	}
	t.Run("a file to remove is replaced", func(t *testing.T) {
		j := javaDirs(t)
		p, err := j.Plan()
		must(t, err)
		replace(t, j.file("snapshot.8"))
		must(t, os.Remove(j.file("snapshot.3")))
		r, err := j.Apply(t.Context(), p)
		must(t, err)
		if !strings.Contains(left(t, j), "snapshot.8") || r.Skipped[0].Name() != "snapshot.8" {
			t.Errorf("left %s, skipped %v", left(t, j), r.Skipped)
		}
	})
}

// replace puts another file of the same content in a file's place.
func replace(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path+".new", text, 0o600))
	must(t, os.Rename(path+".new", path))
}

func TestLock(t *testing.T) {
	j := javaDirs(t)
	unlock, err := j.lock(t.Context())
	must(t, err)
	second := j
	second.NoWait = true
	_, _, err = second.Run(t.Context())
	if want := fmt.Sprintf("another purge is at work: process %d on", os.Getpid()); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err = j.Run(ctx); !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	done := make(chan error)
	go func() {
		_, _, err := j.Run(t.Context())
		done <- err
	}()
	unlock()
	must(t, <-done)
}

// TestManyAtOnce: purges at the same time remove each file once and keep the same.
func TestManyAtOnce(t *testing.T) {
	j := javaDirs(t)
	var mu sync.Mutex
	removed := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, r, err := j.Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, f := range r.Removed {
				removed[f.Name()]++
			}
		})
	}
	wg.Wait()
	if got := left(t, j); got != "log.1d log.21 log.26 log.2c snapshot.1f snapshot.24 snapshot.2a" || len(removed) != 13 {
		t.Errorf("left %s, removed %v", got, removed)
	}
}

func TestCancelled(t *testing.T) {
	j := javaDirs(t)
	p, err := j.Plan()
	must(t, err)
	before := left(t, j)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Apply(ctx, p); !errors.Is(err, context.Canceled) || left(t, j) != before {
		t.Errorf("%v, left %s", err, left(t, j))
	}
}

// TestEveryCutShort stops a purge after each file: whatever is left, each
// snapshot still has the log with what comes after it.
func TestEveryCutShort(t *testing.T) {
	for n := range 14 {
		j := javaDirs(t)
		p, err := j.Plan()
		must(t, err)
		p.Remove = p.Remove[:min(n, len(p.Remove))]
		_, err = j.Apply(t.Context(), p)
		must(t, err)
		files, _, err := list(j.DataDir)
		must(t, err)
		logs, _, err := list(j.LogDir)
		must(t, err)
		for _, s := range files {
			if s.Zxid > 0 && logs[0].Zxid > s.Zxid+1 {
				t.Errorf("after %d files %s is left without its log: the first is %s", n, s.Name(), logs[0].Name())
			}
		}
	}
}

func TestMissingDirectory(t *testing.T) {
	dir := t.TempDir()
	_, err := Job{DataDir: dir, Keep: 3}.Plan()
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "is this the directory that zoo.cfg names") {
		t.Errorf("got %v", err)
	}
	must(t, os.Mkdir(filepath.Join(dir, versionDir), 0o700))
	if _, err = (Job{DataDir: filepath.Join(dir, versionDir), Keep: 3}).Plan(); err == nil || !strings.Contains(err.Error(), "name the directory above") {
		t.Errorf("got %v", err)
	}
}

func TestEvery(t *testing.T) {
	j := javaDirs(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		var at []time.Duration
		j.Every(ctx, time.Hour, func(_ Plan, r Result, err error) {
			if err != nil || (len(r.Removed) > 0) != (len(at) == 0) {
				t.Errorf("run %d removed %d: %v", len(at), len(r.Removed), err)
			}
			if at = append(at, time.Since(start)); len(at) == 3 {
				cancel()
			}
		})
		if !slices.Equal(at, []time.Duration{0, time.Hour, 2 * time.Hour}) {
			t.Errorf("ran at %v", at)
		}
	})
}

// FuzzName asks that only names a server writes are taken for its files.
func FuzzName(f *testing.F) {
	for _, name := range []string{"snapshot.1f", "log.0", "snapshot.1.gz", "snapshot.ffffffffffffffff.snappy", "log.1.gz", "snapshot..gz"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		kind, zxid, ok := ParseName(name)
		if !ok {
			return
		}
		plain := fmt.Sprintf("%s.%x", kind, zxid)
		if name != plain && (kind != Snapshot || name != plain+".gz" && name != plain+".snappy") {
			t.Fatalf("%q was read as %s", name, plain)
		}
	})
}
