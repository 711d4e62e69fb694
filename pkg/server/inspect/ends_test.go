package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage"
)

// logOf is a log file of a copied directory.
func logOf(dir, name string) string { return filepath.Join(dir, "version-2", name) }

// TestDumpOfWhatCannotBeRead damages Apache's files: all whole records are told, and
// where the rest is.
func TestDumpOfWhatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		filter Filter
		txns   int
		want   []string
		place  string // of the first finding
	}{
		{"nothing", func(*testing.T, string) {}, Filter{}, 16, nil, ""},
		{"the end is torn", func(t *testing.T, dir string) { truncate(t, logOf(dir, "log.c"), 330) }, Filter{}, 15,
			[]string{"torn the file ends inside a record"}, "log.c+308 0xf"},
		{"an end mark was not written", func(t *testing.T, dir string) { patch(t, logOf(dir, "log.c"), endOf(t, logOf(dir, "log.c"))-1, 0) }, Filter{}, 15,
			[]string{"torn a record lacks its end mark"}, "log.c+308 0xf"},
		{"the newest file holds only a torn record", func(t *testing.T, dir string) { truncate(t, logOf(dir, "log.c"), 40) }, Filter{}, 11,
			[]string{"torn the file ends inside a record"}, "log.c+16 0xb"},
		{"an older file is torn", func(t *testing.T, dir string) { truncate(t, logOf(dir, "log.1"), 430) }, Filter{}, 15,
			[]string{"damage the file ends inside a record; transactions are missing: the next file goes on with 0x6"}, "log.1+411 0x4"},
		{"an older file is torn behind what the next goes on from", func(t *testing.T, dir string) {
			patch(t, logOf(dir, "log.1"), endOf(t, logOf(dir, "log.1")), 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 1, 0, 1, 2, 3)
		}, Filter{}, 16,
			[]string{"note a record lacks its end mark"}, "log.1+530 0x5"},
		{"a bit in the middle of the newest", func(t *testing.T, dir string) { flip(t, logOf(dir, "log.c"), 80) }, Filter{}, 12,
			[]string{"damage a record's checksum does not match; this is no torn end, since a valid record, 0xe"}, "log.c+65 0xc"},
		{"a bit in the middle of an older file", func(t *testing.T, dir string) { flip(t, logOf(dir, "log.6"), 180) }, Filter{}, 11,
			[]string{"damage a record's checksum does not match; newer log files follow"}, "log.6+150 0x6"},
		{"a bit in a length in an older file", func(t *testing.T, dir string) { flip(t, logOf(dir, "log.6"), 160) }, Filter{}, 11,
			[]string{"damage a record lacks its end mark; transactions are missing: the next file goes on with 0xc"}, "log.6+150 0x6"},
		{"damage behind what is asked for", func(t *testing.T, dir string) { flip(t, logOf(dir, "log.c"), 80) }, Filter{To: 0xb}, 11, nil, ""},
		{"a snapshot", func(t *testing.T, dir string) { rename(t, logOf(dir, "snapshot.a"), logOf(dir, "log.c")) }, Filter{}, 11,
			[]string{"damage it is a snapshot, not a transaction log"}, "log.c+0 0xb"},
		{"a compressed file", func(t *testing.T, dir string) { patch(t, logOf(dir, "log.c"), 0, 0x1f, 0x8b, 8) }, Filter{}, 11,
			[]string{"damage it is compressed"}, "log.c+0 0xb"},
		{"something else", func(t *testing.T, dir string) { flip(t, logOf(dir, "log.c"), 0) }, Filter{}, 11,
			[]string{"damage the file's header is not that of a log"}, "log.c+0 0xb"},
		{"an empty newest file", func(t *testing.T, dir string) { truncate(t, logOf(dir, "log.c"), 0) }, Filter{}, 11, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copied(t, "apache-3.9")
			c.damage(t, dir)
			logs := find(t, storage.KindLog, dir).Logs
			txns := 0
			findings, err := Dump(t.Context(), logs, DumpOptions{Filter: c.filter}, func(*Entry) error { txns++; return nil })
			if err != nil || txns != c.txns {
				t.Errorf("%d transactions, want %d: %v", txns, c.txns, err)
			}
			wantFindings(t, findings, c.want...)
			if len(findings) > 0 {
				f := findings[0]
				if got := fmt.Sprintf("%s+%d %v", filepath.Base(f.File), f.Offset, f.Zxid); got != c.place {
					t.Errorf("at %s, want %s", got, c.place)
				}
			}
			s, err := Stats(t.Context(), logs, c.filter, 1, 1)
			if err != nil || s.Txns != int64(txns) {
				t.Errorf("counted %d transactions: %v", s.Txns, err)
			}
			wantFindings(t, s.Findings, c.want...)
		})
	}
}

// endOf is where the last record of a log ends.
func endOf(t *testing.T, path string) int64 {
	t.Helper()
	r, err := VerifyLogs(t.Context(), Files{Logs: []string{path}}, VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Files[0].End
}

func patch(t *testing.T, path string, at int64, text ...byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(text, at); err != nil {
		t.Fatal(err)
	}
}

func TestDumpOfNothing(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		text, want string
	}{
		{"", "note the file is empty"},
		{"7\n", "note the file is shorter than the header of a log"},
		{"ZKLG\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00", "note the file holds no transaction"},
		{strings.Repeat("\x00", 1<<16), "note the file holds no transaction"},
		{"tickTime=2000\ninitLimit=10\n", "damage the file's header is not that of a log"},
	} {
		path := filepath.Join(dir, "log.1")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		findings, err := Dump(t.Context(), []string{path}, DumpOptions{}, func(*Entry) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		wantFindings(t, findings, c.want)
		r, err := VerifyLogs(t.Context(), Files{Logs: []string{path}}, VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wantFindings(t, r.Findings, c.want)
	}
}

func TestCreateBeforeATornEnd(t *testing.T) {
	dir := copied(t, "apache-3.9")
	truncate(t, logOf(dir, "log.c"), 330)
	made, err := Create(t.Context(), CreateOptions{Files: find(t, storage.KindOther, dir), Dir: t.TempDir()})
	if err != nil || made.Zxid != 0xf {
		t.Fatalf("%+v, %v", made, err)
	}
	wantFindings(t, made.Findings, "torn the file ends inside a record")
	flip(t, logOf(dir, "log.c"), 80)
	at := Zxid(0xc)
	if _, err := Create(t.Context(), CreateOptions{Files: find(t, storage.KindOther, dir), Zxid: &at, Dir: t.TempDir()}); err == nil {
		t.Error("damage was passed over, with the zxid before it, which the damaged part might be behind")
	}
}

// TestCreatePassesOverASnapshot that cannot be read only if the logs lead through it.
func TestCreatePassesOverASnapshot(t *testing.T) {
	dir := copied(t, "apache-3.9")
	flip(t, logOf(dir, "snapshot.a"), 100)
	made, err := Create(t.Context(), CreateOptions{Files: find(t, storage.KindOther, dir), Dir: t.TempDir()})
	if err != nil || made.Zxid != 0x10 || made.Mismatches != 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	wantFindings(t, made.Findings, "note passed over")
	rename(t, logOf(dir, "snapshot.a"), logOf(dir, "snapshot.20"))
	if _, err := Create(t.Context(), CreateOptions{Files: find(t, storage.KindOther, dir), Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "snapshot 0x20 cannot be read") {
		t.Errorf("lost what a snapshot had: %v", err)
	}
}
