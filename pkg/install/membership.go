package install

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/config"
)

// membership is the member list that servers with reconfigEnabled keep on their hosts. From the first election on
// they go by that and not by the lists that zoo.cfg was written with; it changes by the reconfig operation alone.
type membership struct {
	files map[string]dynamicFile // by server name; a server that was never in an ensemble has none
	list  config.Membership      // the newest of them
	from  string                 // the server that has it; empty when none has a list
}

// dynamicFile is the file that a server's zoo.cfg names.
type dynamicFile struct {
	path    string
	listed  bool // the server itself stands in it: it would not start otherwise
	clients bool // its line has the client port, which is out of zoo.cfg then
}

// reconfigures tells whether a server's membership is its own affair.
func reconfigures(v inventory.Server) bool {
	value, _ := v.Config.Get("reconfigEnabled")
	return strings.EqualFold(strings.TrimSpace(value), "true")
}

// readMembership learns the member lists of all machines that are connected.
func (s *Session) readMembership(ctx context.Context) error {
	found := membership{files: make(map[string]dynamicFile)}
	var mu sync.Mutex
	err := s.each(ctx, append(slices.Clone(s.machines), s.others...), func(ctx context.Context, m *machine) error {
		for _, v := range s.servers {
			if v.Machine() != m.servers[0].Machine() || !reconfigures(v) {
				continue
			}
			file, list, err := m.membership(ctx, v)
			if err != nil {
				return err
			}
			if file.path == "" {
				continue
			}
			mu.Lock()
			found.files[v.Name] = file
			if found.from == "" || list.Version > found.list.Version {
				found.list, found.from = list, v.Name
			}
			mu.Unlock()
		}
		return nil
	})
	s.members = found
	return err
}

// membership reads the list of one server; the path is empty when it has none.
func (m *machine) membership(ctx context.Context, v inventory.Server) (file dynamicFile, list config.Membership, err error) {
	text, err := readMaybe(ctx, m.host, v.ConfigFile())
	if err != nil || text == nil {
		return file, list, err
	}
	name, version := config.DynamicFile(text)
	if name == "" {
		return file, list, nil
	}
	dynamic, err := readMaybe(ctx, m.host, name)
	if err == nil && dynamic == nil {
		err = fmt.Errorf("%s, which %s names, is not there", name, v.ConfigFile())
	}
	if err == nil {
		list, err = config.ParseMembership(string(dynamic))
	}
	if err != nil {
		return file, list, &problem.Problem{Op: "read the member list", On: v.Name, Err: err,
			Do: "copy the file from another server of the ensemble"}
	}
	list.Version = version
	self, listed := list.Server(int64(v.ID))
	return dynamicFile{path: name, listed: listed, clients: self.ClientPort != 0}, list, nil
}

// lists tells whether a server of the inventory is to stand in the zoo.cfg of v. One that is yet to join an ensemble
// lists itself and the members, and not the others that are to join: those could elect without any member.
func (s *Session) lists(v, other inventory.Server) bool {
	if !reconfigures(v) || s.members.from == "" || other.ID == v.ID {
		return true
	}
	_, member := s.members.list.Server(int64(other.ID))
	return member
}

// onHost is the text of zoo.cfg as the server leaves it once it has a member list of its own. One that is down, and
// does not stand in its list since it was removed, begins anew as one that is yet to join.
func (p *planner) onHost(ctx context.Context, v inventory.Server, text []byte) ([]byte, error) {
	f, ok := p.s.members.files[v.Name]
	if !ok {
		return text, nil
	}
	if !f.listed {
		if st, err := p.m.state(ctx, v); err != nil || st.pid == 0 {
			return text, err
		}
	}
	return config.NameDynamicFile(text, f.path, f.clients), nil
}

// startedWith is what of zoo.cfg takes a restart when it changes: all but the member list, if the server has one of
// its own.
func startedWith(v inventory.Server, text []byte) []byte {
	if reconfigures(v) {
		return config.NameDynamicFile(text, "", false)
	}
	return text
}

// membership compares the list that the ensemble goes by with the inventory.
func (i *inspector) membership(context.Context) error {
	live := i.s.members
	if live.from == "" || i.m != i.s.machines[0] { // it is the same for all machines
		return nil
	}
	differ := MembershipDiff(live.list, i.s.servers)
	if len(differ) == 0 {
		i.pass(live.from, "the ensemble's member list (version %x) is the inventory's", live.list.Version)
		return nil
	}
	i.find(live.from, Warn, "mend the inventory, or let zkctl reconfig change the list; install leaves it as it is",
		"the ensemble goes by a member list of its own (version %x), which reconfigEnabled lets change: %s", live.list.Version, strings.Join(differ, "; "))
	return nil
}

// MembershipDiff says in what an ensemble's member list differs from the servers of an inventory, in words. Ports for
// clients count where the list has one.
func MembershipDiff(list config.Membership, servers []inventory.Server) []string {
	var out []string
	for _, v := range servers {
		has, ok := list.Server(int64(v.ID))
		want := Member(v)
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("server %d (%s) is not in it", v.ID, v.Name))
		case has.ClientPort != 0 && has.ClientPort != plainPort(v):
			out = append(out, fmt.Sprintf("server %d (%s) has client port %d, not %d", v.ID, v.Name, has.ClientPort, plainPort(v)))
		default:
			has.ClientHost, has.ClientPort = "", 0
			if has.String() != want.String() {
				out = append(out, fmt.Sprintf("server %d (%s) is %s, not %s", v.ID, v.Name, has, want))
			}
		}
	}
	for _, has := range list.Servers {
		if !slices.ContainsFunc(servers, func(v inventory.Server) bool { return int64(v.ID) == has.ID }) {
			out = append(out, fmt.Sprintf("server %d (%s) is in it, and not in the inventory", has.ID, has))
		}
	}
	return out
}

// Member is a server of an inventory as a member list has it, without the port for clients.
func Member(v inventory.Server) config.Server {
	role := config.Participant
	if v.Role == inventory.Observer {
		role = config.Observer
	}
	return config.Server{ID: int64(v.ID), Role: role, Addresses: []config.Address{{Host: v.Address, QuorumPort: v.Ports.Quorum, ElectionPort: v.Ports.Election}}}
}

// isMemberFile tells the names that a server with reconfigEnabled writes beside its zoo.cfg.
func isMemberFile(name string) bool {
	return name == "zoo.cfg.bak" || strings.HasPrefix(name, "zoo.cfg.dynamic.")
}

// confOwner is the account that may write zoo.cfg and beside it: the server's, if the membership is its affair.
func (m *machine) confOwner(v inventory.Server) (user, group string) {
	if !reconfigures(v) {
		return "", ""
	}
	return m.owner(v)
}

// writable are the folders that a server writes to.
func writable(v inventory.Server) []string {
	dirs := append(dataDirs(v), v.Paths.LogDir)
	if reconfigures(v) {
		dirs = append(dirs, path.Dir(v.ConfigFile()))
	}
	return dirs
}
