package testbed

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
)

// A Controller is the machine from which the hosts are worked on: a network
// namespace with an address on their switch and the machine's own files. Its
// methods are safe for concurrent use.
type Controller struct {
	Name string     // [ControllerName]
	Addr netip.Addr // as the hosts see it

	ns    *netns
	hosts map[string]netip.Addr
}

// Command prepares a command that runs in the controller's network. It differs
// from [exec.CommandContext] only in its first arguments, which enter the
// namespace.
func (c *Controller) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return command(ctx, "nsenter", append([]string{"--net=" + c.ns.path(), "--"}, argv...)...)
}

// Do runs f on a thread in the controller's network: sockets that f itself
// makes are there, those of goroutines it starts are not.
func (c *Controller) Do(f func() error) error { return c.ns.do(f) }

// Dial connects from the controller. The connection may be used anywhere. The
// host of address is an IP address or the name of a host ("h1:2181").
func (c *Controller) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addr, known := c.hosts[host]
	if !known {
		if addr, err = netip.ParseAddr(host); err != nil {
			return nil, fmt.Errorf("dial %s: neither the name of a host nor an address: %w", address, err)
		}
	}
	var conn net.Conn
	err = c.ns.do(func() error { // one literal address: the dialer stays on this thread
		var d net.Dialer
		var err error
		conn, err = d.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
		return err
	})
	return conn, err
}

// Listen listens on an address of the controller, for example "10.77.0.1:0".
func (c *Controller) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var l net.Listener
	err := c.ns.do(func() error {
		var lc net.ListenConfig
		var err error
		l, err = lc.Listen(ctx, network, address)
		return err
	})
	return l, err
}
