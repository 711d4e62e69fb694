package interop

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/test/ensemble"
)

// What programs are known to do with ZooKeeper beyond what a client's own tests
// do. Each test runs against Apache's server as well, or it would tell what we
// believe rather than what they rely on.

// everywhere runs a test against one server of ours, three of ours, and Apache's.
func everywhere(t *testing.T, p program, test func(t *testing.T, e *ensemble.Ensemble)) {
	for _, of := range []struct {
		name    string
		servers int
		kind    func(testing.TB) ensemble.Launcher
	}{{"standalone", 1, ensemble.Zkctl}, {"ensemble", 3, ensemble.Zkctl}, {"apache", 1, ensemble.Java}} {
		t.Run(of.name, func(t *testing.T) {
			o := options(of.servers)
			o.Launch = p.launch(of.kind(t))
			test(t, ensemble.Start(t, o))
		})
	}
}

// An op is one of a multi.
type op struct {
	op   proto.Op
	body []byte
}

func multiBody(ops ...op) []byte {
	var b []byte
	for _, o := range ops {
		b = append(multiHeader(b, int32(o.op), false), o.body...)
	}
	return multiHeader(b, -1, true)
}

func checkBody(path string, version int32) []byte {
	return jute.AppendInt(jute.AppendString(nil, path), version)
}

// multiErrors reads the answer to a multi that failed: each op's code.
func multiErrors(t *testing.T, a answer) []proto.Code {
	t.Helper()
	var codes []proto.Code
	for d := jute.NewDecoder(a.body); ; {
		kind, done, code := d.Int(), d.Bool(), d.Int()
		if done || d.Err() != nil {
			if d.Err() != nil || len(d.Rest()) != 0 {
				t.Errorf("answer to a multi: %v, % x left", d.Err(), d.Rest())
			}
			return codes
		}
		if kind != -1 || d.Int() != code {
			t.Fatalf("part %d of a failed multi is of kind %d", len(codes), kind)
		}
		codes = append(codes, proto.Code(code))
	}
}

// ClickHouse registers a part with hundreds of ops in one multi, guarded by
// checks, and takes one that fails apart by its index. It asks for /keeper to know
// whom it talks to.
func TestUsageClickHouse(t *testing.T) {
	everywhere(t, program{}, func(t *testing.T, e *ensemble.Ensemble) {
		r := openRaw(t, e.Addr(e.Len()), rawTimeout)
		r.send(1, proto.OpGetData, pathWatch("/keeper/api_version", false))
		if a := r.receive(); a.Err != proto.ErrNoNode || len(a.body) != 0 {
			t.Errorf("/keeper/api_version: %+v", a)
		}
		r.call(2, proto.OpCreate, createBody("/table", nil, 0))
		const blocks = 250
		ops := []op{{proto.OpCheck, checkBody("/table", 0)}}
		for i := range blocks {
			path := "/table/" + strconv.Itoa(i)
			ops = append(ops, op{proto.OpCreate, createBody(path, numbered(i), 0)}, op{proto.OpSetData, setBody(path, numbered(i+1))})
		}
		made := r.call(3, proto.OpMulti, multiBody(ops...))
		after := r.call(4, proto.OpGetChildren2, pathWatch("/table", false))
		if n := jute.NewDecoder(after.body).Int(); n != blocks || after.Zxid != made.Zxid {
			t.Errorf("%d children at 0x%x, after a multi at 0x%x", n, after.Zxid, made.Zxid)
		}

		const at = 301 // the first block made a second time
		ops = ops[:1]
		for i := range at - 1 {
			ops = append(ops, op{proto.OpDelete, checkBody("/table/"+strconv.Itoa(i%blocks), -1)})
			if i >= blocks {
				ops[len(ops)-1] = op{proto.OpCreate, createBody(fmt.Sprint("/table/new-", i), nil, 0)}
			}
		}
		ops = append(ops, op{proto.OpCreate, createBody("/table/new-"+strconv.Itoa(blocks), nil, 0)}, op{proto.OpDelete, checkBody("/table", -1)})
		failed := r.call(5, proto.OpMulti, multiBody(ops...)) // the header tells of no error
		codes := multiErrors(t, failed)
		want := slices.Repeat([]proto.Code{proto.OK}, at)
		want = append(want, proto.ErrNodeExists, proto.ErrRuntimeInconsistency)
		if !slices.Equal(codes, want) {
			t.Errorf("a multi that fails at %d: %d codes, which end with %v", at, len(codes), codes[max(0, len(codes)-4):])
		}
		again := r.call(6, proto.OpGetChildren2, pathWatch("/table", false))
		sameBytes(t, "children after the multi that failed", again.body, after.body)
	})
}

// ClickHouse reads hundreds of znodes at once, some of which are gone.
func TestUsageBatchedReads(t *testing.T) {
	everywhere(t, program{}, func(t *testing.T, e *ensemble.Ensemble) {
		r := openRaw(t, e.Addr(e.Len()), rawTimeout)
		r.call(1, proto.OpCreate, createBody("/x", []byte("data"), 0))
		var ops []op
		for i := range 300 {
			ops = append(ops, op{proto.OpGetData, pathWatch([]string{"/x", "/none"}[i%2], false)})
		}
		d := jute.NewDecoder(r.call(2, proto.OpMultiRead, multiBody(ops...)).body)
		for i := range ops {
			kind, done, code := d.Int(), d.Bool(), d.Int()
			if i%2 == 1 {
				if kind != -1 || done || proto.Code(code) != proto.ErrNoNode || d.Int() != code {
					t.Fatalf("read %d: %d %v %d", i, kind, done, code)
				}
				continue
			}
			if data := string(d.Buffer()); kind != int32(proto.OpGetData) || done || code != 0 || data != "data" {
				t.Fatalf("read %d: %d %v %d %q", i, kind, done, code, data)
			}
			var stat proto.Stat
			stat.Decode(d)
		}
	})
}

// HBase removes a tree below a znode in one multi, children first.
func TestUsageDeleteTree(t *testing.T) {
	everywhere(t, program{}, func(t *testing.T, e *ensemble.Ensemble) {
		r := openRaw(t, e.Addr(e.Len()), rawTimeout)
		paths := []string{"/hbase"}
		for i := range 40 {
			dir := "/hbase/" + strconv.Itoa(i)
			paths = append(paths, dir)
			for j := range 25 {
				paths = append(paths, dir+"/"+strconv.Itoa(j))
			}
		}
		var create, remove []op
		for _, path := range paths {
			create = append(create, op{proto.OpCreate, createBody(path, nil, 0)})
			remove = append(remove, op{proto.OpDelete, checkBody(path, -1)})
		}
		r.call(1, proto.OpMulti, multiBody(create...))
		r.call(2, proto.OpExists, pathWatch("/hbase/39", true))
		r.call(3, proto.OpGetChildren, pathWatch("/hbase", true))
		slices.Reverse(remove)
		r.events = nil
		r.call(4, proto.OpMulti, multiBody(remove...))
		want := []proto.WatcherEvent{
			{Type: proto.EventDeleted, State: proto.StateSyncConnected, Path: "/hbase/39"},
			{Type: proto.EventChildrenChanged, State: proto.StateSyncConnected, Path: "/hbase"},
		}
		if !slices.Equal(r.events, want) {
			t.Errorf("events of a tree that goes: %+v, want %+v", r.events, want)
		}
		r.send(5, proto.OpExists, pathWatch("/hbase", false))
		if a := r.receive(); a.Err != proto.ErrNoNode {
			t.Errorf("/hbase is there: %v", a.Err)
		}
	})
}

// A client may write the handshake and what follows it at once; and Kafka sends
// what it has to watch, and dozens of requests, without waiting for an answer.
func TestUsagePipelinedHandshake(t *testing.T) {
	everywhere(t, program{}, func(t *testing.T, e *ensemble.Ensemble) {
		for sid := 1; sid <= e.Len(); sid++ {
			r := dialRaw(t, e.Addr(sid))
			frame := func(b, payload []byte) []byte { return append(jute.AppendInt(b, int32(len(payload))), payload...) }
			request := func(xid int32, op proto.Op, body []byte) []byte {
				return append(jute.AppendInt(jute.AppendInt(nil, xid), int32(op)), body...)
			}
			path := "/kafka" + strconv.Itoa(sid)
			all := frame(nil, append(oldHandshake(0, 20_000, 0, make([]byte, 16)), 0))
			auth := jute.AppendBuffer(jute.AppendString(jute.AppendInt(nil, 0), "digest"), []byte("user:secret"))
			all = frame(all, request(proto.XidAuth, proto.OpAuth, auth))
			all = frame(all, request(1, proto.OpCreate, createBody(path, nil, 0)))
			const requests = 60
			for i := range int32(requests) {
				all = frame(all, request(2+i, proto.OpGetData, pathWatch(path, i == 0)))
			}
			all = frame(all, request(100, proto.OpSetData, setBody(path, []byte("x"))))
			if _, err := r.conn.Write(all); err != nil {
				t.Fatal(err)
			}
			if err := r.readHandshake(); err != nil || r.session == 0 {
				t.Fatalf("session 0x%x, %v", r.session, err)
			}
			want := []int32{proto.XidAuth, 1}
			for i := range int32(requests) {
				want = append(want, 2+i)
			}
			var got []int32
			for range len(want) + 1 {
				a := r.receive()
				if a.Err != proto.OK {
					t.Errorf("server %d, xid %d: %v", sid, a.Xid, a.Err)
				}
				got = append(got, a.Xid)
			}
			if !slices.Equal(got, append(want, 100)) || len(r.events) != 1 {
				t.Errorf("server %d: answers to %v, events %+v", sid, got, r.events)
			}
		}
	})
}

// Patroni changes its session's timeout by connecting again with another one.
func TestUsageSessionTimeoutChanged(t *testing.T) {
	everywhere(t, program{}, func(t *testing.T, e *ensemble.Ensemble) {
		first := openRaw(t, e.Addr(1), time.Second)
		first.call(1, proto.OpCreate, createBody("/leader", nil, ephemeralFlag))
		again := dialRaw(t, e.Addr(e.Len()))
		const longer = 20_000
		again.write(oldHandshake(0, longer, first.session, first.password))
		if err := again.readHandshake(); err != nil || again.session != first.session || again.timeout != longer {
			t.Fatalf("session 0x%x of 0x%x, timeout %d, %v", again.session, first.session, again.timeout, err)
		}
		// Another session of the first one's timeout ends: the longer one is heeded.
		short := openRaw(t, e.Addr(1), time.Second)
		short.call(1, proto.OpCreate, createBody("/short", nil, ephemeralFlag))
		short.call(2, proto.OpSync, jute.AppendString(nil, "/"))
		watcher := openRaw(t, e.Addr(1), rawTimeout)
		watcher.call(1, proto.OpExists, pathWatch("/short", true))
		_ = short.conn.Close()
		if frame, err := watcher.read(); err != nil || !bytes.Contains(frame, []byte("/short")) {
			t.Fatalf("want the event of an ephemeral that goes: % x, %v", frame, err)
		}
		again.call(1, proto.OpExists, pathWatch("/leader", false))

		shorter := dialRaw(t, e.Addr(1))
		shorter.write(oldHandshake(0, 1000, first.session, first.password))
		if err := shorter.readHandshake(); err != nil || shorter.session != first.session || shorter.timeout != 1000 {
			t.Fatalf("session 0x%x of 0x%x, timeout %d, %v", shorter.session, first.session, shorter.timeout, err)
		}
		watcher.send(2, proto.OpExists, pathWatch("/leader", true))
		if a := watcher.receive(); a.Err == proto.ErrNoNode {
			return // it was faster
		}
		began := time.Now()
		_ = shorter.conn.Close()
		if frame, err := watcher.read(); err != nil || !bytes.Contains(frame, []byte("/leader")) {
			t.Fatalf("want the event of the leader that goes: % x, %v", frame, err)
		}
		if took := time.Since(began); took > longer*time.Millisecond/2 {
			t.Errorf("a session whose timeout became 1 s ended after %v", took)
		}
	})
}

// Of many who race for Patroni's leader key one has it; the others are told so.
func TestUsageLeaderRace(t *testing.T) {
	everywhere(t, program{}, func(t *testing.T, e *ensemble.Ensemble) {
		const racers = 20
		clients := make([]*raw, racers)
		for i := range clients {
			clients[i] = openRaw(t, e.Addr(i%e.Len()+1), 10*time.Second)
		}
		for round := range 20 {
			path := "/leader-" + strconv.Itoa(round)
			var won, told int
			var mu sync.Mutex
			var all sync.WaitGroup
			for i, c := range clients {
				c.send(int32(2*round+1), proto.OpCreate, createBody(path, numbered(i), ephemeralFlag))
				all.Go(func() {
					a := c.receive()
					mu.Lock()
					defer mu.Unlock()
					switch a.Err {
					case proto.OK:
						won++
					case proto.ErrNodeExists:
						told++
					}
				})
			}
			all.Wait()
			if won != 1 || told != racers-1 {
				t.Fatalf("round %d: %d lead, %d know that another does", round, won, told)
			}
		}
	})
}

// Solr keeps several megabytes in a znode, with jute.maxbuffer raised; they have
// to pass between the servers and through a restart.
func TestUsageLargeState(t *testing.T) {
	p := program{system: []string{"jute.maxbuffer=5000000"}}
	everywhere(t, p, func(t *testing.T, e *ensemble.Ensemble) {
		state := bytes.Repeat([]byte("0123456789abcdef"), 250_000)
		r := openRaw(t, e.Addr(1), rawTimeout)
		r.call(1, proto.OpCreate, createBody("/clusterstate.json", nil, 0))
		r.call(2, proto.OpSetData, setBody("/clusterstate.json", state))
		for i := range int32(3000) {
			r.send(3+i, proto.OpCreate, createBody(fmt.Sprintf("/%0500d", i), nil, 0))
		}
		for range 3000 {
			if a := r.receive(); a.Err != proto.OK {
				t.Fatalf("xid %d: %v", a.Xid, a.Err)
			}
		}
		roll(e)()
		for sid := 1; sid <= e.Len(); sid++ {
			c := openRaw(t, e.Addr(sid), rawTimeout)
			c.call(1, proto.OpSync, jute.AppendString(nil, "/"))
			sameBytes(t, "large state", dataOf(c.call(2, proto.OpGetData, pathWatch("/clusterstate.json", false))), state)
			children := c.call(3, proto.OpGetChildren, pathWatch("/", false))
			if n := jute.NewDecoder(children.body).Int(); n < 3000 || len(children.body) < 1_500_000 {
				t.Errorf("server %d lists %d children in %d bytes", sid, n, len(children.body))
			}
		}
	})
}
