package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// A client is a connection that keeps several requests under way.
type client struct {
	nc  net.Conn
	r   *bufio.Reader
	w   *bufio.Writer
	buf []byte
	xid int32
}

// dial makes a session at address; it waits no longer than patience.
func dial(address string, patience time.Duration) (*client, error) {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	c := &client{nc: nc, r: bufio.NewReader(nc), w: bufio.NewWriter(nc)}
	_ = nc.SetDeadline(time.Now().Add(patience))
	b := proto.ConnectRequest{Timeout: 30000, Password: make([]byte, proto.PasswordSize), HasReadOnly: true}.Append(nil)
	c.frame(b)
	answer, err := c.read()
	if err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	var resp proto.ConnectResponse
	if resp.Decode(jute.NewDecoder(answer)); resp.SessionID == 0 {
		_ = nc.Close()
		return nil, fmt.Errorf("connect to %s: no session", address)
	}
	return c, nil
}

func (c *client) close() { _ = c.nc.Close() }

func (c *client) frame(b []byte) {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(b)))
	_, _ = c.w.Write(head[:]) // the error comes again at Flush
	_, _ = c.w.Write(b)
}

// read returns the next frame, good until the next read.
func (c *client) read() ([]byte, error) {
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	_, err := io.ReadFull(c.r, c.buf[:n])
	return c.buf[:n], err
}

func (c *client) send(op proto.Op, body []byte) {
	c.xid++
	c.frame(append(proto.RequestHeader{Xid: c.xid, Op: op}.Append(nil), body...))
}

// receive reads a reply.
func (c *client) receive() error {
	b, err := c.read()
	if err != nil {
		return err
	}
	var h proto.ReplyHeader
	h.Decode(jute.NewDecoder(b))
	return h.Err.Err()
}

// do sends one request and waits for its reply.
func (c *client) do(op proto.Op, body []byte) error {
	c.send(op, body)
	return c.receive()
}

// load keeps depth requests under way until the deadline and returns how long
// each took.
func (c *client) load(depth int, until time.Time, next func() (proto.Op, []byte)) ([]time.Duration, error) {
	_ = c.nc.SetDeadline(until.Add(30 * time.Second))
	sent := make([]time.Time, 0, depth)
	took := make([]time.Duration, 0, 1<<14)
	for range depth {
		sent = append(sent, time.Now())
		c.send(next())
	}
	for len(sent) > 0 {
		if err := c.receive(); err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(sent[0]))
		sent = sent[1:]
		if now.Before(until) {
			sent = append(sent, now)
			c.send(next())
		}
	}
	return took, nil
}
