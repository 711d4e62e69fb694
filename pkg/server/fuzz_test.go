package server

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// FuzzClientPort sends arbitrary bytes to the client port of a whole server, as
// the first thing or behind a handshake. It answers, ends the connection or waits
// for more, and answers others.
func FuzzClientPort(f *testing.F) {
	r := run(f, f.TempDir(), freePort(f), "enforceQuota=true\nextendedTypesEnabled=true\n")
	for _, word := range []string{"ruok", "srvr", "stat", "mntr", "cons", "dump", "wchs", "wchc", "wchp", "conf", "envi", "dirs", "isro", "crst", "srst", "gtmk", "stmk", "hash"} {
		f.Add(false, []byte(word))
	}
	f.Add(false, []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(false, []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3})
	hello := proto.ConnectRequest{Timeout: 1000, Password: make([]byte, 16), HasReadOnly: true}.Append(nil)
	f.Add(false, framed(hello))
	f.Add(false, framed(proto.ConnectRequest{Timeout: 1000, SessionID: 7, Password: make([]byte, 16)}.Append(nil)))
	f.Add(true, framed(append(proto.RequestHeader{Xid: 1, Op: proto.OpGetData}.Append(nil), proto.PathWatch{Path: "/"}.Append(nil)...)))
	f.Add(true, framed(append(proto.RequestHeader{Xid: 1, Op: proto.OpMulti}.Append(nil), proto.AppendMulti(nil, []proto.MultiOp{
		{Op: proto.OpCreate, Body: &proto.CreateRequest{Path: "/a", ACL: proto.WorldAnyone()}}, {Op: proto.OpDelete, Body: &proto.PathVersion{Path: "/a"}}})...)))
	f.Fuzz(func(t *testing.T, shaken bool, b []byte) {
		if shaken {
			b = append(framed(hello), b...)
		}
		exchange(t, r.address, b)
		if answer := exchange(t, r.address, []byte("ruok")); string(answer) != "imok" {
			t.Fatalf("ruok: %q", answer)
		}
	})
}

func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

// exchange sends b and all it ever will, and returns what comes back.
func exchange(t *testing.T, address string, b []byte) []byte {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	_, _ = nc.Write(b) // the server may have closed the connection
	_ = nc.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(nc)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("%x is neither answered nor refused", b)
	}
	return answer
}
