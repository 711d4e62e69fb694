package quorum

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// Config is what a [Peer] starts from. Zero means the default where one is told.
type Config struct {
	Self    zab.Sid  // our sid; it must be one of Members
	Members []Member // the whole ensemble

	Groups  map[zab.Sid]int64 // voter -> group; see zab.Ensemble
	Weights map[zab.Sid]int64 // voter -> weight

	TickTime  time.Duration // at least 10 ms; no default
	InitLimit int           // bound on joining and gathering a quorum, in TickTimes, at least 1; no default
	SyncLimit int           // bound on silence once in sync, in TickTimes, at least 1; no default

	CnxTimeout     time.Duration // bound on one attempt to connect; default 5 s (zookeeper.cnxTimeout)
	ListenOnAllIPs bool          // listen on every address, not only on our own (quorumListenOnAllIPs)
	BindTries      int           // attempts, 1 s apart, to open the election port before Run fails; default 3, negative is no bound

	// Reconfig is nil when the members are these for ever.
	Reconfig *Reconfig

	// Text is the ensemble's configuration as servers send it to each other:
	// "server.N=..." lines and "version=0" (QuorumMaj.java). Default: made from Members.
	Text string

	SASL *SASL // nil: servers do not authenticate to each other
	TLS  *TLS  // nil: neither port knows TLS

	// What the disk holds, see zab.Config.
	Epochs   zab.Epochs
	LastZxid zab.Zxid
	Rejoin   bool
	Window   []zab.Proposal

	WindowCount int     // committed proposals kept for learners that lag; default 500 (zookeeper.commitLogCount)
	WindowBytes int     // bound on the bytes of these; 0 is none
	History     History // reads the log again for learners that lag further; nil: they get a snapshot
	ForceSnap   bool    // every learner gets a snapshot (zookeeper.forceSnapshotSync)
	ReadOnly    bool    // tell the machine to serve reads when no leader is found (readonlymode.enabled)
	MaxPacket   int     // bytes of data in a packet of the quorum port; default 64 MiB
	QueueBytes  int     // what may wait for a learner before it is dropped, and eight times that during its snapshot; default 128 MiB

	Logger  *slog.Logger     // default: none
	Metrics *metrics.Metrics // default: nobody's

	// Timing, mostly for tests. Default in brackets.
	Tick         time.Duration // of zab's clock [20 ms, or TickTime/10 if that is less]
	FinalizeWait time.Duration // how long a winning vote waits for a better one [200 ms]
	NotifyMin    time.Duration // first pause before a vote is repeated [200 ms]
	NotifyMax    time.Duration // the pause doubles up to this [5 s]
	DialRetry    time.Duration // pause between attempts to reach the leader [20 ms; Apache: 100]
	ReadOnlyWait time.Duration // how long a leader is looked for before reads are served [2 s, or TickTime if that is more]
}

// Member is one server of the ensemble. Each address is "host:port"; a server
// with several can be reached by any of them.
type Member struct {
	Sid      zab.Sid
	Quorum   []string // where it listens while it leads
	Election []string
	Observer bool
}

// withDefaults fills in what the caller left zero.
func (c Config) withDefaults() Config {
	c.CnxTimeout = cmp.Or(c.CnxTimeout, 5*time.Second)
	c.BindTries = cmp.Or(c.BindTries, 3)
	c.MaxPacket = cmp.Or(c.MaxPacket, 64<<20)
	c.QueueBytes = cmp.Or(c.QueueBytes, 128<<20)
	c.Tick = cmp.Or(c.Tick, min(20*time.Millisecond, c.TickTime/10))
	c.FinalizeWait = cmp.Or(c.FinalizeWait, 200*time.Millisecond)
	c.NotifyMin = cmp.Or(c.NotifyMin, 200*time.Millisecond)
	c.NotifyMax = cmp.Or(c.NotifyMax, max(5*time.Second, c.NotifyMin))
	c.DialRetry = cmp.Or(c.DialRetry, 20*time.Millisecond)
	c.ReadOnlyWait = cmp.Or(c.ReadOnlyWait, max(2*time.Second, c.TickTime))
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Metrics = metrics.Or(c.Metrics)
	if c.Text == "" {
		c.Text = configText(c.Members)
	}
	return c
}

// validate reports every fault of a Config with defaults but those that zab finds.
func (c Config) validate() error {
	var faults []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	require(c.TickTime >= 10*time.Millisecond, "tickTime %s: at least 10 ms", c.TickTime)
	require(c.InitLimit >= 1, "initLimit %d: at least 1; an ensemble needs it set", c.InitLimit)
	require(c.SyncLimit >= 1, "syncLimit %d: at least 1; an ensemble needs it set", c.SyncLimit)
	require(c.Tick > 0 && c.CnxTimeout > 0 && c.FinalizeWait > 0 && c.NotifyMin > 0 && c.NotifyMax >= c.NotifyMin && c.DialRetry > 0,
		"a timing is negative, or NotifyMax %s below NotifyMin %s", c.NotifyMax, c.NotifyMin)
	require(c.MaxPacket > 0 && c.QueueBytes > 0, "MaxPacket %d, QueueBytes %d: must be positive", c.MaxPacket, c.QueueBytes)
	for _, m := range c.Members {
		require(len(m.Quorum) > 0, "server %d has no quorum address", m.Sid)
		require(len(m.Election) > 0, "server %d has no election address", m.Sid)
		for _, a := range slices.Concat(m.Quorum, m.Election) {
			_, _, err := net.SplitHostPort(a)
			require(err == nil, "server %d: address %q must be host:port", m.Sid, a)
		}
	}
	return errors.Join(faults...)
}

// dialLimit is how long a leader that refuses connections is tried: long enough for
// one that has yet to open its port, and short, since it may have died right after
// it was found and nobody would lead meanwhile.
const dialLimit = time.Second

// initTimeout and syncTimeout are the limits as times.
func (c Config) initTimeout() time.Duration { return time.Duration(c.InitLimit) * c.TickTime }
func (c Config) syncTimeout() time.Duration { return time.Duration(c.SyncLimit) * c.TickTime }

// membership is what the peer starts with.
func (c Config) membership() Membership {
	text, _, err := cutVersion(c.Text)
	if err != nil {
		text = c.Text
	}
	m := Membership{Members: c.Members, Groups: c.Groups, Weights: c.Weights, Text: text}
	if c.Reconfig != nil {
		m.Version = c.Reconfig.Version
	}
	return m
}

// zab is what the state machine is to start from.
func (c Config) zab() zab.Config {
	ticks := func(d time.Duration) int { return max(1, int((d+c.Tick-1)/c.Tick)) }
	members := c.membership().Zab()
	var next *zab.Membership
	if c.Reconfig != nil && c.Reconfig.Next != nil {
		next = c.Reconfig.Next.Zab()
	}
	tickTime := max(2, ticks(c.TickTime))
	return zab.Config{
		Self: c.Self, Ensemble: members.Ensemble,
		Reconfig: c.Reconfig != nil, Version: members.Version, Addresses: members.Addresses, Text: members.Text, Next: next,
		Epochs: c.Epochs, LastZxid: c.LastZxid, Rejoin: c.Rejoin, Window: c.Window,
		WindowCount: c.WindowCount, WindowBytes: c.WindowBytes, FromLog: c.History != nil, ForceSnap: c.ForceSnap,
		FinalizeWait: ticks(c.FinalizeWait), NotifyMin: ticks(c.NotifyMin), NotifyMax: ticks(c.NotifyMax),
		TickTime: tickTime, InitLimit: c.InitLimit * tickTime, SyncLimit: c.SyncLimit * tickTime,
		DialRetry: ticks(c.DialRetry), DialTries: 1 + int(dialLimit/c.DialRetry),
		Jitter: rand.IntN,
	}
}

// configText describes the members as the servers of an ensemble do.
func configText(members []Member) string {
	var b strings.Builder
	for _, m := range members {
		role := "participant"
		if m.Observer {
			role = "observer"
		}
		fmt.Fprintf(&b, "server.%d=%s:%s\n", m.Sid, configAddresses(m), role)
	}
	return b.String() + "version=0"
}

// configAddresses joins a member's addresses: host:quorum:election|...
func configAddresses(m Member) string {
	var triples []string
	for i := range min(len(m.Quorum), len(m.Election)) {
		_, port, err := net.SplitHostPort(m.Election[i])
		if err == nil {
			triples = append(triples, m.Quorum[i]+":"+port)
		}
	}
	return strings.Join(triples, "|")
}
