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

// claim is something that two servers of a machine cannot both have: a port, a folder, a unit's name.
type claim struct {
	key, value string // such as ports.client and 2181
	at         *node
	i          int // the server
}

func (c claim) String() string { return c.key + " " + c.value }

// claims remembers who has what, and which two servers want the same.
type claims struct {
	s         *resolver
	servers   []Server
	taken     map[string]claim
	clashes   map[clash][]string // what two servers clash over, at one place
	clashList []clash
}

// clash is two servers and the place in the file to tell it at.
type clash struct {
	first, second int
	at            *node
}

// shared refuses what two servers of one machine both claim.
func (s *resolver) shared(servers []Server) {
	c := &claims{s: s, servers: servers, taken: make(map[string]claim), clashes: make(map[clash][]string)}
	for i, server := range servers {
		if server.Address == "" {
			continue
		}
		c.ports(i, server)
		c.folders(i, server)
		c.take("unit "+server.Service.Name, claim{"service.name", server.Service.Name, s.at(i, "service.name"), i})
		s.loopback(i, servers)
	}
	c.tell()
}

// ports claims the server's ports at its address.
func (c *claims) ports(i int, server Server) {
	address := "port " + strings.ToLower(server.Address) + " "
	for _, p := range []struct {
		key  string
		port int
	}{
		{"ports.client", plainPort(server)},
		{"ports.quorum", server.Ports.Quorum},
		{"ports.election", server.Ports.Election},
	} {
		if p.port == 0 {
			continue
		}
		text := strconv.Itoa(p.port)
		c.take(address+text, claim{p.key, text, c.s.at(i, p.key), i})
	}
	if _, bound := server.Config.Get("clientPortAddress"); !bound && plainPort(server) != 0 {
		// The client port is open on every address of the machine, under whatever name the others know it.
		text := strconv.Itoa(server.Ports.Client)
		c.take("client port "+text, claim{"ports.client", text, c.s.at(i, "ports.client"), i})
	}
	if text, set := server.Config.Get(secureKey); set {
		at := c.s.at(i, "ports.secureClient", "config."+secureKey)
		c.take(address+text, claim{"secure client port", text, at, i})
		if _, bound := server.Config.Get("secureClientPortAddress"); !bound {
			c.take("client port "+text, claim{"secure client port", text, at, i})
		}
	}
	for _, key := range []string{"admin.serverPort", "metricsProvider.httpPort"} {
		if text, set := server.Config.Get(key); set && text != "0" {
			c.take(address+text, claim{"config." + key, text, c.s.at(i, "config."+key), i})
		}
	}
}

// plainPort is the client port without TLS; 0 when there is none.
func plainPort(server Server) int {
	if server.Ports.OnlySecure() {
		return 0
	}
	return server.Ports.Client
}

// folders claims the server's folders. Those of one server may be the same.
func (c *claims) folders(i int, server Server) {
	p := server.Paths
	for _, d := range []struct{ key, dir string }{
		{"confDir", p.ConfDir}, {"dataDir", p.DataDir}, {"dataLogDir", p.DataLogDir}, {"logDir", p.LogDir},
	} {
		if strings.HasPrefix(d.dir, "/") {
			c.take("folder "+d.dir, claim{"paths." + d.key, d.dir, c.s.at(i, "paths."+d.key, "paths.baseDir"), i})
		}
	}
}

// take notes a claim to thing, or that somebody has it already.
func (c *claims) take(thing string, by claim) {
	key := c.servers[by.i].Machine() + " " + thing
	first, taken := c.taken[key]
	if !taken {
		c.taken[key] = by
		return
	}
	if first.i == by.i && strings.HasPrefix(thing, "folder ") {
		return
	}
	at := by.at
	if entry := c.s.inv.places.at(hostPath(by.i)); at == entry && first.i == by.i {
		at = first.at // the one that the file sets, not the default
	}
	what := by.String()
	if first.key != by.key {
		what = first.String() + " and " + what
	}
	k := clash{first.i, by.i, at}
	if len(c.clashes[k]) == 0 {
		c.clashList = append(c.clashList, k)
	}
	if !slices.Contains(c.clashes[k], what) {
		c.clashes[k] = append(c.clashes[k], what)
	}
}

// tell reports the clashes, one fault for each place and pair of servers.
func (c *claims) tell() {
	for _, k := range c.clashList {
		first, second := c.servers[k.first], c.servers[k.second]
		what := strings.Join(c.clashes[k], ", ")
		if first.Name == second.Name && k.first != k.second && strings.HasPrefix(what, "service.name") {
			continue // follows from the name, which is told already
		}
		if k.first == k.second {
			c.s.r.fault(k.at, "give each a port of its own", "%s uses one port twice: %s", second.Name, what)
			continue
		}
		hint := "give each its own"
		if strings.Contains(what, "paths.") {
			hint = "give each its own; {name} in a path is the host's name"
		}
		c.s.r.fault(k.at, hint, "%s and %s are on one machine (%s) and both have %s", first.Name, second.Name, second.Machine(), what)
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
