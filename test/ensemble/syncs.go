package ensemble

import (
	be "encoding/binary"
	"slices"
	"sync"
)

// How a leader brings a learner up to date, by the types of its packets
// (Leader.java).
const (
	Diff  = "DIFF"
	Trunc = "TRUNC"
	Snap  = "SNAP"
)

// Syncs is what the relays have seen leader begin to bring learner up to date with,
// oldest first: [Diff], [Trunc] or [Snap]. On connections that are encrypted, or
// begin with SASL, nothing is seen.
func (e *Ensemble) Syncs(leader, learner int) []string { return e.net.syncs.of(leader, learner) }

// syncs notes how learners were brought up to date. It is safe for concurrent use.
type syncs struct {
	mu   sync.Mutex
	seen map[[2]int][]string // by leader and learner
}

func (s *syncs) of(leader, learner int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen[[2]int{leader, learner}])
}

// watch gives what is to see the bytes of one connection that come from leader.
func (s *syncs) watch(leader, learner int) func([]byte) {
	w := new(syncWatch)
	return func(b []byte) {
		how := w.see(b)
		if how == "" {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.seen == nil {
			s.seen = make(map[[2]int][]string)
		}
		pair := [2]int{leader, learner}
		s.seen[pair] = append(s.seen[pair], how)
	}
}

// A syncWatch reads a leader's packets up to the one that says how it brings the
// learner up to date.
type syncWatch struct {
	rest []byte
	done bool
}

// Packets before that one are small: LEADERINFO, or NEWLEADER of old servers.
const maxSyncWatch = 64 << 10

// see takes more bytes of the stream and gives the answer once, when it is found.
// A packet is int type | long zxid | buffer data | vector authinfo, which is null
// or empty here.
func (w *syncWatch) see(b []byte) string {
	if w.done {
		return ""
	}
	w.rest = append(w.rest, b...)
	for len(w.rest) >= 20 {
		kind, length := be.BigEndian.Uint32(w.rest), int32(be.BigEndian.Uint32(w.rest[12:]))
		if how, ok := map[uint32]string{13: Diff, 14: Trunc, 15: Snap}[kind]; ok {
			w.end()
			return how
		}
		length = max(length, 0)
		if kind != 17 && kind != 10 || length > maxSyncWatch {
			w.end()
			return ""
		}
		if len(w.rest) < 20+int(length) {
			return ""
		}
		w.rest = w.rest[20+length:]
	}
	return ""
}

func (w *syncWatch) end() { w.rest, w.done = nil, true }
