package storage

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

func snapped(t testing.TB, data []byte, piece int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := newSnappyWriter(&out)
	for at := 0; at < len(data); at += piece {
		if _, err := w.Write(data[at:min(at+piece, len(data))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSnappyWriter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100<<10)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, c := range map[string]struct {
		data []byte
		most int // bytes of the result
	}{
		"nothing":        {nil, 16},
		"one byte":       {[]byte("x"), 40},
		"the same":       {bytes.Repeat([]byte{7}, 200<<10), 12 << 10},
		"words":          {[]byte(strings.Repeat("/config/service-1 ", 5000)), 8 << 10},
		"noise":          {noise, len(noise) + 1<<10},
		"a whole block":  {noise[:snappyBlock], snappyBlock + 100},
		"block and more": {noise[:snappyBlock+1], snappyBlock + 100},
	} {
		for _, piece := range []int{1, 4096, 1 << 20} {
			packed := snapped(t, c.data, piece)
			got, err := io.ReadAll(newSnappyReader(bytes.NewReader(packed)))
			if err != nil || !bytes.Equal(got, c.data) {
				t.Errorf("%s in pieces of %d: %d bytes come back as %d: %v", name, piece, len(c.data), len(got), err)
			}
			if len(packed) > c.most {
				t.Errorf("%s: %d bytes become %d", name, len(c.data), len(packed))
			}
		}
	}
}

func FuzzSnappyWriter(f *testing.F) {
	f.Add([]byte("aaaaaaaaaaabbbbbbbbbbbbbbbaaaaaaaaaaaaaa"), 3)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		got, err := io.ReadAll(newSnappyReader(bytes.NewReader(snapped(t, data, max(1, piece)))))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%x becomes %x: %v", data, got, err)
		}
	})
}

func TestCompressedSnapshots(t *testing.T) {
	for _, c := range []Compression{Plain, Gzip, Snappy} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("testdata/apache-3.9")); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{DataDir: dir, Compression: c})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Recover(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		digest := r.Tree.Digest()
		info, err := s.WriteSnapshot(r.Tree.Snapshot(), &digest)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, VersionDir, SnapshotFileName(16, c)); info.Path != want {
			t.Errorf("%q: written to %s", c, info.Path)
		}
		again, err := s.WriteSnapshot(r.Tree.Snapshot(), &digest)
		if err != nil || again.Path != info.Path {
			t.Errorf("%q: written again to %s: %v", c, again.Path, err)
		}
		if ok, err := validSnapshot(disk.OS{}, info.Path); !ok || err != nil {
			t.Errorf("%q: fails the quick test: %v", c, err)
		}
		back, _, err := readSnapshot(disk.OS{}, info.Path, r.Tree.Options())
		if err != nil || back.Digest() != digest {
			t.Errorf("%q: %v", c, err)
		}
		if err := s.Install(r.Tree.Snapshot(), &digest); err != nil {
			t.Fatal(err)
		}
		if r, err = s.Recover(context.Background()); err != nil || r.LastZxid != 16 || r.Snapshot.Path != info.Path {
			t.Errorf("%q: after an install: %v, from %s", c, err, r.Snapshot.Path)
		}
		s.Close()
	}
}
