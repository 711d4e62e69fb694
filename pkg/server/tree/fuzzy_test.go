package tree

import (
	"bytes"
	"math/rand"
	"slices"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// fuzzyWriter writes a snapshot as an Apache server does, which goes on applying
// transactions meanwhile: sessions and ACLs first, then each znode as it is by the
// time its turn comes (SerializeUtils.java, DataTree.serializeNode).
type fuzzyWriter struct {
	*rand.Rand
	tree *Tree
	list []*txn.Txn // still to be applied
	buf  []byte
}

// goOn lets the tree go on by a few transactions, or none.
func (w *fuzzyWriter) goOn() {
	for w.Intn(4) == 0 && len(w.list) > 0 {
		w.tree.Apply(w.list[0])
		w.list = w.list[1:]
	}
}

func (w *fuzzyWriter) write() []byte {
	snap := w.tree.Snapshot()
	e := bytes.Buffer{}
	if _, err := (&Snapshot{sessions: snap.sessions, acls: snap.acls, root: &Node{acl: w.tree.acls.open}}).WriteTo(&e); err != nil {
		panic(err)
	}
	const emptyRoot = 4 + 4 + storedSize + 5 // path, data, the rest; the end
	w.buf = slices.Clone(e.Bytes()[:e.Len()-emptyRoot])
	w.goOn()
	w.node("")
	return jute.AppendString(w.buf, "/")
}

func (w *fuzzyWriter) node(path string) {
	n, ok := w.tree.Get(orRoot(path))
	if !ok {
		return // deleted since its parent was written
	}
	w.buf = jute.AppendString(w.buf, path)
	w.buf = jute.AppendBuffer(w.buf, n.data)
	w.buf = appendStored(w.buf, n)
	var names []string
	n.kids.each(func(c *Node) bool { names = append(names, string(c.name)); return true })
	w.goOn()
	for _, name := range names {
		w.node(path + "/" + name)
		w.goOn()
	}
}

// TestReplayOverFuzzySnapshot: a snapshot that holds some of what came after its
// zxid, and not all of it, becomes the same tree when the log after its zxid is
// replayed: no ephemeral, session, part of a multi or ACL is left over or missing
// (ZOOKEEPER-3127, 3144, 3306, 4846).
func TestReplayOverFuzzySnapshot(t *testing.T) {
	log := javaLog(t)
	want := New(Options{ExtendedTypes: true})
	for _, x := range log {
		want.Apply(x)
	}
	for seed := range int64(200) {
		r := rand.New(rand.NewSource(seed))
		w := &fuzzyWriter{Rand: r, tree: New(Options{ExtendedTypes: true}), list: log}
		at := r.Intn(len(log))
		for range at {
			w.tree.Apply(w.list[0])
			w.list = w.list[1:]
		}
		got, err := Read(bytes.NewReader(w.write()), Options{ExtendedTypes: true})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, x := range log[at:] {
			got.Apply(x)
		}
		if a, b := dump(got), dump(want); a != b || got.Digest() != want.Digest() {
			t.Fatalf("seed %d, from %d of %d on:\n%s\nwant:\n%s", seed, at, len(log), a, b)
		}
		check(t, got)
	}
}
