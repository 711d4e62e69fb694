package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// A Plan is everything that separates the hosts from the inventory.
type Plan struct {
	Hosts []HostPlan `json:"hosts"` // in inventory order, those without changes too

	steps []step // that it was made with
	made  time.Time
}

// HostPlan is what will change on one machine: first the changes in their order, then the starts.
type HostPlan struct {
	Host    string   `json:"host"`
	Servers []string `json:"servers"`
	Changes []Change `json:"changes"`
	Starts  []Start  `json:"starts,omitempty"`
}

// A Change is one thing to do on a machine. Doing it twice does no harm.
type Change struct {
	Server string `json:"server,omitempty"` // empty when it concerns the machine as a whole
	Step   string `json:"step"`
	What   string `json:"what"`           // such as "write /etc/zkctl/zoo.cfg (+2 -1 lines)"
	Diff   string `json:"diff,omitempty"` // of a file, as diff -u; values that may be secret are hidden

	apply func(context.Context) error
}

// A Start is a server to start or to start again.
type Start struct {
	Server  string `json:"server"`
	Restart bool   `json:"restart"`       // it runs now
	Why     string `json:"why,omitempty"` // what a running server does not know yet

	do controller
}

// What says the start as a change.
func (s Start) What() string {
	switch {
	case s.Restart:
		return fmt.Sprintf("restart server %s (%s)", s.Server, s.Why)
	default:
		return "start server " + s.Server
	}
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return p.Len() == 0 }

// Len is how many changes and starts there are.
func (p Plan) Len() int {
	n := 0
	for _, h := range p.Hosts {
		n += len(h.Changes) + len(h.Starts)
	}
	return n
}

// step is one heading of the work on a machine. It only reads, and adds the changes it finds to the planner.
type step struct {
	name string
	plan func(*planner, context.Context) error
}

// planner collects the changes of one machine.
type planner struct {
	s      *Session
	m      *machine
	step   string
	out    HostPlan
	reload bool              // unit files change, so systemd must read them again
	units  map[string]string // server -> unit file as it should be
}

// Plan finds what an installation would change. It changes nothing. The plans of machines that could be read are
// returned even when others failed.
func (s *Session) Plan(ctx context.Context) (Plan, error) { return s.plan(ctx, installSteps()) }

func (s *Session) plan(ctx context.Context, steps []step) (Plan, error) {
	results := make([]HostPlan, len(s.machines))
	index := make(map[*machine]int)
	for i, m := range s.machines {
		index[m] = i
	}
	if s.opts.Binary != nil { // a removal does not depend on it
		if err := s.readMembership(ctx); err != nil {
			return Plan{}, err
		}
	}
	err := s.each(ctx, s.machines, func(ctx context.Context, m *machine) error {
		plan, err := s.planMachine(ctx, m, steps)
		if err != nil {
			s.teller.failed(PhasePlan, m.name, "plan", err)
		}
		results[index[m]] = plan
		return err
	})
	return Plan{Hosts: results, steps: steps, made: s.teller.now()}, err
}

func (s *Session) planMachine(ctx context.Context, m *machine, steps []step) (HostPlan, error) {
	p := &planner{s: s, m: m, units: make(map[string]string)}
	p.out = HostPlan{Host: m.name, Changes: []Change{}}
	for _, v := range m.servers {
		p.out.Servers = append(p.out.Servers, v.Name)
	}
	for _, st := range steps {
		p.step = st.name
		if err := st.plan(p, ctx); err != nil {
			return p.out, err
		}
	}
	return p.out, nil
}

// add notes a change.
func (p *planner) add(server, what string, apply func(context.Context) error) {
	p.out.Changes = append(p.out.Changes, Change{Server: server, Step: p.step, What: what, apply: apply})
}

// eachServer is a step made of the same work for every server of the machine.
func eachServer(do func(*planner, context.Context, inventory.Server) error) func(*planner, context.Context) error {
	return func(p *planner, ctx context.Context) error {
		var errs []error
		for _, v := range p.m.servers {
			errs = append(errs, do(p, ctx, v))
		}
		return errors.Join(errs...)
	}
}

// file wants a file with this content and mode, owned by owner and group (empty: by whoever acts), and tells whether
// the content changes.
func (p *planner) file(ctx context.Context, server, path string, data []byte, meta transport.FileMeta) (changes bool, err error) {
	info, err := p.stat(ctx, path)
	if err != nil {
		return false, err
	}
	var before []byte
	if info != nil && info.Mode.IsRegular() {
		if before, err = p.m.host.ReadFile(ctx, path); err != nil {
			return false, err
		}
	}
	write := func(ctx context.Context) error { return p.m.host.WriteFile(ctx, path, data, meta) }
	if info == nil || !info.Mode.IsRegular() || !bytes.Equal(before, data) {
		diff, added, removed := unifiedDiff(path, string(before), string(data))
		p.add(server, fmt.Sprintf("write %s (+%d -%d lines)", path, added, removed), write)
		p.out.Changes[len(p.out.Changes)-1].Diff = diff
		return true, nil
	}
	p.meta(server, path, *info, meta)
	return false, nil
}

// meta wants a file or directory that exists to have mode and owner.
func (p *planner) meta(server, path string, info transport.FileInfo, meta transport.FileMeta) {
	var wrong []string
	if info.Mode.Perm() != meta.Mode.Perm() {
		wrong = append(wrong, fmt.Sprintf("mode %04o instead of %04o", meta.Mode.Perm(), info.Mode.Perm()))
	}
	if meta.Owner != "" && info.Owner != meta.Owner || meta.Group != "" && info.Group != meta.Group {
		wrong = append(wrong, fmt.Sprintf("owner %s:%s instead of %s:%s", meta.Owner, meta.Group, info.Owner, info.Group))
	}
	if len(wrong) > 0 {
		p.add(server, fmt.Sprintf("give %s %s", path, strings.Join(wrong, " and ")), func(ctx context.Context) error {
			return p.m.host.SetMeta(ctx, path, meta)
		})
	}
}

// stat describes a file; nil when there is none.
func (p *planner) stat(ctx context.Context, path string) (*transport.FileInfo, error) {
	return statMaybe(ctx, p.m.host, path)
}

func statMaybe(ctx context.Context, h transport.Host, path string) (*transport.FileInfo, error) {
	info, err := h.Stat(ctx, path)
	switch {
	case isMissing(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &info, nil
}

// readMaybe reads a file; nil when there is none.
func readMaybe(ctx context.Context, h transport.Host, path string) ([]byte, error) {
	data, err := h.ReadFile(ctx, path)
	if isMissing(err) {
		return nil, nil
	}
	return data, err
}

// isMissing tells whether a path leads nowhere.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// writtenByUs tells whether a file's text carries the mark of the templates.
func writtenByUs(text []byte) bool {
	return bytes.Contains(text[:min(len(text), 400)], []byte("Written by zkctl"))
}

// removeOurs wants a file gone if it is one of ours; others are left alone.
func (p *planner) removeOurs(ctx context.Context, server, path string, after func(context.Context) error) (bool, error) {
	text, err := readMaybe(ctx, p.m.host, path)
	if err != nil || text == nil || !writtenByUs(text) {
		return false, err
	}
	p.add(server, "remove "+path, func(ctx context.Context) error {
		if err := removeFile(ctx, p.m.host, path); err != nil {
			return err
		}
		if after != nil {
			return after(ctx)
		}
		return nil
	})
	return true, nil
}

// removeFile removes a file that may be gone already.
func removeFile(ctx context.Context, h transport.Host, path string) error {
	err := h.Remove(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// run runs a command on the machine as the acting user.
func (m *machine) run(ctx context.Context, argv ...string) error {
	_, err := m.host.Run(ctx, transport.Command{Argv: argv})
	return err
}

// output runs a command and returns what it printed, whatever its exit status.
func (m *machine) output(ctx context.Context, argv ...string) (string, error) {
	res, err := m.host.Run(ctx, transport.Command{Argv: argv})
	var exit *transport.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return string(res.Stdout), err
}
