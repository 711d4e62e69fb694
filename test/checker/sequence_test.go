package checker

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// ticket is a sequential name that a client was given, and when.
type ticket struct {
	number    int
	call, ret time.Time
}

// entry is a write made by who held the lock: token is the lock znode's czxid, at
// the write's own zxid.
type entry struct{ token, at int64 }

// log is what the clients of TestSequencesAndLocks saw.
type log struct {
	mu      sync.Mutex
	tickets []ticket
	entries []entry
	faults  []string
}

func (l *log) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// wrong is what the clients should not have seen. That they saw nothing is wrong too.
func (l *log) wrong() []string {
	wrong := slices.Concat(l.faults, wrongTickets(l.tickets), wrongEntries(l.entries))
	if len(l.tickets) == 0 {
		wrong = append(wrong, "no client was given a number")
	}
	if len(l.entries) == 0 {
		wrong = append(wrong, "no client wrote under the lock")
	}
	return wrong
}

// takeNumbers creates sequential znodes.
func takeNumbers(ctx context.Context, c *zk.Conn, l *log) {
	for ctx.Err() == nil {
		takeNumber(c, l)
	}
}

func takeNumber(c *zk.Conn, l *log) {
	call := time.Now()
	name, err := c.Create("/numbers/n-", nil, zk.FlagSequence, open)
	if err != nil {
		return
	}
	number, err := strconv.Atoi(strings.TrimPrefix(name, "/numbers/n-"))
	if err != nil {
		l.fault("sequential name %q", name)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tickets = append(l.tickets, ticket{number, call, time.Now()})
}

// takeLock stands in line for a lock, and as its holder writes what it may only
// write then, again and again.
func takeLock(ctx context.Context, c *zk.Conn, l *log) {
	for ctx.Err() == nil {
		name, err := c.Create("/lock/l-", nil, zk.FlagEphemeral|zk.FlagSequence, open)
		if err != nil {
			continue // an ephemeral of unknown fate goes with its session, or is this session's own (see drop)
		}
		if waitTurn(ctx, c, name) {
			write(c, name, l)
		}
		drop(ctx, c)
	}
}

// waitTurn waits until no lock znode is before ours; false when ours is gone or
// unsure.
func waitTurn(ctx context.Context, c *zk.Conn, name string) bool {
	for ctx.Err() == nil {
		names, _, changed, err := c.ChildrenW("/lock")
		if err != nil || !slices.Contains(names, path.Base(name)) {
			return false
		}
		if slices.Min(names) == path.Base(name) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// write writes under the lock, a few times.
func write(c *zk.Conn, name string, l *log) {
	_, stat, err := c.Get(name)
	if err != nil {
		return
	}
	const times = 3
	for range times {
		res, err := c.Multi(
			&zk.CheckVersionRequest{Path: name, Version: 0}, // still ours
			&zk.SetDataRequest{Path: "/guarded", Data: []byte(name), Version: -1},
		)
		if err != nil {
			return
		}
		l.mu.Lock()
		l.entries = append(l.entries, entry{stat.Czxid, res[1].Stat.Mzxid})
		l.mu.Unlock()
	}
}

// drop removes every lock znode of the client's session, those included that it was
// never told of.
func drop(ctx context.Context, c *zk.Conn) {
	for ctx.Err() == nil {
		names, _, err := c.Children("/lock")
		if err != nil {
			continue
		}
		clean := true
		for _, name := range names {
			_, stat, err := c.Get("/lock/" + name)
			if err == nil && stat.EphemeralOwner == c.SessionID() {
				err = c.Delete("/lock/"+name, -1)
			}
			clean = clean && decided(err)
		}
		if clean {
			return
		}
	}
}

// wrongTickets finds names given twice, and those that are not higher than one
// given before they were asked for.
func wrongTickets(tickets []ticket) (wrong []string) {
	byCall := slices.SortedFunc(slices.Values(tickets), func(a, b ticket) int { return a.call.Compare(b.call) })
	byReturn := slices.SortedFunc(slices.Values(tickets), func(a, b ticket) int { return a.ret.Compare(b.ret) })
	given := make(map[int]bool)
	highest, i := -1, 0
	for _, k := range byCall {
		for ; i < len(byReturn) && byReturn[i].ret.Before(k.call); i++ {
			highest = max(highest, byReturn[i].number)
		}
		if k.number <= highest {
			wrong = append(wrong, fmt.Sprintf("number %d given after %d had been", k.number, highest))
		}
		if given[k.number] {
			wrong = append(wrong, fmt.Sprintf("number %d given twice", k.number))
		}
		given[k.number] = true
	}
	return wrong
}

// wrongEntries finds writes of one holder between those of another, or after those
// of a later one.
func wrongEntries(entries []entry) (wrong []string) {
	order := slices.SortedFunc(slices.Values(entries), func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	for i := 1; i < len(order); i++ {
		if a, b := order[i-1], order[i]; b.token < a.token {
			wrong = append(wrong, fmt.Sprintf("at 0x%x lock 0x%x was held, and at 0x%x still 0x%x", a.at, a.token, b.at, b.token))
		}
	}
	return wrong
}

// lost finds numbers that were acknowledged and are not among the names there are.
func lost(names []string, tickets []ticket) (wrong []string) {
	kept := make(map[string]bool, len(names))
	for _, name := range names {
		kept[name] = true
	}
	for _, k := range tickets {
		if name := fmt.Sprintf("n-%010d", k.number); !kept[name] {
			wrong = append(wrong, name+" was acknowledged and is lost")
		}
	}
	return wrong
}

func TestSequencesAndLocks(t *testing.T) {
	e := ensemble.Start(t, ensemble.Options{Servers: 3, Config: map[string]string{"snapCount": "1000"}})
	on := processes{e}
	prepare(t, on, "/numbers", "/lock", "/guarded")
	r := random(t)
	var l log
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	var conns []*zk.Conn
	for id := range 3 {
		for _, work := range []func(context.Context, *zk.Conn, *log){takeNumbers, takeLock} {
			c := connect(t, on, id)
			conns = append(conns, c)
			clients.Go(func() { work(ctx, c, &l) })
		}
	}
	disturb(t, on, r, allFaults(e), *flags.duration)
	stop()
	clients.Wait()
	judgeLog(t, on, &l, conns)
	sameTrees(t, on)
}

// judgeLog judges what clients saw, which now close, and looks whether what was
// acknowledged is still there.
func judgeLog(t *testing.T, on cluster, l *log, conns []*zk.Conn) {
	t.Helper()
	t.Logf("%d numbers, %d writes under the lock", len(l.tickets), len(l.entries))
	for _, wrong := range l.wrong() {
		t.Error(wrong)
	}
	for _, c := range conns {
		c.Close()
	}
	judge := connect(t, on, 0)
	ensemble.Eventually(t, "ephemerals to go with their sessions", func() bool {
		names, _, err := judge.Children("/lock")
		return err == nil && len(names) == 0
	})
	checkKept(t, judge, l.tickets)
}

// checkKept looks for numbers that were acknowledged and are not there.
func checkKept(t *testing.T, c *zk.Conn, tickets []ticket) {
	t.Helper()
	var names []string
	ensemble.Eventually(t, "the numbers to be read", func() bool {
		if barrier(c) != nil {
			return false
		}
		var err error
		names, _, err = c.Children("/numbers")
		return err == nil
	})
	for _, wrong := range lost(names, tickets) {
		t.Error(wrong)
	}
}
