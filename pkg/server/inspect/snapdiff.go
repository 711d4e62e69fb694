package inspect

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// badSnapshot makes a finding of what is wrong inside a file, and hands a failure
// of the disk back.
func badSnapshot(path string, err error) (Finding, error) {
	if !errors.Is(err, storage.ErrCorrupt) {
		return Finding{}, err
	}
	return Finding{
		Grade: Damage, File: path, What: err.Error(),
		Do: "nothing as long as an older snapshot with all logs after it is whole; zkctl snapshot create makes a new one of these",
	}, nil
}

// Change is a znode that differs between two snapshots.
type Change struct {
	Path   string   `json:"path"`
	Change string   `json:"change"`        // added, removed or changed
	Fields []string `json:"fields"`        // what changed: data, acl, version, ...; recreated
	Old    *Znode   `json:"old,omitempty"` // absent when added
	New    *Znode   `json:"new,omitempty"` // absent when removed
}

// SnapshotDiff is what differs between two snapshots.
type SnapshotDiff struct {
	Added           int       `json:"added"`
	Removed         int       `json:"removed"`
	Changed         int       `json:"changed"`
	Changes         []Change  `json:"changes"` // sorted by path
	SessionsAdded   []Session `json:"sessions_added"`
	SessionsRemoved []Session `json:"sessions_removed"`
}

// Diff compares two snapshots: which znodes and sessions the second has more,
// less, or other.
func Diff(ctx context.Context, older, newer string, f Filter) (*SnapshotDiff, error) {
	a, _, err := storage.ReadSnapshotFile(older, treeOptions())
	if err != nil {
		return nil, err
	}
	b, _, err := storage.ReadSnapshotFile(newer, treeOptions())
	if err != nil {
		return nil, err
	}
	d := &SnapshotDiff{Changes: []Change{}, SessionsAdded: missing(b, a), SessionsRemoved: missing(a, b)}
	wanted := func(p string) bool { return len(f.Paths) == 0 || f.MatchPath(p) }
	err = eachZnode(ctx, a, func(p string, n *tree.Node) error {
		if wanted(p) {
			d.compare(p, n, a, b)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = eachZnode(ctx, b, func(p string, n *tree.Node) error {
		if _, there := a.Get(p); !there && wanted(p) {
			z := newZnode(p, n, b.Options().KindOf(n.Owner()), false)
			d.Added++
			d.Changes = append(d.Changes, Change{Path: p, Change: "added", Fields: []string{}, New: &z})
		}
		return nil
	})
	slices.SortStableFunc(d.Changes, func(x, y Change) int { return cmp.Compare(x.Path, y.Path) })
	return d, err
}

// compare notes how a znode of the older tree a stands in b.
func (d *SnapshotDiff) compare(path string, n *tree.Node, a, b *tree.Tree) {
	old := newZnode(path, n, a.Options().KindOf(n.Owner()), false)
	m, there := b.Get(path)
	if !there {
		d.Removed++
		d.Changes = append(d.Changes, Change{Path: path, Change: "removed", Fields: []string{}, Old: &old})
		return
	}
	z := newZnode(path, m, b.Options().KindOf(m.Owner()), false)
	var fields []string
	differs := func(name string, is bool) {
		if is {
			fields = append(fields, name)
		}
	}
	differs("recreated", old.Czxid != z.Czxid)
	differs("data", !bytes.Equal(n.Data(), m.Data()) || (n.Data() == nil) != (m.Data() == nil))
	differs("acl", !slices.Equal(old.ACL, z.ACL))
	differs("owner", n.Owner() != m.Owner())
	differs("version", old.Version != z.Version)
	differs("aversion", old.Aversion != z.Aversion)
	differs("cversion", old.Cversion != z.Cversion)
	differs("mzxid", old.Mzxid != z.Mzxid)
	differs("pzxid", old.Pzxid != z.Pzxid)
	differs("ctime", !old.Ctime.Equal(z.Ctime))
	differs("mtime", !old.Mtime.Equal(z.Mtime))
	if fields != nil {
		d.Changed++
		d.Changes = append(d.Changes, Change{Path: path, Change: "changed", Fields: fields, Old: &old, New: &z})
	}
}

// missing lists the sessions of t that o does not have.
func missing(t, o *tree.Tree) []Session {
	out := []Session{}
	for _, s := range sessionsOf(t) {
		_, listed := o.SessionTimeout(int64(s.ID))
		if !listed && !slices.Contains(o.SessionsWithEphemerals(), int64(s.ID)) {
			out = append(out, s)
		}
	}
	return out
}

// Subtree is how much a snapshot holds below a prefix.
type Subtree struct {
	Path   string `json:"path"`
	Znodes int64  `json:"znodes"`
	Bytes  int64  `json:"bytes"` // paths and data
}

// SnapshotStats are figures of one snapshot.
type SnapshotStats struct {
	File       string    `json:"file"`
	Zxid       Zxid      `json:"zxid"`
	FileBytes  int64     `json:"file_bytes"`
	Znodes     int       `json:"znodes"`
	Ephemerals int       `json:"ephemerals"`
	DataBytes  int64     `json:"data_bytes"` // data only
	PathBytes  int64     `json:"path_bytes"`
	Biggest    []Znode   `json:"biggest"`       // by data
	Widest     []Znode   `json:"widest"`        // by number of children
	Subtrees   []Subtree `json:"path_prefixes"` // most bytes first
	Sessions   int       `json:"sessions"`
	Owners     []Session `json:"session_list"` // most ephemerals first
}

// StatSnapshot counts what a snapshot holds, by the first depth names of a path;
// top bounds the lists (0: all).
func StatSnapshot(ctx context.Context, path string, depth, top int) (*SnapshotStats, error) {
	t, info, err := storage.ReadSnapshotFile(path, treeOptions())
	if err != nil {
		return nil, err
	}
	s := &SnapshotStats{File: path, Zxid: Zxid(info.Zxid), FileBytes: info.Size, Znodes: znodes(t), Ephemerals: t.EphemeralCount(), Owners: sessionsOf(t)}
	s.Sessions = len(s.Owners)
	by := map[string]*Subtree{}
	err = eachZnode(ctx, t, func(p string, n *tree.Node) error {
		s.DataBytes += int64(len(n.Data()))
		s.PathBytes += int64(len(p))
		name := Prefix(p, depth)
		sub := by[name]
		if sub == nil {
			sub = &Subtree{Path: name}
			by[name] = sub
		}
		sub.Znodes++
		sub.Bytes += int64(len(p) + len(n.Data()))
		s.Biggest = greatest(s.Biggest, top, func(z Znode) int { return z.DataBytes }, len(n.Data()), p, n, t)
		s.Widest = greatest(s.Widest, top, func(z Znode) int { return z.Children }, n.NumChildren(), p, n, t)
		return nil
	})
	for _, sub := range by {
		s.Subtrees = append(s.Subtrees, *sub)
	}
	slices.SortFunc(s.Subtrees, func(a, b Subtree) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Path, b.Path)) })
	s.Subtrees, s.Owners = atMost(s.Subtrees, top), atMost(s.Owners, top)
	return s, err
}

// greatest keeps a list of the top znodes by a size, greatest first.
func greatest(list []Znode, top int, size func(Znode) int, value int, path string, n *tree.Node, t *tree.Tree) []Znode {
	if value == 0 || top > 0 && len(list) == top && size(list[top-1]) >= value {
		return list
	}
	at, _ := slices.BinarySearchFunc(list, value, func(z Znode, v int) int {
		if size(z) >= v {
			return -1
		}
		return 1
	})
	return atMost(slices.Insert(list, at, newZnode(path, n, t.Options().KindOf(n.Owner()), false)), top)
}

func atMost[T any](list []T, top int) []T {
	if top > 0 && len(list) > top {
		return list[:top]
	}
	return list
}
