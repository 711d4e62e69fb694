package pipeline

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

func multi(ops ...proto.MultiOp) []byte { return proto.AppendMulti(nil, ops) }

func part(op proto.Op, body any) proto.MultiOp { return proto.MultiOp{Op: op, Body: body} }

func newNode(path string) *proto.CreateRequest {
	return &proto.CreateRequest{Path: path, Data: []byte("x"), ACL: proto.WorldAnyone()}
}

// results reads a multi's answer: the type of each part, or its error.
func (r reply) results(t *testing.T) (out []int32) {
	t.Helper()
	for {
		op, done, code := proto.Op(r.d.Int()), r.d.Bool(), r.d.Int()
		if r.d.Err() != nil {
			t.Fatal(r.d.Err())
		}
		if done {
			if r.Len() > 0 {
				t.Errorf("%d bytes behind the end", r.Len())
			}
			return out
		}
		out = append(out, int32(op))
		switch op {
		case proto.OpCreate:
			_ = r.d.String()
		case proto.OpCreate2:
			_ = r.d.String()
			r.stat()
		case proto.OpSetData:
			r.stat()
		case proto.OpError:
			if inner := r.d.Int(); inner != code {
				t.Errorf("error %d in the header, %d in the body", code, inner)
			}
			out[len(out)-1] = code
		}
	}
}

func equal(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestMulti(t *testing.T) {
	f := leader(t, func(c *Config) { c.ExtendedTypes = true })
	c := f.connect()
	r := c.must(proto.OpMulti, multi(
		part(proto.OpCreate, newNode("/a")),
		part(proto.OpCreate2, newNode("/a/b")),
		part(proto.OpCreateContainer, &proto.CreateRequest{Path: "/c", ACL: proto.WorldAnyone(), Flags: 4}),
		part(proto.OpCreateTTL, &proto.CreateRequest{Path: "/t", ACL: proto.WorldAnyone(), Flags: 5, TTL: 9}),
		part(proto.OpSetData, &proto.SetDataRequest{Path: "/a/b", Data: []byte("y")}),
		part(proto.OpCheck, &proto.PathVersion{Path: "/a/b", Version: 1}),
		part(proto.OpDelete, &proto.PathVersion{Path: "/a/b", Version: 1}),
	))
	if got, want := r.results(t), []int32{1, 15, 15, 15, 5, 13, 2}; !equal(got, want) {
		t.Errorf("results %v, want %v", got, want)
	}
	if s := c.must(proto.OpExists, watched("/a", false)); s.stat().Pzxid != r.Zxid {
		t.Error("the parts have not one zxid")
	}
	if got := c.must(proto.OpMulti, multi()); got.results(t) != nil {
		t.Error("an empty multi has results")
	}
}

// TestMultiFails compares with the bytes an Apache server sent.
func TestMultiFails(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	c.must(proto.OpCreate, create("/p", 0))
	f.order.holding(true)
	c.send(proto.OpSetData, setData("/p", "pending", -1))
	c.send(proto.OpMulti, multi(
		part(proto.OpSetData, &proto.SetDataRequest{Path: "/p", Data: []byte("no"), Version: -1}),
		part(proto.OpDelete, &proto.PathVersion{Path: "/missing", Version: -1}),
		part(proto.OpCreate, newNode("/p/x")),
	))
	// The rollback brings back what was under way before.
	c.send(proto.OpSetData, setData("/p", "after", 1))
	c.send(proto.OpMulti, multi(part(proto.OpCreate, newNode("/p/y")), part(proto.OpCreate, newNode("/p/y"))))
	c.send(proto.OpCreate, create("/p/y", 0))
	f.order.holding(false)
	if r := c.next(); r.stat().Version != 1 {
		t.Error("the write before the multi")
	}
	r := c.next()
	const want = "ffffffff0000000000" + "00000000" + "ffffffff00ffffff9bffffff9b" + "ffffffff00fffffffefffffffe" + "ffffffff01ffffffff"
	if got := hex.EncodeToString(r.d.Rest()); r.Err != proto.OK || got != want {
		t.Errorf("failed multi: %v %s, want %s", r.Err, got, want)
	}
	if r := c.next(); r.Err != proto.OK || r.stat().Version != 2 {
		t.Errorf("the write behind the multi: %v", r.Err)
	}
	if r := c.next(); !equal(r.results(t), []int32{0, int32(proto.ErrNodeExists)}) {
		t.Error("a create twice in a multi")
	}
	if r := c.next(); r.Err != proto.OK {
		t.Errorf("create of what a failed multi made: %v", r.Err)
	}
}

func TestMultiUnreadable(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	for name, body := range map[string][]byte{
		"no end": multi(part(proto.OpCreate, newNode("/a")))[:20],
		"reads":  multi(part(proto.OpGetData, &proto.PathWatch{Path: "/"})),
		"mixed":  multi(part(proto.OpCreate, newNode("/a")), part(proto.OpGetData, &proto.PathWatch{Path: "/"})),
		"flags":  multi(part(proto.OpCreate, newNode("/a")), part(proto.OpCreate, &proto.CreateRequest{Path: "/b", ACL: proto.WorldAnyone(), Flags: 7})),
	} {
		if r := c.do(proto.OpMulti, body); r.Err != proto.ErrMarshalling {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
	f.p.View(func(tr *tree.Tree) {
		if _, ok := tr.Get("/a"); ok {
			t.Error("a part was carried out")
		}
	})
}

func TestMultiRead(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	c.must(proto.OpCreate, create("/a", 0))
	r := c.must(proto.OpMultiRead, multi(
		part(proto.OpGetData, &proto.PathWatch{Path: "/a"}),
		part(proto.OpGetChildren, &proto.PathWatch{Path: "/missing"}),
		part(proto.OpGetChildren, &proto.PathWatch{Path: "/a"}),
	))
	if op, done, code := r.d.Int(), r.d.Bool(), r.d.Int(); op != 4 || done || code != 0 || string(r.Buffer()) != "x" || r.stat().DataLength != 1 {
		t.Error("getData in a multiRead")
	}
	if op, done, code := r.d.Int(), r.d.Bool(), r.d.Int(); op != -1 || done || code != -101 || r.d.Int() != -101 {
		t.Error("a failure in a multiRead")
	}
	if op, done, code := r.d.Int(), r.d.Bool(), r.d.Int(); op != 8 || done || code != 0 || len(r.d.Strings()) != 0 {
		t.Error("getChildren in a multiRead")
	}
	if r.results(t) != nil {
		t.Error("a multiRead goes on")
	}
	if r := c.do(proto.OpMultiRead, multi(part(proto.OpCreate, newNode("/x")))); r.Err != proto.ErrMarshalling {
		t.Errorf("a write in a multiRead: %v", r.Err)
	}
}

// TestMultiReadIsBounded asks for one znode so often that the answer would not fit.
func TestMultiReadIsBounded(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	const size, times = 1 << 20, 100
	c.must(proto.OpCreate, createData("/big", strings.Repeat("x", size)))
	var ops []proto.MultiOp
	for range times {
		ops = append(ops, part(proto.OpGetData, &proto.PathWatch{Path: "/big"}))
	}
	r := c.must(proto.OpMultiRead, multi(ops...))
	if n := r.Len(); n > f.p.maxMultiRead()+2*size {
		t.Errorf("an answer of %d bytes", n)
	}
	got := make(map[proto.Op]int)
	for {
		op, done, code := proto.Op(r.d.Int()), r.d.Bool(), proto.Code(r.d.Int())
		if done || r.d.Err() != nil {
			break
		}
		got[op]++
		if op == proto.OpError {
			if r.d.Int(); code != proto.ErrSystem {
				t.Errorf("code %v", code)
			}
			continue
		}
		r.Buffer()
		r.stat()
	}
	if got[proto.OpError] < 10 || got[proto.OpGetData] < 10 || got[proto.OpError]+got[proto.OpGetData] != times || r.d.Err() != nil {
		t.Errorf("parts %v, %v", got, r.d.Err())
	}
}
