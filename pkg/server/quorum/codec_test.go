package quorum

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readOne(b []byte) (packet, error) {
	return readPacket(bufio.NewReader(bytes.NewReader(b)), 1<<20)
}

// Bytes as Apache ZooKeeper 3.8 sends them.
func TestPacketSamples(t *testing.T) {
	const null = "ffffffff"
	tests := []struct {
		name string
		hex  string
		want packet
	}{
		{"FOLLOWERINFO", "0000000b 0000000000000000 00000014 0000000000000001 00010000 0000000000000000" + null,
			packet{kind: typeFollowerInfo, data: learnerInfo{sid: 1, version: protocolVersion}.append(nil)}},
		{"LEADERINFO", "00000011 0000000100000000 00000004 00010000" + null,
			fromZab(zab.Packet{Kind: zab.LeaderInfo, Zxid: zab.MakeZxid(1, 0), Epoch: 1})},
		{"ACKEPOCH", "00000012 0000000100000009 00000004 00000001" + null,
			fromZab(zab.Packet{Kind: zab.AckEpoch, Zxid: zab.MakeZxid(1, 9), Epoch: 1})},
		{"ACKEPOCH of a promised epoch", "00000012 0000000100000009 00000004 ffffffff" + null,
			fromZab(zab.Packet{Kind: zab.AckEpoch, Zxid: zab.MakeZxid(1, 9), Epoch: -1})},
		{"NEWLEADER", "0000000a 0000000200000000 00000009 76657273696f6e3d30" + null,
			fromZab(zab.Packet{Kind: zab.NewLeader, Zxid: zab.MakeZxid(2, 0), Epoch: 2, Members: new(zab.Membership)})},
		{"UPTODATE", "0000000c ffffffffffffffff ffffffff" + null, fromZab(zab.Packet{Kind: zab.UpToDate})},
		{"REQUEST", "00000001 ffffffffffffffff 00000014 0100001b3c6b0000 00000001 00000001 00000000 00000001 00000002 6970 00000009 3132372e302e302e31",
			requestPacket(Request{Session: 0x0100001b3c6b0000, Cxid: 1, Op: proto.OpCreate, Body: make([]byte, 4), Auth: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}})},
		{"REVALIDATE", "00000006 ffffffffffffffff 0000000c 0100001b3c6b0000 00001770" + null, revalidatePacket(0x0100001b3c6b0000, 6000)},
		{"REVALIDATE answer", "00000006 ffffffffffffffff 00000009 0100001b3c6b0000 01" + null, revalidatedPacket(0x0100001b3c6b0000, true)},
		{"PING reply", "00000005 0000000100000002 00000000" + null,
			fromZab(zab.Packet{Kind: zab.Ping, Zxid: zab.MakeZxid(1, 2), Data: appendTouches(nil)})},
		{"PING", "00000005 0000000100000002 ffffffff" + null, fromZab(zab.Packet{Kind: zab.Ping, Zxid: zab.MakeZxid(1, 2)})},
		{"SYNC", "00000007 0000000000000000 ffffffff" + null, packet{kind: typeSync}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := fromHex(t, tt.hex)
			if got := tt.want.append(nil); !bytes.Equal(got, want) {
				t.Errorf("written as\n%x, want\n%x", got, want)
			}
			got, err := readOne(want)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("read as %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestPacketLimits(t *testing.T) {
	ping := packet{kind: typePing}.append(nil)
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"half a head", ping[:9], io.ErrUnexpectedEOF},
		{"no authinfo", ping[:16], io.ErrUnexpectedEOF},
		{"data too long", jute.AppendInt(ping[:12:12], 1<<20+1), errWire},
		{"data of negative length", jute.AppendInt(ping[:12:12], -2), errWire},
		{"data cut short", append(jute.AppendInt(ping[:12:12], 1<<20), 1, 2), io.ErrUnexpectedEOF},
		{"too many identities", jute.AppendInt(ping[:16:16], maxIDs+1), errWire},
		{"scheme too long", jute.AppendInt(jute.AppendInt(ping[:16:16], 1), 1<<30), errWire},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := readOne(tt.b); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// Every message of zab's arrives as it was sent.
func TestZabPacketsRoundTrip(t *testing.T) {
	zxid := zab.MakeZxid(3, 4)
	epoch := zab.MakeZxid(3, 0)
	for _, want := range []zab.Packet{
		{Kind: zab.FollowerInfo, Zxid: epoch, Epoch: 3}, {Kind: zab.ObserverInfo, Zxid: epoch, Epoch: 3},
		{Kind: zab.LeaderInfo, Zxid: epoch, Epoch: 3}, {Kind: zab.AckEpoch, Zxid: zxid, Epoch: 2},
		{Kind: zab.Diff, Zxid: zxid}, {Kind: zab.Trunc, Zxid: zxid}, {Kind: zab.Snap, Zxid: zxid},
		{Kind: zab.NewLeader, Zxid: epoch, Epoch: 3}, {Kind: zab.UpToDate, Zxid: -1},
		{Kind: zab.Propose, Zxid: zxid, Data: []byte("txn")}, {Kind: zab.Ack, Zxid: zxid}, {Kind: zab.Commit, Zxid: zxid},
		{Kind: zab.Inform, Zxid: zxid, Data: []byte("txn")}, {Kind: zab.Ping, Zxid: zxid},
		{Kind: zab.CommitAndActivate, Zxid: zxid, Leader: 5}, {Kind: zab.InformAndActivate, Zxid: zxid, Leader: 5, Data: []byte("txn")},
	} {
		in, err := readOne(fromZab(want).append(nil))
		if err != nil {
			t.Fatalf("%s: %v", want.Kind, err)
		}
		got, ok, err := toZab(in)
		if !ok || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, %v, want %+v", want.Kind, got, ok, err, want)
		}
	}
}

// A packet that is too short for what it says is refused.
func TestShortPackets(t *testing.T) {
	for _, p := range []packet{
		{kind: typeInformAndActivate, data: make([]byte, 7)}, {kind: typeCommitAndActivate, data: make([]byte, 7)},
		{kind: typeAckEpoch, data: make([]byte, 3)}, {kind: typeAckEpoch},
	} {
		if _, _, err := toZab(p); !errors.Is(err, errWire) {
			t.Errorf("type %d with %d bytes: error %v", p.kind, len(p.data), err)
		}
	}
	if _, ok, err := toZab(packet{kind: 99}); ok || err != nil {
		t.Errorf("an unknown type gives %v, %v, want it ignored", ok, err)
	}
}

func TestLearnerInfoForms(t *testing.T) {
	whole := learnerInfo{sid: 5, version: protocolVersion, configVersion: 9}
	b := whole.append(nil)
	for n, want := range map[int]learnerInfo{20: whole, 12: {sid: 5, version: protocolVersion}, 8: {sid: 5}} {
		if got, err := parseLearnerInfo(b[:n]); err != nil || got != want {
			t.Errorf("%d bytes: %+v, %v, want %+v", n, got, err, want)
		}
	}
	if _, err := parseLearnerInfo(b[:7]); !errors.Is(err, errWire) {
		t.Errorf("7 bytes: error %v", err)
	}
}

func TestGreetings(t *testing.T) {
	tests := []struct {
		name string
		hex  string
		want greeting
		ok   bool
	}{
		{"3.4", "0000000000000003", greeting{sid: 3}, true},
		{"V1", "ffffffffffff0000 0000000000000003 0000000f" + hex.EncodeToString([]byte("127.0.0.1:24103")), greeting{3, []string{"127.0.0.1:24103"}}, true},
		{"V2", "ffffffffffff0001 0000000000000003 00000009" + hex.EncodeToString([]byte("a:1|[::1]:2"))[:18], greeting{3, []string{"a:1"}}, true},
		{"V2 of two", "ffffffffffff0001 0000000000000003 0000000b" + hex.EncodeToString([]byte("a:1|[::1]:2")), greeting{3, []string{"a:1", "[::1]:2"}}, true},
		{"wildcard", "ffffffffffff0000 0000000000000003 0000000c" + hex.EncodeToString([]byte("0.0.0.0:3888")), greeting{sid: 3}, true},
		{"unknown version", "fffffffffffe0000 0000000000000003 00000001 61", greeting{}, false},
		{"no address", "ffffffffffff0000 0000000000000003 00000000", greeting{}, false},
		{"long address", "ffffffffffff0000 0000000000000003 00000801", greeting{}, false},
		{"negative sid", "ffffffffffff0000 ffffffffffffffff 00000001 61", greeting{}, false},
		{"cut short", "ffffffffffff0000 0000000000000003 00000005 61", greeting{}, false},
		{"garbage", hex.EncodeToString([]byte("GET / HTTP/1.1\r\n\r\n"))[:14], greeting{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readGreeting(bytes.NewReader(fromHex(t, tt.hex)))
			if (err == nil) != tt.ok || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	written := greeting{3, []string{"127.0.0.1:24103"}}.append(nil)
	if want := fromHex(t, tests[1].hex); !bytes.Equal(written, want) {
		t.Errorf("written as %x, want %x", written, want)
	}
	if old := (greeting{sid: 3}).append(nil); !bytes.Equal(old, fromHex(t, tests[0].hex)) {
		t.Errorf("without an address written as %x", old)
	}
}

func TestNotificationForms(t *testing.T) {
	vote := zab.Vote{Leader: 3, Zxid: zab.MakeZxid(2, 5), Round: 7, PeerEpoch: 4}
	whole := appendNotification(nil, zab.Packet{Role: zab.Following, Vote: vote, Version: 2}, "version=0")
	oldVote := vote
	oldVote.PeerEpoch = 2 // that of the zxid
	v1 := bytes.Clone(whole[:44])
	v1[39] = 1
	tests := []struct {
		name string
		b    []byte
		want zab.Packet
		ok   bool
	}{
		{"3.5 and later", whole, zab.Packet{Role: zab.Following, Vote: vote, Version: 2}, true},
		{"without configuration", appendNotification(nil, zab.Packet{Vote: vote, Version: 2}, ""), zab.Packet{Vote: vote, Version: 2}, true},
		{"3.4", v1[:40], zab.Packet{Role: zab.Following, Vote: vote}, true},
		{"version 1 with more", v1, zab.Packet{Role: zab.Following, Vote: vote, Version: 1}, true},
		{"before 3.3", whole[:28], zab.Packet{Role: zab.Following, Vote: oldVote}, true},
		{"27 bytes", whole[:27], zab.Packet{}, false},
		{"36 bytes", whole[:36], zab.Packet{}, false},
		{"42 bytes", whole[:42], zab.Packet{}, false},
		{"configuration cut short", whole[:50], zab.Packet{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := parseNotification(tt.b)
			if (err == nil) != tt.ok || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	bad := bytes.Clone(whole)
	bad[3] = 4
	if _, _, err := parseNotification(bad); !errors.Is(err, errUnknownState) {
		t.Errorf("state 4: error %v", err)
	}
}

func TestBodiesOfRelayedPackets(t *testing.T) {
	r := Request{Session: 1, Cxid: 2, Op: proto.OpSync, Body: []byte("body"), Auth: []proto.ID{{Scheme: "world", ID: "anyone"}}}
	if got, err := parseRequest(requestPacket(r)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("REQUEST: %+v, %v", got, err)
	}
	touches := []Touch{{1, 2}, {-3, 4}}
	if got, err := parseTouches(appendTouches(touches)); err != nil || !reflect.DeepEqual(got, touches) {
		t.Errorf("PING: %+v, %v", got, err)
	}
	if s, timeout, err := parseRevalidate(revalidatePacket(5, 6).data); s != 5 || timeout != 6 || err != nil {
		t.Errorf("REVALIDATE: %d, %d, %v", s, timeout, err)
	}
	if s, valid, err := parseRevalidated(revalidatedPacket(5, true).data); s != 5 || !valid || err != nil {
		t.Errorf("REVALIDATE answer: %d, %v, %v", s, valid, err)
	}
	short := []byte{1, 2, 3}
	_, err1 := parseRequest(packet{data: short})
	_, err2 := parseTouches(short)
	_, _, err3 := parseRevalidate(short)
	_, _, err4 := parseRevalidated(short)
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, errWire) {
			t.Errorf("%d: three bytes give %v", i, err)
		}
	}
}

// decodeWhole is a second reader of packets.
func decodeWhole(b []byte) (packet, error) {
	d := jute.NewDecoder(b)
	p := packet{kind: packetType(d.Int()), zxid: d.Long(), data: d.Buffer(), auth: proto.DecodeIDs(d)}
	return p, d.Err()
}

func FuzzPacket(f *testing.F) {
	f.Add(packet{kind: typePing}.append(nil))
	f.Add(requestPacket(Request{Session: 1, Body: []byte("x"), Auth: []proto.ID{{Scheme: "ip", ID: "::1"}}}).append(nil))
	f.Add(fromZab(zab.Packet{Kind: zab.AckEpoch, Epoch: -1}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readOne(b)
		want, wantErr := decodeWhole(b)
		if err == nil && wantErr != nil || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("read as %+v, but as %+v, %v", got, want, wantErr)
		}
		if err != nil {
			return
		}
		if again, err := readOne(got.append(nil)); err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("written and read again as %+v, %v", again, err)
		}
		_, _, _ = toZab(got)
		_, _ = parseRequest(got)
		_, _ = parseTouches(got.data)
		_, _ = parseLearnerInfo(got.data)
		_, _, _ = parseRevalidate(got.data)
		_, _, _ = parseRevalidated(got.data)
	})
}

func FuzzNotification(f *testing.F) {
	whole := appendNotification(nil, zab.Packet{Role: zab.Leading, Version: 2}, "version=0")
	f.Add(whole)
	f.Add(whole[:28])
	f.Add(whole[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, text, err := parseNotification(b)
		if err != nil {
			return
		}
		again, _, err := parseNotification(appendNotification(nil, p, text))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%+v written and read again as %+v, %v", p, again, err)
		}
	})
}

func FuzzGreeting(f *testing.F) {
	f.Add(greeting{sid: 3}.append(nil))
	f.Add(greeting{3, []string{"[::1]:3888"}}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := readGreeting(bytes.NewReader(b))
		if err != nil || len(g.addresses) > 1 {
			return
		}
		if again, err := readGreeting(bytes.NewReader(g.append(nil))); err != nil || !reflect.DeepEqual(again, g) {
			t.Fatalf("%+v written and read again as %+v, %v", g, again, err)
		}
	})
}
