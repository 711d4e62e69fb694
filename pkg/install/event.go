package install

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Phase names a part of a run.
type Phase string

// The phases in their order.
const (
	PhaseConnect   Phase = "connect"
	PhasePreflight Phase = "preflight"
	PhasePlan      Phase = "plan"
	PhaseApply     Phase = "apply"
	PhaseStart     Phase = "start"
	PhaseVerify    Phase = "verify"
)

// Kind says what an Event tells.
type Kind string

// Begin and Done enclose a piece of work, Failed ends it instead of Done. Note tells something in passing, Progress
// how far an upload is.
const (
	Begin    Kind = "begin"
	Done     Kind = "done"
	Failed   Kind = "failed"
	Note     Kind = "note"
	Progress Kind = "progress"
)

// An Event is something that happened during a run.
type Event struct {
	Time  time.Time `json:"time"`
	Phase Phase     `json:"phase"`
	Host  string    `json:"host,omitempty"` // the machine, or one server of it; empty for the run as a whole
	Kind  Kind      `json:"kind"`
	What  string    `json:"what,omitempty"`  // one line
	Error string    `json:"error,omitempty"` // why, when Kind is Failed
	Sent  int64     `json:"sent,omitempty"`  // bytes, when Kind is Progress
	Size  int64     `json:"size,omitempty"`  // bytes in all, when Kind is Progress
}

// A Reporter hears of events. Calls come one at a time.
type Reporter interface{ Report(Event) }

// Reporters passes events to each of several reporters.
type Reporters []Reporter

// Report implements [Reporter].
func (rs Reporters) Report(e Event) {
	for _, r := range rs {
		if r != nil {
			r.Report(e)
		}
	}
}

// LogReporter writes events, but for progress, to a log.
type LogReporter struct{ Logger *slog.Logger }

// Report implements [Reporter].
func (l LogReporter) Report(e Event) {
	if e.Kind == Progress {
		return
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("phase", string(e.Phase)), slog.String("kind", string(e.Kind))}
	if e.Host != "" {
		attrs = append(attrs, slog.String("host", e.Host))
	}
	if e.Error != "" {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", e.Error))
	}
	l.Logger.LogAttrs(context.Background(), level, e.What, attrs...)
}

// teller hands events to a reporter one at a time, and stamps them.
type teller struct {
	mu  sync.Mutex
	to  Reporter // may be nil
	now func() time.Time
}

func (t *teller) tell(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.to == nil {
		return
	}
	e.Time = t.now()
	t.to.Report(e)
}

// failed tells why work on a host ended.
func (t *teller) failed(phase Phase, host, what string, err error) {
	t.tell(Event{Phase: phase, Host: host, Kind: Failed, What: what, Error: err.Error()})
}
