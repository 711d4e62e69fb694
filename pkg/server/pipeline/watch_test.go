package pipeline

import (
	"slices"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// events reads events up to the reply xid.
func (c *client) events(xid int32) (events []string) {
	c.t.Helper()
	for {
		r := c.next()
		if r.Xid == xid {
			return events
		}
		if r.Xid != proto.XidEvent {
			c.t.Fatalf("reply to %d", r.Xid)
		}
		events = append(events, r.event())
	}
}

// TestWatches lets a client watch its own changes: events come before the
// reply that tells of the change, and once.
func TestWatches(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	c.must(proto.OpCreate, create("/p", 0))
	c.do(proto.OpExists, watched("/p/a", true)) // not there
	c.must(proto.OpGetChildren, watched("/p", true))
	for _, x := range []struct {
		op   proto.Op
		body []byte
		want []string
	}{
		{proto.OpCreate, create("/p/a", 0), []string{"1 /p/a", "4 /p"}},
		{proto.OpSetData, setData("/p/a", "", -1), nil},
		{proto.OpGetData, watched("/p/a", true), nil},
		{proto.OpSetACL, setACL("/p/a", -1, proto.WorldAnyone()...), nil},
		{proto.OpSetData, setData("/p/a", "", -1), []string{"3 /p/a"}},
		{proto.OpGetData, watched("/p/a", true), nil},
		{proto.OpGetChildren, watched("/p/a", true), nil},
		{proto.OpDelete, versioned("/p/a", -1), []string{"2 /p/a"}},
		{proto.OpGetData, watched("/p/a", true), nil}, // fails and leaves nothing
		{proto.OpGetChildren2, watched("/p", true), nil},
		{proto.OpMulti, multi(part(proto.OpCreate, newNode("/p/a")), part(proto.OpDelete, &proto.PathVersion{Path: "/p/a", Version: -1})), []string{"4 /p"}},
		{proto.OpAddWatch, proto.PathMode{Path: "/p", Mode: proto.WatchPersistentRecursive}.Append(nil), nil},
		{proto.OpCreate, create("/p/b", 0), []string{"1 /p/b"}},
		{proto.OpSetData, setData("/p/b", "", -1), []string{"3 /p/b"}},
		{proto.OpDelete, versioned("/p/b", -1), []string{"2 /p/b"}},
		{proto.OpRemoveWatches, proto.PathMode{Path: "/p", Mode: 3}.Append(nil), nil},
		{proto.OpCreate, create("/p/c", 0), nil},
		{proto.OpAddWatch, proto.PathMode{Path: "/p", Mode: proto.WatchPersistent}.Append(nil), nil},
		{proto.OpCreate, create("/p/d", 0), []string{"4 /p"}},
		{proto.OpCreate, create("/p/e", 0), []string{"4 /p"}},
		{proto.OpSetData, setData("/p", "", -1), []string{"3 /p"}},
	} {
		xid := c.send(x.op, x.body)
		if got := c.events(xid); !slices.Equal(got, x.want) {
			t.Errorf("%v: events %v, want %v", x.op, got, x.want)
		}
	}
	for mode, want := range map[int32]proto.Code{1: proto.ErrNoWatcher, 2: proto.ErrNoWatcher, 3: proto.OK, 4: proto.OK, 5: proto.ErrNoWatcher, 6: proto.ErrMarshalling} {
		if r := c.do(proto.OpCheckWatches, proto.PathMode{Path: "/p", Mode: mode}.Append(nil)); r.Err != want {
			t.Errorf("checkWatches %d: %v, want %v", mode, r.Err, want)
		}
	}
	if r := c.do(proto.OpAddWatch, proto.PathMode{Path: "/p", Mode: 2}.Append(nil)); r.Err != proto.ErrMarshalling {
		t.Errorf("addWatch 2: %v", r.Err)
	}
}

// TestSetWatches reconnects and asks what was missed.
func TestSetWatches(t *testing.T) {
	f := leader(t, nil)
	c, other := f.connect(), f.connect()
	for _, path := range []string{"/same", "/changed", "/gone", "/kids", "/kids/a", "/quiet"} {
		c.must(proto.OpCreate, create(path, 0))
	}
	since := f.p.LastZxid()
	c.c.Close()
	other.must(proto.OpSetData, setData("/changed", "", -1))
	other.must(proto.OpDelete, versioned("/gone", -1))
	other.must(proto.OpDelete, versioned("/kids/a", -1))
	other.must(proto.OpCreate, create("/came", 0))
	c = f.reconnect(c)
	watches := proto.SetWatches{
		RelativeZxid: since, Data: []string{"/same", "/changed", "/gone"}, Exist: []string{"/came", "/never"}, Child: []string{"/kids", "/quiet", "/gone"},
		Persistent: []string{"/same"}, PersistentRecursive: []string{"/quiet"},
	}
	if err := c.sendAs(proto.XidSetWatches, proto.OpSetWatches2, watches.Append(nil, proto.OpSetWatches2)); err != nil {
		t.Fatal(err)
	}
	if got, want := c.events(proto.XidSetWatches), []string{"3 /changed", "2 /gone", "1 /came", "4 /kids", "2 /gone"}; !slices.Equal(got, want) {
		t.Errorf("missed %v, want %v", got, want)
	}
	other.must(proto.OpSetData, setData("/same", "", -1))
	other.must(proto.OpSetData, setData("/changed", "", -1)) // told already
	other.must(proto.OpCreate, create("/never", 0))
	other.must(proto.OpCreate, create("/quiet/x", 0))
	other.must(proto.OpSetData, setData("/same", "", -1)) // the persistent one
	xid := c.send(proto.OpPing, nil)
	if got, want := c.events(xid), []string{"3 /same", "1 /never", "1 /quiet/x", "4 /quiet", "3 /same"}; !slices.Equal(got, want) {
		t.Errorf("then %v, want %v", got, want)
	}
}

// TestEventZxid compares with what servers from 3.9 on put into events.
func TestEventZxid(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	c.must(proto.OpCreate, create("/a", 0))
	c.must(proto.OpExists, watched("/a", true))
	xid := c.send(proto.OpSetData, setData("/a", "", -1))
	event, reply := c.next(), c.next()
	if event.Xid != proto.XidEvent || reply.Xid != xid || event.Zxid != reply.stat().Mzxid {
		t.Errorf("event %+v, reply %+v", event.ReplyHeader, reply.ReplyHeader)
	}
}
