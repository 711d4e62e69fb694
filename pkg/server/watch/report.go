package watch

import "slices"

// Count is how many watches a table holds; a watcher's several watches on one
// path count once.
func (m *Manager[W]) Count(t Table) int { return int(m.watches[t].Load()) }

// Summary is what the word wchs tells of a table.
type Summary struct{ Watchers, Paths, Watches int }

// Summary counts a table. While others change it the figures may not fit
// together.
func (m *Manager[W]) Summary(t Table) Summary {
	watchers := make(map[W]struct{})
	var sum Summary
	m.each(func(s *shard[W]) {
		sum.Paths += len(s.tables[t])
		for w, h := range s.held {
			if n := len(h[t]); n > 0 {
				watchers[w] = struct{}{}
				sum.Watches += n
			}
		}
	})
	sum.Watchers = len(watchers)
	return sum
}

// ByWatcher lists the paths, sorted, that each watcher has in a table (wchc).
func (m *Manager[W]) ByWatcher(t Table) map[W][]string {
	all := make(map[W][]string)
	m.each(func(s *shard[W]) {
		for w, h := range s.held {
			for path := range h[t] {
				all[w] = append(all[w], path)
			}
		}
	})
	for _, paths := range all {
		slices.Sort(paths)
	}
	return all
}

// ByPath lists the watchers of each path of a table (wchp).
func (m *Manager[W]) ByPath(t Table) map[string][]W {
	all := make(map[string][]W)
	m.each(func(s *shard[W]) {
		for path, e := range s.tables[t] {
			for _, x := range e.list {
				all[path] = append(all[path], x.w)
			}
		}
	})
	return all
}

func (m *Manager[W]) each(see func(*shard[W])) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		see(s)
		s.mu.Unlock()
	}
}
