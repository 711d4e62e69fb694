package install

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// A Connect reaches the machine of a server; name is what to call it.
type Connect func(ctx context.Context, s inventory.Server, name string) (transport.Host, error)

// Options are what a run works with.
type Options struct {
	Inventory *inventory.Inventory
	Connect   Connect
	Binary    *Binary       // what to install; nil for work that installs nothing
	Only      []string      // names of the servers to change; empty for all
	Parallel  int           // machines at once; 0 means 10
	Timeout   time.Duration // how long servers may take to serve; 0 means 2 min
	TakeOver  bool          // keep and serve data that another installation left
	BreakLock bool          // take the hosts' locks whoever holds them
	Owner     Owner         // who holds the locks
	Reporter  Reporter      // may be nil
	Logger    *slog.Logger  // debug messages; nil for none
}

// Owner says who runs zkctl, for the lock on each host.
type Owner struct {
	User, Host string
	PID        int
}

// A Session is one run over the machines of an inventory. Its methods are called one after another.
type Session struct {
	opts     Options
	teller   teller
	servers  []inventory.Server // all of the inventory
	machines []*machine         // those to work on, in inventory order
	others   []*machine         // those that only lend their ids
	manifest map[string]record  // by server name
	members  membership         // that servers with reconfigEnabled go by
	poll     time.Duration      // between looks at a server that is to serve
}

// machine is one host with the servers of it that are worked on.
type machine struct {
	name    string
	servers []inventory.Server
	host    transport.Host // acting: root where the inventory says so
	facts   transport.Facts
	local   bool
	held    []inventory.Server // whose locks this run has
}

// Open connects to every machine, learns what it is, and which ids its servers have. It fails with what every
// machine told, in inventory order.
func Open(ctx context.Context, opts Options) (*Session, error) {
	if opts.Parallel <= 0 {
		opts.Parallel = 10
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 2 * time.Minute
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Session{opts: opts, teller: teller{to: opts.Reporter, now: time.Now}, poll: 100 * time.Millisecond}
	var err error
	if s.servers, err = opts.Inventory.Resolve(nil); err != nil {
		return nil, err
	}
	if err := s.checkOnly(); err != nil {
		return nil, err
	}
	all := s.group()
	if err := s.connect(ctx, all); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.resolve(ctx, all); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the connections.
func (s *Session) Close() error {
	var errs []error
	for _, m := range append(slices.Clone(s.machines), s.others...) {
		if m.host != nil {
			errs = append(errs, m.host.Close())
		}
	}
	return errors.Join(errs...)
}

// Servers are all servers of the inventory, with the ids they have or will have.
func (s *Session) Servers() []inventory.Server { return s.servers }

func (s *Session) checkOnly() error {
	for _, name := range s.opts.Only {
		if !slices.ContainsFunc(s.servers, func(v inventory.Server) bool { return v.Name == name }) {
			var names []string
			for _, v := range s.servers {
				names = append(names, v.Name)
			}
			return &problem.Problem{Op: "choose hosts", Err: fmt.Errorf("the inventory has no host %q", name),
				Do: "name one of " + strings.Join(names, ", ")}
		}
	}
	return nil
}

func (s *Session) chosen(v inventory.Server) bool {
	return len(s.opts.Only) == 0 || slices.Contains(s.opts.Only, v.Name)
}

// group puts the servers of one machine together; those with a chosen server become s.machines.
func (s *Session) group() []*machine {
	var all []*machine
	index := make(map[string]*machine)
	for _, v := range s.servers {
		m := index[v.Machine()]
		if m == nil {
			m = &machine{local: v.Connection == inventory.ConnectLocal}
			index[v.Machine()] = m
			all = append(all, m)
		}
		m.servers = append(m.servers, v)
	}
	for _, m := range all {
		m.name = m.servers[0].Name
		if m.local && len(m.servers) > 1 {
			m.name = "this machine"
		} else if len(m.servers) > 1 {
			m.name = m.servers[0].SSH.Address
		}
		if slices.ContainsFunc(m.servers, s.chosen) {
			s.machines = append(s.machines, m)
		} else {
			s.others = append(s.others, m)
		}
	}
	return all
}

// connect reaches all machines. One that only lends its ids may be away when the inventory gives the ids.
func (s *Session) connect(ctx context.Context, all []*machine) error {
	err := s.each(ctx, all, func(ctx context.Context, m *machine) error {
		s.teller.tell(Event{Phase: PhaseConnect, Host: m.name, Kind: Begin, What: "connect"})
		err := s.connectOne(ctx, m)
		if err != nil && slices.Contains(s.others, m) && s.idsGiven(m) {
			s.teller.tell(Event{Phase: PhaseConnect, Host: m.name, Kind: Note, What: "not reached, and not needed: " + err.Error()})
			return nil
		}
		if err != nil {
			s.teller.failed(PhaseConnect, m.name, "connect", err)
			return err
		}
		s.teller.tell(Event{Phase: PhaseConnect, Host: m.name, Kind: Done, What: "connected"})
		return nil
	})
	s.others = slices.DeleteFunc(s.others, func(m *machine) bool { return m.host == nil })
	return err
}

func (s *Session) connectOne(ctx context.Context, m *machine) error {
	host, err := s.opts.Connect(ctx, m.servers[0], m.name)
	if err != nil {
		return err
	}
	facts, err := host.Facts(ctx)
	if err != nil {
		return errors.Join(err, host.Close())
	}
	m.host, m.facts = host, facts
	return nil
}

// idsGiven tells whether the inventory itself gives the ids of all servers of m.
func (s *Session) idsGiven(m *machine) bool {
	for _, v := range m.servers {
		for _, h := range s.opts.Inventory.Hosts {
			if (h.Name == v.Name || h.Name == "" && h.Address == v.Name) && h.ID == 0 {
				return false
			}
		}
	}
	return true
}

// resolve settles the ids with those found on the hosts, and leaves each machine its chosen servers.
func (s *Session) resolve(ctx context.Context, all []*machine) error {
	installed := make(map[string]int)
	s.manifest = make(map[string]record)
	var mu sync.Mutex
	err := s.each(ctx, all, func(ctx context.Context, m *machine) error {
		for _, v := range m.servers {
			if m.host == nil {
				continue
			}
			id, err := readID(ctx, m.host, v)
			if err != nil {
				return err
			}
			rec, err := readRecord(ctx, m.host, v)
			if err != nil {
				return err
			}
			mu.Lock()
			if id != 0 {
				installed[v.Name] = id
			}
			s.manifest[v.Name] = rec
			mu.Unlock()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.servers, err = s.opts.Inventory.Resolve(installed); err != nil {
		return err
	}
	for _, m := range s.machines {
		var mine []inventory.Server
		for _, v := range s.servers {
			if s.chosen(v) && slices.ContainsFunc(m.servers, func(o inventory.Server) bool { return o.Name == v.Name }) {
				mine = append(mine, v)
			}
		}
		m.servers = mine
	}
	return nil
}

// readID reads the id a host has, 0 for none.
func readID(ctx context.Context, h transport.Host, v inventory.Server) (int, error) {
	file := path.Join(v.Paths.DataDir, "myid")
	text, err := h.ReadFile(ctx, file)
	switch {
	case isMissing(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	id, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || id < 1 || id > 255 {
		return 0, &problem.Problem{Op: "read " + file + " on", On: v.Name,
			Err: fmt.Errorf("it says %.20q, which is no id from 1 to 255", text),
			Do:  "write the server's id into it, or remove it with the data directory if the data are not needed"}
	}
	return id, nil
}

// each runs do for every machine, at most Parallel at once, and joins what they return in their order.
func (s *Session) each(ctx context.Context, machines []*machine, do func(context.Context, *machine) error) error {
	errs := make([]error, len(machines))
	slots := make(chan struct{}, s.opts.Parallel)
	var wg sync.WaitGroup
	for i, m := range machines {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := ctx.Err(); err != nil {
				errs[i] = &problem.Problem{Op: "work on", On: m.name, Err: context.Cause(ctx)}
				return
			}
			errs[i] = do(ctx, m)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// server finds the machine of a server by the server's name.
func (s *Session) machineOf(name string) *machine {
	for _, m := range s.machines {
		for _, v := range m.servers {
			if v.Name == name {
				return m
			}
		}
	}
	return nil
}
