package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// bigLog makes a log file of an Apache server with a hole of that many bytes after its
// first record, in which edit may write, and one more record at its end. at is
// where the second record stands.
func bigLog(t *testing.T, hole int64, edit func(f *os.File, from, at int64)) (path string, at int64) {
	t.Helper()
	head, whole := javaLog(recs(1, 1), 0), javaLog(recs(1, 2), 0)
	path = filepath.Join(t.TempDir(), "log.1")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	from := int64(len(head))
	at = from + hole
	if _, err := f.Write(head); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(whole[from:], at); err != nil {
		t.Fatal(err)
	}
	edit(f, from, at)
	return path, at
}

// TestDamageInBigLog: what early damage in a long file costs does not grow with the
// file, nor with the length that a damaged record says it has.
func TestDamageInBigLog(t *testing.T) {
	const hole, bound = 8 << 20, 2 << 20
	put := func(t *testing.T, f *os.File, at int64, b ...byte) {
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	long := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0, 1, 2, 3, 4}, hole/2)
	for _, c := range []struct {
		name string
		edit func(f *os.File, from, at int64)
		flaw Flaw
	}{
		{"only the head is lost", func(*os.File, int64, int64) {}, FlawShort},
		{"impossible length", func(f *os.File, from, _ int64) { put(t, f, from+4, 1) }, FlawLength},
		{"wrong length, no mark", func(f *os.File, from, _ int64) { put(t, f, from, long...) }, FlawMarker},
		{"wrong length that ends at a mark", func(f *os.File, from, _ int64) {
			put(t, f, from, long...)
			put(t, f, from+recordHead+hole/2, endOfRecord)
		}, FlawChecksum},
		{"what looks like a long record behind it", func(f *os.File, from, _ int64) {
			put(t, f, from+4, 1)
			put(t, f, from+1<<20, long...)
			put(t, f, from+1<<20+recordHead+19, 9) // its zxid
			put(t, f, from+1<<20+recordHead+hole/2, endOfRecord)
		}, FlawLength},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, at := bigLog(t, hole, c.edit)
			l, err := OpenLog(path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for err == nil {
				_, err = l.Next()
			}
			d := new(DamageError)
			if !errors.As(err, &d) || d.Flaw != c.flaw {
				t.Fatalf("reading says %v, want %s", err, c.flaw)
			}
			why, err := tornOrLost(l, d)
			runtime.ReadMemStats(&after)
			if want := fmt.Sprintf("a valid record, 0x2, follows at offset %d", at); err != nil || !strings.Contains(why, want) {
				t.Errorf("%q %v, want %q", why, err, want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > bound {
				t.Errorf("%d bytes of memory for a file of %d", used, l.Size())
			}
		})
	}
}

// TestRecordFoundAcrossPieces looks for a record that starts at each place around the
// end of a piece.
func TestRecordFoundAcrossPieces(t *testing.T) {
	for _, before := range []int64{46, 45, 44, 13, 12, 1, 0, -1} {
		off := readBuffer - before
		path, at := bigLog(t, off, func(f *os.File, from, _ int64) {
			if _, err := f.WriteAt([]byte{1}, from+4); err != nil {
				t.Fatal(err)
			}
		})
		l, err := OpenLog(path)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = l.Next()
		}
		why, err := validFollows(l, l.Offset())
		if want := fmt.Sprintf("follows at offset %d", at); err != nil || !strings.HasSuffix(why, want) {
			t.Errorf("%q %v, want %q", why, err, want)
		}
		l.Close()
	}
}
