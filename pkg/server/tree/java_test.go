package tree

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// The files of these tests were written by Apache ZooKeeper 3.8.0, standalone,
// with zookeeper.extendedTypesEnabled=true: a log from the first transaction
// on (kazoo clients doing random creates, sequential and ephemeral ones, sets,
// deletes, setACLs and multis, some of which fail; zkCli with a container, two
// TTL znodes and a quota), without its padding, and the snapshot of its end.
const (
	javaLastZxid  = 0x157
	javaNodeCount = 138 // as srvr said
	fileHeader    = 16
)

func javaFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b[fileHeader:]
}

// javaLog reads the records: Adler-32 (8) | length (4) | transaction | 'B'.
func javaLog(t testing.TB) []*txn.Txn {
	t.Helper()
	var list []*txn.Txn
	for b := javaFile(t, "java-3.8.log"); len(b) > 12; {
		n := int(binary.BigEndian.Uint32(b[8:]))
		x, err := txn.Decode(b[12 : 12+n])
		if err != nil {
			t.Fatal(err)
		}
		list, b = append(list, x), b[12+n+1:]
	}
	return list
}

// TestDigestsOfJavaLog replays what a Java server logged and compares the
// tree's digest after each transaction with the one that it worked out.
func TestDigestsOfJavaLog(t *testing.T) {
	tr := New(Options{ExtendedTypes: true})
	seen := map[proto.Op]int{}
	for _, x := range javaLog(t) {
		r := tr.Apply(x)
		seen[x.Type]++
		if x.Digest == nil {
			if x.Type != proto.OpError {
				t.Errorf("zxid 0x%x: %v without a digest", x.Zxid, x.Type)
			}
			continue
		}
		if x.Digest.Version != DigestVersion || x.Digest.Tree != tr.Digest() {
			t.Fatalf("zxid 0x%x, %v: digest 0x%x, Java has 0x%x", x.Zxid, x.Type, tr.Digest(), x.Digest.Tree)
		}
		if x.Type != proto.OpMulti && r.Code != proto.OK {
			t.Errorf("zxid 0x%x, %v: %v", x.Zxid, x.Type, r.Code)
		}
	}
	check(t, tr)
	t.Logf("transactions: %v", seen)
	if tr.LastZxid() != javaLastZxid || tr.NodeCount() != javaNodeCount {
		t.Errorf("at 0x%x with %d znodes", tr.LastZxid(), tr.NodeCount())
	}

	read, err := Read(bytes.NewReader(javaFile(t, "java-3.8.snapshot")), Options{ExtendedTypes: true})
	if err != nil {
		t.Fatal(err)
	}
	check(t, read)
	if got, want := dump(tr), dump(read); got != want {
		t.Errorf("from the log:\n%s\nfrom the snapshot:\n%s", got, want)
	}
	if len(read.Quotas()) != 1 || read.Quotas()[0] != tr.Quotas()[0] {
		t.Errorf("quotas %+v, %+v", tr.Quotas(), read.Quotas())
	}
}

// TestDigestOfJavaSnapshot compares with the digest that the file carries
// behind the first seal: zxid (8) | version (4) | digest (8).
func TestDigestOfJavaSnapshot(t *testing.T) {
	r := bytes.NewReader(javaFile(t, "java-3.8.snapshot"))
	tr, err := Read(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, r.Len())
	if _, err := r.Read(rest); err != nil {
		t.Fatal(err)
	}
	d := jute.NewDecoder(rest)
	if d.Long(); d.String() != "/" {
		t.Fatal("the seal does not stand where Read stopped")
	}
	zxid, version, digest := d.Long(), d.Int(), uint64(d.Long())
	if zxid != javaLastZxid || version != DigestVersion || digest != tr.Digest() {
		t.Errorf("digest 0x%x; the file has 0x%x at 0x%x", tr.Digest(), digest, zxid)
	}
}
