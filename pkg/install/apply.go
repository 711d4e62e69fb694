package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// freshPlan is how long a plan is taken to be true without looking again. Somebody who reads it takes longer.
const freshPlan = 2 * time.Second

// A Result says what was done and what was not, machine by machine.
type Result struct {
	Hosts []HostResult `json:"hosts"` // in inventory order
}

// HostResult is what came of one machine's plan.
type HostResult struct {
	Host    string   `json:"host"`
	Done    []string `json:"done"`
	NotDone []string `json:"notDone,omitempty"`
	Error   string   `json:"error,omitempty"`

	err error
}

func (r *HostResult) done(what string) {
	r.Done = append(r.Done, what)
	r.NotDone = slices.DeleteFunc(r.NotDone, func(n string) bool { return n == what })
}

func (r *HostResult) fail(err error) {
	r.err = errors.Join(r.err, err)
	r.Error = r.err.Error()
}

// Apply makes the changes of a plan of this session, then starts what is to start. Other machines go on when one
// fails; the error joins those of all, in inventory order. It takes a lock on every machine that it changes.
func (s *Session) Apply(ctx context.Context, plan Plan) (Result, error) {
	if plan.Empty() {
		return Result{}, nil
	}
	var busy []*machine
	for i, h := range plan.Hosts {
		if len(h.Changes)+len(h.Starts) > 0 {
			busy = append(busy, s.machines[i])
		}
	}
	release, err := s.lockAll(ctx, busy)
	if err != nil {
		return Result{}, err
	}
	defer release()
	if s.teller.now().Sub(plan.made) > freshPlan {
		if err := s.stillTrue(ctx, plan); err != nil {
			return Result{}, err
		}
	}
	results := make([]HostResult, len(plan.Hosts))
	for i, h := range plan.Hosts {
		results[i] = newResult(h)
	}
	s.change(ctx, plan, results)
	s.roll(ctx, plan, results)
	out := Result{Hosts: results}
	var errs []error
	for _, r := range results {
		errs = append(errs, r.err)
	}
	return out, errors.Join(errs...)
}

func newResult(h HostPlan) HostResult {
	r := HostResult{Host: h.Host, Done: []string{}}
	for _, c := range h.Changes {
		r.NotDone = append(r.NotDone, c.What)
	}
	for _, st := range h.Starts {
		r.NotDone = append(r.NotDone, st.What())
	}
	return r
}

// stillTrue plans again under the lock: what was shown must be what is done. Less is fine, more is not.
func (s *Session) stillTrue(ctx context.Context, shown Plan) error {
	if err := s.readRecords(ctx); err != nil {
		return err
	}
	now, err := s.plan(ctx, shown.steps)
	if err != nil {
		return err
	}
	for i, h := range now.Hosts {
		was := shown.Hosts[i]
		for _, c := range h.Changes {
			if !slices.ContainsFunc(was.Changes, func(o Change) bool { return o.What == c.What && o.Diff == c.Diff }) {
				return changedMeanwhile(h.Host, c.What)
			}
		}
		for _, st := range h.Starts {
			if !slices.ContainsFunc(was.Starts, func(o Start) bool { return o.What() == st.What() }) {
				return changedMeanwhile(h.Host, st.What())
			}
		}
	}
	return nil
}

func changedMeanwhile(host, what string) error {
	return &problem.Problem{Op: "apply", On: host, Err: fmt.Errorf("the host changed since the plan was made: now it takes %q too", what),
		Do: "run the command again to see the new plan"}
}

func (s *Session) readRecords(ctx context.Context) error {
	for _, m := range s.machines {
		for _, v := range m.servers {
			rec, err := readRecord(ctx, m.host, v)
			if err != nil {
				return err
			}
			s.manifest[v.Name] = rec
		}
	}
	return nil
}

// change makes the changes of all machines, each machine's one after another until one fails.
func (s *Session) change(ctx context.Context, plan Plan, results []HostResult) {
	index := make(map[*machine]int)
	for i, m := range s.machines {
		index[m] = i
	}
	err := s.each(ctx, s.machines, func(ctx context.Context, m *machine) error {
		i := index[m]
		for _, c := range plan.Hosts[i].Changes {
			if err := s.changeOne(ctx, m, c); err != nil {
				results[i].fail(err)
				return nil
			}
			results[i].done(c.What)
		}
		return nil
	})
	if err != nil { // machines that were not begun because ctx ended
		for i := range results {
			if results[i].err == nil && len(results[i].NotDone) > 0 && len(results[i].Done) == 0 {
				results[i].fail(&problem.Problem{Op: "apply", On: results[i].Host, Err: context.Cause(ctx)})
			}
		}
	}
}

func (s *Session) changeOne(ctx context.Context, m *machine, c Change) error {
	host := m.name
	if c.Server != "" {
		host = c.Server
	}
	s.teller.tell(Event{Phase: PhaseApply, Host: host, Kind: Begin, What: c.What})
	if err := ctx.Err(); err != nil {
		err = &problem.Problem{Op: c.What + " on", On: host, Err: context.Cause(ctx)}
		s.teller.failed(PhaseApply, host, c.What, err)
		return err
	}
	if err := c.apply(ctx); err != nil {
		err = fmt.Errorf("%s: %w", c.Step, err)
		s.teller.failed(PhaseApply, host, c.What, err)
		return err
	}
	s.teller.tell(Event{Phase: PhaseApply, Host: host, Kind: Done, What: c.What})
	return nil
}
