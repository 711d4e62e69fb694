package proto

import (
	"bytes"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/jute"
)

// codec reads one kind of record from d and returns how it is written.
type codec func(d *jute.Decoder) (write func([]byte) []byte)

// codecs is every record of this package.
func codecs() []codec {
	return []codec{
		func(d *jute.Decoder) func([]byte) []byte { var r ConnectRequest; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r ConnectResponse; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r RequestHeader; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r ReplyHeader; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r WatcherEvent; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r AuthPacket; r.Decode(d); return r.Append },
		forOp(func(d *jute.Decoder, op Op) func([]byte, Op) []byte {
			var r SetWatches
			r.Decode(d, op)
			return r.Append
		}, OpSetWatches),
		forOp(func(d *jute.Decoder, op Op) func([]byte, Op) []byte {
			var r SetWatches
			r.Decode(d, op)
			return r.Append
		}, OpSetWatches2),
		forOp(func(d *jute.Decoder, op Op) func([]byte, Op) []byte {
			var r CreateRequest
			r.Decode(d, op)
			return r.Append
		}, OpCreate2),
		forOp(func(d *jute.Decoder, op Op) func([]byte, Op) []byte {
			var r CreateRequest
			r.Decode(d, op)
			return r.Append
		}, OpCreateTTL),
		func(d *jute.Decoder) func([]byte) []byte { var r PathVersion; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r PathWatch; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r PathMode; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r SetDataRequest; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r SetACLRequest; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte { var r Stat; r.Decode(d); return r.Append },
		func(d *jute.Decoder) func([]byte) []byte {
			v := DecodeIDs(d)
			return func(b []byte) []byte { return AppendIDs(b, v) }
		},
		func(d *jute.Decoder) func([]byte) []byte {
			v := DecodeACLs(d)
			return func(b []byte) []byte { return AppendACLs(b, v) }
		},
		func(d *jute.Decoder) func([]byte) []byte {
			v := DecodeMulti(d)
			return func(b []byte) []byte { return AppendMulti(b, v) }
		},
	}
}

func forOp(read func(*jute.Decoder, Op) func([]byte, Op) []byte, op Op) codec {
	return func(d *jute.Decoder) func([]byte) []byte {
		write := read(d, op)
		return func(b []byte) []byte { return write(b, op) }
	}
}

// FuzzRecords reads arbitrary bytes as every record there is. What can be read
// and written reads as the same again; null strings, and truths other than 1, are
// written otherwise than they were read, but then not longer than their count of
// bytes could make them.
func FuzzRecords(f *testing.F) {
	f.Add(ConnectRequest{Password: []byte{1}, HasReadOnly: true}.Append(nil))
	f.Add(CreateRequest{Path: "/a", Data: []byte{1}, ACL: WorldAnyone(), TTL: 5}.Append(nil, OpCreateTTL))
	f.Add(AppendMulti(nil, []MultiOp{{OpDelete, &PathVersion{Path: "/a"}}, {OpCreate, &CreateRequest{Path: "/a", ACL: WorldAnyone()}}}))
	f.Add(AppendMulti(nil, []MultiOp{{OpGetData, &PathWatch{Path: "/a"}}, {OpGetChildren, &PathWatch{Path: "/"}}}))
	f.Add(SetWatches{Data: []string{"/a"}, Exist: []string{}, Child: []string{""}}.Append(nil, OpSetWatches2))
	f.Add(SetACLRequest{Path: "/a", ACL: WorldAnyone()}.Append(nil))
	f.Add(AuthPacket{Scheme: "digest", Auth: []byte("a:b")}.Append(nil))
	f.Add(Stat{Czxid: 1}.Append(nil))
	f.Add(AppendIDs(nil, []ID{{"ip", "::1"}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		for i, read := range codecs() {
			d := jute.NewDecoder(in)
			write := read(d)
			if d.Err() != nil {
				continue
			}
			once := write(nil)
			if len(once) > 4*d.Offset()+64 {
				t.Fatalf("record %d: %d bytes are written as %d", i, d.Offset(), len(once))
			}
			again := jute.NewDecoder(once)
			write = read(again)
			if twice := write(nil); again.Err() != nil || !bytes.Equal(once, twice) {
				t.Fatalf("record %d: %x written as %x, then %x, %v", i, in[:d.Offset()], once, twice, again.Err())
			}
		}
	})
}
