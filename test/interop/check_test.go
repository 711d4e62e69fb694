package interop

import (
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// TestCheckOutsideMulti sends a check on its own to a follower of Apache's, which
// passes it on. A leader of ours refuses it: the transaction of one is what no
// server could read, neither then nor when it starts again (ZOOKEEPER-2623).
func TestCheckOutsideMulti(t *testing.T) {
	const java = 1
	k := newKinds(t, []kind{apache, ours, ours})
	e := k.start(t)
	if e.WaitLeader() == java {
		e.Kill(java)
		e.WaitLeader(java)
		e.Restart(java)
	}
	e.WaitAll()
	r := openRaw(t, e.Addr(java), 20*time.Second)
	r.send(1, proto.OpCheck, jute.AppendInt(jute.AppendString(nil, "/furniture"), -1))
	if a := r.receive(); a.Err != proto.ErrUnimplemented {
		t.Errorf("the answer is %+v", a.ReplyHeader)
	}
	r.call(2, proto.OpCreate, createBody("/after", nil, 0))
	e.KillAll()
	e.RestartAll()
	e.WaitAll()
	for sid := 1; sid <= 3; sid++ {
		c := openRaw(t, e.Addr(sid), 20*time.Second)
		c.call(1, proto.OpSync, jute.AppendString(nil, "/"))
		c.call(2, proto.OpExists, pathWatch("/after", false))
	}
}
