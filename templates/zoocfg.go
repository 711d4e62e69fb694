package templates

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Setting is one line of zoo.cfg. Value is what the server is to see; it is escaped when written.
type Setting struct{ Key, Value string }

// Member is a server of the ensemble as zoo.cfg lists it.
type Member struct {
	ID           int    // 1 to 255
	Host         string // name or IP address, without brackets
	QuorumPort   int    // 1 to 65535
	ElectionPort int    // 1 to 65535, not QuorumPort
	Observer     bool
}

// line is the member's line, as QuorumPeer.QuorumServer reads it in Apache ZooKeeper 3.4 to 3.9.
func (m Member) line() string {
	host := m.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	line := fmt.Sprintf("server.%d=%s:%d:%d", m.ID, host, m.QuorumPort, m.ElectionPort)
	if m.Observer {
		line += ":observer"
	}
	return line
}

// ZooCfg is a server's zoo.cfg.
type ZooCfg struct {
	Ensemble   string // its name, for the heading
	Name       string // the server's name, for the heading
	DataDir    string // absolute
	DataLogDir string // absolute; empty leaves the log in DataDir
	ClientPort int    // 1 to 65535; 0 writes none, for servers with a secure port alone
	Observer   bool   // whether this server is one; 3.4 wants to be told outside the list too

	Config  []Setting // further settings in their order, no key twice and none of the above
	Members []Member  // the ensemble in any order; it is written by id. Empty for a lone server
}

// MyID is the content of the myid file of server id.
func MyID(id int) []byte { return []byte(strconv.Itoa(id) + "\n") }

// Render returns the file. It loads unchanged in Apache ZooKeeper 3.4 to 3.9 and in zkctl's server.
func (z ZooCfg) Render() ([]byte, error) {
	if err := z.check(); err != nil {
		return nil, err
	}
	settings := []Setting{{"dataDir", z.DataDir}}
	if z.DataLogDir != "" {
		settings = append(settings, Setting{"dataLogDir", z.DataLogDir})
	}
	if z.ClientPort != 0 {
		settings = append(settings, Setting{"clientPort", strconv.Itoa(z.ClientPort)})
	}
	if z.Observer {
		settings = append(settings, Setting{"peerType", "observer"})
	}
	members := slices.Clone(z.Members)
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return render("zoo.cfg.tmpl", map[string]any{
		"Name": z.Name, "Ensemble": z.Ensemble, "Settings": append(settings, z.Config...), "Members": members,
	})
}

func (z ZooCfg) check() error {
	c := &checks{what: "zoo.cfg of " + z.Name}
	c.phrase("name", z.Name)
	c.phrase("ensemble", z.Ensemble)
	c.path("dataDir", z.DataDir)
	if z.DataLogDir != "" {
		c.path("dataLogDir", z.DataLogDir)
	}
	c.between("clientPort", z.ClientPort, 0, 65535)
	if secure := slices.ContainsFunc(z.Config, func(s Setting) bool { return s.Key == "secureClientPort" }); z.ClientPort == 0 && !secure {
		c.addf("there is no port for clients")
	}
	z.checkConfig(c)
	z.checkMembers(c)
	return c.err()
}

func (z ZooCfg) checkConfig(c *checks) {
	seen := map[string]bool{"dataDir": true, "dataLogDir": true, "clientPort": true, "peerType": true}
	for _, s := range z.Config {
		c.word("key", s.Key)
		if seen[s.Key] || strings.HasPrefix(s.Key, "server.") {
			c.addf("key %s is given twice", s.Key)
		}
		seen[s.Key] = true
		c.text(s.Key, s.Value)
	}
}

func (z ZooCfg) checkMembers(c *checks) {
	ids, ends := make(map[int]bool), make(map[string]bool)
	for _, m := range z.Members {
		name := fmt.Sprintf("server.%d", m.ID)
		c.between("id", m.ID, 1, 255)
		c.host(name, m.Host)
		c.between(name+" quorum port", m.QuorumPort, 1, 65535)
		c.between(name+" election port", m.ElectionPort, 1, 65535)
		if ids[m.ID] {
			c.addf("%s is given twice", name)
		}
		ids[m.ID] = true
		for _, port := range []int{m.QuorumPort, m.ElectionPort} {
			end := net.JoinHostPort(strings.ToLower(m.Host), strconv.Itoa(port))
			if ends[end] {
				c.addf("%s: %s is used twice", name, end)
			}
			ends[end] = true
		}
	}
}
