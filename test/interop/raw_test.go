package interop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// A raw client writes its own bytes.
type raw struct {
	t    *testing.T
	conn net.Conn

	session  int64
	timeout  int32
	password []byte
	readOnly []byte // what followed in the handshake's answer
	events   []proto.WatcherEvent
}

// rawPatience bounds each read.
const rawPatience = 30 * time.Second

func dialRaw(t *testing.T, address string) *raw {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, rawPatience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{t: t, conn: conn}
}

// open is a raw client with a session of its own.
func openRaw(t *testing.T, address string, timeout time.Duration) *raw {
	t.Helper()
	r := dialRaw(t, address)
	r.write(oldHandshake(0, int32(timeout.Milliseconds()), 0, make([]byte, 16)))
	if err := r.readHandshake(); err != nil || r.session == 0 {
		t.Fatalf("session 0x%x, %v", r.session, err)
	}
	return r
}

// oldHandshake is the connect request of 3.3 and before: 44 bytes, without the
// flag for read-only.
func oldHandshake(zxid int64, timeout int32, session int64, password []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0) // protocol version
	b = binary.BigEndian.AppendUint64(b, uint64(zxid))
	b = binary.BigEndian.AppendUint32(b, uint32(timeout))
	b = binary.BigEndian.AppendUint64(b, uint64(session))
	b = binary.BigEndian.AppendUint32(b, uint32(len(password)))
	return append(b, password...)
}

// write sends one frame.
func (r *raw) write(payload []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)); err != nil {
		r.t.Fatal(err)
	}
}

// read receives one frame.
func (r *raw) read() ([]byte, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(rawPatience)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(r.conn, head[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(r.conn, frame)
	return frame, err
}

func (r *raw) readHandshake() error {
	frame, err := r.read()
	if err != nil {
		return err
	}
	d := jute.NewDecoder(frame)
	_ = d.Int()
	r.timeout, r.session, r.password = d.Int(), d.Long(), d.Buffer()
	r.readOnly = d.Rest()
	return d.Err()
}

// send sends a request.
func (r *raw) send(xid int32, op proto.Op, body []byte) {
	r.t.Helper()
	r.write(append(jute.AppendInt(jute.AppendInt(nil, xid), int32(op)), body...))
}

type answer struct {
	proto.ReplyHeader
	body []byte
}

// receive gives the next answer and keeps the events before it.
func (r *raw) receive() answer {
	r.t.Helper()
	for {
		frame, err := r.read()
		if err != nil {
			r.t.Fatal(err)
		}
		d := jute.NewDecoder(frame)
		a := answer{ReplyHeader: proto.ReplyHeader{Xid: d.Int(), Zxid: d.Long(), Err: proto.Code(d.Int())}}
		if a.Xid != proto.XidEvent {
			a.body = d.Rest()
			return a
		}
		var event proto.WatcherEvent
		event.Decode(d)
		r.events = append(r.events, event)
	}
}

// call sends a request, and fails the test unless it is answered with success.
func (r *raw) call(xid int32, op proto.Op, body []byte) answer {
	r.t.Helper()
	r.send(xid, op, body)
	a := r.receive()
	if a.Xid != xid || a.Err != proto.OK {
		r.t.Fatalf("%v: answer %+v to xid %d", op, a.ReplyHeader, xid)
	}
	return a
}

// wantClosed fails the test unless the server closes the connection without a
// word.
func (r *raw) wantClosed(what string) {
	r.t.Helper()
	frame, err := r.read()
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Errorf("%s: % x, %v; want the connection closed", what, frame, err)
	}
}

// Bodies of requests.

func createBody(path string, data []byte, flags int32) []byte {
	b := jute.AppendBuffer(jute.AppendString(nil, path), data)
	b = jute.AppendInt(b, 1) // one ACL
	b = jute.AppendInt(b, 31)
	b = jute.AppendString(jute.AppendString(b, "world"), "anyone")
	return jute.AppendInt(b, flags)
}

func pathWatch(path string, watch bool) []byte {
	return jute.AppendBool(jute.AppendString(nil, path), watch)
}

func setBody(path string, data []byte) []byte {
	return jute.AppendInt(jute.AppendBuffer(jute.AppendString(nil, path), data), -1)
}

// dataOf is the data in the answer to getData.
func dataOf(a answer) []byte { return jute.NewDecoder(a.body).Buffer() }

func multiHeader(b []byte, op int32, done bool) []byte {
	return jute.AppendInt(jute.AppendBool(jute.AppendInt(b, op), done), -1)
}

// ephemeralFlag is CreateMode.EPHEMERAL.
const ephemeralFlag = 1

// numbered makes a body's data tell how often it was written.
func numbered(i int) []byte { return fmt.Append(nil, i) }

func sameBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes % x, want %d bytes % x", what, len(got), got[:min(40, len(got))], len(want), want[:min(40, len(want))])
	}
}
