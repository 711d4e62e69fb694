package txn

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// samples are transactions as ZooKeeper 3.4 to 3.9 wrote them.
func samples(t testing.TB) map[string][]byte {
	header := func(typ string) string { return "0100001b3c6b0000 00000001 0000000100000002 000001a2030fa645 " + typ }
	world := "00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65"
	digest := " 00000002 00000001f2cf6022"
	create := "00000002 2f66 00000001 31 " + world + " 00 00000001"
	return map[string][]byte{
		"create 3.8":          unhex(t, header("00000001")+create+digest),
		"create 3.4":          unhex(t, header("00000001")+create),
		"create before 3.4":   unhex(t, header("00000001")+"00000002 2f66 ffffffff "+world+" 01"),
		"create null data":    unhex(t, header("00000001")+"00000002 2f66 ffffffff "+world+" 01 00000001"),
		"container":           unhex(t, header("00000013")+"00000002 2f66 00000000 "+world+" 00000002"+digest),
		"ttl":                 unhex(t, header("00000015")+"00000002 2f66 00000000 "+world+" 00000002 00000000000186a0"+digest),
		"session 3.4":         unhex(t, header("fffffff6")+"00001770"),
		"session 3.9":         unhex(t, header("fffffff6")+"00001770"+digest),
		"close 3.4":           unhex(t, header("fffffff5")),
		"close 3.9":           unhex(t, header("fffffff5")+"00000001 0000000f 2f612f732d30303030303030303031"+digest),
		"close 3.9 empty":     unhex(t, header("fffffff5")+"00000000"+digest),
		"close without paths": unhex(t, header("fffffff5")+digest),
		"delete container":    unhex(t, header("00000014")+"00000002 2f63"+digest),
		"setData":             unhex(t, header("00000005")+"00000002 2f66 00000001 32 00000003"+digest),
		"setACL":              unhex(t, header("00000007")+"00000002 2f61 "+world+" 00000001"+digest),
		"error":               unhex(t, header("ffffffff")+"ffffff92"),
		"failed multi":        unhex(t, header("0000000e")+"00000002 00000005 0000000f 00000002 2f66 00000001 32 00000003 ffffffff 00000004 ffffff9b"+digest),
		"multi with a check":  unhex(t, header("0000000e")+"00000001 0000000d 0000000a 00000002 2f66 00000003"+digest),
	}
}

func TestSamplesRoundTrip(t *testing.T) {
	for name, b := range samples(t) {
		x, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		out := x.Append(nil)
		if name == "create before 3.4" { // is written back in the newer form
			out = out[:len(b)]
		}
		if !bytes.Equal(out, b) {
			t.Errorf("%s: read and written back\n got %x\nwant %x", name, out, b)
		}
	}
}

func TestDecodeValues(t *testing.T) {
	s := samples(t)
	x, err := Decode(s["create 3.8"])
	if err != nil {
		t.Fatal(err)
	}
	want := &Txn{
		Header: Header{ClientID: 0x0100001b3c6b0000, Cxid: 1, Zxid: 0x100000002, Time: 0x1a2030fa645, Type: proto.OpCreate},
		Body:   &Create{Path: "/f", Data: []byte("1"), ACL: proto.WorldAnyone(), ParentCVersion: 1},
		Digest: &Digest{Version: 2, Tree: 0x1f2cf6022},
	}
	if !reflect.DeepEqual(x, want) {
		t.Errorf("got %+v, want %+v", x, want)
	}
	if x, _ = Decode(s["create before 3.4"]); x.Body.(*Create).ParentCVersion != -1 {
		t.Errorf("create before 3.4: %+v, want parent cversion -1", x.Body)
	}
	if x, _ = Decode(s["close without paths"]); x.Body.(*CloseSession).HasPaths || x.Digest == nil {
		t.Errorf("close without paths: %+v, digest %v", x.Body, x.Digest)
	}
}

func TestDecodeErrors(t *testing.T) {
	h := Header{Zxid: 7, Type: 99}
	if _, err := Decode(h.Append(nil)); !errors.Is(err, ErrUnsupported) {
		t.Errorf("type 99: %v, want ErrUnsupported", err)
	}
	h.Type = proto.OpCheck
	x, err := Decode(jute.AppendInt(jute.AppendString(h.Append(nil), "/a"), 3))
	if c, ok := x.Body.(*Check); err != nil || !ok || *c != (Check{Path: "/a", Version: 3}) {
		t.Errorf("check outside a multi: %+v, %v", x, err)
	}
	h.Type = proto.OpSetData
	if _, err := Decode(jute.AppendInt(h.Append(nil), 1<<30)); !errors.Is(err, jute.ErrMalformed) {
		t.Errorf("truncated body: %v, want ErrMalformed", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Decode(b)
		if err != nil {
			if !errors.Is(err, jute.ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		y, err := Decode(x.Append(nil))
		if err != nil {
			t.Fatalf("what was read cannot be read back: %v", err)
		}
		if !bytes.Equal(x.Append(nil), y.Append(nil)) {
			t.Fatalf("%+v became %+v", x, y)
		}
	})
}
