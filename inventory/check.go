package inventory

import (
	"fmt"
	"slices"
	"strconv"
)

// checker looks at values that have the right type and are still wrong.
type checker struct {
	inv *Inventory
	r   *report
}

// hostPath is the place of a host, such as hosts[2].
func hostPath(i int) string { return "hosts[" + strconv.Itoa(i) + "]" }

// host checks one entry of hosts.
func (c *checker) host(i int) {
	h, path, places := c.inv.Hosts[i], hostPath(i), c.inv.places
	entry := places.at(path)
	if entry == nil || entry.kind != mapping {
		return
	}
	if n := places.at(path + ".address"); n == nil {
		c.r.fault(entry, "", "this host has no address")
	} else if h.Address != "" {
		c.address(n, h.Address)
	}
	if h.ClientAddress != "" {
		c.address(places.at(path+".clientAddress"), h.ClientAddress)
	}
	if h.SSH.Address != "" {
		c.address(places.at(path+".ssh.address"), h.SSH.Address)
	}
	c.settings(path, h.Settings)
}

func (c *checker) address(n *node, text string) {
	if wrong := checkAddress(text, false); wrong != "" {
		c.r.fault(n, "", "%s", wrong)
	}
}

// settings checks what may stand at the top and under a host.
func (c *checker) settings(path string, s Settings) {
	places := c.inv.places
	if path == "" && s.SSH.Address != "" {
		c.r.fault(places.at("ssh.address"), "set it under the host it belongs to", "one ssh.address cannot serve every host")
	}
	for i, b := range s.SSH.Bastions {
		at := join(path, fmt.Sprintf("ssh.bastions[%d]", i))
		if b.Address != "" {
			c.address(places.at(at+".address", at), b.Address)
		}
	}
	if at := places.at(join(path, "ssh")); at != nil && s.Connection == ConnectLocal && !c.anySSH(path) {
		c.r.warn(places.keys[join(path, "ssh")], "", "connection: local uses no SSH; this has no effect")
	}
}

// anySSH tells whether a host overrides the connection: local that stands at path.
func (c *checker) anySSH(path string) bool {
	return path == "" && slices.ContainsFunc(c.inv.Hosts, func(h Host) bool { return h.Connection == ConnectSSH })
}

// ensemble looks at the servers together: how many vote.
func (c *checker) ensemble(servers []Server) {
	participants, observers := 0, 0
	for _, s := range servers {
		if s.Role == Observer {
			observers++
		} else {
			participants++
		}
	}
	at := c.inv.places.at("hosts")
	switch {
	case len(servers) == 0:
	case participants == 0:
		c.r.fault(at, "give at least one host role: participant", "all %d servers are observers; none can vote", observers)
	case participants == 1 && observers > 0:
		c.loneVoter(at, servers, observers)
	case participants%2 == 0:
		survives := (participants - 1) / 2
		hint := "add a participant, or make one an observer"
		if participants == 2 {
			hint = "use 3 participants, or 1"
		}
		c.r.warn(at, hint, "%d participants survive the failure of %d, no more than %d would", participants, survives, participants-1)
	}
}

// loneVoter is about one participant with observers, which Apache ZooKeeper refuses unless standaloneEnabled
// is false (QuorumPeerConfig.java).
func (c *checker) loneVoter(at *node, servers []Server, observers int) {
	for _, s := range servers {
		if v, _ := s.Config.Get("standaloneEnabled"); v != "false" {
			c.r.fault(at, "add participants, or set standaloneEnabled: false under config",
				"a single participant is a standalone server and takes no observers, here %d", observers)
			return
		}
	}
	c.r.warn(at, "use 3 participants", "with a single participant nothing is served while it is down, observers or not")
}
