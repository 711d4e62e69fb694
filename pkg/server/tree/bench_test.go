package tree

import (
	"bufio"
	"fmt"
	"io"
	"math/rand"
	"runtime"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

const benchNodes = 1_000_000

// bigTree has a thousand parents of a thousand znodes with 100 bytes each.
func bigTree(b *testing.B) (*script, []string) {
	b.Helper()
	s := newScript()
	data := string(make([]byte, 100))
	paths := make([]string, 0, benchNodes)
	for i := range benchNodes / 1000 {
		parent := fmt.Sprintf("/service-%03d", i)
		s.create(parent, "")
		for j := range 1000 {
			path := fmt.Sprintf("%s/znode-%010d", parent, j)
			s.create(path, data)
			paths = append(paths, path)
		}
	}
	rand.New(rand.NewSource(1)).Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	return s, paths
}

func BenchmarkMillion(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, paths := bigTree(b)
	runtime.GC()
	runtime.ReadMemStats(&after)
	perNode := float64(after.HeapAlloc-before.HeapAlloc)/benchNodes - 16 - 32 // less the slice and strings of paths

	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(perNode, "B/znode")
		for i := range b.N {
			if _, ok := s.Get(paths[i%len(paths)]); !ok {
				b.Fatal(paths[i%len(paths)])
			}
		}
	})
	set := &txn.SetData{Data: make([]byte, 100)}
	b.Run("setData", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			set.Path = paths[i%len(paths)]
			s.apply(proto.OpSetData, set)
		}
	})
	b.Run("setDataWithSnapshots", func(b *testing.B) { // one taken every 10000 changes
		b.ReportAllocs()
		var snap *Snapshot
		for i := range b.N {
			if i%10000 == 0 {
				snap = s.Snapshot()
			}
			set.Path = paths[i%len(paths)]
			s.apply(proto.OpSetData, set)
		}
		runtime.KeepAlive(snap)
	})
	b.Run("createDelete", func(b *testing.B) {
		b.ReportAllocs()
		c := &txn.Create{Path: "/service-500/new", Data: set.Data, ParentCVersion: -1}
		d := &txn.Delete{Path: c.Path}
		for range b.N {
			s.apply(proto.OpCreate, c)
			s.apply(proto.OpDelete, d)
		}
	})
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			s.Snapshot()
		}
	})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			n, err := s.Snapshot().WriteTo(io.Discard)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(n)
		}
	})
	b.Run("read", func(b *testing.B) {
		for range b.N {
			r, w := io.Pipe()
			go func() {
				_, err := s.Snapshot().WriteTo(w)
				w.CloseWithError(err)
			}()
			if _, err := Read(bufio.NewReaderSize(r, 1<<16), Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
