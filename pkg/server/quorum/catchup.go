package quorum

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// History lets a leader read its log again, for a learner that lags behind what is
// in memory. Its methods are called from the goroutine of a learner's connection.
type History interface {
	// Past opens the log from a transaction of that zxid or before on. The error wraps
	// [zab.ErrNotFromLog] when it does not reach back so far.
	Past(zxid zab.Zxid) (Past, error)
}

// Past is a log that is read again, in order, from open files. It is for one
// goroutine, beside whatever else happens to the log.
type Past interface {
	// Base is a zxid of the server's own history, from which on the log is known to go
	// on without a gap; see [zab.CatchUp.Walk].
	Base() zab.Zxid
	// Limit is how many bytes of log a learner may be sent instead of a snapshot; 0 is
	// no bound (snapshotSizeFactor).
	Limit() int64
	// Next returns the next transaction, whose data is valid until the next call. Any
	// error ends the reading: damage, or io.EOF.
	Next() (zab.Proposal, error)
	// Mark remembers where the transaction that was read last begins; Rewind goes back
	// there.
	Mark()
	Rewind()
	Close() error
}

// errTooMuch says why a learner gets a snapshot, and errLogChanged why its link ends.
var (
	errTooMuch    = errors.New("what it lacks is more than snapshotSizeFactor allows")
	errLogChanged = errors.New("the log cannot be read as it was a moment before")
)

// catchUp is how a snapshot that waits on a link may be spared.
type catchUp struct {
	plan    *zab.CatchUp
	history History
	told    func(err error) // what became of it; nil when the log was sent
}

// catchUp goes with a Snap packet for a learner; it is nil without a log to read.
func (p *Peer) catchUp(l *link, plan *zab.CatchUp) *catchUp {
	if plan == nil || p.history == nil {
		return nil
	}
	told := func(err error) { p.inbox.put(func() { p.sentLog(l, err) }) }
	return &catchUp{plan: plan, history: p.history, told: told}
}

// sentLog notes how a learner was brought up to date after all.
func (p *Peer) sentLog(l *link, err error) {
	switch {
	case errors.Is(err, errLogChanged):
		p.history = nil // whoever comes next gets a snapshot
		p.log.Error("the transaction log is not read for learners any more: check the disk, and the log with \"zkctl txnlog verify\"", "err", err)
	case err != nil:
		p.countSync(zab.Snap)
		level := slog.LevelInfo
		if !errors.Is(err, zab.ErrNotFromLog) && !errors.Is(err, errTooMuch) {
			level = slog.LevelWarn // it is damaged
		}
		p.log.Log(p.ctx, level, "a learner gets a snapshot, not the transaction log", "learner", l.sid, "why", err)
	default:
		p.countSync(zab.Diff)
		p.log.Info("a learner got what it lacked from the transaction log", "learner", l.sid)
		if p.links[l.sid] == l {
			p.zab.SentLog(l.sid)
		}
	}
}

// writeLog writes a DIFF from the log in place of a snapshot (LearnerHandler.java,
// syncFollower), or reports that the snapshot is to be sent. All of it is read and
// checked before the first byte leaves, and checked again on its way; only what does
// not read the second time as the first ends the link.
func (l *link) writeLog(w *bufio.Writer, item outItem) (written bool, err error) {
	c := item.catchUp
	if c == nil {
		return false, nil
	}
	past, err := c.history.Past(c.plan.After)
	if err != nil {
		c.told(err)
		return false, nil
	}
	defer past.Close()
	switch err := l.check(past, c.plan); {
	case errors.Is(err, net.ErrClosed):
		return false, err
	case err != nil:
		c.told(err)
		return false, nil
	}
	l.conn.bulk.Store(true)
	defer l.conn.bulk.Store(false)
	past.Rewind()
	s := logSender{l: l, w: w}
	s.packet(packet{kind: typeDiff, zxid: item.packet.zxid})
	if err = s.log(past, c.plan); err == nil {
		for _, pr := range c.plan.Tail {
			s.proposal(pr)
		}
		err = s.err
	}
	l.sending.Store(false)
	if err == nil || errors.Is(err, errLogChanged) {
		c.told(err)
	}
	return true, err
}

// check walks through the log, marks the first transaction that the learner lacks,
// and is nil when the log has all of them and they are worth it.
func (l *link) check(past Past, plan *zab.CatchUp) error {
	walk, limit := plan.Walk(past.Base()), past.Limit()
	size, marked := int64(0), false
	for !walk.Done() {
		if l.out.isClosed() {
			return net.ErrClosed
		}
		pr, err := past.Next()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends before %s", zab.ErrNotFromLog, plan.Through)
		}
		if err != nil {
			return err
		}
		send, err := walk.Take(pr)
		if err != nil {
			return err
		}
		if !marked && (send || walk.Done()) {
			past.Mark()
			marked = true
		}
		if send {
			size += int64(len(pr.Data))
		}
		if limit > 0 && size > limit {
			return fmt.Errorf("%w: at %s it is %d bytes of %d", errTooMuch, pr.Zxid, size, limit)
		}
	}
	return nil
}

// logSender writes transactions as a synchronisation has them: each proposed and
// committed.
type logSender struct {
	l       *link
	w       *bufio.Writer
	scratch []byte
	err     error // of the first write that failed
}

// log sends what the log has, from its mark on.
func (s *logSender) log(past Past, plan *zab.CatchUp) error {
	walk := plan.Resume(past.Base())
	for !walk.Done() && s.err == nil {
		pr, err := past.Next()
		if err != nil {
			return fmt.Errorf("%w: %w", errLogChanged, err)
		}
		send, err := walk.Take(pr)
		if err != nil {
			return fmt.Errorf("%w: %w", errLogChanged, err)
		}
		if send {
			s.proposal(pr)
		}
	}
	return s.err
}

func (s *logSender) proposal(pr zab.Proposal) {
	s.packet(packet{kind: typeProposal, zxid: int64(pr.Zxid), data: pr.Data})
	s.packet(packet{kind: typeCommit, zxid: int64(pr.Zxid)})
}

func (s *logSender) packet(out packet) {
	if s.err != nil {
		return
	}
	s.scratch = out.append(s.scratch[:0])
	_, s.err = s.w.Write(s.scratch)
	s.l.sent.Add(1)
}
