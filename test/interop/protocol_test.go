package interop

import (
	"bytes"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/test/ensemble"
)

// rawTimeout is the session timeout of raw clients, which send no pings.
const rawTimeout = 20 * time.Second

// An old client's handshake has no flag for read-only, and neither has the
// answer; a newer one's has both. Operations are those of 3.4.
func TestOldClient(t *testing.T) {
	e := ensemble.Start(t, options(1))
	r := dialRaw(t, e.Addr(1))
	hello := oldHandshake(0, 10_000, 0, make([]byte, 16))
	if len(hello) != 44 {
		t.Fatalf("the handshake has %d bytes", len(hello))
	}
	r.write(hello)
	if err := r.readHandshake(); err != nil || r.session == 0 || r.timeout != 10_000 || len(r.password) != 16 {
		t.Fatalf("session 0x%x, timeout %d, password % x, %v", r.session, r.timeout, r.password, err)
	}
	sameBytes(t, "rest of an old client's answer", r.readOnly, nil)

	newer := dialRaw(t, e.Addr(1))
	newer.write(append(hello, 0))
	if err := newer.readHandshake(); err != nil {
		t.Fatal(err)
	}
	sameBytes(t, "rest of a newer client's answer", newer.readOnly, []byte{0})

	created := r.call(1, proto.OpCreate, createBody("/old", []byte("x"), 0))
	sameBytes(t, "answer to create", created.body, jute.AppendString(nil, "/old"))
	got := r.call(2, proto.OpGetData, pathWatch("/old", false))
	if string(dataOf(got)) != "x" || len(got.body) != 4+1+68 {
		t.Errorf("answer to getData: % x", got.body)
	}
	set := r.call(3, proto.OpSetData, setBody("/old", []byte("yy")))
	if len(set.body) != 68 || set.Zxid != created.Zxid+1 {
		t.Errorf("answer to setData: zxid 0x%x after 0x%x, % x", set.Zxid, created.Zxid, set.body)
	}
	children := r.call(4, proto.OpGetChildren, pathWatch("/old", false))
	sameBytes(t, "answer to getChildren", children.body, jute.AppendInt(nil, 0))
	r.send(proto.XidPing, proto.OpPing, nil)
	if a := r.receive(); a.Xid != proto.XidPing || len(a.body) != 0 || a.Zxid != set.Zxid {
		t.Errorf("answer to ping: %+v", a)
	}
	r.call(5, proto.OpDelete, jute.AppendInt(jute.AppendString(nil, "/old"), 1))
	r.send(6, proto.OpExists, pathWatch("/old", false))
	if a := r.receive(); a.Err != proto.ErrNoNode || len(a.body) != 0 {
		t.Errorf("answer to exists: %+v", a)
	}
	r.call(7, proto.OpCloseSession, nil)
	r.wantClosed("after closeSession")
}

// A silent session ends within its timeout and a tick, and not before.
func TestSessionExpires(t *testing.T) {
	both(t, func(t *testing.T, e *ensemble.Ensemble) {
		sid := e.Len()
		if sid > 1 {
			sid = e.Follower()
		}
		const timeout = 2 * time.Second
		watcher := dial(t, e.Addr(1))
		r := openRaw(t, e.Addr(sid), timeout)
		if r.timeout != int32(timeout.Milliseconds()) {
			t.Fatalf("timeout %d ms", r.timeout)
		}
		last := time.Now() // before its last request leaves
		r.call(1, proto.OpCreate, createBody("/e", nil, ephemeralFlag))
		heard := time.Now()
		watcher.sync()
		_, _, gone, err := watcher.ExistsW("/e")
		wantErr(t, "ExistsW", err, nil)
		_ = r.conn.Close() // without closeSession
		<-gone
		after := time.Since(last)
		t.Logf("expired %v after the last request; timeout %v, tick %v", after, timeout, ensemble.TickTime)
		if after < timeout {
			t.Errorf("expired %v after the last request, before its timeout of %v", after, timeout)
		}
		const slack = 3 * time.Second // of a busy machine
		if late := time.Since(heard); late > timeout+2*ensemble.TickTime+slack {
			t.Errorf("expired %v after the last answer; the timeout is %v", late, timeout)
		}
		again := dialRaw(t, e.Addr(1))
		again.write(oldHandshake(0, 5000, r.session, r.password))
		if err := again.readHandshake(); err != nil || again.session != 0 || again.timeout != 0 {
			t.Errorf("an expired session was taken up: 0x%x, %d ms, %v", again.session, again.timeout, err)
		}
	})
}

func TestHandshakeRefused(t *testing.T) {
	both(t, func(t *testing.T, e *ensemble.Ensemble) {
		owner := openRaw(t, e.Addr(1), rawTimeout)
		thief := dialRaw(t, e.Addr(e.Len()))
		thief.write(oldHandshake(0, 10_000, owner.session, bytes.Repeat([]byte{7}, 16)))
		if err := thief.readHandshake(); err != nil || thief.session != 0 || thief.timeout != 0 {
			t.Errorf("with a wrong password: session 0x%x, %d ms, %v", thief.session, thief.timeout, err)
		}
		thief.wantClosed("after a wrong password")
		back := dialRaw(t, e.Addr(1))
		back.write(oldHandshake(0, 10_000, owner.session, owner.password))
		if err := back.readHandshake(); err != nil || back.session != owner.session {
			t.Errorf("with the right password: session 0x%x, want 0x%x, %v", back.session, owner.session, err)
		}

		ahead := dialRaw(t, e.Addr(1))
		ahead.write(oldHandshake(1<<50, 10_000, 0, make([]byte, 16)))
		ahead.wantClosed("a client that has seen more than the server")
		for name, bytes := range map[string][]byte{
			"half a handshake": make([]byte, 20),
			"an empty frame":   nil,
		} {
			bad := dialRaw(t, e.Addr(1))
			bad.write(bytes)
			bad.wantClosed(name)
		}
	})
}

// Requests sent without waiting are answered in order, each as if those before
// it had been waited for.
func TestPipelinedInOrder(t *testing.T) {
	both(t, func(t *testing.T, e *ensemble.Ensemble) {
		for sid := 1; sid <= e.Len(); sid++ {
			r := openRaw(t, e.Addr(sid), rawTimeout)
			path := "/p" + strconv.Itoa(sid)
			r.call(1, proto.OpCreate, createBody(path, nil, 0))
			const rounds = 200
			go func() {
				xid := int32(2)
				for i := range rounds {
					for _, q := range []struct {
						op   proto.Op
						body []byte
					}{
						{proto.OpSetData, setBody(path, numbered(i))},
						{proto.OpGetData, pathWatch(path, false)},
						{proto.OpSync, jute.AppendString(nil, path)},
						{proto.OpCreate, createBody(path+"/"+strconv.Itoa(i), nil, 0)},
						{proto.OpGetChildren2, pathWatch(path, false)},
						{proto.OpExists, pathWatch(path+"/none", false)},
					} {
						r.send(xid, q.op, q.body)
						xid++
					}
				}
			}()
			xid := int32(2)
			var zxid int64
			for i := range rounds {
				for step := range 6 {
					a := r.receive()
					if a.Xid != xid {
						t.Fatalf("xid %d answered, want %d", a.Xid, xid)
					}
					if a.Zxid < zxid {
						t.Fatalf("zxid 0x%x after 0x%x", a.Zxid, zxid)
					}
					zxid = a.Zxid
					xid++
					checkStep(t, step, i, a)
				}
			}
		}
	})
}

func checkStep(t *testing.T, step, round int, a answer) {
	t.Helper()
	want := proto.OK
	if step == 5 {
		want = proto.ErrNoNode
	}
	if a.Err != want {
		t.Fatalf("round %d, request %d: %v, want %v", round, step, a.Err, want)
	}
	switch step {
	case 1:
		sameBytes(t, "data just written", dataOf(a), numbered(round))
	case 4:
		if n := jute.NewDecoder(a.body).Int(); int(n) != round+1 {
			t.Fatalf("round %d: %d children", round, n)
		}
	}
}

// An event comes before any answer that shows the change.
func TestEventBeforeAnswer(t *testing.T) {
	both(t, func(t *testing.T, e *ensemble.Ensemble) {
		writer := openRaw(t, e.Addr(1), rawTimeout)
		writer.call(1, proto.OpCreate, createBody("/x", numbered(0), 0))
		for sid := 1; sid <= e.Len(); sid++ {
			reader := openRaw(t, e.Addr(sid), rawTimeout)
			reader.call(1, proto.OpSync, jute.AppendString(nil, "/x"))
			xid := int32(2)
			for i := range 100 {
				was := dataOf(reader.call(xid, proto.OpGetData, pathWatch("/x", true)))
				reader.events = nil
				writer.send(int32(1000*sid+i), proto.OpSetData, setBody("/x", numbered(1000*sid+i)))
				for now := was; bytes.Equal(now, was); {
					xid++
					now = dataOf(reader.call(xid, proto.OpGetData, pathWatch("/x", false)))
				}
				if len(reader.events) != 1 || reader.events[0].Path != "/x" || reader.events[0].Type != proto.EventDataChanged {
					t.Fatalf("server %d, change %d seen, events before it: %+v", sid, i, reader.events)
				}
				writer.receive()
			}
			own := writer
			own.call(int32(1000*sid+500), proto.OpGetData, pathWatch("/x", true))
			own.events = nil
			own.call(int32(1000*sid+501), proto.OpSetData, setBody("/x", numbered(sid)))
			if len(own.events) != 1 {
				t.Errorf("the writer's own watch: %+v before the answer to its write", own.events)
			}
		}
	})
}

// A read behind a sync on any server sees what was acknowledged on another.
func TestSyncSeesAll(t *testing.T) {
	o := options(3)
	o.Observers = 1
	e := ensemble.Start(t, o)
	writer := openRaw(t, e.Addr(e.WaitLeader()), rawTimeout)
	writer.call(1, proto.OpCreate, createBody("/x", nil, 0))
	for sid := 1; sid <= e.Len(); sid++ {
		reader := openRaw(t, e.Addr(sid), rawTimeout)
		for i := range int32(100) {
			writer.call(2+i, proto.OpSetData, setBody("/x", numbered(int(i))))
			reader.send(2*i, proto.OpSync, jute.AppendString(nil, "/x"))
			reader.send(2*i+1, proto.OpGetData, pathWatch("/x", false))
			if a := reader.receive(); a.Xid != 2*i || a.Err != proto.OK {
				t.Fatalf("sync on server %d: %+v", sid, a.ReplyHeader)
			}
			sameBytes(t, "data behind sync", dataOf(reader.receive()), numbered(int(i)))
		}
	}
}

// Nobody sees half a multi.
func TestMultiIsAtomic(t *testing.T) {
	both(t, func(t *testing.T, e *ensemble.Ensemble) {
		writer := openRaw(t, e.Addr(1), rawTimeout)
		writer.call(1, proto.OpCreate, createBody("/x", numbered(0), 0))
		writer.call(2, proto.OpCreate, createBody("/y", numbered(0), 0))
		reader := openRaw(t, e.Addr(e.Len()), rawTimeout)
		reader.call(1, proto.OpSync, jute.AppendString(nil, "/"))
		both := multiHeader(nil, int32(proto.OpGetData), false)
		both = append(both, pathWatch("/x", false)...)
		both = multiHeader(both, int32(proto.OpGetData), false)
		both = append(both, pathWatch("/y", false)...)
		both = multiHeader(both, -1, true)
		const rounds = 300
		go func() {
			for i := 1; i <= rounds; i++ {
				set := multiHeader(nil, int32(proto.OpSetData), false)
				set = append(set, setBody("/x", numbered(i))...)
				set = multiHeader(set, int32(proto.OpSetData), false)
				set = append(set, setBody("/y", numbered(i))...)
				writer.send(int32(10+i), proto.OpMulti, multiHeader(set, -1, true))
			}
		}()
		last := ""
		for xid := int32(2); last != strconv.Itoa(rounds); xid++ {
			d := jute.NewDecoder(reader.call(xid, proto.OpMultiRead, both).body)
			var seen [2]string
			for i := range seen {
				if op, done, code := d.Int(), d.Bool(), d.Int(); op != int32(proto.OpGetData) || done || code != 0 {
					t.Fatalf("part %d: %d %v %d", i, op, done, code)
				}
				seen[i] = string(d.Buffer())
				var stat proto.Stat
				stat.Decode(d)
			}
			if d.Err() != nil || seen[0] != seen[1] {
				t.Fatalf("seen at once: %q and %q (%v)", seen[0], seen[1], d.Err())
			}
			last = seen[0]
		}
		for range rounds {
			writer.receive()
		}
	})
}

// A request of jute.maxbuffer passes, a longer one ends the connection and
// nothing else.
func TestLargestRequest(t *testing.T) {
	both(t, func(t *testing.T, e *ensemble.Ensemble) {
		const maxBuffer = 0xfffff
		r := openRaw(t, e.Addr(e.Len()), rawTimeout)
		r.call(1, proto.OpCreate, createBody("/big", nil, 0))
		overhead := 8 + len(setBody("/big", nil))
		data := bytes.Repeat([]byte("0123456789abcdef"), maxBuffer/16+1)
		fits := data[:maxBuffer-overhead]
		r.call(2, proto.OpSetData, setBody("/big", fits))
		sameBytes(t, "big data", dataOf(r.call(3, proto.OpGetData, pathWatch("/big", false))), fits)
		other := openRaw(t, e.Addr(1), rawTimeout)
		other.call(1, proto.OpSync, jute.AppendString(nil, "/"))
		sameBytes(t, "big data elsewhere", dataOf(other.call(2, proto.OpGetData, pathWatch("/big", false))), fits)

		request := setBody("/big", data[:maxBuffer-overhead+1])
		frame := append(jute.AppendInt(jute.AppendInt(nil, 4), int32(proto.OpSetData)), request...)
		_, _ = r.conn.Write(append(jute.AppendInt(nil, int32(len(frame))), frame...)) // the server may close before it has read all
		r.wantClosed("a request longer than jute.maxbuffer")
		other.call(3, proto.OpSetData, setBody("/big", nil))
	})
}

func TestMaxClientCnxns(t *testing.T) {
	o := options(1)
	o.Config["maxClientCnxns"] = "3"
	e := ensemble.Start(t, o)
	var held []*raw
	for range 3 {
		// Connections of four-letter words, which count as well, may still be ending.
		ensemble.Eventually(t, "a connection", func() bool {
			r := dialRaw(t, e.Addr(1))
			r.write(oldHandshake(0, 20_000, 0, make([]byte, 16)))
			if r.readHandshake() != nil {
				return false
			}
			held = append(held, r)
			return true
		})
	}
	over := dialRaw(t, e.Addr(1))
	over.wantClosed("one connection more than maxClientCnxns")
	_ = held[0].conn.Close()
	ensemble.Eventually(t, "room for another connection", func() bool {
		conn, err := net.Dial("tcp", e.Addr(1))
		if err != nil {
			return false
		}
		defer conn.Close()
		r := &raw{t: t, conn: conn}
		r.write(oldHandshake(0, 20_000, 0, make([]byte, 16)))
		return r.readHandshake() == nil
	})
}
