package inspect

import (
	"errors"
	"fmt"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// DigestCheck tells which digests of the tree in the logs were compared with the
// tree that the logs lead to.
type DigestCheck struct {
	Base     string `json:"base"`     // the snapshot that the first replay started from; "" with Compared > 0: an empty tree
	From     Zxid   `json:"from"`     // of the first that was compared
	To       Zxid   `json:"to"`       // of the last
	Compared int64  `json:"compared"` // digests
	Differ   int64  `json:"differ"`
	// Unsettled are those that differed close behind a snapshot which was written
	// while transactions came: they say nothing.
	Unsettled int64  `json:"unsettled"`
	Skipped   int64  `json:"skipped"` // no snapshot leads to them
	Why       string `json:"why,omitempty"`
}

// digestCheck replays logs on snapshots. It keeps one tree in memory.
type digestCheck struct {
	DigestCheck
	snapshots []string
	tree      *tree.Tree
	from      string // the snapshot under the tree; "" is an empty one
	last      int64  // zxid of the tree
	// settled is the zxid from which on digests must agree: a snapshot is
	// written while transactions are applied. 0 is as soon as one has.
	settled  int64
	agreed   bool // a digest has agreed since the base
	differs  bool // the last one did
	anything bool // there was a digest
}

func newDigestCheck(files Files) *digestCheck { return &digestCheck{snapshots: files.Snapshots} }

// record applies a transaction and compares.
func (c *digestCheck) record(e *endings, file string, at int64, x *txn.Txn) error {
	carried := x.Digest != nil && x.Digest.Version == tree.DigestVersion
	c.anything = c.anything || carried
	switch {
	case c.tree != nil && x.Zxid <= c.last:
		return nil // it is in the tree
	case c.tree != nil && storage.Follows(c.last, x.Zxid):
	default:
		if err := c.rebase(x.Zxid); err != nil {
			return err
		}
	}
	if c.tree == nil {
		if carried {
			c.Skipped++
		}
		return nil
	}
	if c.last < x.Zxid {
		c.tree.Apply(x)
		c.tree.SetLastZxid(x.Zxid)
		c.last = x.Zxid
	}
	if carried {
		c.compare(e, file, at, x)
	}
	return nil
}

// rebase finds the tree that a record with that zxid goes on from, or, if there is
// none, that of just after it. It leaves no tree when there is neither.
func (c *digestCheck) rebase(zxid int64) error {
	c.tree = nil
	before := func(at int64) bool { return at < zxid && storage.Follows(at, zxid) }
	behind := func(at int64) bool { return at == zxid }
	for _, fits := range []func(int64) bool{before, behind} {
		for i := len(c.snapshots) - 1; i >= 0; i-- {
			if !fits(nameOf(c.snapshots[i]).zxid) {
				continue
			}
			if found, err := c.load(c.snapshots[i]); found || err != nil {
				return err
			}
		}
	}
	if zxid == 1 {
		c.tree, c.last, c.from, c.agreed, c.differs = tree.New(treeOptions()), 0, "", true, false
	}
	return nil
}

// load takes a snapshot's tree. One that is not whole it passes over: zkctl
// snapshot verify tells of it.
func (c *digestCheck) load(path string) (bool, error) {
	t, info, err := storage.ReadSnapshotFile(path, treeOptions())
	if errors.Is(err, storage.ErrCorrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.tree, c.last, c.from, c.agreed, c.differs, c.settled = t, info.Zxid, path, false, false, 0
	if info.HasDigest && info.DigestVersion == tree.DigestVersion {
		c.settled = info.DigestZxid + 2 // the next may be in it in part
		c.agreed = info.DigestZxid == info.Zxid && info.Digest == t.Digest()
	}
	return true, nil
}

func (c *digestCheck) compare(e *endings, file string, at int64, x *txn.Txn) {
	differs := x.Digest.Tree != c.tree.Digest()
	if differs && !c.agreed && (c.settled == 0 || x.Zxid < c.settled) {
		c.Unsettled++
		return
	}
	if c.Compared == 0 {
		c.Base, c.From = c.from, Zxid(x.Zxid)
	}
	c.Compared++
	c.To = Zxid(x.Zxid)
	switch {
	case differs && !c.differs:
		e.find(Damage, file, at, fmt.Sprintf("after %v the tree replayed on %s has digest 0x%x, but the log says 0x%x: it is not the tree that the leader had",
			c.To, c.base(), c.tree.Digest(), x.Digest.Tree), adviceDamage)
	case !differs && c.differs:
		e.find(Note, file, at, fmt.Sprintf("from %v on the digests agree again", c.To), "")
	}
	if differs {
		c.Differ++
	}
	c.differs, c.agreed = differs, c.agreed || !differs
}

func (c *digestCheck) base() string {
	if c.from == "" {
		return "an empty tree"
	}
	return c.from
}

// end says why digests were not compared.
func (c *digestCheck) end() *DigestCheck {
	switch {
	case !c.anything:
		c.Why = "the logs carry none, as releases before 3.6 write them"
	case c.Skipped > 0 && len(c.snapshots) == 0:
		c.Why = "no snapshot is at hand; name the data directory, or one with --snapshot"
	case c.Skipped > 0:
		c.Why = "no whole snapshot leads to them"
	case c.Unsettled > 0 && c.Compared == 0:
		c.Why = "they agree with the tree of no snapshot, but it does not tell which digest it had"
	case c.Unsettled > 0:
		c.Why = "the snapshot was written while they came"
	}
	return &c.DigestCheck
}
