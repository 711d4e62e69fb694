package checker

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// sameTrees compares the trees of all servers, data and stats of every znode, once
// nothing is going on any more.
func sameTrees(t *testing.T, on cluster) {
	t.Helper()
	conns := make([]*zk.Conn, on.Len())
	for i := range conns {
		conns[i] = connectTo(t, on, on.Addrs()[i:i+1], 0)
	}
	var why string
	ensemble.Eventually(t, "all trees to be read", func() bool {
		on.WaitLevel()
		trees := make([]map[string]string, len(conns))
		for i, c := range conns {
			trees[i] = make(map[string]string)
			if err := walk(c, "/", trees[i]); err != nil {
				return false // a znode of a session that ends meanwhile
			}
		}
		why = difference(trees)
		if why != "" && !level(on) {
			return false // something changed between two walks
		}
		t.Logf("%d znodes, the same on %d servers", len(trees[0]), on.Len())
		return true
	})
	if why != "" {
		t.Errorf("trees differ: %s", why)
	}
}

// level tells whether nothing is under way.
func level(on cluster) bool {
	for sid := 2; sid <= on.Len(); sid++ {
		if on.Status(sid).Zxid != on.Status(1).Zxid {
			return false
		}
	}
	return true
}

// walk puts a tree's znodes into a map, but for /zookeeper/config: each server has
// its own there, with the addresses of its zoo.cfg and the time of its start.
func walk(c *zk.Conn, at string, tree map[string]string) error {
	data, stat, err := c.Get(at)
	if err != nil {
		return err
	}
	tree[at] = fmt.Sprintf("%q %+v", data, *stat)
	if stat.NumChildren == 0 {
		return nil
	}
	children, _, err := c.Children(at)
	if err != nil {
		return err
	}
	for _, child := range children {
		if p := path.Join(at, child); p != "/zookeeper/config" {
			if err := walk(c, p, tree); err != nil {
				return err
			}
		}
	}
	return nil
}

// difference tells where the trees of servers, by sid from 1 on, are not the same.
func difference(trees []map[string]string) string {
	for i, tree := range trees[1:] {
		if why := firstDifference(trees[0], tree); why != "" {
			return fmt.Sprintf("servers 1 and %d: %s", i+2, why)
		}
	}
	return ""
}

func firstDifference(a, b map[string]string) string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if a[path] != b[path] {
			return fmt.Sprintf("%s is %q and %q", path, a[path], b[path])
		}
	}
	return ""
}
