package inspect

import (
	"bytes"
	"encoding/binary"
	"hash/adler32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage"
)

func verify(t *testing.T, files Files) *LogReport {
	t.Helper()
	r, err := VerifyLogs(t.Context(), files, VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerifyComparesDigests(t *testing.T) {
	for _, release := range releases() {
		dir := copied(t, release)
		r := verify(t, find(t, storage.KindLog, dir))
		var carried int64
		for _, f := range r.Files {
			carried += f.Digests
		}
		d := r.Digests
		if d.Compared != carried || d.Differ+d.Unsettled+d.Skipped != 0 || (carried == 0) != (release == "apache-3.4") || (d.Why == "") != (carried > 0) {
			t.Errorf("%s carries %d digests: %+v", release, carried, d)
		}
		if carried == 0 {
			continue
		}
		if d.From != 1 || d.To != 0x10 || !strings.HasPrefix(filepath.Base(d.Base), "snapshot.0") {
			t.Errorf("%s: %+v", release, d)
		}
		logs := find(t, storage.KindLog, dir).Logs
		if d := verify(t, Files{Logs: logs}).Digests; d.Compared != carried || d.Base != "" {
			t.Errorf("%s from an empty tree: %+v", release, d)
		}
		if d := verify(t, Files{Logs: logs[1:]}).Digests; d.Compared != 0 || d.Skipped == 0 || !strings.Contains(d.Why, "no snapshot is at hand") {
			t.Errorf("%s without a snapshot: %+v", release, d)
		}
		if d := verify(t, Files{Logs: logs[1:], Snapshots: find(t, storage.KindSnapshot, dir).Snapshots[1:]}).Digests; d.Compared == 0 || d.Differ > 0 {
			t.Errorf("%s on a later snapshot: %+v", release, d)
		}
	}
}

// TestVerifyFindsAnotherTree changes what a transaction writes, and mends the
// record's checksum: only the digests can tell.
func TestVerifyFindsAnotherTree(t *testing.T) {
	dir := copied(t, "apache-3.9")
	path := logOf(dir, "log.1")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const record = 181 // 0x3 creates /sample/a with "hello"
	entry := b[record+12:][:binary.BigEndian.Uint32(b[record+8:])]
	copy(entry[bytes.Index(entry, []byte("hello")):], "Hello")
	binary.BigEndian.PutUint64(b[record:], uint64(adler32.Checksum(entry)))
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	r := verify(t, find(t, storage.KindLog, dir))
	wantFindings(t, r.Findings, "damage after 0x3 the tree replayed on", "note from 0x8 on the digests agree again")
	if f := r.Findings[0]; f.Offset != record || f.Zxid != 2 || f.File != path || r.Digests.Differ == 0 {
		t.Errorf("%v, %+v", f, r.Digests)
	}
	for _, name := range []string{"snapshot.0", "snapshot.4"} {
		remove(t, logOf(dir, name))
	}
	if r, err = VerifyLogs(t.Context(), find(t, storage.KindLog, dir), VerifyOptions{NoDigests: true}); err != nil || r.Digests != nil || len(r.Findings) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestVerifyKnowsAFuzzySnapshot takes one that holds more than its name says, as
// one that is written while transactions come.
func TestVerifyKnowsAFuzzySnapshot(t *testing.T) {
	dir := copied(t, "apache-3.9")
	for _, name := range []string{"snapshot.0", "snapshot.4", "log.1"} {
		remove(t, logOf(dir, name))
	}
	rename(t, logOf(dir, "snapshot.a"), logOf(dir, "snapshot.8"))
	r := verify(t, find(t, storage.KindLog, dir))
	if d := r.Digests; d.Differ != 0 || d.Unsettled != 1 || d.Compared != 7 || d.From != 9 || d.Skipped != 2 {
		t.Errorf("%+v %v", d, r.Findings)
	}
	wantFindings(t, r.Findings)
}
