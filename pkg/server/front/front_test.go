package front

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/pipeline"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

const patience = 30 * time.Second

// memory is a log that keeps nothing.
type memory struct{}

func (memory) Append([]zab.Proposal) error  { return nil }
func (memory) Sync() error                  { return nil }
func (memory) WriteEpochs(zab.Epochs) error { return nil }

// start runs a client port over a server that stands alone. The result has
// been told to serve.
func start(t testing.TB, change func(*Config)) (*Server, *pipeline.Pipeline) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := storage.Open(storage.Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	recovered, err := store.Recover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p := pipeline.New(pipeline.Config{
		Self: 1, TickTime: 2 * time.Second, MinSessionTimeout: 100 * time.Millisecond, MaxSessionTimeout: time.Minute,
		SnapCount: 1 << 30, Digests: true, Logger: log,
	}, store, recovered)
	solo := quorum.NewSolo(0, memory{}, p, nil, nil)
	cfg := Config{
		Addr: "127.0.0.1:0", MaxFrame: 1 << 20, SilentTimeout: patience, OutstandingLimit: 1000, Logger: log,
		IsWord: func(w string) bool { return w == "ruok" }, Word: func(string, io.Reader) []byte { return []byte("imok") },
	}
	if change != nil {
		change(&cfg)
	}
	s, err := Listen(context.Background(), cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.Start(solo)
	ended := make(chan error, 2)
	go func() { ended <- s.Serve(ctx) }()
	go func() { ended <- solo.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
		p.Stop()
		if n := p.ConnectionCount() + len(s.conns) + len(s.perIP); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the server serves", p.Serving)
	return s, p
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
		<-tick.C
	}
}

// A client is a TCP connection to the port.
type client struct {
	t testing.TB
	net.Conn
	xid int32
}

func dial(t testing.TB, s *Server) *client {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = nc.Close() })
	return &client{t: t, Conn: nc}
}

// session connects and makes a session.
func session(t testing.TB, s *Server, timeout int32) *client {
	t.Helper()
	c := dial(t, s)
	c.frame(proto.ConnectRequest{Timeout: timeout, Password: make([]byte, 16), HasReadOnly: true}.Append(nil))
	if b := c.read(); len(b) != 37 {
		t.Fatalf("connected with %x", b)
	}
	return c
}

func frame(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

func (c *client) frame(b []byte) { c.raw(frame(b)) }

func (c *client) raw(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) request(op proto.Op, body []byte) []byte {
	c.xid++
	return frame(append(proto.RequestHeader{Xid: c.xid, Op: op}.Append(nil), body...))
}

func (c *client) read() []byte {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// reply reads the reply to the request xid.
func (c *client) reply(xid int32) (proto.Code, *jute.Decoder) {
	c.t.Helper()
	d := jute.NewDecoder(c.read())
	var h proto.ReplyHeader
	h.Decode(d)
	if h.Xid != xid {
		c.t.Fatalf("reply to %d, want %d", h.Xid, xid)
	}
	return h.Err, d
}

// gone checks that the server ends the connection, having sent nothing.
func (c *client) gone(what string) {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if len(b) > 0 {
		c.t.Errorf("%s: answered %x", what, b)
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		c.t.Errorf("%s: the connection is not closed", what)
	}
}

func getData(path string) []byte { return proto.PathWatch{Path: path}.Append(nil) }

func TestSession(t *testing.T) {
	s, _ := start(t, nil)
	c := session(t, s, 10000)
	// All at once, in pieces that end anywhere.
	stream := c.request(proto.OpCreate, proto.CreateRequest{Path: "/a", Data: []byte("1"), ACL: proto.WorldAnyone()}.Append(nil, proto.OpCreate))
	stream = append(stream, c.request(proto.OpGetData, getData("/a"))...)
	stream = append(stream, c.request(proto.OpPing, nil)...)
	for len(stream) > 0 {
		n := min(len(stream), 7)
		c.raw(stream[:n])
		stream = stream[n:]
	}
	for _, xid := range []int32{1, 2, proto.XidPing} {
		if code, _ := c.reply(xid); code != proto.OK {
			t.Errorf("request %d: %v", xid, code)
		}
	}
	// A whole request and the beginning of the next: the first is answered.
	next := c.request(proto.OpGetData, getData("/a"))
	c.raw(append(next, 0, 0))
	if code, d := c.reply(4); code != proto.OK || string(d.Buffer()) != "1" {
		t.Errorf("in front of half a request: %v", code)
	}
	rest := c.request(proto.OpCloseSession, nil)
	c.raw(rest[2:])
	if code, _ := c.reply(5); code != proto.OK {
		t.Errorf("closeSession: %v", code)
	}
	c.gone("closeSession")
}

func TestLargeFrames(t *testing.T) {
	s, _ := start(t, nil)
	c := session(t, s, 10000)
	big := bytes.Repeat([]byte("x"), 1<<20-200)
	c.raw(c.request(proto.OpCreate, proto.CreateRequest{Path: "/big", Data: big, ACL: proto.WorldAnyone()}.Append(nil, proto.OpCreate)))
	c.reply(1)
	c.raw(c.request(proto.OpGetData, getData("/big")))
	if _, d := c.reply(2); !bytes.Equal(d.Buffer(), big) {
		t.Error("large data came back otherwise")
	}
}

func TestGarbage(t *testing.T) {
	s, _ := start(t, func(c *Config) { c.MaxFrame = 1000 })
	for name, b := range map[string][]byte{
		"http":       []byte("GET / HTTP/1.0\r\n\r\n"),
		"negative":   {0xff, 0xf4, 0xff, 0xfd},
		"too long":   {0, 0, 4, 0},
		"empty":      {0, 0, 0, 0},
		"handshake":  frame([]byte("nonsense")),
		"an ssh key": bytes.Repeat([]byte{0, 0, 0, 7, 's'}, 100),
	} {
		c := dial(t, s)
		c.raw(b)
		c.gone(name)
	}
	c := session(t, s, 10000)
	c.raw([]byte{0, 0, 0, 3, 1, 2, 3})
	c.gone("half a header")
	c = session(t, s, 10000)
	c.raw(binary.BigEndian.AppendUint32(nil, 1001))
	c.gone("a request that is too long")
	c = session(t, s, 10000)
	c.raw([]byte("ruok")) // no word any more
	c.gone("a word behind the handshake")
	c = session(t, s, 10000)
	c.raw(c.request(999, nil))
	if code, _ := c.reply(1); code != proto.ErrUnimplemented {
		t.Errorf("op 999: %v", code)
	}
	c.gone("op 999")
}

func TestWords(t *testing.T) {
	s, _ := start(t, nil)
	for _, b := range []string{"ruok", "ruok\n", "ruok and much more " + strings.Repeat("x", 3000)} {
		c := dial(t, s)
		c.raw([]byte(b))
		if got, err := io.ReadAll(c); string(got) != "imok" || err != nil {
			t.Errorf("%.10q: %q, %v", b, got, err)
		}
	}
}

func TestHalfOpen(t *testing.T) {
	s, p := start(t, nil)
	dial(t, s).Close() // nothing
	c := dial(t, s)
	c.raw([]byte{0, 0})
	c.Close() // half a length
	c = session(t, s, 10000)
	c.raw([]byte{0, 0, 0, 50, 1})
	c.Close() // half a request
	eventually(t, "nobody is connected", func() bool { return p.ConnectionCount() == 0 })
}

func TestSilence(t *testing.T) {
	s, _ := start(t, func(c *Config) { c.SilentTimeout = 20 * time.Millisecond })
	dial(t, s).gone("nothing said")
	c := dial(t, s)
	c.raw([]byte{0, 0, 0, 45, 0})
	c.gone("half a handshake")
	session(t, s, 100).gone("nothing said for the session's timeout")
}

func TestLimits(t *testing.T) {
	s, _ := start(t, func(c *Config) { c.MaxPerIP = 2 })
	a, b := session(t, s, 10000), session(t, s, 10000)
	dial(t, s).gone("the third of an address")
	a.Close()
	eventually(t, "one has gone", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.conns) == 1 })
	session(t, s, 10000)
	b.raw(b.request(proto.OpPing, nil))
	b.reply(proto.XidPing)
	s, _ = start(t, func(c *Config) { c.MaxConns = 1 })
	session(t, s, 10000)
	dial(t, s).gone("the second in all")
}

// TestSlowReader asks for more than it reads. The server stops to read, keeps
// a bounded part of the answers, and answers everything in the end.
func TestSlowReader(t *testing.T) {
	s, p := start(t, nil)
	c := session(t, s, 60000)
	data := bytes.Repeat([]byte("x"), 500<<10)
	c.raw(c.request(proto.OpCreate, proto.CreateRequest{Path: "/big", Data: data, ACL: proto.WorldAnyone()}.Append(nil, proto.OpCreate)))
	c.reply(1)
	const n = 200 // 100 MB of answers
	for range n {
		c.raw(c.request(proto.OpGetData, getData("/big")))
	}
	other := session(t, s, 10000)
	other.raw(other.request(proto.OpPing, nil))
	other.reply(proto.XidPing) // the others are served
	s.mu.Lock()
	for x := range s.conns {
		x.mu.Lock()
		if len(x.buf) > 2*softQueue {
			t.Errorf("%d bytes wait", len(x.buf))
		}
		x.mu.Unlock()
	}
	s.mu.Unlock()
	for i := range int32(n) {
		if code, d := c.reply(i + 2); code != proto.OK || d.Len() < len(data) {
			t.Fatalf("reply %d: %v", i, code)
		}
	}
	if got := p.Stats().Outstanding(); got != 0 {
		t.Errorf("%d outstanding", got)
	}
}

// TestOutstanding holds back who has unanswered requests above the limit.
func TestOutstanding(t *testing.T) {
	s, _ := start(t, func(c *Config) { c.OutstandingLimit = 3 })
	c := session(t, s, 10000)
	var b []byte
	for i := range 500 {
		b = append(b, c.request(proto.OpCreate, proto.CreateRequest{Path: fmt.Sprintf("/n%d", i), ACL: proto.WorldAnyone()}.Append(nil, proto.OpCreate))...)
	}
	go func() { _, _ = c.Write(b) }()
	for i := range int32(500) {
		if code, _ := c.reply(i + 1); code != proto.OK {
			t.Fatalf("create %d: %v", i, code)
		}
	}
}

func TestPortInUse(t *testing.T) {
	s, p := start(t, nil)
	_, err := Listen(context.Background(), Config{Addr: s.Addr().String()}, p)
	if err == nil || !strings.Contains(err.Error(), s.Addr().String()) || !strings.Contains(err.Error(), "held by process ") {
		t.Errorf("%v does not name port and process", err)
	}
}

// FuzzStream sends arbitrary bytes behind a handshake. The server answers
// with well-formed frames, ends the connection or waits, and serves others.
func FuzzStream(f *testing.F) {
	s, _ := start(f, func(c *Config) { c.MaxFrame = 1 << 16 })
	x := &client{}
	f.Add(true, x.request(proto.OpGetData, getData("/")))
	f.Add(true, append(x.request(proto.OpSetWatches, proto.SetWatches{Data: []string{"/"}}.Append(nil, proto.OpSetWatches)), x.request(proto.OpPing, nil)...))
	f.Add(true, x.request(proto.OpMulti, proto.AppendMulti(nil, []proto.MultiOp{{Op: proto.OpDelete, Body: &proto.PathVersion{Path: "/x"}}})))
	f.Add(true, x.request(proto.OpAuth, proto.AuthPacket{Scheme: "digest", Auth: []byte("a:b")}.Append(nil)))
	f.Add(true, x.request(proto.OpSync, []byte{}))
	f.Add(false, []byte("ruok"))
	f.Add(false, frame(proto.ConnectRequest{Timeout: 1, SessionID: 5}.Append(nil)))
	f.Fuzz(func(t *testing.T, shaken bool, b []byte) {
		var c *client
		if shaken {
			c = session(t, s, 20000)
		} else {
			c = dial(t, s)
		}
		defer c.Close()
		if _, err := c.Write(b); err != nil {
			return
		}
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		out, _ := io.ReadAll(c)
		for shaken && len(out) >= 4 {
			n := binary.BigEndian.Uint32(out)
			if uint64(n) > uint64(len(out)-4) || n < proto.ReplyHeaderSize {
				t.Fatalf("answered with a frame of %d bytes, %d came", n, len(out)-4)
			}
			out = out[4+n:]
		}
		if shaken && len(out) > 0 {
			t.Fatalf("%d bytes behind the last frame", len(out))
		}
	})
}
