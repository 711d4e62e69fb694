package storage

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// FuzzLog asks that any bytes read as records or as damage, that what reads
// writes back byte for byte, and that Recover never loses what is in front of
// the damage without saying so.
func FuzzLog(f *testing.F) {
	f.Add(javaLog(recs(1, 3), 20))
	f.Add(javaLog(recs(1, 3), 0)[:250])
	f.Add(append(logHeader(mark{from: 16, length: 200}), javaLog(recs(1, 2), 99)[16:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := faultdisk.New()
		s, err := Open(testOptions(d))
		if err != nil {
			t.Fatal(err)
		}
		put(t, d, log1, b)
		l, err := openLog(d, log1)
		if err != nil {
			t.Fatal(err)
		}
		var again []byte
		for {
			r, err := l.Next()
			if errors.Is(err, io.EOF) || errors.Is(err, ErrCorrupt) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			again = appendRecord(again, r.Data)
		}
		if l.Offset() >= logHeaderSize && !bytes.Equal(again, b[logHeaderSize:l.Offset()]) {
			t.Fatal("what was read does not write back")
		}
		r, err := s.Recover(context.Background())
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if err == nil && r.LastZxid < l.last {
			t.Fatalf("recovered 0x%x, but 0x%x can be read", r.LastZxid, l.last)
		}
	})
}

// FuzzSnapshot asks that any bytes under a right seal read as a tree or as
// damage.
func FuzzSnapshot(f *testing.F) {
	samples, err := filepath.Glob("testdata/*/version-2/snapshot.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range samples {
		b, err := disk.ReadFile(disk.OS{}, path, 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := faultdisk.New()
		if err := d.MkdirAll("/x", 0); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"/x/snapshot.1", "/x/snapshot.1.gz", "/x/snapshot.1.snappy"} {
			put(t, d, name, b)
			_, _, err := readSnapshot(d, name, tree.Options{})
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
		}
		var in SnapshotInfo
		_, _ = parseSnapshot(bufio.NewReader(bytes.NewReader(b)), tree.Options{}, &in)
	})
}

// FuzzSnappy asks that no bytes unpack to more than they say.
func FuzzSnappy(f *testing.F) {
	f.Add([]byte{5, 4 << 2, 'h', 'e', 'l', 'l', 'o'})
	f.Add([]byte{8, 0, 'a', 0x0d, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := unsnap(nil, b)
		if err != nil && !errors.Is(err, errSnappy) {
			t.Fatal(err)
		}
		if len(out) > snappyMaxBlock {
			t.Fatal(len(out))
		}
	})
}

// FuzzParseName asks that what parses is what is written, up to a suffix.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"log.1", "snapshot.100000001.gz", "snapshot.0", "snapshot.1.tmp", "log.-1", "log.01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		kind, zxid := ParseName(name)
		if kind == KindOther {
			return
		}
		if k, z := ParseName(map[Kind]string{KindLog: LogName(zxid), KindSnapshot: SnapshotName(zxid)}[kind]); k != kind || z != zxid {
			t.Fatal(name, kind, zxid)
		}
	})
}
