package tree

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// model is the tree in its plainest form: a map from full paths.
type model struct {
	nodes    map[string]*modelNode // the root is ""
	sessions map[int64]int32
}

type modelNode struct {
	Persisted
	data []byte
	acl  []proto.ACL
}

func newModel() *model {
	m := &model{nodes: map[string]*modelNode{}, sessions: map[int64]int32{}}
	for _, path := range []string{"", SystemPath, QuotaPath, ConfigPath} {
		m.nodes[path] = &modelNode{data: []byte{}, acl: proto.WorldAnyone()}
	}
	m.nodes[ConfigPath].Aversion = -1
	m.nodes[ConfigPath].acl = []proto.ACL{{Perms: proto.PermRead, ID: proto.ID{Scheme: "world", ID: "anyone"}}}
	return m
}

func parentOf(path string) string { return path[:strings.LastIndexByte(path, '/')] }

func (m *model) apply(h txn.Header, body txn.Body) proto.Code {
	switch b := body.(type) {
	case *txn.Create:
		return m.create(h, b)
	case *txn.Delete:
		return m.delete(b.Path, h.Zxid)
	case *txn.SetData:
		n := m.nodes[b.Path]
		if n == nil {
			return proto.ErrNoNode
		}
		n.data, n.Version, n.Mzxid, n.Mtime = b.Data, b.Version, h.Zxid, h.Time
	case *txn.SetACL:
		n := m.nodes[b.Path]
		if n == nil {
			return proto.ErrNoNode
		}
		n.acl, n.Aversion = b.ACL, b.Version
	case *txn.CreateSession:
		m.sessions[h.ClientID] = b.Timeout
	case *txn.CloseSession:
		for path, n := range m.nodes {
			if n.Owner == h.ClientID {
				m.delete(path, h.Zxid)
			}
		}
		delete(m.sessions, h.ClientID)
	case *txn.Multi:
		for _, p := range b.Parts {
			if p.Type == proto.OpError {
				return proto.ErrNoNode
			}
		}
		first := proto.OK
		for _, p := range b.Parts {
			sub := h
			sub.Type = p.Type
			if c := m.apply(sub, p.Body); first == proto.OK {
				first = c
			}
		}
		return first
	}
	return proto.OK
}

func (m *model) create(h txn.Header, b *txn.Create) proto.Code {
	parent := m.nodes[parentOf(b.Path)]
	if parent == nil {
		return proto.ErrNoNode
	}
	exists := m.nodes[b.Path] != nil
	if c := b.ParentCVersion; (!exists || h.Type == proto.OpCreate) && c > parent.Cversion {
		parent.Cversion, parent.Pzxid = c, h.Zxid
	}
	if exists {
		return proto.ErrNodeExists
	}
	n := &modelNode{data: b.Data, acl: b.ACL}
	if b.ACL == nil {
		n.acl = proto.WorldAnyone()
	}
	n.Czxid, n.Mzxid, n.Pzxid, n.Ctime, n.Mtime = h.Zxid, h.Zxid, h.Zxid, h.Time, h.Time
	if h.Type == proto.OpCreateContainer {
		n.Owner = ContainerOwner
	} else if b.Ephemeral {
		n.Owner = h.ClientID
	}
	m.nodes[b.Path] = n
	return proto.OK
}

func (m *model) delete(path string, zxid int64) proto.Code {
	parent := m.nodes[parentOf(path)]
	if parent == nil {
		return proto.ErrNoNode
	}
	parent.Pzxid = max(parent.Pzxid, zxid)
	if m.nodes[path] == nil {
		return proto.ErrNoNode
	}
	for p := range m.nodes {
		if p == path || strings.HasPrefix(p, path+"/") {
			delete(m.nodes, p)
		}
	}
	return proto.OK
}

// dump is dump of the tree that m stands for.
func (m *model) dump() string {
	var lines []string
	for path, n := range m.nodes {
		lines = append(lines, fmt.Sprintf("%s %q %v %+v %v", orRoot(path), n.data, n.data == nil, n.Persisted, n.acl))
	}
	for id, timeout := range m.sessions {
		lines = append(lines, fmt.Sprintf("session 0x%x %d", id, timeout))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// chance makes transactions, most of which apply.
type chance struct {
	*rand.Rand
	zxid int64
}

func (r *chance) path() string {
	var b strings.Builder
	for range 1 + r.Intn(3) {
		fmt.Fprintf(&b, "/n%d", r.Intn(14))
	}
	return b.String()
}

func (r *chance) data() []byte {
	if r.Intn(5) == 0 {
		return nil
	}
	return bytes.Repeat([]byte{'x'}, r.Intn(20))
}

func (r *chance) acl() []proto.ACL {
	if i := r.Intn(6); i > 0 {
		return digestACL(fmt.Sprint(i))
	}
	return nil
}

func (r *chance) op() (proto.Op, txn.Body) {
	switch k := r.Intn(20); {
	case k < 9:
		ops := []proto.Op{proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer}
		c := &txn.Create{Path: r.path(), Data: r.data(), ACL: r.acl(), ParentCVersion: int32(r.Intn(60)), Ephemeral: r.Intn(3) == 0}
		return ops[r.Intn(3)], c
	case k < 13:
		return proto.OpDelete, &txn.Delete{Path: r.path()}
	case k < 17:
		return proto.OpSetData, &txn.SetData{Path: r.path(), Data: r.data(), Version: int32(r.Intn(9))}
	case k < 18:
		acl := r.acl()
		if acl == nil {
			acl = proto.WorldAnyone()
		}
		return proto.OpSetACL, &txn.SetACL{Path: r.path(), ACL: acl, Version: int32(r.Intn(9))}
	case k < 19:
		return proto.OpCreateSession, &txn.CreateSession{Timeout: int32(r.Intn(9000))}
	}
	return proto.OpCloseSession, &txn.CloseSession{}
}

func (r *chance) next() *txn.Txn {
	r.zxid++
	x := &txn.Txn{Header: txn.Header{ClientID: int64(1 + r.Intn(5)), Zxid: r.zxid, Time: r.zxid * 10}}
	if x.Type, x.Body = r.op(); r.Intn(8) > 0 {
		return x
	}
	m := &txn.Multi{}
	for range r.Intn(5) {
		op, body := r.op()
		switch op {
		case proto.OpCreateSession:
			op, body = proto.OpCheck, &txn.Check{Path: r.path()}
		case proto.OpCloseSession:
			op, body = proto.OpError, &txn.Error{Code: proto.ErrNoNode}
		}
		m.Parts = append(m.Parts, txn.Part{Type: op, Body: body})
	}
	x.Type, x.Body = proto.OpMulti, m
	return x
}

// TestAgainstModel applies random transactions to the tree and to the model,
// and keeps snapshots, which must be as the model was, however late they are
// looked at.
func TestAgainstModel(t *testing.T) {
	type past struct {
		snap *Snapshot
		want string
	}
	for seed := range int64(8) {
		r := &chance{Rand: rand.New(rand.NewSource(seed))}
		tr, m := New(Options{}), newModel()
		var pasts []past
		for step := range 2000 {
			x := r.next()
			if got, want := tr.Apply(x).Code, m.apply(x.Header, x.Body); got != want {
				t.Fatalf("seed %d step %d: %v is %v, want %v", seed, step, x.Type, got, want)
			}
			switch step % 100 {
			case 0:
				pasts = append(pasts, past{tr.Snapshot(), m.dump()})
			case 50:
				if got, want := dump(tr), m.dump(); got != want {
					t.Fatalf("seed %d step %d:\n%s\nwant:\n%s", seed, step, got, want)
				}
				check(t, tr)
			}
		}
		roundTrip(t, tr)
		for _, p := range pasts {
			var b bytes.Buffer
			if _, err := p.snap.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			old, err := Read(&b, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := dump(old); got != p.want {
				t.Fatalf("seed %d: snapshot at 0x%x:\n%s\nwant:\n%s", seed, p.snap.Zxid(), got, p.want)
			}
		}
	}
}

// TestSnapshotsWhileWriting writes snapshots without a lock while the tree
// changes; the race detector and the digests watch.
func TestSnapshotsWhileWriting(t *testing.T) {
	tr := New(Options{})
	var mu sync.RWMutex
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 40 {
				mu.RLock()
				snap := tr.Snapshot()
				mu.RUnlock()
				var b bytes.Buffer
				if _, err := snap.WriteTo(&b); err != nil {
					t.Error(err)
					return
				}
				got, err := Read(&b, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if got.Digest() != snap.Digest() || got.NodeCount() != snap.NodeCount() {
					t.Errorf("snapshot at 0x%x has digest %x, was %x", snap.Zxid(), got.Digest(), snap.Digest())
				}
			}
		})
	}
	r := &chance{Rand: rand.New(rand.NewSource(1))}
	for range 5000 {
		mu.Lock()
		tr.Apply(r.next())
		mu.Unlock()
	}
	wg.Wait()
	check(t, tr)
}

// FuzzRead asks that what can be read is written back as the same tree.
func FuzzRead(f *testing.F) {
	for _, tr := range []*Tree{New(Options{}), sample().Tree} {
		var b bytes.Buffer
		if _, err := tr.Snapshot().WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 127, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := Read(bytes.NewReader(b), Options{ExtendedTypes: true})
		if err != nil {
			return
		}
		check(t, tr)
		roundTrip(t, tr)
	})
}
