package pipeline

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// A fuzzServer is a small server that stands alone, made anew now and then so
// that what it holds stays small.
type fuzzServer struct {
	p     *Pipeline
	store *storage.Store
	runs  int
}

func newFuzzServer(t testing.TB, dir string) *fuzzServer {
	t.Helper()
	cfg := testConfig()
	cfg.ExtendedTypes = true
	store, err := storage.Open(storage.Options{DataDir: dir, Tree: tree.Options{ExtendedTypes: true}})
	if err != nil {
		t.Fatal(err)
	}
	recovered, err := store.Recover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	order := &fakeOrder{came: make(chan struct{}, 1), epoch: 1}
	p := New(cfg, store, recovered)
	order.machine = p
	p.Start(order)
	p.Term(quorum.Term{RoleChange: zab.RoleChange{Role: zab.Leading, Phase: zab.Broadcast, Epoch: 1, Leader: 1, Serving: true}, Next: zab.MakeZxid(1, 1)})
	return &fuzzServer{p: p, store: store}
}

func (s *fuzzServer) stop(t testing.TB) {
	t.Helper()
	s.p.Stop()
	if n := s.p.Metrics().DigestMismatches.Load(); n > 0 {
		t.Errorf("%d transactions left the tree other than the leader had worked out", n)
	}
	if used, _ := s.p.RequestBytes(); used != 0 || s.p.Stats().Outstanding() != 0 {
		t.Errorf("%d bytes and %d requests are left", used, s.p.Stats().Outstanding())
	}
	if err := s.store.Close(); err != nil {
		t.Error(err)
	}
}

func (s *fuzzServer) dial(t testing.TB) (*Conn, *sink) {
	t.Helper()
	out := &sink{frames: make(chan []byte, 1<<12), closed: make(chan struct{})}
	c := s.p.NewConn(out, Client{Remote: "10.1.2.3:4444", IP: "10.1.2.3"})
	hello := proto.ConnectRequest{Timeout: 10000, Password: make([]byte, 16), HasReadOnly: true}
	if err := c.Connect(context.Background(), hello.Append(nil)); err != nil {
		t.Fatal(err)
	}
	<-out.frames
	return c, out
}

// requestsIn cuts a fuzzer's input into requests: op, two bytes of length, body.
func requestsIn(in []byte) (ops []proto.Op, bodies [][]byte) {
	for len(in) >= 3 && len(ops) < 50 {
		op := proto.Op(in[0])
		if op >= 200 {
			op -= 256 // createSession, closeSession and what there is not
		}
		n := min(int(binary.BigEndian.Uint16(in[1:])), len(in)-3)
		ops, bodies = append(ops, op), append(bodies, in[3:3+n])
		in = in[3+n:]
	}
	return ops, bodies
}

func requestOf(op proto.Op, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{byte(op)}, uint16(len(body))), body...)
}

// FuzzRequests sends arbitrary requests. Each is answered once, in order, with
// its own xid, or ends the connection; the server goes on, and what it worked out
// before each write is what the write did.
func FuzzRequests(f *testing.F) {
	node := proto.CreateRequest{Path: "/a", Data: []byte("x"), ACL: proto.WorldAnyone()}
	f.Add(requestOf(proto.OpCreate, node.Append(nil, proto.OpCreate)))
	f.Add(append(requestOf(proto.OpCreateTTL, proto.CreateRequest{Path: "/t", ACL: proto.WorldAnyone(), Flags: proto.ModePersistentTTL, TTL: 5}.Append(nil, proto.OpCreateTTL)),
		requestOf(proto.OpDelete, versioned("/t", -1))...))
	f.Add(append(requestOf(proto.OpCreate2, createACL("/s-", proto.ModeEphemeralSequential, proto.WorldAnyone())), requestOf(proto.OpCloseSession, nil)...))
	f.Add(append(requestOf(proto.OpSetData, setData("/a", "yy", -1)), requestOf(proto.OpSetACL, setACL("/a", -1, acl(1, "ip", "10.0.0.0/8")))...))
	f.Add(requestOf(proto.OpMulti, multi(part(proto.OpCreate, newNode("/m")), part(proto.OpDelete, &proto.PathVersion{Path: "/m", Version: 0}), part(proto.OpCheck, &proto.PathVersion{Path: "/"}))))
	f.Add(requestOf(proto.OpMultiRead, multi(part(proto.OpGetData, &proto.PathWatch{Path: "/"}), part(proto.OpGetChildren, &proto.PathWatch{Path: "/"}))))
	f.Add(append(requestOf(proto.OpAuth, proto.AuthPacket{Scheme: "digest", Auth: []byte("u:p")}.Append(nil)), requestOf(proto.OpWhoAmI, nil)...))
	f.Add(append(requestOf(proto.OpAddWatch, proto.PathMode{Path: "/", Mode: 1}.Append(nil)), requestOf(proto.OpRemoveWatches, proto.PathMode{Path: "/", Mode: 3}.Append(nil))...))
	f.Add(requestOf(proto.OpSetWatches2, proto.SetWatches{Data: []string{"/a"}, Exist: []string{"/b"}, Child: []string{"/"}, Persistent: []string{"/"}, PersistentRecursive: []string{"/"}}.Append(nil, proto.OpSetWatches2)))
	f.Add(append(requestOf(proto.OpGetEphemerals, text("/")), requestOf(proto.OpGetAllChildrenNumber, text("/"))...))
	f.Add(append(requestOf(proto.OpSync, text("/")), requestOf(proto.OpGetACL, text("/"))...))
	f.Add(append(requestOf(proto.OpReconfig, text("x")), requestOf(proto.OpSasl, jute.AppendBuffer(nil, []byte("x")))...))
	f.Add(append(requestOf(proto.OpCreate, createData("/zookeeper/quota/zookeeper_limits", "count=1,bytes=1")), requestOf(-1, nil)...))
	dir := f.TempDir()
	s := newFuzzServer(f, dir)
	f.Cleanup(func() { s.stop(f) })
	f.Fuzz(func(t *testing.T, in []byte) {
		if s.runs++; s.runs%1000 == 0 {
			s.stop(t)
			s = newFuzzServer(t, dir)
		}
		c, out := s.dial(t)
		ops, bodies := requestsIn(in)
		for i, op := range ops {
			if err := c.Request(append(proto.RequestHeader{Xid: int32(i + 1), Op: op}.Append(nil), bodies[i]...)); err != nil {
				ops = ops[:i+1]
				c.Close() // as front does
				break
			}
		}
		answered(t, out, ops...)
		c.Close()
		other, out := s.dial(t)
		if err := other.Request(proto.RequestHeader{Xid: 1, Op: proto.OpPing}.Append(nil)); err != nil {
			t.Fatal(err)
		}
		answered(t, out, proto.OpPing)
		if err := other.Request(proto.RequestHeader{Xid: 2, Op: proto.OpCloseSession}.Append(nil)); err != nil {
			t.Fatal(err)
		}
		<-out.closed
	})
}

// answered reads the answers to ops, whose xids count from 1, or up to where the
// connection was closed. What is not known, and authentication, is answered at
// once, all else in order.
func answered(t *testing.T, out *sink, ops ...proto.Op) {
	t.Helper()
	deadline := time.After(patience)
	seen := make(map[int32]bool)
	last := int32(0)
	for len(seen) < len(ops) {
		select {
		case b := <-out.frames:
			d := jute.NewDecoder(b)
			var h proto.ReplyHeader
			h.Decode(d)
			if h.Xid == proto.XidEvent && d.Err() == nil {
				continue
			}
			if h.Xid == proto.XidPing { // of the first that is not answered yet
				h.Xid = 1
				for int(h.Xid) < len(ops) && (seen[h.Xid] || ops[h.Xid-1] != proto.OpPing) {
					h.Xid++
				}
			}
			if d.Err() != nil || h.Xid < 1 || int(h.Xid) > len(ops) || seen[h.Xid] ||
				h.Err != proto.OK && d.Len() > 0 && ops[h.Xid-1] != proto.OpMultiRead {
				t.Fatalf("answered %x", b)
			}
			if seen[h.Xid] = true; kindOf(ops[h.Xid-1]) != unknownOp {
				if h.Xid < last {
					t.Fatalf("answer to %d behind the one to %d", h.Xid, last)
				}
				last = h.Xid
			}
		case <-out.closed:
			if len(out.frames) == 0 {
				return
			}
		case <-deadline:
			t.Fatalf("of %v only %v are answered", ops, seen)
		}
	}
}
