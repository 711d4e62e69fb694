package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/zkctl/zkctl/pkg/server/admin"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// fileTime is when a file was written, in seconds since the Unix epoch.
func fileTime(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.ModTime().Unix()
}

// snapshot writes a snapshot and sends it, unless only the file is wanted
// (Commands.java, SnapshotCommand).
func (a *adminServer) snapshot(r admin.Request) admin.Response {
	s := a.w.s
	switch {
	case !s.cfg.Admin.SnapshotEnabled:
		return admin.Response{Status: http.StatusServiceUnavailable, Error: "Snapshot command is disabled (admin.snapshot.enabled)"}
	case !a.snapshots.Allow(time.Now()):
		s.metrics.SnapshotsLimited.Inc()
		return limited(a.snapshots.Every)
	}
	r.OwnTime()
	info, err := s.pipeline.TakeSnapshot()
	if err != nil {
		s.log.Error("a snapshot that was asked for was not written", "err", err)
		return admin.Response{Status: http.StatusInternalServerError, Error: err.Error()}
	}
	out := admin.Response{Header: map[string]string{
		"last_zxid": fmt.Sprintf("0x%x", uint64(info.Zxid)), "snapshot_size": strconv.FormatInt(info.Size, 10),
	}}
	if r.Query.Get("streaming") == "false" {
		return out
	}
	f, err := os.Open(info.Path)
	if err != nil {
		return admin.Response{Status: http.StatusInternalServerError, Error: err.Error()}
	}
	out.Stream, out.Size = f, info.Size
	return out
}

func limited(every time.Duration) admin.Response {
	return admin.Response{
		Status: http.StatusTooManyRequests,
		Error:  fmt.Sprintf("at most one in %s (admin.rateLimiterIntervalInMS)", every),
	}
}

// restore puts the state of a snapshot in place of the server's own
// (Commands.java, RestoreCommand). Nothing is touched before all of it has been
// read, its checksums and its znodes verified.
func (a *adminServer) restore(r admin.Request) admin.Response {
	s := a.w.s
	solo, alone := s.order.(*quorum.Solo)
	switch {
	case !s.cfg.Admin.RestoreEnabled:
		return admin.Response{Status: http.StatusServiceUnavailable, Error: "Restore command is disabled (admin.restore.enabled)"}
	case !alone:
		return admin.Response{Status: http.StatusServiceUnavailable, Error: "restore is for servers that stand alone: " +
			"in an ensemble the members would differ until the last one is restored; see docs/operations.md, Restore"}
	case !a.restores.Allow(time.Now()):
		s.metrics.RestoresLimited.Inc()
		return limited(a.restores.Every)
	}
	r.OwnTime()
	start := time.Now()
	zxid, err := s.restoreFrom(r.Context, r.Body, solo)
	switch {
	case errors.Is(err, errNoBody):
		return admin.Response{Status: http.StatusBadRequest, Error: err.Error()}
	case err != nil:
		s.metrics.RestoreErrors.Inc()
		s.log.Error("nothing was restored", "err", err)
		return admin.Response{Status: http.StatusInternalServerError, Error: err.Error()}
	}
	s.metrics.RestoreTime.Since(start)
	return admin.Response{Data: admin.Object{{Name: "last_zxid", Value: int64(zxid)}}}
}

var errNoBody = errors.New("the body has to be a snapshot, as the command snapshot gives it")

func (s *Server) restoreFrom(ctx context.Context, body io.Reader, solo *quorum.Solo) (zab.Zxid, error) {
	dir, err := os.MkdirTemp(s.cfg.DataDir, "restore-")
	if err != nil {
		return 0, fmt.Errorf("keep the snapshot aside: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, storage.SnapshotName(0))
	if err := saveTo(path, body); err != nil {
		return 0, err
	}
	t, info, err := storage.ReadSnapshotFile(path, tree.Options{ExtendedTypes: s.cfg.ExtendedTypesEnabled})
	if err != nil {
		return 0, fmt.Errorf("what came is no whole snapshot: %w", err)
	}
	least := highest(t)
	if info.HasLast {
		least = max(least, info.LastZxid)
	}
	if info.HasDigest && info.DigestVersion == tree.DigestVersion && info.DigestZxid == info.LastZxid && info.Digest != t.Digest() {
		return 0, fmt.Errorf("the snapshot's znodes have digest 0x%x, but it says 0x%x", t.Digest(), info.Digest)
	}
	return solo.Restore(context.WithoutCancel(ctx), t, zab.Zxid(least))
}

// saveTo writes what comes to a file; errNoBody when nothing does.
func saveTo(path string, body io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("keep the snapshot aside: %w", err)
	}
	n, err := io.Copy(f, body)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("receive the snapshot: %w", err)
	}
	if n == 0 {
		return errNoBody
	}
	return nil
}

// highest is the newest zxid that a znode knows of.
func highest(t *tree.Tree) (zxid int64) {
	t.Snapshot().Walk(func(_ string, n *tree.Node) bool {
		st := n.Stat()
		zxid = max(zxid, st.Czxid, st.Mzxid, st.Pzxid)
		return true
	})
	return zxid
}
