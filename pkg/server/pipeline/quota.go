package pipeline

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// quotas tells of limits that a write would break, and refuses those that
// break a hard one. Like Apache's servers it goes by what has been applied:
// writes under way, and the parts before it in a multi, do not count yet.
//
// Source: ZooKeeperServer.java (checkQuota).
type quotas struct {
	enforce bool // hard limits are more than told (enforceQuota)
	m       *metrics.Metrics
	log     *slog.Logger
	now     func() int64     // ms
	told    map[string]int64 // when a limit may be told again, by its path
}

// tellAgain is how long (ms) nothing is said of a quota that was told, and
// tellMax how many quotas are remembered for that.
const (
	tellAgain = 60_000
	tellMax   = 1000
)

// create checks a znode with so many bytes of data that is to be made at path.
func (q *quotas) create(t *tree.Tree, path string, size int) error {
	return q.check(t, path, int64(size), 1)
}

// set checks a change of a znode's data by so many bytes.
func (q *quotas) set(t *tree.Tree, path string, diff int) error {
	return q.check(t, path, int64(diff), 0)
}

func (q *quotas) check(t *tree.Tree, path string, bytes, count int64) error {
	quota, ok := t.QuotaFor(path)
	if !ok || !quota.Counted {
		return nil
	}
	if err := q.compare(quota, path, "count", quota.Usage.Count, count, quota.Limit.Count, quota.Limit.CountHard); err != nil {
		return err
	}
	return q.compare(quota, path, "bytes", quota.Usage.Bytes, bytes, quota.Limit.Bytes, quota.Limit.BytesHard)
}

// compare looks at one of a quota's figures. A hard limit stands in for the
// soft one.
func (q *quotas) compare(quota tree.Quota, path, what string, used, diff, soft, hard int64) error {
	limit, kind := soft, "soft"
	if hard > -1 {
		limit, kind = hard, "hard"
	}
	if diff == 0 || limit < 0 || used+diff <= limit {
		return nil
	}
	refuse := kind == "hard" && q.enforce
	q.tell(quota.Path, "a quota is exceeded", "quota", quota.Path, "by", path, "kind", kind, what, used+diff, "limit", limit, "refused", refuse)
	if !refuse {
		return nil
	}
	q.m.QuotaExceeded.Add(namespace(path), 1)
	return fmt.Errorf("%w: %s below %s would be %d, limit %d", proto.ErrQuotaExceeded, what, quota.Path, used+diff, limit)
}

// tell logs a line about a quota, at most once a minute.
func (q *quotas) tell(quota, msg string, args ...any) {
	now := q.now()
	if now < q.told[quota] {
		return
	}
	if q.told == nil || len(q.told) >= tellMax {
		q.told = make(map[string]int64)
	}
	q.told[quota] = now + tellAgain
	q.log.Warn(msg, args...)
}

// namespace is the first name of a path (PathUtils.getTopNamespace).
func namespace(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return name
}

// A QuotaUse is what the quotas below one znode of the root allow and hold.
// A quota without a limit counts as -1, as in Apache's figures.
type QuotaUse struct {
	CountLimit, BytesLimit int64 // the hard limits where there are some, else the soft ones
	Count, Bytes           int64
}

// QuotaByNamespace sums up all quotas by the first name of their paths
// (QuotaMetricsUtils.java).
func (p *Pipeline) QuotaByNamespace() map[string]QuotaUse {
	p.mu.RLock()
	list := p.tree.Quotas()
	p.mu.RUnlock()
	out := make(map[string]QuotaUse)
	for _, q := range list {
		name := namespace(q.Path)
		u := out[name]
		u.CountLimit += firstSet(q.Limit.CountHard, q.Limit.Count)
		u.BytesLimit += firstSet(q.Limit.BytesHard, q.Limit.Bytes)
		if q.Counted {
			u.Count += q.Usage.Count
			u.Bytes += q.Usage.Bytes
		}
		out[name] = u
	}
	return out
}

func firstSet(hard, soft int64) int64 {
	if hard > -1 {
		return hard
	}
	return soft
}

func (p *Pipeline) newQuotas() quotas {
	return quotas{enforce: p.cfg.EnforceQuota, m: p.m, log: p.log, now: p.monotonic}
}
