package interop

import (
	"context"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/test/ensemble"
)

// checkDigests asks every server that runs whether its tree ever was another than
// the leader's, and looks into its log for earlier lives.
func checkDigests(t *testing.T, e *ensemble.Ensemble) {
	t.Helper()
	for sid := 1; sid <= e.Len(); sid++ {
		var excused int64
		for line := range strings.Lines(e.Log(sid)) {
			low := strings.ToLower(line)
			switch {
			case !strings.Contains(low, "digest") || !strings.Contains(low, "match") && !strings.Contains(low, "differ"):
			case ahead(t, e.Dir(sid), complaint(line)):
				excused++
			default:
				t.Errorf("server %d: %s", sid, line)
			}
		}
		if st := e.Status(sid); st.State != fourletter.Serving || strings.HasPrefix(st.Version, "3.4") { // which knows no digests
			continue
		}
		answer, err := fourletter.Client{}.Ask(context.Background(), e.Addr(sid), fourletter.Mntr)
		if err != nil {
			t.Fatal(err)
		}
		mntr, err := fourletter.ParseMntr(answer)
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := mntr.Int("digest_mismatches_count"); !ok || n > excused {
			t.Errorf("server %d counts %d digest mismatches (told: %t), %d of them of its own snapshots", sid, n, ok, excused)
		}
	}
}

var complaints = regexp.MustCompile(`(?:Value is Zxid\. (?:Last v|V)alue:|First digest mismatch on txn: \d+,\d+,)(\d+)`)

// complaint is the zxid at which an Apache server found its tree to be another, 0
// when the line is none of its.
func complaint(line string) int64 {
	m := complaints.FindStringSubmatch(line)
	if m == nil {
		return 0
	}
	zxid, _ := strconv.ParseInt(m[1], 10, 64)
	return zxid
}

// ahead tells whether zxid is that of the digest in one of the server's snapshots
// which holds more than the digest stands for. Apache's server writes snapshots
// while it applies transactions, and the digest of the last that is finished; of
// the next the snapshot may hold all or a part already (DataTree.java,
// serializeZxidDigest). When it starts it takes that for a mismatch, once, and the
// log puts the tree right.
func ahead(t *testing.T, dir string, zxid int64) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "zkdata", "version-2", "snapshot.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		tr, info, err := storage.ReadSnapshotFile(file, tree.Options{ExtendedTypes: true})
		if err == nil && info.HasDigest && info.DigestZxid == zxid && newest(tr, "/") > zxid {
			return true
		}
	}
	return false
}

// newest is the last zxid that left its mark on a tree below a path.
func newest(tr *tree.Tree, at string) int64 {
	n, ok := tr.Get(at)
	if !ok {
		return 0
	}
	last := max(n.Czxid(), n.Mzxid(), n.Pzxid())
	for _, name := range n.ChildNames(nil) {
		last = max(last, newest(tr, path.Join(at, name)))
	}
	return last
}
