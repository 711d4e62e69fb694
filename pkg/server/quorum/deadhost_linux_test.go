package quorum

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zkctl/zkctl/pkg/server/jute"
)

// deadHost makes an address at which connecting does not end, as if packets got lost:
// a port whose queue is full.
func deadHost(t *testing.T, address string) {
	t.Helper()
	at, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}); err == nil {
		err = unix.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		conn, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Skip("this kernel accepts connections to a full queue")
}

// A host that does not answer stalls nobody: while it is dialled votes go to others
// and come from them (ZOOKEEPER-3756).
func TestElectionDeadHost(t *testing.T) {
	u := openElectionTest(t, 2, func(c *Config) { c.CnxTimeout = patience / 2 })
	deadHost(t, u.members[0].Election[0])
	for round := range int64(3) {
		u.election.send(vote(1, round))
	}
	back := u.dial(greeting{3, []string{u.members[2].Election[0]}})
	u.election.send(vote(3, 7))
	u.expectVote(back, 7)
	if _, err := back.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(2, 8), ""))); err != nil {
		t.Fatal(err)
	}
	u.expectDelivered(3, 8)
	u.election.mu.Lock()
	defer u.election.mu.Unlock()
	if !u.election.others[1].dialling {
		t.Error("all that had to wait until the dead host was given up, or it was not dialled")
	}
}
