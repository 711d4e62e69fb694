package interop

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A ring is a HostProvider that goes round all servers, from the first on, while it
// is not held.
type ring struct {
	addresses []string
	next      atomic.Int64
	held      atomic.Bool
}

// nowhere is an address where nobody listens.
const nowhere = "127.0.0.1:1"

func (r *ring) Init([]string) error { return nil }
func (r *ring) Len() int            { return len(r.addresses) }
func (r *ring) Connected()          {}
func (r *ring) Next() (string, bool) {
	<-time.After(pace)
	if r.held.Load() {
		return nowhere, false
	}
	return r.addresses[int(r.next.Add(1)-1)%len(r.addresses)], false
}

// beat is the pause between two writes of a writer, so that what a test writes
// depends little on the machine, and its end can be read in a moment.
const beat = 10 * time.Millisecond

// writers write all the time, wherever there is a server, and know exactly what
// has to be there: whether a write was done whose connection broke is found out.
type writers struct {
	all   []*writer
	count atomic.Int64 // writes acknowledged
	rest  sync.RWMutex // held for reading while somebody writes
	stop  chan struct{}
	gone  chan struct{} // the test is over, and with it its servers
	done  sync.WaitGroup
}

// A writer is one client of [writers], in a directory of its own.
type writer struct {
	c       *zk.Conn
	ring    *ring
	wire    *wire
	dir     string
	session int64
	want    map[string]string // data by path
	lost    int               // writes whose connection broke
	fault   error             // what ended it too early
	gone    chan struct{}     // see writers
}

// startWriters starts one writer a server.
func startWriters(t *testing.T, e *ensemble.Ensemble) *writers {
	t.Helper()
	ws := &writers{stop: make(chan struct{}), gone: make(chan struct{})}
	t.Cleanup(func() { close(ws.gone) })
	for sid := 1; sid <= e.Len(); sid++ {
		r := &ring{addresses: append(e.Addrs()[sid-1:], e.Addrs()[:sid-1]...)}
		wire := new(wire)
		c := dialRing(t, r, wire)
		w := &writer{c: c.Conn, ring: r, wire: wire, dir: fmt.Sprintf("/writer-%d", sid), session: c.SessionID(), want: make(map[string]string), gone: ws.gone}
		c.create(w.dir, "", 0)
		c.create(w.dir+"/tally", "", 0)
		ws.all = append(ws.all, w)
		ws.done.Go(func() { ws.run(w) })
	}
	return ws
}

func dialRing(t *testing.T, r *ring, w *wire) *goClient {
	t.Helper()
	conn, events, err := zk.Connect(r.addresses, sessionTimeout, zk.WithHostProvider(r), zk.WithDialer(w.dial), zk.WithLogger(silent{}), zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range events { // nobody waits for them
		}
	}()
	t.Cleanup(conn.Close)
	c := &goClient{Conn: conn, t: t}
	c.waitSession()
	return c
}

func (ws *writers) run(w *writer) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for n := 0; w.fault == nil; n++ {
		select {
		case <-ws.stop:
			return
		case <-ws.gone:
			return
		case <-tick.C:
			ws.rest.RLock()
			w.fault = w.write(n)
			ws.rest.RUnlock()
			ws.count.Add(1)
		}
	}
}

// write does the nth write: creates, ephemerals, sets, multis and deletes in turn.
func (w *writer) write(n int) error {
	path := func(n int) string { return fmt.Sprintf("%s/%d", w.dir, n) }
	create := zk.CreateRequest{Path: path(n), Data: []byte(path(n)), Acl: open}
	switch n % 5 {
	case 0, 1:
		flags := int32(n%5) * zk.FlagEphemeral
		w.want[path(n)] = path(n)
		return w.do("create", zk.ErrNodeExists, func() error {
			_, err := w.c.Create(create.Path, create.Data, flags, open)
			return err
		})
	case 2:
		w.want[path(n-2)] = "set"
		return w.do("set", nil, func() error {
			_, err := w.c.Set(path(n-2), []byte("set"), -1)
			return err
		})
	case 3:
		w.want[path(n)], w.want[w.dir+"/tally"] = path(n), fmt.Sprint(n)
		return w.do("multi", zk.ErrNodeExists, func() error {
			_, err := w.c.Multi(&create, &zk.SetDataRequest{Path: w.dir + "/tally", Data: fmt.Append(nil, n), Version: -1})
			return err
		})
	default:
		delete(w.want, path(n-1))
		return w.do("delete", zk.ErrNoNode, func() error { return w.c.Delete(path(n-1), -1) })
	}
}

// do repeats a write until it is known to be done: done is what the server says
// when it was, although its connection broke.
func (w *writer) do(what string, done error, write func() error) error {
	for again := false; ; again = true {
		select {
		case <-w.gone:
			return errors.New("the test has ended")
		default:
		}
		err := write()
		var broken *net.OpError // of a connection that ended while go-zk wrote to it
		switch {
		case err == nil, again && errors.Is(err, done):
			return nil
		case errors.Is(err, zk.ErrConnectionClosed), errors.Is(err, zk.ErrNoServer), errors.As(err, &broken):
			w.lost++
		default:
			return fmt.Errorf("%s in %s: %w", what, w.dir, err)
		}
	}
}

// wait returns when so many more writes have been acknowledged.
func (ws *writers) wait(t *testing.T, more int64) {
	t.Helper()
	goal := ws.count.Load() + more
	ensemble.Eventually(t, fmt.Sprint(more, " writes"), func() bool { return ws.count.Load() >= goal })
}

// hold keeps the writers from connecting, or lets them again.
func (ws *writers) hold(held bool) {
	for _, w := range ws.all {
		w.ring.held.Store(held)
	}
}

// leave breaks the connections to a server, which may be paused and keep them.
func (ws *writers) leave(address string) {
	for _, w := range ws.all {
		if w.c.Server() == address {
			w.wire.cut()
		}
	}
}

// home sends every writer back to the server it began with.
func (ws *writers) home() {
	for _, w := range ws.all {
		if w.c.Server() != w.ring.addresses[0] {
			w.ring.next.Store(0)
			w.wire.cut()
		}
	}
}

// end stops the writers; none may have seen more than a broken connection.
func (ws *writers) end(t *testing.T) {
	t.Helper()
	close(ws.stop)
	ws.done.Wait()
	for _, w := range ws.all {
		if w.fault != nil {
			t.Error(w.fault)
		}
		if w.c.SessionID() != w.session {
			t.Errorf("the session 0x%x of %s became 0x%x", w.session, w.dir, w.c.SessionID())
		}
		t.Logf("%s: %d znodes, %d times the connection broke", w.dir, len(w.want), w.lost)
	}
}

// check compares what is on a server with what has to be.
func (ws *writers) check(t *testing.T, tree map[string]znode) {
	t.Helper()
	for _, w := range ws.all {
		found := make(map[string]string)
		for path, z := range tree {
			if len(path) > len(w.dir) && path[:len(w.dir)+1] == w.dir+"/" {
				found[path] = z.data
			}
			if z.stat.EphemeralOwner != 0 && found[path] != "" && z.stat.EphemeralOwner != w.session {
				t.Errorf("%s belongs to 0x%x, not to the session 0x%x", path, z.stat.EphemeralOwner, w.session)
			}
		}
		if maps.Equal(found, w.want) {
			continue
		}
		for _, path := range slices.Sorted(maps.Keys(w.want)) {
			if data, ok := found[path]; !ok || data != w.want[path] {
				t.Errorf("%s is lost or old: %q (there: %t), acknowledged %q", path, data, ok, w.want[path])
			}
		}
		for path := range found {
			if _, ok := w.want[path]; !ok {
				t.Errorf("%s is there, and was never created or was deleted", path)
			}
		}
	}
}
