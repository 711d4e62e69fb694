package proto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/jute"
)

func ExampleRequestHeader() {
	b := PathWatch{Path: "/a", Watch: true}.Append(RequestHeader{Xid: 1, Op: OpGetData}.Append(nil))
	fmt.Printf("%x\n", b)
	// Output: 0000000100000004000000022f6101
}

// TestVectors compares with bytes that Apache's servers and clients sent.
func TestVectors(t *testing.T) {
	pw, _ := hex.DecodeString("4f8d0c9f3056b692459e5205f9a99dd1")
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"connect response", ConnectResponse{Timeout: 6000, SessionID: 0x010000164ef30000, Password: pw, HasReadOnly: true}.Append(nil),
			"00000000 00001770 010000164ef30000 00000010 4f8d0c9f3056b692459e5205f9a99dd1 00"},
		{"ping reply", ReplyHeader{Xid: XidPing, Zxid: 5}.Append(nil), "fffffffe 0000000000000005 00000000"},
		{"event", WatcherEvent{Type: EventDataChanged, State: StateSyncConnected, Path: "/a"}.Append(ReplyHeader{Xid: XidEvent, Zxid: -1}.Append(nil)),
			"ffffffff ffffffffffffffff 00000000 00000003 00000003 00000002 2f61"},
		{"unknown op", ReplyHeader{Xid: 1, Zxid: -1, Err: ErrUnimplemented}.Append(nil), "00000001 ffffffffffffffff fffffffa"},
		{"end of multi", AppendMultiHeader(nil, -1, true, -1), "ffffffff 01 ffffffff"},
	} {
		if want := strings.ReplaceAll(c.want, " ", ""); hex.EncodeToString(c.got) != want {
			t.Errorf("%s: %x, want %s", c.name, c.got, want)
		}
	}
}

func TestConnectForms(t *testing.T) {
	for _, r := range []ConnectRequest{
		{Timeout: 6000, Password: make([]byte, 16)},
		{Timeout: 6000, Password: make([]byte, 16), ReadOnly: true, HasReadOnly: true},
	} {
		b := r.Append(nil)
		if want := 44; !r.HasReadOnly && len(b) != want {
			t.Errorf("short form has %d bytes, want %d", len(b), want)
		}
		var got ConnectRequest
		d := jute.NewDecoder(b)
		got.Decode(d)
		if d.Err() != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v (%v), want %+v", got, d.Err(), r)
		}
	}
}

func TestMulti(t *testing.T) {
	ops := []MultiOp{
		{OpCreate, &CreateRequest{Path: "/a", Data: []byte("1"), ACL: WorldAnyone()}},
		{OpCreateTTL, &CreateRequest{Path: "/t", ACL: WorldAnyone(), Flags: ModePersistentTTL, TTL: 5}},
		{OpCheck, &PathVersion{Path: "/a", Version: 3}},
		{OpDelete, &PathVersion{Path: "/a", Version: -1}},
		{OpSetData, &SetDataRequest{Path: "/a", Data: []byte{}, Version: 1}},
	}
	d := jute.NewDecoder(AppendMulti(nil, ops))
	if got := DecodeMulti(d); d.Err() != nil || !reflect.DeepEqual(got, ops) {
		t.Errorf("got %+v (%v)", got, d.Err())
	}
	mixed := append(ops, MultiOp{OpGetData, &PathWatch{Path: "/a"}})
	d = jute.NewDecoder(AppendMulti(nil, mixed))
	if DecodeMulti(d); !errors.Is(d.Err(), jute.ErrMalformed) {
		t.Errorf("reads among writes: %v, want ErrMalformed", d.Err())
	}
	d = jute.NewDecoder(AppendMulti(nil, []MultiOp{{Op: OpGetACL, Body: &PathWatch{}}}))
	if DecodeMulti(d); !errors.Is(d.Err(), jute.ErrMalformed) {
		t.Errorf("getACL in a multi: %v, want ErrMalformed", d.Err())
	}
}

func TestCodeErr(t *testing.T) {
	if OK.Err() != nil {
		t.Error("OK is an error")
	}
	if err := fmt.Errorf("x: %w", ErrNoNode.Err()); !errors.Is(err, ErrNoNode) {
		t.Errorf("%v is not ErrNoNode", err)
	}
}

func FuzzRequests(f *testing.F) {
	f.Add(byte(0), ConnectRequest{Password: []byte{1}}.Append(nil))
	f.Add(byte(1), CreateRequest{Path: "/a", ACL: WorldAnyone()}.Append(nil, OpCreate))
	f.Add(byte(2), AppendMulti(nil, []MultiOp{{OpDelete, &PathVersion{Path: "/a"}}}))
	f.Add(byte(3), SetWatches{Data: []string{"/a"}, Exist: []string{}, Child: []string{}}.Append(nil, OpSetWatches2))
	f.Add(byte(4), SetACLRequest{Path: "/a", ACL: WorldAnyone()}.Append(nil))
	f.Fuzz(func(t *testing.T, kind byte, in []byte) {
		d := jute.NewDecoder(in)
		var out []byte
		switch kind % 5 {
		case 0:
			var r ConnectRequest
			r.Decode(d)
			if out = r.Append(nil); r.ReadOnly { // any non-zero byte reads as true
				return
			}
		case 1:
			var r CreateRequest
			r.Decode(d, OpCreateTTL)
			if len(r.ACL) == 0 { // which a negative count may stand for
				return
			}
			out = r.Append(nil, OpCreateTTL)
		case 2:
			DecodeMulti(d)
			return
		case 3:
			var r SetWatches
			r.Decode(d, OpSetWatches2)
			return
		case 4:
			var r SetACLRequest
			r.Decode(d)
			if len(r.ACL) == 0 {
				return
			}
			out = r.Append(nil)
		}
		if d.Err() == nil && !bytes.Contains(in, []byte{0xff, 0xff, 0xff, 0xff}) && !bytes.Equal(out, in[:d.Offset()]) {
			t.Fatalf("%x read and written back is %x", in[:d.Offset()], out)
		}
	})
}
