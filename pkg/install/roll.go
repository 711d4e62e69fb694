package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zkctl/zkctl/inventory"
	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install/problem"
)

// joinPatience is how long servers that were down may take to join before running ones are restarted.
const joinPatience = 20 * time.Second

// roller starts and restarts the servers of a plan.
type roller struct {
	s       *Session
	results []HostResult
	base    []inventory.Server // participants that the running ensemble counts
}

// roll starts what is down, all at once, and restarts what runs with older files, one server at a time: those that do
// not serve first, then followers and observers, the leader last, each only when the others keep a quorum.
func (s *Session) roll(ctx context.Context, plan Plan, results []HostResult) {
	r := &roller{s: s, results: results}
	var fresh, again []Start
	for i, h := range plan.Hosts {
		for _, st := range h.Starts {
			switch {
			case results[i].err != nil: // told already
			case st.Restart:
				again = append(again, st)
			default:
				fresh = append(fresh, st)
			}
		}
	}
	for _, v := range s.servers {
		isNew := slices.ContainsFunc(fresh, func(st Start) bool { return st.Server == v.Name }) && s.manifest[v.Name].Started == nil
		if v.Role == inventory.Participant && !isNew {
			r.base = append(r.base, v)
		}
	}
	r.startAll(ctx, fresh)
	if len(again) == 0 {
		return
	}
	if slices.ContainsFunc(results, func(r HostResult) bool { return r.err != nil }) {
		s.teller.tell(Event{Phase: PhaseStart, Kind: Note, What: "no server is restarted, since another host failed; run again when that is mended"})
		return
	}
	if len(fresh) > 0 {
		r.join(ctx, fresh)
	}
	r.restartAll(ctx, again)
}

func (r *roller) result(server string) *HostResult {
	for i, m := range r.s.machines {
		if slices.ContainsFunc(m.servers, func(v inventory.Server) bool { return v.Name == server }) {
			return &r.results[i]
		}
	}
	return &HostResult{} // never: starts are made from machines
}

// startAll starts servers that are down.
func (r *roller) startAll(ctx context.Context, fresh []Start) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, r.s.opts.Parallel)
	for _, st := range fresh {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := r.s.controlled(ctx, st.Server, st.What(), st.do.start)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.result(st.Server).fail(err)
				return
			}
			r.result(st.Server).done(st.What())
		})
	}
	wg.Wait()
}

// controlled does one thing to one server, and tells.
func (s *Session) controlled(ctx context.Context, server, what string, do func(context.Context) error) error {
	s.teller.tell(Event{Phase: PhaseStart, Host: server, Kind: Begin, What: what})
	err := ctx.Err()
	if err != nil {
		err = &problem.Problem{Op: what, On: server, Err: context.Cause(ctx)}
	} else {
		err = do(ctx)
	}
	if err != nil {
		s.teller.failed(PhaseStart, server, what, err)
		return err
	}
	s.teller.tell(Event{Phase: PhaseStart, Host: server, Kind: Done, What: what})
	return nil
}

// join gives servers that were just started time to join. That they do not is told later, by Verify: they may be
// waiting for the very restarts that follow.
func (r *roller) join(ctx context.Context, fresh []Start) {
	ctx, cancel := context.WithTimeout(ctx, min(joinPatience, r.s.opts.Timeout))
	defer cancel()
	for _, st := range fresh {
		if _, err := r.s.waitServing(ctx, st.do.v); err != nil {
			return
		}
	}
}

// restartAll restarts one server after another. The first that fails ends it.
func (r *roller) restartAll(ctx context.Context, again []Start) {
	_, statuses := r.s.statuses(ctx)
	wasUp := slices.ContainsFunc(statuses, func(st fourletter.Status) bool { return st.State == fourletter.Serving })
	for len(again) > 0 {
		next := r.next(ctx, again)
		st := again[next]
		again = slices.Delete(again, next, next+1)
		if err := r.restart(ctx, st, wasUp); err != nil {
			r.result(st.Server).fail(err)
			return
		}
		r.result(st.Server).done(st.What())
	}
}

// next chooses the server whose restart costs least.
func (r *roller) next(ctx context.Context, again []Start) int {
	servers, statuses := r.s.statuses(ctx)
	best, lowest := 0, 4
	for i, st := range again {
		at := slices.IndexFunc(servers, func(v inventory.Server) bool { return v.Name == st.Server })
		cost := 2
		switch status := statuses[at]; {
		case status.State != fourletter.Serving:
			cost = 0
		case status.Role == fourletter.ModeObserver:
			cost = 1
		case status.Role == fourletter.ModeLeader:
			cost = 3
		}
		if cost < lowest {
			best, lowest = i, cost
		}
	}
	return best
}

// restart restarts one server, and waits until it serves again. When the ensemble served before, the others must hold
// a quorum first; so no two servers of a quorum are down at once.
func (r *roller) restart(ctx context.Context, st Start, wasUp bool) error {
	if wasUp && st.do.v.Role == inventory.Participant {
		if err := r.waitQuorumWithout(ctx, st.Server); err != nil {
			return err
		}
	}
	err := r.s.controlled(ctx, st.Server, st.What(), func(ctx context.Context) error {
		if err := st.do.stop(ctx); err != nil {
			return err
		}
		// A server that is down does nobody good: once stopped it is started even when the run is cancelled.
		up, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.s.opts.Timeout)
		defer cancel()
		return st.do.start(up)
	})
	if err != nil || !wasUp {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, r.s.opts.Timeout)
	defer cancel()
	if _, err := r.s.waitServing(wait, st.do.v); err != nil {
		return &problem.Problem{Op: "restart", On: st.Server, Err: err,
			Do: "look into " + logFile(st.do.v) + " there; the servers not yet restarted run on as they were"}
	}
	return nil
}

// waitQuorumWithout waits until the participants besides the given one are a quorum and serve. In an ensemble of one
// or two that cannot be, and is not asked for.
func (r *roller) waitQuorumWithout(ctx context.Context, server string) error {
	if len(r.base) <= 2 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.s.opts.Timeout)
	defer cancel()
	quorum, serving := len(r.base)/2+1, 0
	err := r.s.until(ctx, func() bool {
		servers, statuses := r.s.statuses(ctx)
		serving = 0
		for i, v := range servers {
			inBase := slices.ContainsFunc(r.base, func(b inventory.Server) bool { return b.Name == v.Name })
			if inBase && v.Name != server && statuses[i].State == fourletter.Serving {
				serving++
			}
		}
		return serving >= quorum
	})
	if err != nil {
		return &problem.Problem{Op: "restart", On: server,
			Err: fmt.Errorf("not done: only %d other servers serve, and a quorum is %d: %w", serving, quorum, err),
			Do:  "bring the other servers back first; zkctl status -i tells which"}
	}
	return nil
}

// until asks again and again until is answers true, or ctx ends.
func (s *Session) until(ctx context.Context, is func() bool) error {
	tick := time.NewTicker(s.poll)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return errors.New("timed out")
		case <-tick.C:
		}
	}
	return nil
}
