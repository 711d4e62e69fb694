package tree

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

var update = flag.Bool("update", false, "rewrite testdata/golden")

// script applies transactions with growing zxids.
type script struct {
	*Tree
	zxid    int64
	session int64
}

func newScript() *script { return &script{Tree: New(Options{ExtendedTypes: true}), session: 0x100001} }

func (s *script) apply(op proto.Op, body txn.Body) Result {
	s.zxid++
	return s.Apply(&txn.Txn{
		Header: txn.Header{ClientID: s.session, Zxid: s.zxid, Time: 1000 + s.zxid, Type: op}, Body: body,
	})
}

func (s *script) create(path, data string) Result {
	return s.apply(proto.OpCreate, &txn.Create{Path: path, Data: []byte(data), ParentCVersion: -1})
}

func (s *script) delete(path string) Result { return s.apply(proto.OpDelete, &txn.Delete{Path: path}) }

func (s *script) set(path, data string, version int32) Result {
	return s.apply(proto.OpSetData, &txn.SetData{Path: path, Data: []byte(data), Version: version})
}

func (s *script) stats(path string) string {
	n, ok := s.Get("/zookeeper/quota" + path + "/zookeeper_stats")
	if !ok {
		return "none"
	}
	return string(n.Data())
}

func digestACL(id string) []proto.ACL {
	return []proto.ACL{{Perms: proto.PermRead, ID: proto.ID{Scheme: "digest", ID: id}}}
}

// check recomputes everything that the tree maintains as it goes.
func check(t testing.TB, tr *Tree) {
	t.Helper()
	var sum uint64
	count, size := 0, int64(1)
	refs := map[int64]int{}
	kinds := map[Kind]int{}
	tr.Snapshot().Walk(func(path string, n *Node) bool {
		d := NodeDigest(path, n.Data(), n.Persisted())
		if d != n.Digest() {
			t.Errorf("digest of %s is %x, want %x", path, n.Digest(), d)
		}
		sum += d
		count++
		size += int64(len(n.Data()))
		if path != "/" {
			size += int64(len(path))
			kinds[n.Kind()]++
		} else {
			size += int64(len(n.Data()))
		}
		refs[n.acl.id]++
		if got, ok := tr.Get(path); !ok || got != n {
			t.Errorf("Get(%q) does not find what Walk shows", path)
		}
		return true
	})
	if sum != tr.Digest() || count+1 != tr.NodeCount() || size != tr.DataSize() {
		t.Errorf("digest %x, %d nodes, %d bytes; want %x, %d, %d", tr.Digest(), tr.NodeCount(), tr.DataSize(), sum, count+1, size)
	}
	if tr.EphemeralCount() != kinds[Ephemeral] || len(tr.containers) != kinds[Container] || len(tr.ttls) != kinds[TTL] {
		t.Errorf("%d ephemerals, %d containers, %d TTLs; want %v", tr.EphemeralCount(), len(tr.containers), len(tr.ttls), kinds)
	}
	got := map[int64]int{openACL: tr.acls.open.refs}
	tr.acls.byID.each(func(e *aclEntry) bool { got[e.id] = e.refs; return true })
	if refs[openACL] == 0 {
		delete(got, openACL)
	}
	if !reflect.DeepEqual(got, refs) {
		t.Errorf("ACL uses %v, want %v", got, refs)
	}
}

func TestEmptyTree(t *testing.T) {
	tr := New(Options{})
	if tr.Digest() != 0x51c6d660 {
		t.Errorf("digest 0x%x", tr.Digest())
	}
	if tr.NodeCount() != 5 || tr.DataSize() != 44 || tr.AllChildrenNumber("/") != 3 {
		t.Errorf("%d nodes, %d bytes, %d children; Java has 5, 44, 3", tr.NodeCount(), tr.DataSize(), tr.AllChildrenNumber("/"))
	}
	config, _ := tr.Get(ConfigPath)
	if config.AVersion() != -1 || config.ACL()[0].Perms != proto.PermRead || config.Version() != 0 {
		t.Errorf("config node: %+v, ACL %v", config.Stat(), config.ACL())
	}
	tr.SetConfig([]byte("server.1=a:1:2"), 0x100000000, 77)
	if config, _ = tr.Get(ConfigPath); config.Version() != -1 || config.Mzxid() != 0x100000000 || config.Mtime() != 77 {
		t.Errorf("config node: %+v", config.Stat())
	}
	check(t, tr)
}

func TestGetFindsOnlyPaths(t *testing.T) {
	s := newScript()
	s.create("/a", "")
	s.create("/a/b", "x")
	for _, path := range []string{"", "/", "/a", "/a/b", "/zookeeper"} {
		if _, ok := s.Get(path); !ok {
			t.Errorf("%q not found", path)
		}
	}
	for _, path := range []string{"a", "/a/", "//a", "/a//b", "/a/b/", "/b", "/a/b/c", "//", "a/b"} {
		if _, ok := s.Get(path); ok {
			t.Errorf("%q found", path)
		}
		if s.edit(path) != nil {
			t.Errorf("%q found for a change", path)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.Get("/a/b") }); n != 0 {
		t.Errorf("Get allocates %v times", n)
	}
}

func TestCreateRules(t *testing.T) {
	s := newScript()
	create := func(path string, parentC int32) proto.Code {
		return s.apply(proto.OpCreate, &txn.Create{Path: path, ParentCVersion: parentC}).Code
	}
	for _, c := range []struct {
		path string
		code proto.Code
	}{
		{"/a", proto.OK}, {"/a", proto.ErrNodeExists}, {"/", proto.ErrNodeExists}, {"", proto.ErrNodeExists},
		{"/x/y", proto.ErrNoNode}, {"a", proto.ErrBadArguments}, {"/a/", proto.ErrBadArguments}, {"//b", proto.ErrBadArguments},
	} {
		if got := create(c.path, -1); got != c.code {
			t.Errorf("create %q: %v, want %v", c.path, got, c.code)
		}
	}
	parent := func() [2]int64 { n, _ := s.Get("/a"); return [2]int64{int64(n.StoredCVersion()), n.Pzxid()} }
	create("/a/b", 5)
	if got := parent(); got != [2]int64{5, s.zxid} {
		t.Errorf("after create with cversion 5: %v", got)
	}
	before := s.zxid
	create("/a/c", 5) // replay: the parent is ahead already
	if got := parent(); got != [2]int64{5, before} {
		t.Errorf("a parent that is ahead changed: %v", got)
	}
	create("/a/b", 9) // exists, type 1: the parent is raised all the same
	if got := parent(); got != [2]int64{9, s.zxid} {
		t.Errorf("after a create that exists: %v", got)
	}
	s.apply(proto.OpCreate2, &txn.Create{Path: "/a/b", ParentCVersion: 12})
	if got := parent(); got[0] != 9 {
		t.Errorf("create2 that exists raised the parent: %v", got)
	}
	s.delete("/a/gone")
	if got := parent(); got != [2]int64{9, s.zxid} {
		t.Errorf("delete of a missing child leaves pzxid at %v", got)
	}
	before = s.zxid
	s.Apply(&txn.Txn{Header: txn.Header{Zxid: 1, Type: proto.OpDelete}, Body: &txn.Delete{Path: "/a/gone"}})
	if got := parent(); got != [2]int64{9, before} || s.LastZxid() != before {
		t.Errorf("a delete of an older zxid leaves pzxid at %v, last zxid at %d", got, s.LastZxid())
	}
	if n, _ := s.Get("/a"); n.Stat().Cversion != 2*9-2 {
		t.Errorf("client's cversion %d", n.Stat().Cversion)
	}
	check(t, s.Tree)
}

func TestNullAndEmptyDataDiffer(t *testing.T) {
	s := newScript()
	s.apply(proto.OpCreate, &txn.Create{Path: "/null"})
	s.apply(proto.OpCreate, &txn.Create{Path: "/empty", Data: []byte{}})
	tr := roundTrip(t, s.Tree)
	null, _ := tr.Get("/null")
	empty, _ := tr.Get("/empty")
	if null.Data() != nil || empty.Data() == nil {
		t.Errorf("null %v, empty %v", null.Data(), empty.Data())
	}
}

func events(r Result) string {
	var b strings.Builder
	for _, e := range r.Events {
		fmt.Fprintf(&b, "%d %s; ", e.Type, e.Path)
	}
	return b.String()
}

func TestResultsAndEvents(t *testing.T) {
	s := newScript()
	steps := []struct {
		r      Result
		code   proto.Code
		events string
	}{
		{s.create("/a", "1"), 0, "1 /a; 4 /; "},
		{s.create("/a/b", "1"), 0, "1 /a/b; 4 /a; "},
		{s.create("/a/b", "1"), proto.ErrNodeExists, ""},
		{s.set("/a", "22", 7), 0, "3 /a; "},
		{s.set("/none", "22", 7), proto.ErrNoNode, ""},
		{s.apply(proto.OpSetACL, &txn.SetACL{Path: "/a", ACL: digestACL("u:p"), Version: 3}), 0, ""},
		{s.apply(proto.OpSetACL, &txn.SetACL{Path: "/none"}), proto.ErrNoNode, ""},
		{s.delete("/a/b"), 0, "2 /a/b; 4 /a; "},
		{s.delete("/a/b"), proto.ErrNoNode, ""},
		{s.delete("/"), proto.ErrNoNode, ""},
		{s.apply(proto.OpError, &txn.Error{Code: proto.ErrNoAuth}), proto.ErrNoAuth, ""},
		{s.apply(proto.OpPing, nil), proto.ErrUnimplemented, ""},
		{s.apply(proto.OpDeleteContainer, &txn.Delete{Path: "/a"}), 0, "2 /a; 4 /; "},
	}
	for i, c := range steps {
		if c.r.Code != c.code || events(c.r) != c.events {
			t.Errorf("step %d: %v, events %q; want %v, %q", i, c.r.Code, events(c.r), c.code, c.events)
		}
	}
	if st := steps[3].r.Stat; st.Version != 7 || st.Mzxid != 4 || st.DataLength != 2 || st.NumChildren != 1 {
		t.Errorf("stat of setData: %+v", st)
	}
	if st := steps[5].r.Stat; st.Aversion != 3 || st.Mzxid != 4 {
		t.Errorf("stat of setACL: %+v", st)
	}
	if acl := steps[12].r.Events[0].ACL; !reflect.DeepEqual(acl, digestACL("u:p")) {
		t.Errorf("deletion's ACL %v", acl)
	}
	if s.LastZxid() != s.zxid {
		t.Errorf("last zxid %d", s.LastZxid())
	}
	check(t, s.Tree)
}

func TestMulti(t *testing.T) {
	s := newScript()
	s.create("/a", "")
	good := &txn.Multi{Parts: []txn.Part{
		{Type: proto.OpCreate, Body: &txn.Create{Path: "/a/b", ParentCVersion: -1}},
		{Type: proto.OpCheck, Body: &txn.Check{Path: "/a"}},
		{Type: proto.OpSetData, Body: &txn.SetData{Path: "/a/b", Data: []byte("x"), Version: 1}},
		{Type: proto.OpDelete, Body: &txn.Delete{Path: "/a/b"}},
	}}
	r := s.apply(proto.OpMulti, good)
	if r.Code != 0 || len(r.Parts) != 4 || events(r) != "1 /a/b; 4 /a; 3 /a/b; 2 /a/b; 4 /a; " {
		t.Errorf("multi: %v, %d parts, %s", r.Code, len(r.Parts), events(r))
	}
	before := s.Digest()
	r = s.apply(proto.OpMulti, &txn.Multi{Parts: []txn.Part{
		{Type: proto.OpCreate, Body: &txn.Create{Path: "/a/c"}},
		{Type: proto.OpError, Body: &txn.Error{Code: proto.ErrNoNode}},
		{Type: proto.OpError, Body: &txn.Error{Code: proto.ErrRuntimeInconsistency}},
	}})
	var codes []proto.Code
	for _, p := range r.Parts {
		codes = append(codes, p.Code)
	}
	if want := []proto.Code{0, proto.ErrNoNode, proto.ErrRuntimeInconsistency}; !slices.Equal(codes, want) || r.Code != proto.ErrNoNode {
		t.Errorf("failed multi: %v, %v", r.Code, codes)
	}
	if s.Digest() != before || len(r.Events) != 0 {
		t.Error("a failed multi changed the tree")
	}
	check(t, s.Tree)
}

func TestSessions(t *testing.T) {
	s := newScript()
	eph := func(path string) Result {
		return s.apply(proto.OpCreate2, &txn.Create{Path: path, Ephemeral: true, ParentCVersion: -1})
	}
	s.apply(proto.OpCreateSession, &txn.CreateSession{Timeout: 4000})
	eph("/b")
	eph("/a")
	if r := eph("/c"); r.Stat.EphemeralOwner != s.session {
		t.Errorf("owner 0x%x", r.Stat.EphemeralOwner)
	}
	if got := s.Ephemerals(s.session); !slices.Equal(got, []string{"/a", "/b", "/c"}) {
		t.Errorf("ephemerals %v", got)
	}
	if d, ok := s.SessionTimeout(s.session); !ok || d != 4000 || s.SessionCount() != 1 {
		t.Errorf("session table: %d %v", d, ok)
	}
	r := s.apply(proto.OpCloseSession, &txn.CloseSession{Paths: []string{"/c", "/gone"}, HasPaths: true})
	if events(r) != "2 /c; 4 /; 2 /a; 4 /; 2 /b; 4 /; " || r.Code != 0 {
		t.Errorf("close: %v %s", r.Code, events(r))
	}
	if s.EphemeralCount() != 0 || s.SessionCount() != 0 {
		t.Errorf("left: %d ephemerals, %d sessions", s.EphemeralCount(), s.SessionCount())
	}
	eph("/late")
	if got := s.OrphanSessions(); !slices.Equal(got, []int64{s.session}) {
		t.Errorf("orphans %v", got)
	}
	s.KillSession(s.session)
	if got := s.OrphanSessions(); len(got) != 0 {
		t.Errorf("orphans after killing them: %v", got)
	}
	check(t, s.Tree)
}

func TestContainersAndTTLs(t *testing.T) {
	s := newScript()
	s.apply(proto.OpCreateContainer, &txn.Create{Path: "/c", ParentCVersion: -1}) // time 1001
	if got := s.ContainerCandidates(1e9, 0); len(got) != 0 {
		t.Errorf("a new container is due: %v", got)
	}
	if got := s.ContainerCandidates(1501, 500); len(got) != 0 {
		t.Errorf("never used, due at the limit: %v", got)
	}
	if got := s.ContainerCandidates(1502, 500); !slices.Equal(got, []string{"/c"}) {
		t.Errorf("never used, behind the limit: %v", got)
	}
	s.create("/c/x", "")
	s.delete("/c/x")
	r := s.apply(proto.OpCreateTTL, &txn.Create{Path: "/t", TTL: 100000, ParentCVersion: -1}) // time 1004
	n, _ := s.Get("/t")
	if uint64(n.Owner()) != 0xff000000000186a0 || r.Stat.EphemeralOwner != 0 || n.Kind() != TTL {
		t.Errorf("owner of a TTL znode 0x%x", uint64(n.Owner()))
	}
	if got := s.ContainerCandidates(101004, 0); !slices.Equal(got, []string{"/c"}) {
		t.Errorf("due: %v", got)
	}
	if got := s.ContainerCandidates(101005, 0); !slices.Equal(got, []string{"/c", "/t"}) {
		t.Errorf("due: %v", got)
	}
	if r := s.apply(proto.OpCreateTTL, &txn.Create{Path: "/u", TTL: MaxTTL + 1}); r.Code != proto.ErrBadArguments {
		t.Errorf("TTL out of range: %v", r.Code)
	}
	check(t, s.Tree)
	var b bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	plain, err := Read(&b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := plain.Get("/t"); n.Kind() != Ephemeral || plain.EphemeralCount() != 1 {
		t.Error("without ExtendedTypes a TTL znode is an ephemeral")
	}
	check(t, plain)
}

func TestKinds(t *testing.T) {
	ttl, plain := Options{ExtendedTypes: true}, Options{}
	old := Options{ExtendedTypes: true, Emulate353TTL: true}
	for _, c := range []struct {
		o     Options
		owner uint64
		want  Kind
	}{
		{plain, 0, Persistent}, {plain, 1 << 63, Container}, {plain, 0x100000, Ephemeral},
		{plain, 0xff000000000186a0, Ephemeral}, {ttl, 0xff000000000186a0, TTL}, {ttl, 0xff000100000186a0, Ephemeral},
		{ttl, 0xfe00000000000001, Ephemeral}, {old, 0xfe00000000000001, TTL}, {old, 1 << 63, Container},
	} {
		if got := c.o.KindOf(int64(c.owner)); got != c.want {
			t.Errorf("%+v 0x%x: %v, want %v", c.o, c.owner, got, c.want)
		}
	}
	for _, owner := range []uint64{1<<63 | 5000, 0xff00000000001388} { // as 3.5.3 wrote it, and as all do since
		if got := ttlOf(int64(owner)); got != 5000 {
			t.Errorf("0x%x: TTL %d", owner, got)
		}
	}
}

func TestQuota(t *testing.T) {
	s := newScript()
	for _, path := range []string{"/q", "/q/old", "/zookeeper/quota/q"} {
		s.create(path, "12345")
	}
	s.create("/zookeeper/quota/q/zookeeper_limits", "count=3,bytes=-1=;byteHardLimit=900;countHardLimit=5")
	s.create("/zookeeper/quota/q/zookeeper_stats", "count=0,bytes=0")
	if got := s.stats("/q"); got != "count=2,bytes=10" {
		t.Errorf("after the limit: %s", got)
	}
	s.create("/q/a", "abc")
	s.create("/queue", "does not count")
	s.set("/q/a", "abcd", 1)
	s.delete("/q/old")
	if got := s.stats("/q"); got != "count=2,bytes=9" {
		t.Errorf("after changes: %s", got)
	}
	n, _ := s.Get("/zookeeper/quota/q/zookeeper_stats")
	if n.Version() != 0 || n.Mzxid() != n.Czxid() {
		t.Error("keeping the usage changed version or zxid")
	}
	want := Quota{"/q", Track{3, -1, 5, 900}, Track{2, 9, -1, -1}, true}
	if got, ok := s.QuotaFor("/q/a/new"); !ok || got != want {
		t.Errorf("QuotaFor: %+v %v", got, ok)
	}
	if got := string(want.Limit.Text()); got != "count=3,bytes=-1=;byteHardLimit=900;countHardLimit=5" {
		t.Errorf("Text: %s", got)
	}
	if _, ok := s.QuotaFor("/other"); ok {
		t.Error("a quota for /other")
	}
	if got := roundTrip(t, s.Tree).Quotas(); !slices.Equal(got, []Quota{want}) {
		t.Errorf("after reading: %+v", got)
	}
	check(t, s.Tree)
	s.delete("/zookeeper/quota/q/zookeeper_limits")
	s.create("/q/b", "1")
	if got := s.stats("/q"); got != "count=2,bytes=9" {
		t.Errorf("without a limit: %s", got)
	}
}

// TestReplayOverNewerSnapshot deletes a znode with children, as replay over a
// fuzzy snapshot may.
func TestReplayOverNewerSnapshot(t *testing.T) {
	s := newScript()
	s.create("/a", "1")
	s.create("/a/b", "2")
	s.apply(proto.OpCreate, &txn.Create{Path: "/a/b/e", ACL: digestACL("u:p"), Ephemeral: true})
	s.delete("/a")
	if s.NodeCount() != 5 || s.EphemeralCount() != 0 {
		t.Errorf("left: %d nodes, %d ephemerals", s.NodeCount(), s.EphemeralCount())
	}
	check(t, s.Tree)
}

func roundTrip(t testing.TB, tr *Tree) *Tree {
	t.Helper()
	var b bytes.Buffer
	snap := tr.Snapshot()
	n, err := snap.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo: %d of %d bytes, %v", n, b.Len(), err)
	}
	b.WriteString("BenWasHere")
	got, err := Read(&b, tr.opts)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != "BenWasHere" {
		t.Errorf("left behind the terminator: %q", b.String())
	}
	got.SetLastZxid(snap.Zxid())
	if got.Digest() != snap.Digest() || got.NodeCount() != snap.NodeCount() {
		t.Errorf("read digest %x of %d nodes, written %x of %d", got.Digest(), got.NodeCount(), snap.Digest(), snap.NodeCount())
	}
	if a, b := dump(tr), dump(got); a != b {
		t.Errorf("written:\n%s\nread:\n%s", a, b)
	}
	check(t, got)
	return got
}

// dump prints all that a tree holds, in an order of its own.
func dump(tr *Tree) string {
	var lines []string
	tr.Snapshot().Walk(func(path string, n *Node) bool {
		lines = append(lines, fmt.Sprintf("%s %q %v %+v %v", path, n.Data(), n.Data() == nil, n.Persisted(), n.ACL()))
		return true
	})
	tr.Sessions(func(id int64, timeout int32) bool {
		lines = append(lines, fmt.Sprintf("session 0x%x %d", id, timeout))
		return true
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func sample() *script {
	s := newScript()
	s.apply(proto.OpCreateSession, &txn.CreateSession{Timeout: 4000})
	s.create("/a", "hello")
	s.apply(proto.OpCreate, &txn.Create{Path: "/a/e", Ephemeral: true, ParentCVersion: -1, ACL: digestACL("u:p")})
	s.apply(proto.OpCreateTTL, &txn.Create{Path: "/t", TTL: 5000, ParentCVersion: -1, ACL: digestACL("u:p")})
	for i := range 20 {
		s.create(fmt.Sprintf("/a/n-%010d", i), "")
	}
	return s
}

func TestGoldenSnapshot(t *testing.T) {
	var b bytes.Buffer
	if _, err := sample().Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "golden", "snapshot.hex")
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(hex.Dump(b.Bytes())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.Dump(b.Bytes()); got != string(want) {
		t.Errorf("the bytes of a snapshot changed; if that is meant run with -update:\n%s", got)
	}
}

func TestRoundTrip(t *testing.T) {
	roundTrip(t, New(Options{}))
	roundTrip(t, sample().Tree)
}

func TestReadErrors(t *testing.T) {
	var b bytes.Buffer
	if _, err := sample().Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	for n := range whole {
		if _, err := Read(bytes.NewReader(whole[:n]), Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	bad := bytes.Replace(whole, []byte("/a/n-0000000003"), []byte("/b/n-0000000003"), 1)
	_, err := Read(bytes.NewReader(bad), Options{})
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), `znode "/b/n-0000000003"`) {
		t.Errorf("unknown parent: %v", err)
	}
	const noSessions, noACLs = "\x00\x00\x00\x00", "\x00\x00\x00\x00"
	world := "\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05world\x00\x00\x00\x06anyone"
	stored := strings.Repeat("\x00", 4+storedSize)
	for name, c := range map[string]struct{ stream, want string }{
		"negative count":    {"\xff\xff\xff\xff", "byte 4, in session table: malformed snapshot: count of -1"},
		"negative length":   {noSessions + noACLs + "\xff\xff\xff\xfe", `in znode "": malformed snapshot: length of -2`},
		"no path":           {noSessions + noACLs + "\x00\x00\x00\x01x" + stored, `in znode "x": malformed snapshot: not a path`},
		"root twice":        {noSessions + noACLs + strings.Repeat("\x00\x00\x00\x00"+stored, 2), `in znode "": malformed snapshot: the root is there twice`},
		"znode twice":       {noSessions + noACLs + strings.Repeat("\x00\x00\x00\x02/a"+stored, 2), `in znode "/a": malformed snapshot: the znode is there twice`},
		"ends behind znode": {noSessions + noACLs + "\x00\x00\x00\x02/a" + stored, `in what follows znode "/a": unexpected EOF`},
		"ACL twice": {
			noSessions + "\x00\x00\x00\x02" + strings.Repeat("\x00\x00\x00\x00\x00\x00\x00\x01"+world, 2),
			"in ACL table: malformed snapshot: ACL id 1 is out of range or listed twice",
		},
		"many ACLs": {noSessions + "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x00\x00\x00", "ACL 1 has 2130706432 entries"},
	} {
		if _, err := Read(strings.NewReader(c.stream), Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestUnlistedACLIsClosedThenRepaired(t *testing.T) {
	s := newScript()
	s.apply(proto.OpCreate, &txn.Create{Path: "/a", ACL: digestACL("u:p"), ParentCVersion: 1})
	snap := s.Snapshot()
	snap.acls = nil // the table of a fuzzy snapshot
	var b bytes.Buffer
	if _, err := snap.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	tr, err := Read(&b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, _ := tr.Get("/a")
	if tr.ClosedCount() != 2 || len(n.ACL()) != 1 || n.ACL()[0].Perms != 0 { // and /zookeeper/config
		t.Errorf("%d closed, ACL %v", tr.ClosedCount(), n.ACL())
	}
	check(t, tr)
	tr.Apply(&txn.Txn{
		Header: txn.Header{Zxid: 1, Type: proto.OpCreate2},
		Body:   &txn.Create{Path: "/a", ACL: digestACL("u:p"), ParentCVersion: 1},
	})
	if n, _ = tr.Get("/a"); tr.ClosedCount() != 1 || !reflect.DeepEqual(n.ACL(), digestACL("u:p")) {
		t.Errorf("%d closed, ACL %v", tr.ClosedCount(), n.ACL())
	}
	check(t, tr)
}

func FuzzParseTrack(f *testing.F) {
	f.Add([]byte("count=1,bytes=2"))
	f.Add([]byte("count=1,bytes=-1=;byteHardLimit=3;countHardLimit=4"))
	f.Add([]byte("count=,,bytes;x=y=z"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k := ParseTrack(text)
		if again := ParseTrack(k.Text()); again != k {
			t.Fatalf("%q is %+v, written and read again %+v", text, k, again)
		}
	})
}
