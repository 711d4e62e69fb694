package overload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// patience bounds what one step of a client may take.
const patience = 120 * time.Second

// A client writes its own bytes. Its methods may be called by any one goroutine.
type client struct {
	net.Conn
	xid int32
}

func dial(address string) (*client, error) {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return &client{Conn: nc}, nc.SetDeadline(time.Now().Add(patience))
}

// open is a client with a session.
func open(address string) (*client, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	hello := proto.ConnectRequest{Timeout: 60_000, Password: make([]byte, 16), HasReadOnly: true}.Append(nil)
	if _, err = c.Write(frame(hello)); err == nil {
		_, err = c.read()
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return c, nil
}

func frame(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

// request is the frame of a request.
func (c *client) request(op proto.Op, body []byte) []byte {
	c.xid++
	return frame(append(proto.RequestHeader{Xid: c.xid, Op: op}.Append(nil), body...))
}

func (c *client) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(c, b)
	return b, err
}

// do sends a request and reads its reply.
func (c *client) do(op proto.Op, body []byte) (*jute.Decoder, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := c.Write(c.request(op, body)); err != nil {
		return nil, err
	}
	b, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", op, err)
	}
	d := jute.NewDecoder(b)
	var h proto.ReplyHeader
	h.Decode(d)
	want := c.xid
	if op == proto.OpPing {
		want = proto.XidPing
	}
	if h.Xid != want {
		return nil, fmt.Errorf("%v: reply to %d, want %d", op, h.Xid, want)
	}
	return d, errors.Join(d.Err(), h.Err.Err())
}

func create(path string, data []byte) []byte {
	return proto.CreateRequest{Path: path, Data: data, ACL: proto.WorldAnyone()}.Append(nil, proto.OpCreate)
}

func setData(path string, data []byte) []byte {
	return proto.SetDataRequest{Path: path, Data: data, Version: -1}.Append(nil)
}

func getData(path string) []byte { return proto.PathWatch{Path: path}.Append(nil) }
