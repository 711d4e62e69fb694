package tree

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Names of the znodes below /zookeeper/quota/<path> (Quotas.java).
const (
	limitsName = "zookeeper_limits"
	statsName  = "zookeeper_stats"
)

// Track is the content of a quota znode: limits, where -1 is none, or usage.
// Bytes count data only; Count includes the znode with the quota itself.
type Track struct {
	Count, Bytes         int64
	CountHard, BytesHard int64
}

// ParseTrack reads the text of a quota znode. Like StatsTrack.java it takes
// what is missing or unreadable for -1.
func ParseTrack(text []byte) Track {
	k := Track{-1, -1, -1, -1}
	for _, field := range strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == ';' }) {
		name, value, _ := strings.Cut(field, "=")
		value, _, _ = strings.Cut(value, "=") // the odd "bytes=1=" of newer writers
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "count":
			k.Count = n
		case "bytes":
			k.Bytes = n
		case "countHardLimit":
			k.CountHard = n
		case "byteHardLimit":
			k.BytesHard = n
		}
	}
	return k
}

// Text is the form in which a Track is stored.
func (k Track) Text() []byte {
	b := strconv.AppendInt([]byte("count="), k.Count, 10)
	b = strconv.AppendInt(append(b, ",bytes="...), k.Bytes, 10)
	if k.BytesHard == -1 && k.CountHard == -1 {
		return b
	}
	b = append(b, '=')
	if k.BytesHard != -1 {
		b = strconv.AppendInt(append(b, ";byteHardLimit="...), k.BytesHard, 10)
	}
	if k.CountHard != -1 {
		b = strconv.AppendInt(append(b, ";countHardLimit="...), k.CountHard, 10)
	}
	return b
}

// Quota is a limit on a subtree and how much of it is used.
type Quota struct {
	Path         string // of the subtree
	Limit, Usage Track
	Counted      bool // there is a znode that holds the usage
}

// QuotaFor returns the quota that a znode at path, which need not exist, falls
// under: that of its longest prefix. The root's own is not looked at.
func (t *Tree) QuotaFor(path string) (Quota, bool) {
	prefix, ok := t.quotaPrefix(path)
	if !ok {
		return Quota{}, false
	}
	q := Quota{Path: prefix, Limit: ParseTrack(nil), Usage: ParseTrack(nil)}
	if n, ok := t.Get(QuotaPath + prefix + "/" + limitsName); ok {
		q.Limit = ParseTrack(n.data)
	}
	if n, ok := t.Get(QuotaPath + prefix + "/" + statsName); ok {
		q.Usage, q.Counted = ParseTrack(n.data), true
	}
	return q, true
}

// Quotas returns every quota, sorted by path.
func (t *Tree) Quotas() []Quota {
	var list []Quota
	for path := range t.quotas {
		if q, ok := t.QuotaFor(path); ok {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b Quota) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

func (t *Tree) quotaPrefix(path string) (string, bool) {
	if len(t.quotas) == 0 {
		return "", false
	}
	for i := len(path); i > 0; i = strings.LastIndexByte(path, '/') {
		path = path[:i]
		if _, ok := t.quotas[path]; ok {
			return path, true
		}
	}
	return "", false
}

// quotaChanged keeps the usage of the quota that path falls under. The stats
// znode changes on each server by itself: no version, no zxid, no watch.
func (t *Tree) quotaChanged(path string, bytes, count int64) {
	prefix, ok := t.quotaPrefix(path)
	if !ok {
		return
	}
	n, ok := t.Get(QuotaPath + prefix + "/" + statsName)
	if !ok {
		return
	}
	k := ParseTrack(n.data)
	k.Bytes += bytes
	k.Count += count
	t.setUsage(prefix, k)
}

func (t *Tree) setUsage(prefix string, k Track) {
	n := t.edit(QuotaPath + prefix + "/" + statsName)
	if n == nil {
		return
	}
	text := k.Text()
	t.dataSize += int64(len(text) - len(n.data))
	n.data = text
}

func (t *Tree) quotaCreated(path, parent, name string, size int) {
	if prefix, ok := quotaOf(parent); ok {
		switch name {
		case limitsName:
			t.quotas[strings.Clone(prefix)] = struct{}{}
		case statsName:
			t.recount(prefix)
		}
	}
	t.quotaChanged(path, int64(size), 1)
}

func (t *Tree) quotaDeleted(path, parent, name string, n *Node) {
	if prefix, ok := quotaOf(parent); ok && name == limitsName {
		delete(t.quotas, prefix)
	}
	if len(t.quotas) > 0 {
		count, size := usage(n)
		t.quotaChanged(path, -size, -count)
	}
}

// quotaOf is the path whose quota znodes are in parent.
func quotaOf(parent string) (string, bool) {
	prefix, ok := strings.CutPrefix(parent, QuotaPath)
	return prefix, ok && strings.HasPrefix(prefix, "/")
}

// recount works out a quota's usage by looking at the whole subtree.
func (t *Tree) recount(prefix string) {
	k := Track{CountHard: -1, BytesHard: -1}
	if n, ok := t.Get(prefix); ok {
		k.Count, k.Bytes = usage(n)
	}
	t.setUsage(prefix, k)
}

// usage counts a znode and all below it, and the bytes of their data.
func usage(n *Node) (count, bytes int64) {
	count, bytes = 1, int64(len(n.data))
	n.kids.each(func(c *Node) bool {
		below, size := usage(c)
		count += below
		bytes += size
		return true
	})
	return count, bytes
}

// loadQuotas finds the limits in a tree that was read (DataTree.setupQuota).
func (t *Tree) loadQuotas() {
	if n, ok := t.Get(QuotaPath); ok {
		t.loadQuotasBelow(n, "")
	}
	for prefix := range t.quotas {
		t.recount(prefix)
	}
}

func (t *Tree) loadQuotasBelow(n *Node, prefix string) {
	n.kids.each(func(c *Node) bool {
		if c.name != limitsName {
			t.loadQuotasBelow(c, prefix+"/"+string(c.name))
		} else if prefix != "" && c.NumChildren() == 0 {
			t.quotas[prefix] = struct{}{}
		}
		return true
	})
}
