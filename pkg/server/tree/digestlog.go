package tree

// A ZxidDigest is the tree's digest after a transaction.
type ZxidDigest struct {
	Zxid   int64
	Digest uint64 // of version [DigestVersion]
}

// How many digests are remembered, and of which zxids: multiples of the step
// (DataTree.java, DIGEST_LOG_LIMIT and DIGEST_LOG_INTERVAL).
const (
	digestsKept = 1024
	digestStep  = 128
)

// noteDigest remembers the digest after a transaction if it is one of those
// that are remembered.
func (t *Tree) noteDigest(zxid int64) {
	if zxid%digestStep != 0 {
		return
	}
	if len(t.digestLog) >= digestsKept {
		t.digestLog = append(t.digestLog[:0], t.digestLog[1:]...)
	}
	t.digestLog = append(t.digestLog, ZxidDigest{zxid, t.digest.sum})
}

// DigestLog gives the digests that are remembered, oldest first. Servers that
// have applied the same transactions show the same digest for the same zxid.
func (t *Tree) DigestLog() []ZxidDigest { return append([]ZxidDigest(nil), t.digestLog...) }
