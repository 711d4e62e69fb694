package storage

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
)

// readPast reads a Past to its end, or to an error.
func readPast(p *Past) (list []int64, err error) {
	for {
		r, err := p.Next()
		if err != nil {
			return list, err
		}
		if zxidOf(r.Data) != r.Zxid {
			return list, fmt.Errorf("record 0x%x has the bytes of 0x%x", r.Zxid, zxidOf(r.Data))
		}
		list = append(list, r.Zxid)
	}
}

func mustPast(t testing.TB, s *Store, zxid int64) *Past {
	t.Helper()
	p, err := s.Past(zxid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func span(t *testing.T, got []int64, first, last int64) {
	t.Helper()
	ok := int64(len(got)) == last-first+1
	for i, z := range got {
		ok = ok && z == first+int64(i)
	}
	if !ok {
		t.Errorf("read %x; want 0x%x to 0x%x", got, first, last)
	}
}

// threeFiles makes the files log.1, log.5 and log.9; the last is being written.
func threeFiles(t testing.TB, fsys *faultdisk.Disk, size int) *Store {
	t.Helper()
	s, _ := mustOpen(t, testOptions(fsys))
	for z := int64(1); z <= 9; z += 4 {
		for at := z; at < z+4; at++ {
			mustAppend(t, s, recSize(at, size))
		}
		if z < 9 {
			if err := s.Roll(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPast(t *testing.T) {
	s := threeFiles(t, faultdisk.New(), 10)
	for after, first := range map[int64]int64{1: 1, 3: 1, 4: 1, 5: 5, 8: 5, 9: 9, 12: 9, 20: 9} {
		got, err := readPast(mustPast(t, s, after))
		if span(t, got, first, 12); !errors.Is(err, io.EOF) {
			t.Errorf("after 0x%x: ends with %v", after, err)
		}
	}
	if _, err := s.Past(0); !errors.Is(err, ErrPurged) {
		t.Errorf("before the log: %v", err)
	}
}

// TestPastRewinds reads again from every record on, in the file of the mark and in
// later ones.
func TestPastRewinds(t *testing.T) {
	s := threeFiles(t, faultdisk.New(), 10)
	for from := int64(1); from <= 12; from++ {
		p := mustPast(t, s, 1)
		for z := int64(1); z <= from; z++ {
			if _, err := p.Next(); err != nil {
				t.Fatal(err)
			}
		}
		p.Mark()
		for range 3 {
			_, _ = readPast(p)
			p.Rewind()
		}
		got, err := readPast(p)
		if span(t, got, from, 12); !errors.Is(err, io.EOF) {
			t.Errorf("from 0x%x: ends with %v", from, err)
		}
	}
}

// TestPastBase follows the base through replay, truncation and install.
func TestPastBase(t *testing.T) {
	fsys := faultdisk.New()
	s := threeFiles(t, fsys, 10)
	base := func(want int64) {
		t.Helper()
		if got := mustPast(t, s, s.LastZxid()).Base(); got != want {
			t.Errorf("the base is 0x%x, want 0x%x", got, want)
		}
	}
	base(0)
	digest := treeAt(8).Digest()
	if _, err := s.WriteSnapshot(treeAt(8).Snapshot(), &digest); err != nil {
		t.Fatal(err)
	}
	base(0) // what is in memory was not replayed from it
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = mustOpen(t, testOptions(fsys))
	base(8)
	digest = treeAt(40).Digest()
	if err := s.Install(treeAt(40).Snapshot(), &digest); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Past(12); !errors.Is(err, ErrPurged) {
		t.Errorf("the log before an installed snapshot: %v", err)
	}
	mustAppend(t, s, recs(41, 42)...)
	base(40)
}

// TestPastBesideAppends reads while the file grows: what was there when the Past was
// made comes whole.
func TestPastBesideAppends(t *testing.T) {
	s := threeFiles(t, faultdisk.New(), 10)
	p := mustPast(t, s, 9)
	mustAppend(t, s, recs(13, 400)...)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	got, _ := readPast(p)
	span(t, got, 9, 8+int64(len(got)))
	if len(got) < 4 {
		t.Errorf("read %x only", got)
	}
}

// TestPastFaults reads a log that something happens to.
func TestPastFaults(t *testing.T) {
	const log5, log9 = "/logs/version-2/log.5", "/logs/version-2/log.9"
	flip := func(off int) func(*testing.T, *faultdisk.Disk) {
		return func(t *testing.T, fsys *faultdisk.Disk) {
			if !fsys.Flip(log5, off, 3) {
				t.Fatal("nothing flipped")
			}
		}
	}
	remove := func(names ...string) func(*testing.T, *faultdisk.Disk) {
		return func(t *testing.T, fsys *faultdisk.Disk) {
			for _, n := range names {
				if err := fsys.Remove(n); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cases := []struct {
		name   string
		before func(*testing.T, *faultdisk.Disk) // Past is made
		while  func(*testing.T, *faultdisk.Disk) // it stands at its start
		want   error
		last   int64 // that is read
	}{
		{"a bit flips in a record", flip(40), nil, ErrCorrupt, 4},
		{"a bit flips in a header", flip(1), nil, ErrCorrupt, 4},
		{"a bit flips meanwhile", nil, flip(600 << 10), ErrCorrupt, 6},
		{"a file is gone: the next zxid tells", remove(log5), nil, io.EOF, 12},
		{"files are purged meanwhile", nil, remove(log1, log5), io.EOF, 12},
		{"reads fail", nil, func(_ *testing.T, fsys *faultdisk.Disk) { fsys.Fail("read", "*", syscall.EIO) }, syscall.EIO, 1},
		{"all is purged", remove(log1, log5, log9), nil, ErrPurged, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := faultdisk.New()
			s := threeFiles(t, fsys, 200<<10) // more than what is read at once
			if c.before != nil {
				c.before(t, fsys)
			}
			p, err := s.Past(2)
			var got []int64
			if err == nil {
				defer p.Close()
				if c.while != nil {
					c.while(t, fsys)
				}
				got, err = readPast(p)
			}
			last := int64(0)
			if len(got) > 0 {
				last = got[len(got)-1]
			}
			if !errors.Is(err, c.want) || last != c.last {
				t.Errorf("read up to 0x%x, then %v; want 0x%x and %v", last, err, c.last, c.want)
			}
		})
	}
}

// TestPastManyFiles holds no more than so many open.
func TestPastManyFiles(t *testing.T) {
	s, _ := mustOpen(t, testOptions(faultdisk.New()))
	for z := int64(1); z <= pastFiles+1; z++ {
		mustAppend(t, s, rec(z))
		if err := s.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Past(1); !errors.Is(err, ErrPurged) {
		t.Errorf("%d files: %v", pastFiles+1, err)
	}
	got, _ := readPast(mustPast(t, s, 2))
	span(t, got, 2, pastFiles+1)
}
