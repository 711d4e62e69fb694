package inspect

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Count is how often something occurred in the transactions of a log.
type Count struct {
	Name  string `json:"name"`
	Txns  int64  `json:"txns"`
	Bytes int64  `json:"bytes"` // of those transactions
}

// LogStats are figures over the transactions that a filter chose.
type LogStats struct {
	Txns    int64     `json:"txns"`
	Bytes   int64     `json:"bytes"` // of transactions
	First   Zxid      `json:"first"`
	Last    Zxid      `json:"last"`
	From    time.Time `json:"from"` // the leaders' clocks, UTC
	To      time.Time `json:"to"`
	Seconds float64   `json:"seconds"`       // between From and To
	Rate    float64   `json:"txns_per_sec"`  // on average; 0 when no time passed
	Peak    int64     `json:"peak_per_sec"`  // transactions in the busiest second
	PeakAt  time.Time `json:"peak_at"`       // that second
	Failed  int64     `json:"failed"`        // requests that were logged as errors
	Epochs  []int64   `json:"epochs"`        // of the zxids
	Types   []Count   `json:"types"`         // most frequent first
	Paths   []Count   `json:"path_prefixes"` // most bytes first; a multi counts once for each
	Clients []Count   `json:"sessions"`      // most frequent first
	// Findings are what of the logs could not be read, and is not counted.
	Findings []Finding `json:"findings"`
}

// maxNames bounds what is counted apart; what comes later counts as "(others)".
const maxNames = 1 << 16

// Stats counts the transactions of log files: by type, by the first depth names
// of the path, and by session; top bounds the last two lists (0: all).
func Stats(ctx context.Context, logs []string, f Filter, depth, top int) (*LogStats, error) {
	s := &LogStats{Epochs: []int64{}}
	types, prefixes, sessions := counter{}, counter{}, counter{}
	second, inSecond := int64(0), int64(0)
	findings, err := Dump(ctx, logs, DumpOptions{Filter: f}, func(e *Entry) error {
		s.add(e)
		types.add(e.Type, e.Bytes)
		sessions.add(e.Session.String(), e.Bytes)
		seen := map[string]bool{}
		for _, p := range e.Paths() {
			if p = Prefix(p, depth); !seen[p] {
				seen[p] = true
				prefixes.add(p, e.Bytes)
			}
		}
		if at := e.Time.Unix(); at != second {
			second, inSecond = at, 0
		}
		if inSecond++; inSecond > s.Peak {
			s.Peak, s.PeakAt = inSecond, e.Time.Truncate(time.Second)
		}
		return nil
	})
	s.Findings = findings
	byTxns := func(a, b Count) int { return cmp.Or(cmp.Compare(b.Txns, a.Txns), cmp.Compare(a.Name, b.Name)) }
	byBytes := func(a, b Count) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name)) }
	s.Types, s.Paths, s.Clients = types.list(byTxns, 0), prefixes.list(byBytes, top), sessions.list(byTxns, top)
	if s.Seconds = s.To.Sub(s.From).Seconds(); s.Seconds > 0 {
		s.Rate = float64(s.Txns) / s.Seconds
	}
	return s, err
}

func (s *LogStats) add(e *Entry) {
	if s.Txns == 0 {
		s.First = e.Zxid
	}
	if s.From.IsZero() || e.Time.Before(s.From) {
		s.From = e.Time
	}
	if e.Time.After(s.To) {
		s.To = e.Time
	}
	s.Txns++
	s.Bytes += int64(e.Bytes)
	s.Last = e.Zxid
	if epoch := int64(e.Zxid) >> 32; !slices.Contains(s.Epochs, epoch) {
		s.Epochs = append(s.Epochs, epoch)
	}
	if e.Error != "" {
		s.Failed++
	}
}

// Prefix is a path's first depth names; depth 0 is the whole path.
func Prefix(p string, depth int) string {
	if depth <= 0 || p == "/" || p == "" {
		return p
	}
	return upTo(p, depth)
}

type counter map[string]*Count

func (c counter) add(name string, bytes int) {
	n := c[name]
	if n == nil {
		if len(c) >= maxNames {
			name = "(others)"
		}
		if n = c[name]; n == nil {
			n = &Count{Name: name}
			c[name] = n
		}
	}
	n.Txns++
	n.Bytes += int64(bytes)
}

func (c counter) list(order func(a, b Count) int, top int) []Count {
	out := make([]Count, 0, len(c))
	for n := range maps.Values(c) {
		out = append(out, *n)
	}
	slices.SortFunc(out, order)
	if top > 0 && len(out) > top {
		out = out[:top]
	}
	return out
}
