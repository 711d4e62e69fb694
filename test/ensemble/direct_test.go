package ensemble

import (
	"net"
	"os"
	"slices"
	"testing"
)

// TestConnections finds one of this process's own.
func TestConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	own := socketsOf(os.Getpid())
	if !slices.ContainsFunc(connections(), func(x connection) bool {
		return own[x.inode] && x.local.String() == c.LocalAddr().String() && x.remote.String() == l.Addr().String()
	}) {
		t.Errorf("%s to %s is not among %d connections", c.LocalAddr(), l.Addr(), len(connections()))
	}
}
