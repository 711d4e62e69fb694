package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
)

// ControllerName is the name of the controller where a fault names two ends.
const ControllerName = "ctl"

// MaxHosts is the largest number of hosts of a testbed.
const MaxHosts = 40

// prefixBits is the length of the network part of every address.
const prefixBits = 24

// address is a node's address: index 0 is the controller, 1 is h1, and so on.
// Every testbed uses the same ones, each on a switch of its own.
func address(index int) netip.Addr {
	last := byte(1)
	if index > 0 {
		last = byte(10 + index)
	}
	return netip.AddrFrom4([4]byte{10, 77, 0, last})
}

func hardwareAddr(index int) string { return fmt.Sprintf("02:77:00:00:00:%02x", index) }

func portName(index int) string { return fmt.Sprintf("p%d", index) }

// A link is one direction between two nodes, by index.
type link struct{ from, to int }

func (l link) back() link { return link{l.to, l.from} }

// A network is an Ethernet switch in a namespace of its own and the faults in
// force. A fault is a filter on the sender's switch port that redirects frames
// for the receiver: into a sink, or into a relay. Safe for concurrent use.
type network struct {
	sw    *netns
	nodes int // hosts and the controller

	mu        sync.Mutex
	ports     map[int]*netns  // of the nodes that have power
	unplugged map[int]bool    // cable out, kept over reboots
	cuts      map[link]bool   // kept over reboots
	relays    map[link]*relay // both directions of a pair share one
}

func newNetwork(ctx context.Context, nodes int) (*network, error) {
	sw, err := newNetns()
	if err != nil {
		return nil, err
	}
	n := &network{sw: sw, nodes: nodes, ports: map[int]*netns{}, unplugged: map[int]bool{}, cuts: map[link]bool{}, relays: map[link]*relay{}}
	err = sw.do(func() error { // a switch has no address
		for _, which := range []string{"all", "default"} {
			err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0o644)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = sw.batch(ctx, "ip",
			"link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
			"link add sink0 type veth peer name sink1", // frames redirected here are gone
			"link set sink0 up",
			"link set sink1 up",
			"link set br0 up")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the switch: %w", err), sw.close())
	}
	return n, nil
}

// plug connects a node's fresh namespace to the switch, under the faults in
// force.
func (n *network) plug(ctx context.Context, index int, ns *netns) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	port := portName(index)
	if err := n.sw.batch(ctx, "ip",
		fmt.Sprintf("link add %s type veth peer name eth0 address %s netns %s", port, hardwareAddr(index), ns.path()),
		fmt.Sprintf("link set %s master br0", port)); err != nil {
		return err
	}
	n.ports[index] = ns
	if err := ns.batch(ctx, "ip", n.nodeLines(index)...); err != nil {
		return err
	}
	if err := n.sw.batch(ctx, "tc", fmt.Sprintf("qdisc add dev %s ingress", port)); err != nil {
		return err
	}
	var errs []error
	for l := range n.cuts {
		if l.from == index {
			errs = append(errs, n.addFilter(ctx, l, cutFilter))
		}
	}
	for l := range n.relays {
		if l.from == index {
			errs = append(errs, n.addFilter(ctx, l, relayFilter))
		}
	}
	if !n.unplugged[index] {
		errs = append(errs, n.setLink(ctx, index, "up"))
	}
	return errors.Join(errs...)
}

// nodeLines configure a node's interface. It knows its neighbours for good: with
// ARP, a cut in one direction would become one in both as soon as an answer is
// missing.
func (n *network) nodeLines(index int) []string {
	lines := []string{
		"link set lo up",
		fmt.Sprintf("addr add %s/%d dev eth0", address(index), prefixBits),
		"link set eth0 up",
	}
	for other := range n.nodes {
		if other != index {
			lines = append(lines, fmt.Sprintf("neigh replace %s lladdr %s dev eth0 nud permanent",
				address(other), hardwareAddr(other)))
		}
	}
	return lines
}

// unplugForGood removes a node's port; its namespace ends with its processes.
func (n *network) unplugForGood(ctx context.Context, index int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ports[index] == nil {
		return nil
	}
	delete(n.ports, index)
	return n.sw.batch(ctx, "ip", fmt.Sprintf("link del %s", portName(index)))
}

// powerOff takes the link down: a machine without power says no farewell.
func (n *network) powerOff(ctx context.Context, index int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.setLink(ctx, index, "down")
}

// cable pulls a node's cable or puts it back.
func (n *network) cable(ctx context.Context, index int, in bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if in {
		return n.cableIn(ctx, index)
	}
	n.unplugged[index] = true
	return n.setLink(ctx, index, "down")
}

// cableIn puts a cable back and waits until frames pass: the kernel may take a
// second to notice the carrier.
func (n *network) cableIn(ctx context.Context, index int) error {
	delete(n.unplugged, index)
	ns := n.ports[index]
	if ns == nil {
		return nil
	}
	if err := n.setLink(ctx, index, "up"); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		port, err := n.sw.describe(ctx, portName(index))
		if err != nil || !strings.Contains(port, " state forwarding ") {
			return false, err
		}
		plug, err := ns.describe(ctx, "eth0")
		return strings.Contains(plug, " state UP "), err
	})
}

func (n *network) setLink(ctx context.Context, index int, state string) error {
	if n.ports[index] == nil {
		return nil
	}
	return n.sw.batch(ctx, "ip", fmt.Sprintf("link set %s %s", portName(index), state))
}

// cut drops the frames of each direction from now on.
func (n *network) cut(ctx context.Context, links ...link) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range links {
		if n.cuts[l] {
			continue
		}
		n.cuts[l] = true
		if err := n.addFilter(ctx, l, cutFilter); err != nil {
			return fmt.Errorf("cut: %w", err)
		}
	}
	return nil
}

// heal ends the faults for which match is true, and puts back the cables of
// all nodes when everything heals.
func (n *network) heal(ctx context.Context, match func(link) bool, cables bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for l := range n.cuts {
		if match(l) {
			delete(n.cuts, l)
			errs = append(errs, n.delFilter(ctx, l, cutFilter))
		}
	}
	for l := range n.relays {
		if match(l) {
			errs = append(errs, n.endRelay(ctx, l))
		}
	}
	if cables {
		for index := range n.unplugged {
			errs = append(errs, n.cableIn(ctx, index))
		}
	}
	return errors.Join(errs...)
}

// isolated tells whether a fault keeps the controller from talking to a node.
func (n *network) isolated(index int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.unplugged[index] || n.unplugged[0] || n.cuts[link{0, index}] || n.cuts[link{index, 0}]
}

// filterKind orders the filters of a port: a cut comes before a relay.
type filterKind int

const (
	cutFilter   filterKind = 100
	relayFilter filterKind = 300
)

func (n *network) addFilter(ctx context.Context, l link, kind filterKind) error {
	if n.ports[l.from] == nil {
		return nil
	}
	device := "sink0"
	if kind == relayFilter {
		device = tapName(l)
	}
	return n.sw.batch(ctx, "tc", fmt.Sprintf(
		"filter add dev %s ingress prio %d protocol all u32 match ether dst %s action mirred egress redirect dev %s",
		portName(l.from), int(kind)+l.to, hardwareAddr(l.to), device))
}

func (n *network) delFilter(ctx context.Context, l link, kind filterKind) error {
	if n.ports[l.from] == nil {
		return nil
	}
	return n.sw.batch(ctx, "tc", fmt.Sprintf("filter del dev %s ingress prio %d", portName(l.from), int(kind)+l.to))
}

func (n *network) close(ctx context.Context) error {
	err := n.heal(ctx, func(link) bool { return true }, false)
	return errors.Join(err, n.sw.close())
}
