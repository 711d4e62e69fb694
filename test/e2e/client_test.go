package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/testbed"
)

// sessionTimeout of the clients here; the servers take it as it is.
const sessionTimeout = 10 * time.Second

// report is what `zkctl status -o json` tells, as far as it is looked at.
type report struct {
	Verdict string
	Reasons []string
	Leader  *string
	Servers []struct {
		Name, Address, State string
		ID                   int
		Role, Zxid           *string
		Version              *string
	}
}

// status asks the ensemble; the exit status must go with the verdict.
func (w *world) status(t *testing.T, inv string) report {
	t.Helper()
	r := w.zkctl(t, "status", "-i", inv, "-o", "json", "--timeout", "2s")
	var out report
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("status: %v\n%s", err, r.all())
	}
	if want, ok := map[string]int{"healthy": 0, "degraded": 3, "not_serving": 4}[out.Verdict]; !ok || r.code != want {
		t.Errorf("verdict %q with exit status %d", out.Verdict, r.code)
	}
	return out
}

// healthy waits until one server leads and all others follow.
func (w *world) healthy(t *testing.T, inv string) report {
	t.Helper()
	var out report
	eventually(t, "a healthy ensemble", func() error {
		if out = w.status(t, inv); out.Verdict != "healthy" {
			return fmt.Errorf("%s: %s", out.Verdict, strings.Join(out.Reasons, "; "))
		}
		return nil
	})
	return out
}

// leader waits for the ensemble to be healthy and returns its leader's host.
func (w *world) leader(t *testing.T, inv string) *testbed.Host {
	t.Helper()
	return w.host(t, *w.healthy(t, inv).Leader)
}

func (w *world) host(t *testing.T, name string) *testbed.Host {
	t.Helper()
	for _, h := range w.hosts() {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("no host %q", name)
	return nil
}

// others are all hosts but one.
func (w *world) others(h *testbed.Host) []*testbed.Host {
	var out []*testbed.Host
	for _, o := range w.hosts() {
		if o != h {
			out = append(out, o)
		}
	}
	return out
}

// newLeader waits until another host than old leads, as the rest tell.
func (w *world) newLeader(t *testing.T, inv string, old *testbed.Host) *testbed.Host {
	t.Helper()
	var out *testbed.Host
	eventually(t, "a leader besides "+old.Name, func() error {
		r := w.status(t, inv)
		if r.Leader == nil || *r.Leader == old.Name || r.Verdict == "not_serving" {
			return fmt.Errorf("%s: %s", r.Verdict, strings.Join(r.Reasons, "; "))
		}
		out = w.host(t, *r.Leader)
		return nil
	})
	return out
}

// connect makes a client of some hosts' servers, from the controller.
func (w *world) connect(t *testing.T, hosts []*testbed.Host) (*zk.Conn, <-chan zk.Event) {
	t.Helper()
	var servers []string
	for _, h := range hosts {
		servers = append(servers, h.Addr.String()+":2181")
	}
	conn, events, err := zk.Connect(servers, sessionTimeout, zk.WithLogger(w.log), zk.WithDialer(
		func(network, address string, timeout time.Duration) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(context.Background(), min(timeout, 3*time.Second))
			defer cancel()
			return w.tb.Controller().Dial(ctx, network, address)
		}))
	must(t, err)
	t.Cleanup(conn.Close)
	return conn, events
}

// writer is a client that creates one znode after another and keeps account of
// which were acknowledged.
type writer struct {
	w    *world
	conn *zk.Conn
	root string
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	acked   []string
	unknown int           // writes without an answer
	longest time.Duration // between two acknowledgements
	expired bool
}

// startWriter makes a client that writes until it is checked.
func (w *world) startWriter(t *testing.T) *writer {
	t.Helper()
	conn, events := w.connect(t, w.hosts())
	wr := &writer{w: w, conn: conn, root: fmt.Sprintf("/writer-%d", time.Now().UnixNano()), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		for e := range events {
			if e.State == zk.StateExpired {
				wr.mu.Lock()
				wr.expired = true
				wr.mu.Unlock()
			}
		}
	}()
	eventually(t, "a client's first write", func() error {
		_, err := conn.Create(wr.root, nil, 0, zk.WorldACL(zk.PermAll))
		if errors.Is(err, zk.ErrNodeExists) {
			return nil
		}
		return err
	})
	go wr.write()
	t.Cleanup(wr.halt)
	wr.progress(t)
	return wr
}

func (wr *writer) write() {
	defer close(wr.done)
	last := time.Now()
	for n := 0; ; n++ {
		select {
		case <-wr.stop:
			return
		default:
		}
		name := fmt.Sprintf("%s/n%08d", wr.root, n)
		_, err := wr.conn.Create(name, []byte(name), 0, zk.WorldACL(zk.PermAll))
		wr.mu.Lock()
		if err == nil {
			wr.acked = append(wr.acked, name)
			wr.longest, last = max(wr.longest, time.Since(last)), time.Now()
		} else {
			wr.unknown++
		}
		wr.mu.Unlock()
	}
}

func (wr *writer) halt() {
	select {
	case <-wr.stop:
	default:
		close(wr.stop)
	}
	<-wr.done
}

func (wr *writer) count() int {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	return len(wr.acked)
}

// progress waits until some more writes are acknowledged.
func (wr *writer) progress(t *testing.T) {
	t.Helper()
	before := wr.count()
	eventually(t, "progress of the writing client", func() error {
		if n := wr.count(); n < before+20 {
			return fmt.Errorf("%d writes acknowledged before and %d now", before, n)
		}
		return nil
	})
}

// check stops writing and asks every server for every acknowledged write.
func (wr *writer) check(t *testing.T, inv string) {
	t.Helper()
	wr.halt()
	wr.w.healthy(t, inv)
	wr.mu.Lock()
	defer wr.mu.Unlock()
	t.Logf("%d writes acknowledged, %d without answer, longest gap %v", len(wr.acked), wr.unknown, wr.longest.Round(time.Millisecond))
	if wr.expired {
		t.Error("the client lost its session")
	}
	for _, h := range wr.w.hosts() {
		conn, _ := wr.w.connect(t, []*testbed.Host{h})
		have := children(t, conn, wr.root)
		lost := 0
		for _, name := range wr.acked {
			if !have[name] {
				lost++
				if lost <= 3 {
					t.Errorf("%s: the acknowledged write %s is lost", h.Name, name)
				}
			}
		}
		if max := len(wr.acked) + wr.unknown; len(have) > max {
			t.Errorf("%s: %d znodes after at most %d writes", h.Name, len(have), max)
		}
		conn.Close()
	}
}

// children lists what a server has below a path, after it caught up.
func children(t *testing.T, conn *zk.Conn, root string) map[string]bool {
	t.Helper()
	have := make(map[string]bool)
	eventually(t, "the children of "+root, func() error {
		if _, err := conn.Sync(root); err != nil {
			return err
		}
		names, _, err := conn.Children(root)
		for _, name := range names {
			have[root+"/"+name] = true
		}
		return err
	})
	return have
}
