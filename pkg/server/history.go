package server

import (
	"errors"
	"fmt"

	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// history is the log as quorum reads it again for learners; nil when they are to get
// a snapshot instead (snapshotSizeFactor).
func (s *Server) history() quorum.History {
	if s.cfg.SnapshotSizeFactor < 0 {
		return nil
	}
	return logHistory{s.store, s.cfg.SnapshotSizeFactor}
}

type logHistory struct {
	store  *storage.Store
	factor float64
}

// Past implements [quorum.History]. As in ZKDatabase.java the bound is a share of the
// newest snapshot's file; 0 is none.
func (h logHistory) Past(zxid zab.Zxid) (quorum.Past, error) {
	past, err := h.store.Past(int64(zxid))
	if errors.Is(err, storage.ErrPurged) {
		err = fmt.Errorf("%w: %w", zab.ErrNotFromLog, err)
	}
	if err != nil {
		return nil, err
	}
	return logPast{past, int64(h.factor * float64(h.store.Stats().LastSnapshot.Size))}, nil
}

// logPast is a [storage.Past] in the words of quorum.
type logPast struct {
	*storage.Past
	limit int64
}

// Base implements [quorum.Past].
func (p logPast) Base() zab.Zxid { return zab.Zxid(p.Past.Base()) }

// Limit implements [quorum.Past].
func (p logPast) Limit() int64 { return p.limit }

// Next implements [quorum.Past].
func (p logPast) Next() (zab.Proposal, error) {
	rec, err := p.Past.Next()
	return zab.Proposal{Zxid: zab.Zxid(rec.Zxid), Data: rec.Data}, err
}
