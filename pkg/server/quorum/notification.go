package quorum

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// The first message on a connection of the election port is one of
// (QuorumCnxManager.java)
//
//	3.4   long sid
//	V1    long -65536 | long sid | int n | n bytes "host:port"
//	V2    long -65535 | long sid | int n | n bytes "host:port|host:port..."
//
// After it each side sends frames: int length | notification.
const (
	greetingV1 int64 = -65536
	greetingV2 int64 = -65535

	maxGreeting = 2048   // bytes of addresses
	maxFrame    = 524288 // bytes of a notification
)

// anonymousSid is what an observer without a number sends as its sid.
const anonymousSid = math.MaxInt64

// A greeting is the first message on a connection of the election port.
type greeting struct {
	sid       int64
	addresses []string // host:port where the sender can be dialled; none in the 3.4 form
}

// append writes the greeting behind b: in the 3.4 form if it has no address, so
// that the receiver uses the one that it is configured with.
func (g greeting) append(b []byte) []byte {
	if len(g.addresses) == 0 {
		return jute.AppendLong(b, g.sid)
	}
	return jute.AppendString(jute.AppendLong(jute.AppendLong(b, greetingV1), g.sid), g.addresses[0])
}

// readGreeting reads any form of greeting and not a byte more.
func readGreeting(r io.Reader) (greeting, error) {
	var b [20]byte
	if _, err := io.ReadFull(r, b[:8]); err != nil {
		return greeting{}, err
	}
	version := int64(binary.BigEndian.Uint64(b[:]))
	switch {
	case version >= 0:
		return greeting{sid: version}, nil
	case version != greetingV1 && version != greetingV2:
		return greeting{}, fmt.Errorf("%w: greeting of unknown version %d", errWire, version)
	}
	if _, err := io.ReadFull(r, b[8:]); err != nil {
		return greeting{}, noEOF(err)
	}
	g := greeting{sid: int64(binary.BigEndian.Uint64(b[8:]))}
	n := int32(binary.BigEndian.Uint32(b[16:]))
	if g.sid < 0 || n < 1 {
		return greeting{}, fmt.Errorf("%w: greeting of server %d with an address of %d bytes", errWire, g.sid, n)
	}
	text, err := readBytes(r, n, maxGreeting)
	if err != nil {
		return greeting{}, fmt.Errorf("greeting of server %d: %w", g.sid, err)
	}
	g.addresses = usableAddresses(strings.Split(string(text), "|"))
	return g, nil
}

// usableAddresses keeps what can be dialled: a host that is no wildcard, and a port.
func usableAddresses(addresses []string) []string {
	var usable []string
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		if err == nil && host != "" && port != "" && !isWildcard(host) {
			usable = append(usable, a)
		}
	}
	return usable
}

// isWildcard reports whether host stands for every address of a machine.
func isWildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// errUnknownState is for a notification of a sender in a state that we do not
// know; such are ignored.
var errUnknownState = errors.New("unknown server state")

// appendNotification writes a notification behind b (FastLeaderElection.java,
// buildMsg):
//
//	int state | long leader | long zxid | long electionEpoch | long peerEpoch | int version | int n | n bytes of configuration
func appendNotification(b []byte, p zab.Packet, text string) []byte {
	b = jute.AppendInt(b, int32(p.Role))
	b = jute.AppendLong(b, int64(p.Vote.Leader))
	b = jute.AppendLong(b, int64(p.Vote.Zxid))
	b = jute.AppendLong(b, p.Vote.Round)
	b = jute.AppendLong(b, p.Vote.PeerEpoch)
	b = jute.AppendInt(b, int32(p.Version))
	return jute.AppendString(b, text)
}

// parseNotification reads a notification of any length that servers send or sent:
// 28 bytes (no peerEpoch), 40 (3.4; its version does not count), or 44 and more.
// The configuration is returned as it is.
func parseNotification(b []byte) (p zab.Packet, text string, err error) {
	const short, medium = 28, 40
	if len(b) < medium && len(b) != short {
		return zab.Packet{}, "", fmt.Errorf("%w: notification of %d bytes", errWire, len(b))
	}
	d := jute.NewDecoder(b)
	role := d.Int()
	p = zab.Packet{Kind: zab.Notification, Role: zab.Role(role)}
	p.Vote = zab.Vote{Leader: zab.Sid(d.Long()), Zxid: zab.Zxid(d.Long()), Round: d.Long()}
	p.Vote.PeerEpoch = p.Vote.Zxid.Epoch()
	if len(b) > short {
		p.Vote.PeerEpoch = d.Long()
	}
	if len(b) > medium {
		p.Version = int(d.Int())
	}
	if p.Version > 1 {
		n := d.Int()
		if n < 0 || int(n) > d.Len() {
			d.Fail("configuration of %d bytes, %d left", n, d.Len())
		} else {
			text = string(d.Rest()[:n])
		}
	}
	if d.Err() != nil {
		return zab.Packet{}, "", fmt.Errorf("%w: notification: %w", errWire, d.Err())
	}
	if role < int32(zab.Looking) || role > int32(zab.Observing) {
		return zab.Packet{}, "", fmt.Errorf("%w %d", errUnknownState, role)
	}
	return p, text, nil
}
