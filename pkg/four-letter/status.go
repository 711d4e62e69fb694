package fourletter

import (
	"context"
	"errors"
	"time"
)

// State is how far a server got.
type State int

// Unreachable: no usable answer. NotServing: the process answers but has no
// leader. Mute: it answers but may tell neither srvr nor stat, so no more is
// known (3.4 only; later versions always tell srvr). Serving: it answers clients.
const (
	Unreachable State = iota
	NotServing
	Mute
	Serving
)

// String gives the state in words.
func (s State) String() string {
	return [...]string{"unreachable", "not serving", "unknown", "serving"}[s]
}

// Unknown is the value of a figure that a server did not tell, because mntr is
// not in its whitelist or its version does not have it.
const Unknown = -1

// Status is one server's view of itself, gathered with srvr and mntr.
type Status struct {
	Address string // host:port as asked
	State   State
	// Err is why State is not Serving, an [AskError]; otherwise nil.
	Err error
	// MntrErr is why the figures of mntr are Unknown; otherwise nil.
	MntrErr error

	Role        string // leader, follower, observer, standalone or read-only; "" unless Serving
	Version     string // as the server writes it
	ReadOnly    bool
	Zxid        Zxid
	Latency     Latency
	Received    int64
	Sent        int64
	Connections int64
	Outstanding int64
	NodeCount   int64

	// From mntr; Unknown or "" when not told.
	PeerState       string        // "leading - broadcast", from 3.6
	DataSize        int64         // bytes of paths and data in the tree
	Watches         int64         // data and child watches
	Ephemerals      int64         // znodes
	Uptime          time.Duration // from 3.6
	Followers       int64         // of a leader: learners connected, from 3.6 with observers
	SyncedFollowers int64         // of a leader: followers that are up to date
	PendingSyncs    int64         // of a leader
}

// All asks every server for its status, at most parallel at a time; the answers
// come in the order of servers.
func (c Client) All(ctx context.Context, servers []string, parallel int) []Status {
	all := make([]Status, len(servers))
	each(len(servers), parallel, func(i int) { all[i] = c.Status(ctx, servers[i]) })
	return all
}

// Unasked is the status of a server that could not even be asked.
func Unasked(address string, err error) Status {
	return Status{
		Address: WithPort(address), Err: err, DataSize: Unknown, Watches: Unknown, Ephemerals: Unknown, Uptime: Unknown,
		Followers: Unknown, SyncedFollowers: Unknown, PendingSyncs: Unknown,
	}
}

// Status gathers what one server tells of itself: srvr, or stat when only that is
// in the whitelist, and mntr when that is. What went wrong stands in Err.
func (c Client) Status(ctx context.Context, address string) Status {
	s := Status{Address: WithPort(address), DataSize: Unknown, Watches: Unknown, Ephemerals: Unknown, Uptime: Unknown,
		Followers: Unknown, SyncedFollowers: Unknown, PendingSyncs: Unknown}
	srvr, err := c.srvrOrStat(ctx, s.Address)
	if err != nil {
		s.Err = err
		switch {
		case errors.Is(err, ErrNotServing):
			s.State = NotServing
		case errors.Is(err, ErrNotWhitelisted):
			s.State = Mute
		}
		return s
	}
	s.State = Serving
	s.takeSrvr(srvr)
	mntr, err := c.mntr(ctx, s.Address)
	if err != nil {
		s.MntrErr = err
		return s
	}
	s.takeMntr(mntr)
	return s
}

func (c Client) srvrOrStat(ctx context.Context, address string) (SrvrAnswer, error) {
	answer, err := c.Ask(ctx, address, Srvr)
	if err == nil {
		parsed, err := ParseSrvr(answer)
		return parsed, asAskError(Srvr, address, err)
	}
	if !errors.Is(err, ErrNotWhitelisted) {
		return SrvrAnswer{}, err
	}
	answer, statErr := c.Ask(ctx, address, Stat)
	if statErr != nil {
		if errors.Is(statErr, ErrNotWhitelisted) {
			return SrvrAnswer{}, err
		}
		return SrvrAnswer{}, statErr
	}
	parsed, err := ParseStat(answer)
	return parsed.SrvrAnswer, asAskError(Stat, address, err)
}

func (c Client) mntr(ctx context.Context, address string) (MntrAnswer, error) {
	answer, err := c.Ask(ctx, address, Mntr)
	if err != nil {
		return MntrAnswer{}, err
	}
	parsed, err := ParseMntr(answer)
	return parsed, asAskError(Mntr, address, err)
}

func asAskError(word, address string, err error) error {
	if err == nil {
		return nil
	}
	return &AskError{word, address, err, "check that a ZooKeeper server listens there"}
}

func (s *Status) takeSrvr(a SrvrAnswer) {
	s.Role, s.Version, s.ReadOnly, s.Zxid, s.Latency = a.Mode, a.Version, a.ReadOnly, a.Zxid, a.Latency
	s.Received, s.Sent, s.Connections, s.Outstanding, s.NodeCount = a.Received, a.Sent, a.Connections, a.Outstanding, a.NodeCount
}

func (s *Status) takeMntr(a MntrAnswer) {
	s.PeerState, _ = a.Get("peer_state")
	for key, field := range map[string]*int64{
		"approximate_data_size": &s.DataSize, "watch_count": &s.Watches, "ephemerals_count": &s.Ephemerals,
		"synced_followers": &s.SyncedFollowers, "pending_syncs": &s.PendingSyncs,
	} {
		if n, ok := a.Int(key); ok {
			*field = n
		}
	}
	if ms, ok := a.Int("uptime"); ok {
		s.Uptime = time.Duration(ms) * time.Millisecond
	}
	for _, key := range []string{"followers", "learners"} { // 3.4 and 3.5; 3.6 and later
		if n, ok := a.Int(key); ok {
			s.Followers = n
		}
	}
}
