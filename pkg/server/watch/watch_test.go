package watch

import (
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

const (
	created  = proto.EventCreated
	deleted  = proto.EventDeleted
	changed  = proto.EventDataChanged
	children = proto.EventChildrenChanged
)

func fire(m *Manager[string], typ proto.EventType, path string) string {
	var told []string
	m.Trigger(typ, path, func(w string) { told = append(told, w) })
	return strings.Join(told, " ")
}

func TestTrigger(t *testing.T) {
	type step struct {
		typ  proto.EventType
		path string
		want string
	}
	for name, c := range map[string]struct {
		arm   func(m *Manager[string])
		steps []step
	}{
		"standard watches fire once": {
			func(m *Manager[string]) { m.Add("/a", "x", Data); m.Add("/a", "x", Data); m.Add("/a", "y", Child) },
			[]step{
				{children, "/b", ""}, {changed, "/a", "x"}, {changed, "/a", ""},
				{created, "/a", ""}, {children, "/a", "y"}, {children, "/a", ""},
			},
		},
		"deletion is told once to who watches data and children": {
			func(m *Manager[string]) {
				m.Add("/a", "x", Data)
				m.Add("/a", "x", Child)
				m.Add("/a", "y", Child)
			},
			[]step{{deleted, "/a", "x y"}, {deleted, "/a", ""}},
		},
		"persistent watches are in both tables and stay": {
			func(m *Manager[string]) { m.AddPersistent("/a", "x", false) },
			[]step{
				{created, "/a", "x"}, {changed, "/a", "x"}, {children, "/a", "x"}, {deleted, "/a", "x"},
				{deleted, "/a", "x"}, {changed, "/a/b", ""},
			},
		},
		"recursive watches see all below, but no lists of children": {
			func(m *Manager[string]) { m.AddPersistent("/a", "x", true) },
			[]step{
				{created, "/a/b/c", "x"}, {children, "/a", ""}, {children, "/a/b", ""}, {deleted, "/a", "x"},
				{changed, "/ab", ""}, {changed, "/", ""},
			},
		},
		"recursive watch on the root": {
			func(m *Manager[string]) { m.AddPersistent("/", "x", true) },
			[]step{{created, "/a/b", "x"}, {changed, "/", "x"}, {children, "/", ""}},
		},
		"several modes give one event": {
			func(m *Manager[string]) {
				m.Add("/a/b", "x", Data)
				m.AddPersistent("/a/b", "x", false)
				m.AddPersistent("/a/b", "x", true)
				m.AddPersistent("/a", "x", true)
				m.AddPersistent("/", "y", true)
				m.AddPersistent("/a", "y", true)
			},
			[]step{{changed, "/a/b", "x y"}, {deleted, "/a/b", "x y"}, {children, "/a/b", "x"}},
		},
		"a persistent watch survives a standard one": {
			func(m *Manager[string]) { m.AddPersistent("/a", "x", false); m.Add("/a", "x", Data) },
			[]step{{changed, "/a", "x"}, {changed, "/a", "x"}},
		},
	} {
		m := New[string]()
		c.arm(m)
		for i, s := range c.steps {
			if got := fire(m, s.typ, s.path); got != s.want {
				t.Errorf("%s: step %d told %q, want %q", name, i, got, s.want)
			}
		}
	}
}

func TestRemove(t *testing.T) {
	arm := func() *Manager[string] {
		m := New[string]()
		m.Add("/a", "x", Data)
		m.Add("/a", "x", Child)
		m.AddPersistent("/a", "x", false)
		m.AddPersistent("/a", "x", true)
		return m
	}
	all := []Kind{KindChildren, KindData, KindPersistent, KindPersistentRecursive}
	for _, k := range all {
		m := arm()
		if !m.Contains("/a", "x", k) || !m.Remove("/a", "x", k) || m.Contains("/a", "x", k) || m.Remove("/a", "x", k) {
			t.Errorf("kind %d is not there once", k)
		}
		for _, other := range all {
			if m.Contains("/a", "x", other) != (other != k) {
				t.Errorf("removing kind %d: kind %d left is %v", k, other, m.Contains("/a", "x", other))
			}
		}
		if !m.Contains("/a", "x", KindAny) || m.Contains("/a", "y", KindAny) || m.Remove("/a/b", "x", k) {
			t.Errorf("kind %d: any other watch", k)
		}
	}
	m := arm()
	if !m.Remove("/a", "x", KindAny) || m.Contains("/a", "x", KindAny) {
		t.Error("any does not remove all")
	}
	empty(t, m)
	if Kind(0).Valid() || Kind(6).Valid() || !KindAny.Valid() || m.Remove("/a", "x", 9) {
		t.Error("kinds that do not exist")
	}
}

// empty checks that nothing is left behind anywhere.
func empty[W comparable](t *testing.T, m *Manager[W]) {
	t.Helper()
	for i := range m.shards {
		s := &m.shards[i]
		if len(s.held)+len(s.tables[0])+len(s.tables[1]) != 0 {
			t.Errorf("shard %d holds %v, %v", i, s.held, s.tables)
		}
	}
	if m.Count(Data) != 0 || m.Count(Child) != 0 || m.recursive.Load() != 0 {
		t.Errorf("counts %d, %d, %d", m.Count(Data), m.Count(Child), m.recursive.Load())
	}
}

func TestReports(t *testing.T) {
	m := New[string]()
	m.Add("/a", "x", Data)
	m.Add("/b", "x", Data)
	m.Add("/a", "y", Data)
	m.Add("/a", "z", Child)
	if got := m.Summary(Data); got != (Summary{Watchers: 2, Paths: 2, Watches: 3}) {
		t.Errorf("summary %+v", got)
	}
	if m.Count(Data) != 3 || m.Count(Child) != 1 {
		t.Errorf("counts %d, %d", m.Count(Data), m.Count(Child))
	}
	if got, want := m.ByWatcher(Data), map[string][]string{"x": {"/a", "/b"}, "y": {"/a"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("by watcher %v", got)
	}
	if got, want := m.ByPath(Data), map[string][]string{"/a": {"x", "y"}, "/b": {"x"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("by path %v", got)
	}
	m.RemoveWatcher("x")
	m.RemoveWatcher("nobody")
	if got := m.ByPath(Data); !reflect.DeepEqual(got, map[string][]string{"/a": {"y"}}) {
		t.Errorf("after x has gone: %v", got)
	}
	fire(m, deleted, "/a")
	empty(t, m)
}

func TestMissed(t *testing.T) {
	for _, c := range []struct {
		wish         Wish
		exists       bool
		mzxid, pzxid int64
		typ          proto.EventType
		fires        bool
		table        Table
	}{
		{WishData, false, 0, 0, deleted, true, Data},
		{WishData, true, 11, 0, changed, true, Data},
		{WishData, true, 10, 99, changed, false, Data},
		{WishExist, true, 1, 1, created, true, Data},
		{WishExist, false, 0, 0, created, false, Data},
		{WishChild, false, 0, 0, deleted, true, Child},
		{WishChild, true, 99, 11, children, true, Child},
		{WishChild, true, 99, 10, children, false, Child},
	} {
		typ, fires := c.wish.Missed(10, c.exists, c.mzxid, c.pzxid)
		if fires != c.fires || fires && typ != c.typ || c.wish.Table() != c.table {
			t.Errorf("%+v: %d %v in table %d", c, typ, fires, c.wish.Table())
		}
	}
}

// naive is the same in the plainest form: (table, path, watcher) -> mode.
type naive map[naiveKey]mode

type naiveKey struct {
	t    Table
	path string
	w    int
}

func (n naive) add(t Table, path string, w int, how mode) { n[naiveKey{t, path, w}] |= how }

func (n naive) drop(t Table, path string, w int, how mode) bool {
	k := naiveKey{t, path, w}
	had := n[k]
	if n[k] &^= how; n[k] == 0 {
		delete(n, k)
	}
	return had&how != 0
}

func (n naive) table(t Table, path string) map[int]bool {
	told := map[int]bool{}
	for k, how := range n {
		below := k.path == "/" || strings.HasPrefix(path, k.path+"/")
		if k.t == t && (k.path == path || how&recursive != 0 && below) {
			told[k.w] = true
		}
	}
	for w := range told {
		n.drop(t, path, w, standard)
	}
	return told
}

func (n naive) trigger(typ proto.EventType, path string) []int {
	told := map[int]bool{}
	if typ != children {
		told = n.table(Data, path)
	}
	if typ == children || typ == deleted {
		for w := range n.table(Child, path) {
			told[w] = true
		}
	}
	var list []int
	for w := range told {
		list = append(list, w)
	}
	slices.Sort(list)
	return list
}

func TestAgainstModel(t *testing.T) {
	paths := []string{"/", "/a", "/a/b", "/a/b/c", "/a/bc", "/d"}
	for seed := range int64(20) {
		r := rand.New(rand.NewSource(seed))
		m, n := New[int](), naive{}
		for step := range 3000 {
			path, w := paths[r.Intn(len(paths))], r.Intn(1+int(seed)*3)
			switch r.Intn(10) {
			case 0, 1, 2, 3:
				tb := Table(r.Intn(2))
				m.Add(path, w, tb)
				n.add(tb, path, w, standard)
			case 4:
				m.AddPersistent(path, w, false)
				n.add(Data, path, w, persistent)
				n.add(Child, path, w, persistent)
			case 5:
				m.AddPersistent(path, w, true)
				n.add(Data, path, w, recursive)
			case 6:
				k := Kind(1 + r.Intn(5))
				d, c := k.modes()
				inData, inChild := n.drop(Data, path, w, d), n.drop(Child, path, w, c)
				if m.Remove(path, w, k) != (inData || inChild) {
					t.Fatalf("seed %d step %d: Remove(%s, %d, %d)", seed, step, path, w, k)
				}
			case 7:
				m.RemoveWatcher(w)
				for k := range n {
					if k.w == w {
						delete(n, k)
					}
				}
			default:
				typ := proto.EventType(1 + r.Intn(4))
				var got []int
				m.Trigger(typ, path, func(w int) { got = append(got, w) })
				slices.Sort(got)
				if want := n.trigger(typ, path); !slices.Equal(got, want) {
					t.Fatalf("seed %d step %d: event %d at %s told %v, want %v", seed, step, typ, path, got, want)
				}
			}
			if m.Count(Data)+m.Count(Child) != len(n) {
				t.Fatalf("seed %d step %d: %d watches, want %d", seed, step, m.Count(Data)+m.Count(Child), len(n))
			}
		}
		for w := range 1 + int(seed)*3 {
			m.RemoveWatcher(w)
		}
		empty(t, m)
	}
}

func TestConcurrentUse(t *testing.T) {
	m := New[int]()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 500 {
				path := fmt.Sprintf("/a/%d", i%50)
				m.Add(path, w, Data)
				m.AddPersistent("/a", w, true)
				m.Contains(path, w, KindAny)
				if i%100 == 99 {
					m.RemoveWatcher(w)
				}
			}
		})
	}
	for i := range 500 {
		m.Trigger(deleted, fmt.Sprintf("/a/%d", i%50), func(w int) { m.Add("/other", w, Data) })
	}
	wg.Wait()
	m.Summary(Data)
	for w := range 8 {
		m.RemoveWatcher(w)
	}
	empty(t, m)
}

func BenchmarkTriggerThousand(b *testing.B) {
	m := New[int]()
	b.ReportAllocs()
	for range b.N {
		for w := range 1000 {
			m.Add("/a", w, Data)
		}
		m.Trigger(changed, "/a", func(int) {})
	}
}

func BenchmarkTriggerUnwatched(b *testing.B) {
	m := New[int]()
	b.ReportAllocs()
	for range b.N {
		m.Trigger(deleted, "/some/path/deep/down", func(int) {})
	}
}

func BenchmarkRemoveWatcherAmongMany(b *testing.B) {
	m := New[int]()
	for w := range 100000 {
		m.Add(fmt.Sprintf("/a/%d", w%1000), w, Data)
	}
	for i := range b.N {
		m.Add("/a/1", -i-1, Data)
		m.RemoveWatcher(-i - 1)
	}
}
