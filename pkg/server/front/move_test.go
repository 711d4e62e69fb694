package front

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

func (c *client) works() {
	c.t.Helper()
	c.raw(c.request(proto.OpGetData, getData("/")))
	c.read()
}

func TestMove(t *testing.T) {
	s, _ := start(t, nil)
	old := session(t, s, 60000)
	from := s.Addr().String()
	for _, to := range []string{"127.0.0.1:0", "127.0.0.2:0"} {
		if err := s.Move(context.Background(), to); err != nil {
			t.Fatal(err)
		}
		session(t, s, 60000).works()
		old.works()
	}
	if nc, err := net.Dial("tcp", from); err == nil {
		nc.Close()
		t.Errorf("the old address %s answers still", from)
	}
}

// TestMoveOnePort moves between all addresses and one of them, which the system takes
// for the same port twice, and to a port of somebody else's.
func TestMoveOnePort(t *testing.T) {
	s, _ := start(t, nil)
	old := session(t, s, 60000)
	port := s.Addr().(*net.TCPAddr).Port
	for _, host := range []string{"0.0.0.0", "127.0.0.1"} {
		if err := s.Move(context.Background(), fmt.Sprintf("%s:%d", host, port)); err != nil {
			t.Fatal(err)
		}
		session(t, s, 60000).works()
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := s.Move(context.Background(), other.Addr().String()); err == nil {
		t.Error("moved to a port that is in use")
	}
	session(t, s, 60000).works()
	old.works()
}
