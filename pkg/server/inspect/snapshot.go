package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// Znode is one znode of a snapshot, with the values that are stored.
type Znode struct {
	Path      string    `json:"path"`
	DataBytes int       `json:"data_bytes"`
	Data      []byte    `json:"data,omitempty"` // base64; only when asked for
	Kind      string    `json:"kind"`           // persistent, ephemeral, container or ttl
	Owner     Zxid      `json:"owner"`          // session of an ephemeral; 0x0 otherwise
	Czxid     Zxid      `json:"czxid"`
	Mzxid     Zxid      `json:"mzxid"`
	Pzxid     Zxid      `json:"pzxid"`
	Ctime     time.Time `json:"ctime"` // UTC
	Mtime     time.Time `json:"mtime"`
	Version   int32     `json:"version"`
	Cversion  int32     `json:"cversion"` // as clients are told: deletions of children count
	Aversion  int32     `json:"aversion"`
	Children  int       `json:"children"`
	ACL       []string  `json:"acl"` // scheme:id:permissions
}

func newZnode(path string, n *tree.Node, kind tree.Kind, withData bool) Znode {
	stat := n.Stat()
	z := Znode{
		Path: path, DataBytes: len(n.Data()), Kind: kindText(kind), Czxid: Zxid(n.Czxid()), Mzxid: Zxid(n.Mzxid()), Pzxid: Zxid(n.Pzxid()),
		Ctime: time.UnixMilli(n.Ctime()).UTC(), Mtime: time.UnixMilli(n.Mtime()).UTC(),
		Version: n.Version(), Cversion: stat.Cversion, Aversion: n.AVersion(), Children: n.NumChildren(), ACL: aclText(n.ACL()),
	}
	if kind == tree.Ephemeral {
		z.Owner = Zxid(n.Owner())
	}
	if withData {
		z.Data = n.Data()
	}
	return z
}

func kindText(k tree.Kind) string {
	switch k {
	case tree.Ephemeral:
		return "ephemeral"
	case tree.Container:
		return "container"
	case tree.TTL:
		return "ttl"
	}
	return "persistent"
}

// String is one line.
func (z *Znode) String() string {
	s := fmt.Sprintf("%s %dB %s version %d cversion %d aversion %d czxid %v mzxid %v pzxid %v mtime %s children %d",
		quotePath(z.Path), z.DataBytes, z.Kind, z.Version, z.Cversion, z.Aversion, z.Czxid, z.Mzxid, z.Pzxid,
		z.Mtime.Format("2006-01-02T15:04:05.000Z"), z.Children)
	if z.Owner != 0 {
		s += " session " + z.Owner.String()
	}
	if z.Data != nil {
		s += " " + strconv.Quote(string(z.Data))
	}
	return s
}

// Session is a client's session in a snapshot.
type Session struct {
	ID         Zxid  `json:"id"`
	Timeout    int32 `json:"timeout_ms"` // 0 when the snapshot does not list the session of its ephemerals
	Ephemerals int   `json:"ephemerals"`
}

func sessionsOf(t *tree.Tree) []Session {
	by := map[int64]Session{}
	t.Sessions(func(id int64, timeout int32) bool {
		by[id] = Session{ID: Zxid(id), Timeout: timeout}
		return true
	})
	for _, id := range t.SessionsWithEphemerals() {
		s := by[id]
		s.ID, s.Ephemerals = Zxid(id), len(t.Ephemerals(id))
		by[id] = s
	}
	out := make([]Session, 0, len(by))
	for _, s := range by {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Session) int {
		return cmp.Or(cmp.Compare(b.Ephemerals, a.Ephemerals), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// DumpSnapshot reads a snapshot and calls visit with its znodes, sorted by path,
// and the sessions. Of the filter only Paths count.
func DumpSnapshot(ctx context.Context, path string, o DumpOptions, visit func(*Znode) error) ([]Session, error) {
	t, _, err := storage.ReadSnapshotFile(path, treeOptions())
	if err != nil {
		return nil, err
	}
	err = eachZnode(ctx, t, func(p string, n *tree.Node) error {
		if len(o.Filter.Paths) > 0 && !o.Filter.MatchPath(p) {
			return nil
		}
		z := newZnode(p, n, t.Options().KindOf(n.Owner()), o.Data)
		return visit(&z)
	})
	return sessionsOf(t), err
}

// treeOptions read every kind of znode: owners that start with 0xff are times to
// live, which no session of a server with an id below 255 looks like.
func treeOptions() tree.Options { return tree.Options{ExtendedTypes: true} }

// eachZnode visits parents before their children, and siblings by name.
func eachZnode(ctx context.Context, t *tree.Tree, visit func(string, *tree.Node) error) error {
	stack := []string{"/"}
	for len(stack) > 0 {
		path := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n, ok := t.Get(path)
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(path, n); err != nil {
			return err
		}
		names := n.ChildNames(nil)
		slices.Sort(names)
		if path == "/" {
			path = ""
		}
		for _, name := range slices.Backward(names) {
			stack = append(stack, path+"/"+name)
		}
	}
	return nil
}

// SnapshotFile is what verification saw of a snapshot.
type SnapshotFile struct {
	File     string `json:"file"`
	Zxid     Zxid   `json:"zxid"`  // in its name
	Bytes    int64  `json:"bytes"` // of the file
	Znodes   int    `json:"znodes"`
	Sessions int    `json:"sessions"`
	Digest   string `json:"digest,omitempty"` // that the file says, in hexadecimal with 0x
	At       Zxid   `json:"digest_zxid,omitempty"`
	Last     Zxid   `json:"last_zxid,omitempty"`
}

// SnapshotReport is the result of VerifySnapshots.
type SnapshotReport struct {
	Files    []SnapshotFile `json:"files"`
	Findings []Finding      `json:"findings"`
}

// Worst is the gravest grade found, "" when there is nothing.
func (r *SnapshotReport) Worst() Grade { return Worst(r.Findings) }

// VerifySnapshots reads snapshots whole: checksum, every znode, and the digest
// where it must agree. The error is that of the disk.
func VerifySnapshots(ctx context.Context, files []string) (*SnapshotReport, error) {
	r := &SnapshotReport{Files: []SnapshotFile{}, Findings: []Finding{}}
	for _, path := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, info, err := storage.ReadSnapshotFile(path, treeOptions())
		if err != nil {
			f, disk := badSnapshot(path, err)
			if disk != nil {
				return nil, disk
			}
			r.Findings = append(r.Findings, f)
			continue
		}
		in := SnapshotFile{File: path, Zxid: Zxid(info.Zxid), Bytes: info.Size, Znodes: znodes(t), Sessions: t.SessionCount(), Last: Zxid(info.LastZxid)}
		if info.HasDigest {
			in.Digest, in.At = "0x"+strconv.FormatUint(info.Digest, 16), Zxid(info.DigestZxid)
		}
		r.Files = append(r.Files, in)
		r.Findings = append(r.Findings, oddities(path, t, info)...)
	}
	return r, nil
}

// znodes is the number of znodes; NodeCount has the root twice, as Apache does.
func znodes(t *tree.Tree) int { return t.NodeCount() - 1 }

func oddities(path string, t *tree.Tree, info storage.SnapshotInfo) []Finding {
	var out []Finding
	note := func(format string, args ...any) {
		out = append(out, Finding{Grade: Note, File: path, Zxid: Zxid(info.Zxid), What: fmt.Sprintf(format, args...)})
	}
	if info.HasDigest && info.DigestVersion == tree.DigestVersion && info.DigestZxid > 0 && info.Digest != t.Digest() {
		if info.DigestZxid == info.Zxid {
			note("its znodes have digest 0x%x, but it says 0x%x: a server that wrote it while transactions came leaves that, and the log mends it", t.Digest(), info.Digest)
		}
	}
	if n := t.ClosedCount(); n > 0 {
		note("%d znodes refer to an ACL that it does not hold; the log must hold their creation", n)
	}
	if orphans := t.OrphanSessions(); len(orphans) > 0 {
		note("%d sessions own ephemerals and are not listed", len(orphans))
	}
	return out
}
