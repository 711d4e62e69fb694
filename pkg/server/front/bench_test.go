package front

import (
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// benchmark sends a request again and again, depth of them at a time.
func benchmark(b *testing.B, op proto.Op, body []byte, depth int) {
	s, _ := start(b, nil)
	c := session(b, s, 60000)
	var batch []byte
	for range depth {
		batch = append(batch, c.request(op, body)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.raw(batch)
		for range depth {
			c.read()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*depth), "ns/request")
}

func BenchmarkGet(b *testing.B)    { benchmark(b, proto.OpGetData, getData("/"), 1) }
func BenchmarkGet100(b *testing.B) { benchmark(b, proto.OpGetData, getData("/"), 100) }
func BenchmarkSet(b *testing.B) {
	benchmark(b, proto.OpSetData, proto.SetDataRequest{Path: "/", Data: make([]byte, 100), Version: -1}.Append(nil), 1)
}
func BenchmarkSet100(b *testing.B) {
	benchmark(b, proto.OpSetData, proto.SetDataRequest{Path: "/", Data: make([]byte, 100), Version: -1}.Append(nil), 100)
}
