package audit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// maxWaiting is how many bytes of events may wait for a disk that is slow. What
// is beyond is lost, and the log says so.
const maxWaiting = 64 << 20

// overhead is what an event holds beside its texts, in bytes, roughly.
const overhead = 160

// A Log writes events in a goroutine of its own: who tells of one waits for no
// disk. Its methods are safe for concurrent use.
type Log struct {
	sink func([]stamped) error
	log  *slog.Logger
	done chan struct{}

	mu      sync.Mutex
	wake    sync.Cond
	waiting []stamped
	bytes   int
	lost    int
	closed  bool
}

// A stamped event knows when it happened.
type stamped struct {
	Event
	at time.Time
}

// ToWriter makes a Log of lines as Apache's logback.xml lays them out for the
// audit log: time, level, name of the logger, event. w gets many at once.
func ToWriter(w io.Writer, log *slog.Logger) *Log {
	var buf []byte
	return start(log, func(events []stamped) error {
		buf = buf[:0]
		for _, e := range events {
			buf = e.at.AppendFormat(buf, "2006-01-02 15:04:05,000")
			buf = fmt.Appendf(buf, " %s audit.Slf4jAuditLogger: ", e.level())
			buf = append(e.Append(buf), '\n')
		}
		_, err := w.Write(buf)
		return err
	})
}

// ToLogger makes a Log whose events go to the server's own log.
func ToLogger(log *slog.Logger) *Log {
	return start(log, func(events []stamped) error {
		for _, e := range events {
			var attrs []slog.Attr
			e.pairs(func(name, value string) { attrs = append(attrs, slog.String(name, value)) })
			log.LogAttrs(context.Background(), e.level(), "audit", attrs...)
		}
		return nil
	})
}

func start(log *slog.Logger, sink func([]stamped) error) *Log {
	l := &Log{sink: sink, log: log, done: make(chan struct{})}
	l.wake.L = &l.mu
	go l.run()
	return l
}

// Write tells of an event. A nil Log takes none.
func (l *Log) Write(e Event) {
	if l == nil {
		return
	}
	size := overhead + len(e.User) + len(e.Znode) + len(e.ACL)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
	case l.bytes+size > maxWaiting:
		l.lost++
	default:
		l.waiting, l.bytes = append(l.waiting, stamped{e, time.Now()}), l.bytes+size
		l.wake.Signal()
	}
}

// Close writes what waits. Later events are not taken.
func (l *Log) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.closed = true
	l.wake.Signal()
	l.mu.Unlock()
	<-l.done
}

func (l *Log) run() {
	defer close(l.done)
	var err error
	for {
		events, lost, more := l.take()
		if !more {
			return
		}
		was := err
		if err = l.sink(events); err != nil && was == nil {
			l.log.Error("the audit log cannot be written: what is not in it is lost", "err", err)
		}
		if lost > 0 {
			l.log.Error("the audit log is slower than what it is told; events are lost", "events", lost)
		}
	}
}

// take waits for events, and gives all there are; more is false at the end.
func (l *Log) take() (events []stamped, lost int, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) == 0 && !l.closed {
		l.wake.Wait()
	}
	events, lost = l.waiting, l.lost
	l.waiting, l.bytes, l.lost = nil, 0, 0
	return events, lost, len(events) > 0
}
