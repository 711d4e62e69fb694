package tree

import (
	"fmt"
	"maps"
	"math/rand"
	"testing"
)

// weakKey has a hash with collisions at every depth.
type weakKey int

func (k weakKey) hash() uint64 {
	switch k % 4 {
	case 0:
		return 7 // whole hashes collide
	case 1:
		return uint64(k) << 58 // only the last bits differ
	}
	return longKey(k).hash()
}

type weakItem struct {
	k weakKey
	v int
}

func (i weakItem) key() weakKey { return i.k }

func contents(m *pmap[weakKey, weakItem]) map[weakKey]int {
	all := make(map[weakKey]int)
	m.each(func(i weakItem) bool { all[i.k] = i.v; return true })
	return all
}

// TestPmapAgainstMap does random changes, starts an epoch now and then, and
// checks that every map of an older epoch stays as it was.
func TestPmapAgainstMap(t *testing.T) {
	type old struct {
		m    *pmap[weakKey, weakItem]
		want map[weakKey]int
	}
	for seed := range int64(10) {
		r := rand.New(rand.NewSource(seed))
		var m *pmap[weakKey, weakItem]
		model, epoch := map[weakKey]int{}, uint32(0)
		var olds []old
		for step := range 4000 {
			if r.Intn(50) == 0 {
				olds = append(olds, old{m, maps.Clone(model)})
				epoch++
			}
			k := weakKey(r.Intn(10 + 20*int(seed)))
			m = m.own(epoch)
			_, there := model[k]
			switch slot := m.slot(epoch, k); {
			case (slot != nil) != there:
				t.Fatalf("seed %d step %d: slot of %d", seed, step, k)
			case r.Intn(3) == 0 || step%1000 > 900: // shrinks at times
				if m.remove(epoch, k) != there {
					t.Fatalf("seed %d step %d: remove %d", seed, step, k)
				}
				delete(model, k)
			case there:
				slot.v, model[k] = step, step
			default:
				m.add(epoch, weakItem{k, step})
				model[k] = step
			}
			got, ok := m.get(k)
			if want, there := model[k]; ok != there || got.v != want {
				t.Fatalf("seed %d step %d: get %d is %v %v", seed, step, k, got, ok)
			}
			if m.len() != len(model) {
				t.Fatalf("seed %d step %d: %d elements, want %d", seed, step, m.len(), len(model))
			}
		}
		olds = append(olds, old{m, model})
		for i, o := range olds {
			if got := contents(o.m); !maps.Equal(got, o.want) {
				t.Fatalf("seed %d: map %d is %v, want %v", seed, i, got, o.want)
			}
		}
	}
}

func TestNameHashSpreads(t *testing.T) {
	var buckets [1024]int
	for i := range 1 << 17 {
		buckets[nodeName(fmt.Sprintf("lock-%010d", i)).hash()%1024]++
	}
	for i, n := range buckets {
		if n < 64 || n > 224 { // 128 expected; 8 standard deviations
			t.Errorf("bucket %d has %d", i, n)
		}
	}
}
