package server

import (
	"context"

	"github.com/zkctl/zkctl/pkg/purge"
	"github.com/zkctl/zkctl/pkg/server/storage"
)

// purgeLoop removes old snapshots and logs now and at every purge interval
// (autopurge.purgeInterval, DatadirCleanupManager.java).
func (s *Server) purgeLoop(ctx context.Context) error {
	job := purge.Job{
		DataDir: s.cfg.DataDir, LogDir: s.cfg.DataLogDir, Keep: s.cfg.PurgeRetainCount, Check: storage.VerifySnapshot,
	}
	job.Every(ctx, s.cfg.PurgeInterval, func(_ purge.Plan, r purge.Result, err error) {
		if err != nil {
			s.log.Warn("purge", "err", err)
		}
		s.log.Info("purged", "files", len(r.Removed), "bytes", r.Bytes())
	})
	return nil
}
