package inspect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// CreateOptions say which snapshot Create makes.
type CreateOptions struct {
	Files       Files // snapshots to start from, and logs
	Zxid        *Zxid // the last transaction in it; nil is all there are
	Dir         string
	Compression storage.Compression
}

// Created is the snapshot that Create made.
type Created struct {
	File       string `json:"file"`
	Zxid       Zxid   `json:"zxid"`
	Bytes      int64  `json:"bytes"`
	Base       string `json:"base"` // the snapshot it starts from; "" is the beginning of the logs
	Replayed   int64  `json:"replayed"`
	Znodes     int    `json:"znodes"`
	Digest     string `json:"digest"`
	Mismatches int64  `json:"digest_mismatches"` // transactions after which the digest differed from the one in the log
	// Findings are a snapshot that was passed over, and a torn end, before which
	// the state is.
	Findings []Finding `json:"findings"`
}

// Create makes a snapshot of the tree at a zxid, from the newest whole snapshot
// before it and the logs after that, of which the newest may be torn at its end. A gap
// or damage on the way is an error, and so is a file that is there already.
func Create(ctx context.Context, o CreateOptions) (*Created, error) {
	b := builder{ends: newEndings(ctx, o.Files.Logs), goal: int64(^uint64(0) >> 1)}
	if o.Zxid != nil {
		b.goal = int64(*o.Zxid)
	}
	if err := b.base(o.Files.Snapshots); err != nil {
		return nil, err
	}
	if err := b.replay(o.Files.Logs); err != nil {
		return nil, err
	}
	if err := b.reachesSkipped(); err != nil {
		return nil, err
	}
	if o.Zxid != nil && b.last != b.goal {
		return nil, fmt.Errorf("snapshots and logs lead to %v, not to %v", Zxid(b.last), *o.Zxid)
	}
	path := filepath.Join(o.Dir, storage.SnapshotFileName(b.last, o.Compression))
	if _, err := os.Stat(path); err == nil {
		return nil, fmt.Errorf("%s: %w", path, os.ErrExist)
	}
	digest := b.tree.Digest()
	size, err := storage.WriteSnapshotFile(path, b.tree.Snapshot(), &digest, o.Compression)
	return &Created{
		File: path, Zxid: Zxid(b.last), Bytes: size, Base: b.from, Replayed: b.replayed, Znodes: znodes(b.tree),
		Digest: fmt.Sprintf("0x%x", digest), Mismatches: b.mismatches, Findings: b.ends.findings,
	}, err
}

// builder builds the tree at a zxid.
type builder struct {
	ends       *endings
	goal, last int64
	skipped    map[int64]bool // zxids of snapshots that could not be read: whether the logs have them
	tree       *tree.Tree
	from       string
	any        bool // last is known
	replayed   int64
	mismatches int64
}

func (b *builder) base(snapshots []string) error {
	for i := len(snapshots) - 1; i >= 0; i-- {
		if nameOf(snapshots[i]).zxid > b.goal {
			continue
		}
		t, info, err := storage.ReadSnapshotFile(snapshots[i], treeOptions())
		if err == nil {
			b.tree, b.last, b.from, b.any = t, info.Zxid, snapshots[i], true
			return nil
		}
		if !errors.Is(err, storage.ErrCorrupt) {
			return err
		}
		if b.skipped == nil {
			b.skipped = map[int64]bool{}
		}
		b.skipped[nameOf(snapshots[i]).zxid] = false
		b.ends.find(Note, snapshots[i], 0, "passed over: "+err.Error(), "")
	}
	b.tree = tree.New(treeOptions())
	return nil // the logs tell whether they start at the beginning
}

func (b *builder) replay(logs []string) error {
	for i, path := range logs {
		before := len(b.ends.findings)
		_, _, err := b.ends.each(i, func(at int64, rec storage.Record) error {
			if err := b.record(rec); err != nil {
				return fmt.Errorf("%s at offset %d: %w", path, at, err)
			}
			return nil
		})
		if errors.Is(err, errReached) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, f := range b.ends.findings[before:] {
			if f.Grade == Damage {
				return fmt.Errorf("%w: %v", storage.ErrCorrupt, f)
			}
		}
	}
	if !b.any {
		return fmt.Errorf("%w: no whole snapshot up to that zxid, and no log", ErrNoFiles)
	}
	return nil
}

// reachesSkipped refuses a state that lacks what a snapshot had that could not be
// read: a later epoch follows any transaction without a gap that could be seen.
func (b *builder) reachesSkipped() error {
	for zxid, passed := range b.skipped {
		if !passed && (int32(zxid) != 0 || b.last < zxid) { // counter 0 is no transaction
			return fmt.Errorf("%w: snapshot %v cannot be read, and the logs do not have that zxid", storage.ErrCorrupt, Zxid(zxid))
		}
	}
	return nil
}

func (b *builder) record(rec storage.Record) error {
	switch {
	case rec.Zxid > b.goal:
		return errReached
	case b.any && rec.Zxid <= b.last:
		return nil
	case !b.any && rec.Zxid != 1 && rec.Zxid != 1<<32|1:
		return fmt.Errorf("%w: there is no whole snapshot before %v, with which the log starts", storage.ErrCorrupt, Zxid(rec.Zxid))
	case b.any && !storage.Follows(b.last, rec.Zxid):
		return fmt.Errorf("%w: the log goes on with %v after %v", storage.ErrCorrupt, Zxid(rec.Zxid), Zxid(b.last))
	}
	x, err := txn.Decode(rec.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", storage.ErrCorrupt, err)
	}
	b.tree.Apply(x)
	b.tree.SetLastZxid(x.Zxid)
	b.last, b.any = x.Zxid, true
	if _, skipped := b.skipped[x.Zxid]; skipped {
		b.skipped[x.Zxid] = true
	}
	b.replayed++
	if x.Digest != nil && x.Digest.Version == tree.DigestVersion && x.Digest.Tree != b.tree.Digest() {
		b.mismatches++
	}
	return nil
}
