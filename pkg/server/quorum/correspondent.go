package quorum

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// correspondent is another server as the election port knows it; election.mu
// guards it.
type correspondent struct {
	sid       zab.Sid
	announced []string      // where it says it can be dialled
	conn      *electionConn // nil when there is none
	dialling  bool

	pending []byte // the newest notification, not sent yet
	last    []byte // the last one sent
}

// electionConn is a connection of the election port.
type electionConn struct {
	net.Conn
	wake chan struct{} // has a value when there may be something to send
	done chan struct{}
	once sync.Once
}

func newElectionConn(conn net.Conn) *electionConn {
	return &electionConn{Conn: conn, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// wakeUp makes the writer look for something to send.
func (c *electionConn) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// close ends the connection and its goroutines.
func (c *electionConn) close() {
	c.once.Do(func() {
		close(c.done)
		_ = c.Conn.Close()
	})
}

// write sends what is pending for a server, until its connection ends.
func (e *election) write(c *correspondent, conn *electionConn) {
	defer conn.close() // ends the reader, which clears up
	for {
		e.mu.Lock()
		message := c.pending
		if c.conn != conn {
			message = nil // of the connection that has replaced ours
		}
		if message != nil {
			c.pending, c.last = nil, message
		}
		e.mu.Unlock()
		if message == nil {
			select {
			case <-conn.done:
				return
			case <-conn.wake:
				continue
			}
		}
		_ = conn.SetWriteDeadline(time.Now().Add(e.cfg.syncTimeout()))
		if _, err := conn.Write(jute.AppendBuffer(nil, message)); err != nil {
			return
		}
	}
}

// read hands on what a server sends, until its connection ends.
func (e *election) read(c *correspondent, conn *electionConn) error {
	r := bufio.NewReader(conn)
	for {
		n, err := readInt(r)
		if err != nil {
			return err
		}
		if n < 1 {
			return fmt.Errorf("%w: a message of %d bytes", errWire, n)
		}
		b, err := readBytes(r, n, maxFrame)
		if err != nil {
			return err
		}
		p, text, err := parseNotification(b)
		if err == nil {
			p.Members, err = e.cfg.Reconfig.Read(text, e.inForce())
		}
		switch {
		case errors.Is(err, errUnknownState):
			e.log.Debug("notification ignored", "sid", c.sid, "err", err)
			continue
		case err != nil:
			return err
		}
		p.From, p.To = c.sid, e.cfg.Self
		if !e.deliver(p) {
			return nil
		}
	}
}
