package ensemble

import (
	byteorder "encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// An Apache server dials back whoever greets it on the election port at the address
// that the greeting tells, which is no relay's (QuorumCnxManager.java, connectOne). Such
// a connection does not know of gates: it is ended when they close, and as greetings do
// not come through closed gates no other is made.

// endDirect ends the connections that one server has made to another without a relay.
// It needs root, and ss of iproute2; without them they stay.
func (e *Ensemble) endDirect(from, to int) {
	pid := e.PID(from)
	if pid == 0 || os.Geteuid() != 0 {
		return
	}
	own := socketsOf(pid)
	target := net.ParseIP(e.subnet.host(to, to))
	for _, c := range connections() {
		if own[c.inode] && c.remote.IP.Equal(target) {
			// One that has ended meanwhile is none of ours to end.
			_ = exec.Command("ss", "-K", "src", c.local.IP.String(), "sport", "=", strconv.Itoa(c.local.Port),
				"dst", c.remote.IP.String(), "dport", "=", strconv.Itoa(c.remote.Port)).Run()
		}
	}
}

// socketsOf are the inodes of a process's sockets.
func socketsOf(pid int) map[string]bool {
	own := make(map[string]bool)
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil && strings.HasPrefix(link, "socket:[") {
			own[strings.Trim(link, "socket:[]")] = true
		}
	}
	return own
}

// A connection is a line of /proc/net/tcp or tcp6.
type connection struct {
	local, remote *net.TCPAddr
	inode         string
}

func connections() []connection {
	var all []connection
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if c, ok := parseConnection(strings.Fields(line)); ok {
				all = append(all, c)
			}
		}
	}
	return all
}

// parseConnection reads an established connection: number, local, remote, state, three
// fields of queues and timers, uid, timeouts and the inode.
func parseConnection(fields []string) (connection, bool) {
	const established = "01"
	if len(fields) < 10 || fields[3] != established {
		return connection{}, false
	}
	local, ok := parseProcAddr(fields[1])
	remote, ok2 := parseProcAddr(fields[2])
	return connection{local, remote, fields[9]}, ok && ok2
}

// parseProcAddr reads an address whose words are in the host's byte order.
func parseProcAddr(text string) (*net.TCPAddr, bool) {
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(b)%4 != 0 {
		return nil, false
	}
	for i := 0; i < len(b); i += 4 {
		byteorder.NativeEndian.PutUint32(b[i:], byteorder.BigEndian.Uint32(b[i:]))
	}
	return &net.TCPAddr{IP: net.IP(b), Port: int(n)}, true
}
