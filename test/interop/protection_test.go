package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/test/ensemble"
)

// A protection is a limit and what clients see of it.
type protection struct {
	name   string
	config map[string]string
	play   func(t *testing.T, address string) string
}

func protections() []protection {
	return []protection{
		{"connections of an address", map[string]string{"maxClientCnxns": "2"}, tooMany},
		{"connections in all", map[string]string{"maxCnxns": "2"}, tooMany},
		{"silence", map[string]string{"nio.sessionlessCnxnTimeout": "500"}, func(t *testing.T, a string) string {
			r := dialRaw(t, a)
			return ended(r.conn)
		}},
		{"sessions in a time", map[string]string{"connection_throttle_tokens": "2", "connection_throttle_fill_time": "100000000"},
			func(t *testing.T, a string) string {
				openRaw(t, a, 20*time.Second)
				openRaw(t, a, 20*time.Second)
				r := dialRaw(t, a)
				r.write(oldHandshake(0, 20000, 0, make([]byte, 16)))
				return ended(r.conn)
			}},
		{"weighed sessions in a time", map[string]string{
			"connection_throttle_tokens": "2", "connection_throttle_fill_time": "100000000", "connection_throttle_weight_enabled": "true",
		}, func(t *testing.T, a string) string { // 6 tokens: a new one takes 3, one that comes back 2
			first := openRaw(t, a, 20*time.Second)
			again := dialRaw(t, a)
			again.write(oldHandshake(0, 20000, first.session, first.password))
			out := fmt.Sprintln(again.readHandshake() == nil)
			r := dialRaw(t, a)
			r.write(oldHandshake(0, 20000, 0, make([]byte, 16)))
			return out + ended(r.conn)
		}},
		{"large requests", map[string]string{"largeRequestThreshold": "1000", "largeRequestMaxBytes": "5000"}, largeRequests},
		{"a request's length", nil, func(t *testing.T, a string) string {
			r := openRaw(t, a, 20*time.Second)
			if _, err := r.conn.Write(binary.BigEndian.AppendUint32(nil, 0x100000)); err != nil {
				t.Fatal(err)
			}
			return ended(r.conn)
		}},
	}
}

// TestProtection meets each limit, with ours and with Apache's server.
func TestProtection(t *testing.T) {
	for _, p := range protections() {
		t.Run(strings.ReplaceAll(p.name, " ", "_"), func(t *testing.T) {
			var want, got string
			play := func(t *testing.T, launch ensemble.Launcher) string {
				o := options(1)
				maps.Copy(o.Config, p.config)
				o.Launch = func(int) ensemble.Launcher { return launch }
				return p.play(t, ensemble.Start(t, o).Addr(1))
			}
			t.Run("apache", func(t *testing.T) { want = play(t, ensemble.Java(t)) })
			t.Run("ours", func(t *testing.T) { got = play(t, nil) })
			t.Log(got)
			if want != "" && got != want {
				t.Errorf("ours:\n%s\nApache's server:\n%s", got, want)
			}
		})
	}
}

// ended tells what comes before the server ends a connection.
func ended(c net.Conn) string {
	var b bytes.Buffer
	_ = c.SetReadDeadline(time.Now().Add(rawPatience))
	_, err := b.ReadFrom(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return fmt.Sprintf("%x, and it stays open\n", b.Bytes())
	}
	return fmt.Sprintf("%x, and it ends\n", b.Bytes())
}

// tooMany connects until it is refused: the words that found the server serving
// may be connected still. A server that hangs up at once may be seen by any of
// the three, connect too.
func tooMany(t *testing.T, address string) string {
	var open int
	for open < 5 {
		nc, err := net.DialTimeout("tcp", address, rawPatience)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = nc.Close() })
		r := &raw{t: t, conn: nc}
		if _, err := nc.Write(oldHandshake(0, 20000, 0, make([]byte, 16))); err != nil {
			break
		}
		if err := r.readHandshake(); err != nil {
			break
		}
		open++
	}
	return fmt.Sprintf("refused after at most two: %t\n", open <= 2)
}

func largeRequests(t *testing.T, address string) string {
	r := openRaw(t, address, 20*time.Second)
	var b strings.Builder
	for i, size := range []int{500, 3000, 4500, 3000, 6000} {
		create := proto.CreateRequest{Path: fmt.Sprintf("/n%d", i), Data: make([]byte, size), ACL: proto.WorldAnyone()}
		r.write(append(proto.RequestHeader{Xid: int32(i + 1), Op: proto.OpCreate}.Append(nil), create.Append(nil, proto.OpCreate)...))
		answer, err := r.read()
		if err != nil {
			fmt.Fprintf(&b, "%d bytes: the connection ends\n", size)
			break
		}
		fmt.Fprintf(&b, "%d bytes: %x %x\n", size, answer[:4], answer[12:])
	}
	return b.String()
}
