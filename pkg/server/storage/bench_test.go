package storage

import (
	"context"
	"fmt"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/tree"
)

func benchOptions(b *testing.B) Options {
	return Options{DataDir: b.TempDir(), PreAllocKB: 65536, ForceSync: true}
}

// BenchmarkAppend appends and syncs batches of records of about 200 bytes.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			s, _ := mustOpen(b, benchOptions(b))
			data := recSize(1, 100).Data
			list := make([]Record, batch)
			for i := range list {
				list[i].Data = append([]byte(nil), data...)
			}
			zxid := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				for i := range list {
					zxid++
					list[i].Zxid = zxid
					putZxid(list[i].Data, zxid)
				}
				mustAppend(b, s, list...)
			}
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "txns/s")
		})
	}
}

func putZxid(data []byte, zxid int64) {
	for i := range 8 {
		data[12+i] = byte(zxid >> (56 - 8*i))
	}
}

// BenchmarkRecover replays a log of small creates.
func BenchmarkRecover(b *testing.B) {
	const n = 100_000
	o := benchOptions(b)
	o.WindowCount = 500
	s, _ := mustOpen(b, o)
	mustAppend(b, s, recs(1, n)...)
	for b.Loop() {
		if r, err := s.Recover(context.Background()); err != nil || r.LastZxid != n {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkSnapshot writes and reads snapshots of 100000 znodes of 100 bytes.
func BenchmarkSnapshot(b *testing.B) {
	tr := tree.New(tree.Options{})
	for z := range int64(100_000) {
		tr.Apply(mustDecode(recSize(z+1, 100)))
	}
	s, _ := mustOpen(b, benchOptions(b))
	digest := tr.Digest()
	info, err := s.WriteSnapshot(tr.Snapshot(), &digest)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.SetBytes(info.Size)
		for b.Loop() {
			if _, err := s.putSnapshot(tr.Snapshot(), &digest, s.generation.Load()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(info.Size)
		for b.Loop() {
			if _, _, err := ReadSnapshotFile(info.Path, tree.Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(info.Size)
		for b.Loop() {
			if err := VerifySnapshot(info.Path); err != nil {
				b.Fatal(err)
			}
		}
	})
}
