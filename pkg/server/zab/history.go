package zab

// history is what a peer knows of its transactions: all are logged up to one
// zxid, and handed out to be applied up to another.
type history struct {
	logged    Zxid
	committed Zxid       // last handed out to be applied; never above logged
	pending   []Proposal // logged, not committed: those in between
	window    window     // the newest committed ones; ends at committed unless empty
	fromLog   bool       // the log can be read again, see Config.FromLog
	forceSnap bool       // see Config
}

func newHistory(c Config) history {
	h := history{logged: c.LastZxid, committed: c.LastZxid, fromLog: c.FromLog, forceSnap: c.ForceSnap, window: window{maxCount: c.WindowCount, maxBytes: c.WindowBytes}}
	for _, p := range c.Window {
		h.window.add(p)
	}
	return h
}

// append logs p; the caller has seen to it that it follows the last.
func (h *history) append(p Proposal) {
	h.pending = append(h.pending, p)
	h.logged = p.Zxid
}

// commitNext commits the oldest pending proposal.
func (h *history) commitNext() Proposal {
	p := h.pending[0]
	h.pending[0] = Proposal{}
	h.pending = h.pending[1:]
	h.committed = p.Zxid
	h.window.add(p)
	return p
}

// truncate forgets everything after z. Nothing is pending when it is called.
func (h *history) truncate(z Zxid) {
	h.logged, h.committed = z, z
	h.window.cut(z)
}

// install replaces the history by a snapshot of z.
func (h *history) install(z Zxid) {
	h.logged, h.committed, h.pending = z, z, nil
	h.window.clear()
}
