package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxID is the largest server id that Apache ZooKeeper takes from a myid file with its default settings.
const maxID = 255

// names refuses two servers of one name.
func (s *resolver) names(servers []Server) {
	first := make(map[string]int)
	for i, server := range servers {
		if server.Name == "" {
			continue
		}
		at := s.inv.places.at(hostPath(i)+".name", hostPath(i)+".address", hostPath(i))
		j, again := first[server.Name]
		switch {
		case again && s.inv.Hosts[i].Name == "":
			s.r.fault(at, "give each a name of its own", "two hosts are called %q after their address; the other is %s", server.Name, s.whereHost(j))
		case again:
			s.r.fault(at, "", "two hosts are called %q; the other is %s", server.Name, s.whereHost(j))
		default:
			first[server.Name] = i
		}
	}
}

// whereHost tells a reader where host i stands.
func (s *resolver) whereHost(i int) string {
	if n := s.inv.places.at(hostPath(i)); n != nil && n.src != nil {
		return fmt.Sprintf("at %s:%d", n.src.name, n.line)
	}
	return "entry " + strconv.Itoa(i+1)
}

// ids gives every server its id: what the file says, else what its host has, else the smallest free one.
func (s *resolver) ids(servers []Server, installed map[string]int) {
	owner := make(map[int]string) // id -> who has it
	for i, server := range servers {
		if server.ID == 0 {
			continue
		}
		at := s.inv.places.at(hostPath(i)+".id", hostPath(i))
		if other, taken := owner[server.ID]; taken {
			s.r.fault(at, "", "%s and %s both have id %d", other, server.Name, server.ID)
		}
		owner[server.ID] = server.Name
		if found, ok := installed[server.Name]; ok && found != server.ID {
			s.r.fault(at, fmt.Sprintf("write id: %d, or leave it out", found), "%s is installed with id %d, but the inventory says %d", server.Name, found, server.ID)
		}
	}
	s.installedIDs(servers, installed, owner)
	next := 1
	for i := range servers {
		if servers[i].ID != 0 || s.inv.places.at(hostPath(i)+".id") != nil {
			continue
		}
		for owner[next] != "" {
			next++
		}
		if next > maxID {
			s.r.fault(s.inv.places.at(hostPath(i)), "", "no id is left for %s: 1 to %d are all taken", servers[i].Name, maxID)
			return
		}
		servers[i].ID = next
		owner[next] = firstOf(servers[i].Name, "an unnamed host")
	}
}

// installedIDs gives servers without an id the one found on their host. Ids of servers that are no longer
// in the file stay taken: their data may still be about.
func (s *resolver) installedIDs(servers []Server, installed map[string]int, owner map[int]string) {
	index := make(map[string]int)
	for i, server := range servers {
		index[server.Name] = i
	}
	for _, name := range slices.Sorted(maps.Keys(installed)) {
		id := installed[name]
		i, listed := index[name]
		var at *node
		if listed {
			at = s.inv.places.at(hostPath(i))
		}
		if other, taken := owner[id]; taken && other != name {
			s.r.fault(at, "give one of them another id", "%s is installed with id %d, which is also that of %s", name, id, other)
			continue
		}
		owner[id] = name
		if listed && servers[i].ID == 0 {
			servers[i].ID = id
		}
	}
}

// claim is something that two servers cannot both have, such as a port on a machine.
type claim struct {
	what string // the key that sets it
	at   *node
	i    int // the server
}

// shared refuses ports, folders and unit names that two servers of one machine both claim.
func (s *resolver) shared(servers []Server) {
	ports := newClaims[portKey](s, servers)
	names := newClaims[string](s, servers)
	for i, server := range servers {
		if server.Address == "" {
			continue
		}
		s.claimPorts(ports, i, server)
		names.take(server.Machine()+"\x00unit "+server.Service.Name, claim{"service.name " + server.Service.Name, s.at(i, "service.name"), i},
			"write {name} in it")
		s.claimDirs(names, i, server)
		s.loopback(i, servers)
	}
}

// portKey is a port on one address of a machine.
type portKey struct {
	machine, address string
	port             int
}

func (s *resolver) claimPorts(ports *claims[portKey], i int, server Server) {
	for _, p := range []struct {
		key  string
		port int
	}{{"client", server.Ports.Client}, {"quorum", server.Ports.Quorum}, {"election", server.Ports.Election}} {
		ports.take(portKey{server.Machine(), strings.ToLower(server.Address), p.port},
			claim{"ports." + p.key + " " + strconv.Itoa(p.port), s.at(i, "ports."+p.key), i}, "")
	}
	for _, key := range []string{"secureClientPort", "admin.serverPort", "metricsProvider.httpPort"} {
		text, _ := server.Config.Get(key)
		if port, err := strconv.Atoi(text); err == nil {
			ports.take(portKey{server.Machine(), strings.ToLower(server.Address), port}, claim{key + " " + text, s.at(i, "config."+key), i}, "")
		}
	}
}

func (s *resolver) claimDirs(names *claims[string], i int, server Server) {
	p := server.Paths
	for _, d := range []struct{ key, dir string }{
		{"confDir", p.ConfDir}, {"dataDir", p.DataDir}, {"dataLogDir", p.DataLogDir}, {"logDir", p.LogDir},
	} {
		names.take(server.Machine()+"\x00"+d.dir, claim{"paths." + d.key + " " + d.dir, s.at(i, "paths."+d.key, "paths.baseDir"), i},
			"write {name} in it, such as "+d.dir+"/{name}")
	}
}

// loopback warns about an address that other machines cannot reach.
func (s *resolver) loopback(i int, servers []Server) {
	if !isLoopback(servers[i].Address) {
		return
	}
	for _, other := range servers {
		if other.Machine() != servers[i].Machine() {
			s.r.warn(s.inv.places.at(hostPath(i)+".address"), "give the address the others see", "%s is not reachable from %s", servers[i].Address, other.Name)
			return
		}
	}
}

// claims remembers who has what.
type claims[K comparable] struct {
	s       *resolver
	servers []Server
	taken   map[K]claim
}

func newClaims[K comparable](s *resolver, servers []Server) *claims[K] {
	return &claims[K]{s: s, servers: servers, taken: make(map[K]claim)}
}

// take notes a claim, or tells who has the thing already. One server may use a folder twice, but not a port.
func (c *claims[K]) take(key K, by claim, hint string) {
	first, taken := c.taken[key]
	if !taken {
		c.taken[key] = by
		return
	}
	me, other := c.servers[by.i].Name, c.servers[first.i].Name
	_, isPort := any(key).(portKey)
	switch {
	case first.i != by.i:
		c.s.r.fault(by.at, hint, "%s and %s share %s, but %s of one is %s of the other", other, me, c.servers[by.i].Machine(), first.what, by.what)
	case isPort:
		c.s.r.fault(by.at, "", "%s uses one port twice: %s and %s", me, first.what, by.what)
	}
}
