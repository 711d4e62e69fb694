package install

import (
	"context"
	"errors"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/problem"
)

// Action is something to do to the servers that are installed.
type Action int

// The actions.
const (
	StartServers   Action = iota // those that are down
	StopServers                  // those that run
	RestartServers               // those that run, one after another; those that are down are started
)

// PlanAction finds what the action comes to on each machine. It changes nothing. A chosen server that is not
// installed is an error.
func (s *Session) PlanAction(ctx context.Context, a Action) (Plan, error) {
	if a == StopServers {
		return s.plan(ctx, []step{{"stop", eachServer((*planner).stop)}})
	}
	return s.plan(ctx, []step{{"start", eachServer(func(p *planner, ctx context.Context, v inventory.Server) error {
		return p.startInstalled(ctx, v, a == RestartServers)
	})}})
}

// startInstalled starts a server with the files that are on its host.
func (p *planner) startInstalled(ctx context.Context, v inventory.Server, again bool) error {
	text, err := readMaybe(ctx, p.m.host, v.ConfigFile())
	if err != nil {
		return err
	}
	if text == nil {
		return &problem.Problem{Op: "start", On: v.Name, Err: errors.New("it is not installed: " + v.ConfigFile() + " is not there"),
			Do: "zkctl install with this inventory, or choose other hosts with --only"}
	}
	st, err := p.m.state(ctx, v)
	if err != nil || st.pid != 0 && !again {
		return err
	}
	now := map[string]string{"zoo.cfg": digest(text)}
	if now["zkctl"], err = p.m.host.SHA256(ctx, v.Paths.Binary); err != nil {
		return err
	}
	c := controller{m: p.m, v: v, systemd: p.m.systemd(v)}
	if c.systemd {
		unit, err := readMaybe(ctx, p.m.host, unitFile(v.Service.Name+".service"))
		if err != nil {
			return err
		}
		now["unit"] = digest(unit)
	}
	c.rec = newRecord(v, now)
	c.stray = st.pid != 0 && c.systemd && !st.managed
	start := Start{Server: v.Name, do: c, Restart: st.pid != 0}
	if start.Restart {
		start.Why = "as asked"
	}
	p.out.Starts = append(p.out.Starts, start)
	return nil
}
