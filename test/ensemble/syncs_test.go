package ensemble

import (
	be "encoding/binary"
	"testing"
)

func quorumPacket(kind uint32, data []byte) []byte {
	b := be.BigEndian.AppendUint64(be.BigEndian.AppendUint32(nil, kind), 7)
	if data == nil {
		b = be.BigEndian.AppendUint32(b, 0xffffffff)
	} else {
		b = append(be.BigEndian.AppendUint32(b, uint32(len(data))), data...)
	}
	return be.BigEndian.AppendUint32(b, 0xffffffff)
}

// However the bytes come, the answer is found once.
func TestSyncWatch(t *testing.T) {
	info := quorumPacket(17, []byte{0, 1, 0, 0})
	for _, x := range []struct {
		name string
		in   []byte
		want string
	}{
		{"diff", append(info, quorumPacket(13, nil)...), Diff},
		{"trunc", append(info, quorumPacket(14, nil)...), Trunc},
		{"snap and the snapshot", append(append(info, quorumPacket(15, nil)...), make([]byte, 100)...), Snap},
		{"no answer yet", info, ""},
		{"ended before", info[:7], ""},
		{"another protocol", []byte("\x16\x03\x01 TLS, and much more than a packet has"), ""},
	} {
		for _, chunk := range []int{1, 7, len(x.in)} {
			var w syncWatch
			var got string
			for i := 0; i < len(x.in); i += chunk {
				got += w.see(x.in[i:min(i+chunk, len(x.in))])
			}
			if got != x.want {
				t.Errorf("%s, %d bytes at a time: %q, want %q", x.name, chunk, got, x.want)
			}
		}
	}
}

func FuzzSyncWatch(f *testing.F) {
	f.Add(append(quorumPacket(17, []byte{0, 1, 0, 0}), quorumPacket(13, nil)...), 3)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		var whole, halves syncWatch
		at = min(max(at, 0), len(b))
		want := whole.see(b)
		if got := halves.see(b[:at]) + halves.see(b[at:]); got != want {
			t.Errorf("%q at once, %q in two parts", want, got)
		}
	})
}

// The relays see that a learner got what it had missed.
func TestSyncsAreSeen(t *testing.T) {
	e := Start(t, Options{Servers: 3})
	leader, behind := e.WaitLeader(), e.Follower()
	c := client(t, e.Addr(leader))
	defer c.Close()
	create(t, c, "/had")
	e.WaitLevel()
	e.Kill(behind)
	create(t, c, "/missed")
	before := len(e.Syncs(leader, behind))
	e.Restart(behind)
	e.WaitServing(behind)
	if got := e.Syncs(leader, behind); len(got) != before+1 || got[before] != Diff {
		t.Errorf("%v, of which %d were before; want one more, %s", got, before, Diff)
	}
}
