package pipeline

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// TestValidation asks for what is refused; of several reasons the first in
// Apache's order counts.
func TestValidation(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	other := f.connect()
	c.must(proto.OpCreate, create("/a", 0))
	c.must(proto.OpCreate, create("/a/b", 0))
	c.must(proto.OpCreate, create("/e", proto.ModeEphemeral))
	c.must(proto.OpCreate, create("/none", 0))
	c.must(proto.OpSetACL, setACL("/none", -1, acl(proto.PermAdmin, "world", "anyone")))
	bad := acl(31, "nobody", "x")
	for _, x := range []struct {
		name string
		op   proto.Op
		body []byte
		want proto.Code
	}{
		{"flags before all", proto.OpCreate, createACL("x", 9, nil), proto.ErrBadArguments},
		{"TTL without extended types", proto.OpCreateTTL, createTTL("x", 5, 0), proto.ErrUnimplemented},
		{"TTL for a mode without", proto.OpCreateTTL, createTTL("/ttl", 0, 5), proto.ErrBadArguments},
		{"TTL 0 for a mode without", proto.OpCreateTTL, createTTL("/ttl", 0, 0), proto.ErrBadArguments},
		{"no slash before ACL", proto.OpCreate, createACL("x", 0, nil), proto.ErrBadArguments},
		{"NUL before ACL", proto.OpCreate, createACL("/x\x00", 0, nil), proto.ErrBadArguments},
		{"ACL before parent", proto.OpCreate, createACL("/no/x", 0, nil), proto.ErrInvalidACL},
		{"unknown scheme", proto.OpCreate, createACL("/x", 0, []proto.ACL{bad}), proto.ErrInvalidACL},
		{"auth without an identity", proto.OpCreate, createACL("/x", 0, []proto.ACL{acl(31, "auth", "")}), proto.ErrInvalidACL},
		{"parent before path", proto.OpCreate, create("/q/a/", 0), proto.ErrNoNode},
		{"permission before path", proto.OpCreate, create("/none/..", 0), proto.ErrNoAuth},
		{"path before existence", proto.OpCreate, create("/a/.", 0), proto.ErrBadArguments},
		{"dots", proto.OpCreate, create("/..", 0), proto.ErrBadArguments},
		{"double slash", proto.OpCreate, create("//a", 0), proto.ErrBadArguments},
		{"trailing slash", proto.OpCreate, create("/a/", 0), proto.ErrBadArguments},
		{"exists", proto.OpCreate, create("/a", 0), proto.ErrNodeExists},
		{"root", proto.OpCreate, create("/", 0), proto.ErrNodeExists},
		{"below an ephemeral", proto.OpCreate, create("/e/x", 0), proto.ErrNoChildrenEphemeral},
		{"unreadable", proto.OpCreate, []byte{1, 2}, proto.ErrMarshalling},

		{"delete without slash", proto.OpDelete, versioned("x", -1), proto.ErrBadArguments},
		{"delete the root", proto.OpDelete, versioned("/", -1), proto.ErrBadArguments},
		{"delete /zookeeper", proto.OpDelete, versioned("/zookeeper", -1), proto.ErrBadArguments},
		{"delete /zookeeper/quota", proto.OpDelete, versioned("/zookeeper/quota", -1), proto.ErrBadArguments},
		{"delete /zookeeper/config", proto.OpDelete, versioned("/zookeeper/config", -1), proto.ErrBadArguments},
		{"delete below nothing", proto.OpDelete, versioned("/no/x", -1), proto.ErrNoNode},
		{"delete: permission before existence", proto.OpDelete, versioned("/none/x", -1), proto.ErrNoAuth},
		{"delete nothing", proto.OpDelete, versioned("/x", -1), proto.ErrNoNode},
		{"delete: version before children", proto.OpDelete, versioned("/a", 7), proto.ErrBadVersion},
		{"delete with children", proto.OpDelete, versioned("/a", -1), proto.ErrNotEmpty},
		{"delete with a slash behind", proto.OpDelete, versioned("/e/", -1), proto.ErrNoNode},

		{"set: path", proto.OpSetData, setData("a", "", -1), proto.ErrBadArguments},
		{"set nothing", proto.OpSetData, setData("/x", "", -1), proto.ErrNoNode},
		{"set: permission before version", proto.OpSetData, setData("/none", "", 7), proto.ErrNoAuth},
		{"set: version", proto.OpSetData, setData("/a", "", 7), proto.ErrBadVersion},
		{"set the configuration", proto.OpSetData, setData("/zookeeper/config", "", -1), proto.ErrNoAuth},
		{"set: unreadable", proto.OpSetData, nil, proto.ErrMarshalling},

		{"set ACL: path before ACL", proto.OpSetACL, setACL("a", -1), proto.ErrBadArguments},
		{"set ACL: ACL before existence", proto.OpSetACL, setACL("/x", -1), proto.ErrInvalidACL},
		{"set ACL of nothing", proto.OpSetACL, setACL("/x", -1, proto.WorldAnyone()...), proto.ErrNoNode},
		{"set ACL: aversion", proto.OpSetACL, setACL("/a", 7, proto.WorldAnyone()...), proto.ErrBadVersion},

		{"delete no container", proto.OpDeleteContainer, text("/x"), proto.ErrNoNode},
		{"delete container with children", proto.OpDeleteContainer, text("/a"), proto.ErrNotEmpty},
		{"delete container: an ephemeral", proto.OpDeleteContainer, text("/e"), proto.ErrBadVersion},
		{"delete container: special", proto.OpDeleteContainer, text("/zookeeper/quota"), proto.ErrBadArguments},
	} {
		before := f.p.LastZxid()
		if r := c.do(x.op, x.body); r.Err != x.want {
			t.Errorf("%s: %v, want %v", x.name, r.Err, x.want)
		} else if r.Len() != 0 {
			t.Errorf("%s: a failure has a body of %d bytes", x.name, r.Len())
		} else if taken := r.Zxid - before; taken != 1 && (taken != 0 || x.want != proto.ErrMarshalling) {
			t.Errorf("%s: took zxid %x after %x", x.name, r.Zxid, before)
		}
	}
	c.must(proto.OpSetData, setData("/", "root", -1))
	if got := other.must(proto.OpGetData, watched("", false)); string(got.Buffer()) != "root" {
		t.Error("the root cannot be read by its other name")
	}
}

func TestCreateModes(t *testing.T) {
	f := leader(t, func(c *Config) { c.ExtendedTypes = true })
	c := f.connect()
	c.must(proto.OpCreate, create("/p", 0))
	for _, x := range []struct {
		op     proto.Op
		body   []byte
		code   proto.Code
		path   string
		kind   tree.Kind
		owner  int64 // as told
		bodied bool  // a Stat follows
	}{
		{proto.OpCreate, create("/p/a", 0), 0, "/p/a", tree.Persistent, 0, false},
		{proto.OpCreate2, create("/p/b", 1), 0, "/p/b", tree.Ephemeral, c.resp.SessionID, true},
		{proto.OpCreate, create("/p/s-", 2), 0, "/p/s-0000000002", tree.Persistent, 0, false},
		{proto.OpCreate2, create("/p/", 3), 0, "/p/0000000003", tree.Ephemeral, c.resp.SessionID, true},
		{proto.OpCreateContainer, create("/p/c", 4), 0, "/p/c", tree.Container, 0, true},
		{proto.OpCreateTTL, createTTL("/p/t", 5, 60000), 0, "/p/t", tree.TTL, 0, true},
		{proto.OpCreateTTL, createTTL("/p/t-", 6, tree.MaxTTL), 0, "/p/t-0000000006", tree.TTL, 0, true},
		{proto.OpCreateTTL, createTTL("/p/plain", 0, -1), 0, "/p/plain", tree.Persistent, 0, true},
		{proto.OpCreateTTL, createTTL("/p/x", 5, 0), proto.ErrBadArguments, "", 0, 0, false},
		{proto.OpCreateTTL, createTTL("/p/x", 5, tree.MaxTTL+1), proto.ErrBadArguments, "", 0, 0, false},
		{proto.OpCreate, create("/p/x", 5), proto.ErrBadArguments, "", 0, 0, false},
		{proto.OpCreate, create("/p/c/d", 0), 0, "/p/c/d", tree.Persistent, 0, false},
		{proto.OpCreate, create("/p/t/d", 0), 0, "/p/t/d", tree.Persistent, 0, false},
	} {
		r := c.do(x.op, x.body)
		if r.Err != x.code {
			t.Errorf("%q: %v, want %v", x.body, r.Err, x.code)
		}
		if x.code != proto.OK {
			continue
		}
		if got := r.String(); got != x.path {
			t.Errorf("created %q, want %q", got, x.path)
		}
		if x.bodied != (r.Len() == proto.StatSize) {
			t.Errorf("%s: %d bytes follow", x.path, r.Len())
		}
		s := c.must(proto.OpExists, watched(x.path, false))
		if got := s.stat(); got.EphemeralOwner != x.owner || got.Czxid != r.Zxid {
			t.Errorf("%s: %+v", x.path, got)
		}
		f.p.View(func(tr *tree.Tree) {
			if n, ok := tr.Get(x.path); !ok || n.Kind() != x.kind {
				t.Errorf("%s: not of kind %d", x.path, x.kind)
			}
		})
	}
}

// TestConcurrentSequences creates while nothing is applied: the numbers come
// from what is under way.
func TestConcurrentSequences(t *testing.T) {
	f := leader(t, nil)
	a, b := f.connect(), f.connect()
	a.must(proto.OpCreate, create("/s", 0))
	f.order.holding(true)
	const n = 20
	for range n {
		a.send(proto.OpCreate, create("/s/x", 2))
		b.send(proto.OpCreate, create("/s/x", 2))
	}
	f.order.wait(t, "the proposals", func() bool { return len(f.order.proposed) == 2*n })
	f.order.holding(false)
	var got []string
	for range n {
		ra, rb := a.next(), b.next()
		got = append(got, ra.String(), rb.String())
	}
	slices.Sort(got)
	for i, path := range got {
		if want := fmt.Sprintf("/s/x%010d", i); path != want {
			t.Fatalf("%d: %s, want %s", i, path, want)
		}
	}
}

// TestWraps starts from counters at their ends.
func TestWraps(t *testing.T) {
	f := newFixture(t, testConfig(), func(tr *tree.Tree) {
		for i, b := range []txn.Body{
			&txn.Create{Path: "/p", ACL: proto.WorldAnyone(), ParentCVersion: 1},
			&txn.Create{Path: "/p/x", ACL: proto.WorldAnyone(), ParentCVersion: math.MaxInt32 - 1},
			&txn.SetData{Path: "/p/x", Version: math.MaxInt32},
			&txn.SetACL{Path: "/p/x", ACL: proto.WorldAnyone(), Version: -2},
		} {
			typ := []proto.Op{proto.OpCreate, proto.OpCreate, proto.OpSetData, proto.OpSetACL}[i]
			tr.Apply(&txn.Txn{Header: txn.Header{Zxid: int64(i + 1), Type: typ, Time: 5}, Body: b})
		}
	})
	f.lead(1)
	c := f.connect()
	r1, r2 := c.must(proto.OpSetData, setData("/p/x", "", math.MaxInt32)), c.must(proto.OpSetACL, setACL("/p/x", -2, proto.WorldAnyone()...))
	if v, av := r1.stat().Version, r2.stat().Aversion; v != math.MinInt32 || av != -1 {
		t.Errorf("versions %d and %d", v, av)
	}
	for i, want := range []string{"/p/s2147483646", "/p/s2147483647"} {
		if got := c.must(proto.OpCreate, create("/p/s", 2)); got.String() != want {
			t.Errorf("%d: not %s", i, want)
		}
	}
	// The tree keeps the greatest number, as DataTree.java does.
	if r := c.do(proto.OpCreate, create("/p/s", 2)); r.Err != proto.ErrNodeExists {
		t.Errorf("after the last number: %v", r.Err)
	}
	c.must(proto.OpCreate, create("/p/other", 0))
	c.must(proto.OpDelete, versioned("/p/other", -1))
}

func TestValidatePath(t *testing.T) {
	for _, path := range []string{"/", "/a", "/a/b.c", "/a/...", "/ä", "/a b", "/\u2028", "/zookeeper/x"} {
		if err := validatePath(path); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{
		"", "a", "/a/", "//", "/a//b", "/.", "/a/./b", "/..", "/a/..", "/\x00", "/\x01", "/a\x1f", "/\x7f", "/\u009f",
		"/\ue000", "/\uf8ff", "/\ufff0", "/\uffff", "/\U00010000", "/\U0001f600", "/\xff", "/\xed\xa0\x80",
	} {
		if validatePath(path) == nil {
			t.Errorf("%q is taken for a path", path)
		}
	}
}

func FuzzValidatePath(f *testing.F) {
	f.Add("/a/b")
	f.Add("/\U0001f600")
	tr := tree.New(tree.Options{})
	f.Fuzz(func(t *testing.T, path string) {
		if validatePath(path) != nil || path == "/" {
			return
		}
		parent, ok := parentOf(path)
		if !ok || parent != "" && validatePath(parent) != nil {
			t.Fatalf("%q is a path, its parent %q is none", path, parent)
		}
		if hasNUL(path) {
			t.Fatalf("%q has a NUL", path)
		}
		if parent == "" && path != "/zookeeper" {
			res := tr.Apply(&txn.Txn{Header: txn.Header{Zxid: tr.LastZxid() + 1, Type: proto.OpCreate}, Body: &txn.Create{Path: path, ParentCVersion: -1}})
			if n, found := tr.Get(path); res.Code != proto.OK && res.Code != proto.ErrNodeExists || !found || n.Name() != path[1:] {
				t.Fatalf("%q is a path, the tree says %v", path, res.Code)
			}
		}
	})
}
