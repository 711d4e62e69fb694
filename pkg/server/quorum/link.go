package quorum

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// link is a connection of the quorum port: with a learner, or with the leader. The
// loop registers it by sid; what comes from a link that is no longer registered
// is dropped, so that nothing of an older term or connection reaches a newer one.
type link struct {
	sid  zab.Sid
	conn *timedConn
	in   *bufio.Reader
	out  *outbound

	since                    time.Time
	received, sent, requests atomic.Int64 // packets; requests are of clients

	queued func(n int) // told how many packets are taken up at once; set before the goroutines start, or nil

	// Used by the loop only.
	synced bool // NEWLEADER has been queued: from now on what waits is bounded

	sending atomic.Bool // a snapshot has been queued and is not written yet

	once sync.Once
}

const linkBuffer = 64 << 10

// newLink wraps a connection. In holds what was already read from it, or is nil.
func newLink(sid zab.Sid, conn *timedConn, in *bufio.Reader) *link {
	if in == nil {
		in = bufio.NewReaderSize(conn, linkBuffer)
	}
	return &link{sid: sid, conn: conn, in: in, out: newOutbound(), since: time.Now()}
}

// close ends the link and its goroutines.
func (l *link) close() {
	l.once.Do(func() {
		l.out.close()
		_ = l.conn.Close()
	})
}

// timedConn bounds every read and write by a time, and tells of progress while a
// snapshot is transferred, which may take long.
type timedConn struct {
	net.Conn
	timeout atomic.Int64 // a time.Duration
	moved   func()       // tells of progress; set before the link's goroutines start
	bulk    atomic.Bool  // a snapshot is under way
	born    time.Time
	last    atomic.Int64 // age when bytes of one last moved; 0 is never
	told    atomic.Int64 // age when moved was last called; 0 is never
}

func newTimedConn(conn net.Conn, timeout time.Duration) *timedConn {
	c := &timedConn{Conn: conn, born: time.Now()}
	c.timeout.Store(int64(timeout))
	return c
}

// age is how old the connection is, in ns and never 0. It is of the clock that does not
// jump, whatever is done to the machine's date.
func (c *timedConn) age() int64 { return int64(time.Since(c.born)) + 1 }

func (c *timedConn) deadline() time.Time {
	return time.Now().Add(time.Duration(c.timeout.Load()))
}

// Read reads within the time; while a snapshot moves the other way its reader need
// not say anything.
func (c *timedConn) Read(b []byte) (int, error) {
	for {
		_ = c.SetReadDeadline(c.deadline())
		n, err := c.Conn.Read(b)
		if last := c.last.Load(); errors.Is(err, os.ErrDeadlineExceeded) && last != 0 && c.age()-last < c.timeout.Load() {
			continue
		}
		c.tell(n)
		return n, err
	}
}

// Write writes each piece of b within the time.
func (c *timedConn) Write(b []byte) (int, error) {
	written := 0
	for {
		piece := b[written:min(len(b), written+linkBuffer)]
		_ = c.SetWriteDeadline(c.deadline())
		n, err := c.Conn.Write(piece)
		c.tell(n)
		if written += n; err != nil || written == len(b) {
			return written, err
		}
	}
}

// tell notes that n bytes moved, and reports it at most once in a while.
func (c *timedConn) tell(n int) {
	const often = 50 * time.Millisecond
	if n <= 0 || !c.bulk.Load() {
		return
	}
	now, told := c.age(), c.told.Load()
	c.last.Store(now)
	if (told == 0 || now-told >= int64(often)) && c.told.CompareAndSwap(told, now) {
		c.moved()
	}
}

// outbound is what waits to be written to a link.
type outbound struct {
	wake chan struct{} // has a value when there is something to write, or the link is closed
	done chan struct{}

	mu     sync.Mutex
	items  []outItem
	bytes  int // of the items that are bounded
	closed bool
}

// outItem is a packet, and behind a SNAP the snapshot.
type outItem struct {
	packet   packet
	counted  int // bytes held against the bound
	snapshot <-chan snapshotResult
	catchUp  *catchUp // how the log may stand in for the snapshot, or nil
}

type snapshotResult struct {
	snapshot Snapshot
	err      error
}

func newOutbound() *outbound {
	return &outbound{wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// put queues an item; it is false when a bounded one does not fit any more.
func (o *outbound) put(item outItem, bound int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	if bound > 0 {
		item.counted = packetOverhead + len(item.packet.data)
		if o.bytes > 0 && o.bytes+item.counted > bound {
			return false
		}
	}
	o.bytes += item.counted
	o.items = append(o.items, item)
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return true
}

// take hands over what waits, and is false when the link is closed.
func (o *outbound) take() ([]outItem, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	items := o.items
	o.items = nil
	return items, !o.closed
}

// written gives the room of an item back.
func (o *outbound) written(item outItem) {
	if item.counted > 0 {
		o.mu.Lock()
		o.bytes -= item.counted
		o.mu.Unlock()
	}
}

func (o *outbound) isClosed() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

func (o *outbound) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed, o.items = true, nil
		close(o.done)
	}
}

// write is the link's writer: it writes what is queued and flushes when nothing is.
func (l *link) write(ctx context.Context) error {
	w := bufio.NewWriterSize(l.conn, linkBuffer)
	var scratch []byte
	var err error
	for {
		items, open := l.out.take()
		if !open {
			return net.ErrClosed
		}
		if l.queued != nil && len(items) > 0 {
			l.queued(len(items))
		}
		for _, item := range items {
			if scratch, err = l.writeItem(ctx, w, item, scratch[:0]); err != nil {
				return err
			}
			l.out.written(item)
			l.sent.Add(1)
		}
		if len(items) > 0 {
			if cap(scratch) > 1<<20 {
				scratch = nil
			}
			continue // more may have come meanwhile
		}
		if err := w.Flush(); err != nil {
			return err
		}
		select {
		case <-l.out.wake:
		case <-l.out.done:
			return net.ErrClosed
		}
	}
}

// writeItem writes a packet, and what belongs to it. It returns the scratch buffer.
func (l *link) writeItem(ctx context.Context, w *bufio.Writer, item outItem, scratch []byte) ([]byte, error) {
	if written, err := l.writeLog(w, item); written || err != nil {
		return scratch, err
	}
	scratch = item.packet.append(scratch)
	if _, err := w.Write(scratch); err != nil {
		return scratch, err
	}
	if item.snapshot == nil {
		return scratch, nil
	}
	return scratch, l.writeSnapshot(ctx, w, item)
}

// snapshotEnd follows a snapshot on the wire (LearnerHandler.java).
const snapshotEnd = "BenWasHere"

// writeSnapshot streams a snapshot behind its SNAP packet.
func (l *link) writeSnapshot(ctx context.Context, w *bufio.Writer, item outItem) error {
	var result snapshotResult
	select {
	case result = <-item.snapshot:
	case <-l.out.done:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	if result.err != nil {
		return fmt.Errorf("take a snapshot for learner %d: %w", l.sid, result.err)
	}
	if z := result.snapshot.Zxid(); z != item.packet.zxid {
		return fmt.Errorf("the snapshot for learner %d is of zxid %#x, not %#x", l.sid, z, item.packet.zxid)
	}
	l.conn.bulk.Store(true)
	defer l.conn.bulk.Store(false)
	if _, err := result.snapshot.WriteTo(w); err != nil {
		return fmt.Errorf("send a snapshot to learner %d: %w", l.sid, err)
	}
	_, err := w.Write(jute.AppendString(nil, snapshotEnd))
	l.sending.Store(false)
	return err
}

// readSnapshot receives the snapshot that follows a SNAP packet.
func (l *link) readSnapshot(m Machine) (Staged, error) {
	l.conn.bulk.Store(true)
	defer l.conn.bulk.Store(false)
	staged, err := m.Receive(l.in)
	if err != nil {
		return nil, fmt.Errorf("receive a snapshot from server %d: %w", l.sid, err)
	}
	end, err := readString(l.in, len(snapshotEnd))
	if err == nil && end != snapshotEnd {
		err = fmt.Errorf("%w: %q", errWire, end)
	}
	if err != nil {
		discard(staged)
		return nil, fmt.Errorf("receive a snapshot from server %d: what follows it: %w", l.sid, err)
	}
	return staged, nil
}

// discard lets go of a snapshot that will not be installed.
func discard(s Staged) {
	if c, ok := s.(io.Closer); ok {
		_ = c.Close()
	}
}

// benign reports whether an error is merely the end of a connection.
func benign(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}
