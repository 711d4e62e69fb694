package install

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

const (
	configNode    = "/zookeeper/config"
	clientTimeout = 30 * time.Second // for everything one client asks; a session as long outlives it
	maxReply      = 4 << 20          // of the config node, which jute.maxbuffer bounds
)

// client is a session for a few requests, one after another: what a membership change takes. Its connection ends with
// the context it was opened with.
type client struct {
	conn net.Conn
	stop func() bool
	xid  int32
}

// Credentials are what a client shows besides its TLS certificate: an authentication scheme, such as digest, and what
// it takes, such as user:password. The zero value is nothing.
type Credentials struct {
	Scheme string
	Secret []byte
}

// openClient connects to a server and opens a session.
func openClient(ctx context.Context, address string, conf *tls.Config, who Credentials) (*client, error) {
	conn, err := dialClient(ctx, address, conf)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	if err := errors.Join(conn.SetDeadline(time.Now().Add(clientTimeout)), c.greet(), c.show(who)); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func dialClient(ctx context.Context, address string, conf *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return fourletter.Client{TLS: conf}.Dial(ctx, address)
}

// close ends the session; that it was open so long is all that can go wrong.
func (c *client) close() error {
	_, _ = c.call(proto.OpCloseSession, nil)
	c.stop()
	return c.conn.Close()
}

func (c *client) greet() error {
	req := proto.ConnectRequest{Timeout: int32(clientTimeout.Milliseconds()), Password: make([]byte, proto.PasswordSize), HasReadOnly: true}
	if err := c.send(req.Append(nil)); err != nil {
		return err
	}
	reply, err := c.receive()
	if err != nil {
		return fmt.Errorf("it takes no session: %w", err)
	}
	var res proto.ConnectResponse
	d := jute.NewDecoder(reply)
	if res.Decode(d); d.Err() != nil || res.SessionID == 0 {
		return fmt.Errorf("it takes no session: %w", errors.Join(d.Err(), proto.ErrSessionExpired))
	}
	return nil
}

func (c *client) show(who Credentials) error {
	if who.Scheme == "" {
		return nil
	}
	packet := proto.AuthPacket{Scheme: who.Scheme, Auth: who.Secret}
	if err := c.send(packet.Append(proto.RequestHeader{Xid: proto.XidAuth, Op: proto.OpAuth}.Append(nil))); err != nil {
		return err
	}
	_, err := c.answer(proto.XidAuth)
	return err
}

// call asks one thing, and returns what stands behind the header of the answer.
func (c *client) call(op proto.Op, request []byte) ([]byte, error) {
	c.xid++
	if err := c.send(append(proto.RequestHeader{Xid: c.xid, Op: op}.Append(nil), request...)); err != nil {
		return nil, err
	}
	return c.answer(c.xid)
}

func (c *client) answer(xid int32) ([]byte, error) {
	for {
		reply, err := c.receive()
		if err != nil {
			return nil, err
		}
		var h proto.ReplyHeader
		d := jute.NewDecoder(reply)
		h.Decode(d)
		if d.Err() != nil {
			return nil, d.Err()
		}
		if h.Xid == xid {
			return reply[proto.ReplyHeaderSize:], h.Err.Err()
		}
	}
}

func (c *client) send(frame []byte) error {
	_, err := c.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	return err
}

func (c *client) receive() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxReply {
		return nil, fmt.Errorf("it answers with %d bytes, more than %d", n, maxReply)
	}
	reply := make([]byte, n)
	_, err := io.ReadFull(c.conn, reply)
	return reply, err
}

// configuration reads the member list, as new as any that was acknowledged before.
func (c *client) configuration() (string, error) {
	if _, err := c.call(proto.OpSync, jute.AppendString(nil, configNode)); err != nil {
		return "", err
	}
	reply, err := c.call(proto.OpGetData, proto.PathWatch{Path: configNode}.Append(nil))
	if err != nil {
		return "", err
	}
	d := jute.NewDecoder(reply)
	data := d.Buffer()
	return string(data), d.Err()
}

// reconfigure asks for another member list.
func (c *client) reconfigure(r proto.ReconfigRequest) (string, error) {
	reply, err := c.call(proto.OpReconfig, r.Append(nil))
	if err != nil {
		return "", err
	}
	d := jute.NewDecoder(reply)
	data := d.Buffer()
	return string(data), d.Err()
}
