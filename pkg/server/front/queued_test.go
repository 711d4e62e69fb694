package front

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// TestManySlowReaders: together they may not make the server keep more than it
// is told to; whoever keeps it busiest goes, and the others are served.
func TestManySlowReaders(t *testing.T) {
	const clients, limit = 20, 4 << 20
	s, p := start(t, func(c *Config) { c.MaxQueued = limit })
	other := session(t, s, 60000)
	data := bytes.Repeat([]byte("x"), 500<<10)
	other.raw(other.request(proto.OpCreate, proto.CreateRequest{Path: "/big", Data: data, ACL: proto.WorldAnyone()}.Append(nil, proto.OpCreate)))
	other.reply(1)
	for range clients {
		c := session(t, s, 60000)
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		var b []byte
		for range 60 { // 30 MB of answers
			b = append(b, c.request(proto.OpGetData, getData("/big"))...)
		}
		c.raw(b)
	}
	guards := p.Stats().Guards
	eventually(t, "somebody was given up", func() bool { return guards.SlowReadersClosed.Load() > 0 })
	eventually(t, "not more is queued than may be", func() bool { return s.queued.bytes.Load() <= limit })
	for range 10 {
		other.raw(other.request(proto.OpGetData, getData("/big")))
		if code, d := other.reply(other.xid); code != proto.OK || !bytes.Equal(d.Buffer(), data) {
			t.Errorf("the client that reads: %v", code)
		}
	}
}

// TestQueuedIsCounted until it has been read.
func TestQueuedIsCounted(t *testing.T) {
	s, _ := start(t, nil)
	c := session(t, s, 60000)
	data := bytes.Repeat([]byte("x"), 500<<10)
	c.raw(c.request(proto.OpCreate, proto.CreateRequest{Path: "/big", Data: data, ACL: proto.WorldAnyone()}.Append(nil, proto.OpCreate)))
	c.reply(1)
	for range 100 {
		c.raw(c.request(proto.OpGetData, getData("/big")))
	}
	c.raw(c.request(proto.OpCloseSession, nil))
	eventually(t, "something is queued", func() bool { return s.queued.bytes.Load() > 0 })
	if n, err := io.Copy(io.Discard, c); err != nil || n < int64(100*len(data)) {
		t.Errorf("%d bytes came, %v", n, err)
	}
	eventually(t, "nothing is queued", func() bool { return s.queued.bytes.Load() == 0 })
}
