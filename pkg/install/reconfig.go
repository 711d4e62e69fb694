package install

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/inventory"
	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Reconfig is a change of an ensemble's member list to what the inventory says, as one reconfig operation that gives
// the whole list: so servers without a plain port for clients can join, too.
type Reconfig struct {
	Version string   `json:"version"` // of the list that is to change, hexadecimal; the operation fails if another change came first
	Changes []string `json:"changes"` // in words; empty when the list is the inventory's
	Joining []string `json:"joining"` // lines server.N=... of who comes, or changes
	Leaving []string `json:"leaving"` // ids of who goes

	version int64
	members []string // the new list, line by line
}

// Empty tells whether there is nothing to change.
func (r Reconfig) Empty() bool { return len(r.Joining)+len(r.Leaving) == 0 }

// PlanReconfig reads the ensemble's member list and compares it with the inventory. It changes nothing. It fails
// when a server that is to join does not run yet.
func (s *Session) PlanReconfig(ctx context.Context, who Credentials) (Reconfig, error) {
	servers, statuses := s.statuses(ctx)
	c, asked, err := s.clientOf(ctx, servers, statuses, who)
	if err != nil {
		return Reconfig{}, err
	}
	text, err := c.configuration()
	if err = errors.Join(err, c.close()); err != nil {
		return Reconfig{}, &problem.Problem{Op: "read " + configNode + " of", On: asked, Err: err}
	}
	list, err := config.ParseMembership(text)
	if err != nil {
		return Reconfig{}, &problem.Problem{Op: "read " + configNode + " of", On: asked, Err: err}
	}
	if len(list.Groups) > 0 {
		return Reconfig{}, &problem.Problem{Op: "change the members", Err: errors.New("the ensemble has groups of servers, which an inventory does not describe"),
			Do: "give the whole list with zkCli.sh reconfig -members"}
	}
	r := reconfigOf(list, servers)
	return r, joinersRun(list, servers, statuses)
}

// reconfigOf is the operation that makes a member list the inventory's. A member without a port for clients in the
// list has it in its zoo.cfg, and goes on so.
func reconfigOf(list config.Membership, servers []inventory.Server) Reconfig {
	r := Reconfig{Version: strconv.FormatInt(list.Version, 16), version: list.Version, Changes: MembershipDiff(list, servers), Joining: []string{}, Leaving: []string{}}
	wanted := make(map[int64]bool)
	for _, v := range servers {
		want := Member(v)
		wanted[want.ID] = true
		has, ok := list.Server(want.ID)
		switch {
		case !ok:
			want.ClientHost, want.ClientPort = clientHost(v), plainPort(v)
		case has.ClientPort != 0:
			want.ClientHost, want.ClientPort = has.ClientHost, plainPort(v)
		}
		line := fmt.Sprintf("server.%d=%s", want.ID, want)
		r.members = append(r.members, line)
		if !ok || has.String() != want.String() {
			r.Joining = append(r.Joining, line)
		}
	}
	for _, has := range list.Servers {
		if !wanted[has.ID] {
			r.Leaving = append(r.Leaving, strconv.FormatInt(has.ID, 10))
		}
	}
	return r
}

// clientHost is where a server listens for clients.
func clientHost(v inventory.Server) string {
	if host, ok := v.Config.Get("clientPortAddress"); ok && host != "" {
		return host
	}
	return "0.0.0.0"
}

// joinersRun asks that servers which are no members yet follow the ensemble already: they have its state then, and
// the ensemble does not wait for them when they are members.
func joinersRun(list config.Membership, servers []inventory.Server, statuses []fourletter.Status) error {
	var errs []error
	for i, v := range servers {
		if _, member := list.Server(int64(v.ID)); !member && statuses[i].State != fourletter.Serving {
			errs = append(errs, &problem.Problem{Op: "add", On: v.Name, Err: fmt.Errorf("it does not serve (%s)", statuses[i].State),
				Do: "zkctl install brings it up; it follows the ensemble then, without a vote"})
		}
	}
	return errors.Join(errs...)
}

// clientOf opens a session with a server that serves, the leader if it can be reached.
func (s *Session) clientOf(ctx context.Context, servers []inventory.Server, statuses []fourletter.Status, who Credentials) (c *client, name string, err error) {
	var errs []error
	for _, leader := range []bool{true, false} {
		for i, v := range servers {
			if statuses[i].State != fourletter.Serving || (statuses[i].Role == fourletter.ModeLeader) != leader {
				continue
			}
			address := ClientEndpoint(v)
			if v.Connection == inventory.ConnectLocal {
				address = localEndpoint(v)
			}
			conf, err := clientTLS(v)
			if err == nil {
				c, err = openClient(ctx, address, conf, who)
			}
			if errors.Is(err, proto.ErrAuthFailed) {
				return nil, v.Name, &problem.Problem{Op: "authenticate to", On: v.Name, Err: err, Do: "look at what --auth-file says"}
			}
			if err == nil {
				return c, v.Name, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", v.Name, err))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("no server serves"))
	}
	return nil, "", &problem.Problem{Op: "reach the ensemble as a client", Err: errors.Join(errs...), Do: "zkctl status -i tells which servers serve; their client ports must be reachable from here"}
}

// ApplyReconfig asks the ensemble for the change, and returns when it is in force.
func (s *Session) ApplyReconfig(ctx context.Context, r Reconfig, who Credentials) error {
	servers, statuses := s.statuses(ctx)
	c, asked, err := s.clientOf(ctx, servers, statuses, who)
	if err != nil {
		return err
	}
	_, err = c.reconfigure(proto.ReconfigRequest{Members: strings.Join(r.members, ","), ConfigID: r.version})
	if closed := c.close(); err == nil && closed == nil {
		return nil
	}
	return &problem.Problem{Op: "change the members through", On: asked, Err: err, Do: reconfigRemedy(err)}
}

// reconfigRemedy is what to do about an answer to a reconfig request.
func reconfigRemedy(err error) string {
	var code proto.Code
	if !errors.As(err, &code) {
		return "run the command again: it tells what the list is now"
	}
	switch code {
	case proto.ErrNoAuth:
		return "only who may write " + configNode + " may do it: give the super user's name and password with --auth-file (digest:super:PASSWORD; zoo.cfg has DigestAuthenticationProvider.superDigest)"
	case proto.ErrReconfigDisabled:
		return "set reconfigEnabled: true under config of the inventory and run zkctl install; without it, zkctl install changes the list itself"
	case proto.ErrNewConfigNoQuorum:
		return "too few servers of the new list follow the leader: bring them up first, or change fewer at once"
	case proto.ErrReconfigInProgress, proto.ErrBadVersion:
		return "somebody else changes the list: run the command again"
	case proto.ErrBadArguments:
		return "the servers' log says what is wrong with the list"
	}
	return ""
}
