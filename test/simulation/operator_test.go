package simulation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/membership"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// reorganise asks for a change of members made up by chance.
func (c *client) reorganise() {
	present, err := membership.Config(c.present())
	if err != nil {
		c.fault("the membership in force cannot be read: %v", err)
		return
	}
	r := proto.ReconfigRequest{ConfigID: -1}
	if c.world.rnd.Intn(4) == 0 {
		r.ConfigID = int64(c.history.newest(c.world.rnd.Intn(2)))
	}
	if len(present.Groups) > 0 || c.world.rnd.Intn(4) == 0 {
		r.Members = c.wholeList(present)
		c.saw("reconfig: whole list")
	} else {
		c.stepwise(&r, present)
	}
	c.trace("the operator asks for joining %q leaving %q members %q, of %x", r.Joining, r.Leaving, strings.ReplaceAll(r.Members, "\n", ","), r.ConfigID)
	c.asked.reconfig = true
	c.submit(proto.OpReconfig, r.Append(nil))
}

// newest is the version of the newest membership but back.
func (h *history) newest(back int) zab.Zxid {
	var all []zab.Zxid
	for _, p := range h.order {
		if h.members[p.Zxid] != nil {
			all = append(all, p.Zxid)
		}
	}
	if back >= len(all) {
		return 0
	}
	return all[len(all)-1-back]
}

// stepwise lets servers join, leave, or change their role or port.
func (c *client) stepwise(r *proto.ReconfigRequest, present config.Membership) {
	var joining, leaving []string
	for range 1 + c.world.rnd.Intn(5)/3 {
		sid := zab.Sid(1 + c.world.rnd.Intn(len(c.servers)))
		observer := c.world.rnd.Intn(4) == 0
		switch is, listed := present.Server(int64(sid)); {
		case !listed:
			joining = append(joining, c.line(sid, observer, 0))
			c.saw("reconfig: one joins")
		case c.world.rnd.Intn(3) == 0:
			joining = append(joining, c.line(sid, is.Role != config.Observer, is.Addresses[0].QuorumPort-20000))
			c.saw("reconfig: role changes")
		case c.world.rnd.Intn(4) == 0:
			c.changes.moved++
			joining = append(joining, c.line(sid, is.Role == config.Observer, c.changes.moved))
			c.saw("reconfig: port changes")
		default:
			if lead, ok := c.leader(); ok && c.world.rnd.Intn(4) == 0 {
				sid = lead
			}
			leaving = append(leaving, fmt.Sprint(int64(sid)))
			c.saw("reconfig: one leaves")
		}
	}
	r.Joining, r.Leaving = strings.Join(joining, ","), strings.Join(leaving, ",")
}

func (w *world) line(sid zab.Sid, observer bool, moved int) string {
	return fmt.Sprintf("server.%d=%s", sid, w.entry(sid, observer, moved))
}

// leader is a server that leads.
func (w *world) leader() (zab.Sid, bool) {
	for _, s := range w.servers {
		if s.place.Role == zab.Leading && s.place.Serving {
			return s.sid, true
		}
	}
	return 0, false
}

// wholeList makes up a list, with groups or without; sometimes none of the present
// voters is on it, or it is one that cannot be.
func (c *client) wholeList(present config.Membership) string {
	var m config.Membership
	fresh := c.world.rnd.Intn(6) == 0
	for _, s := range c.servers {
		is, listed := present.Server(int64(s.sid))
		voter := listed && is.Role == config.Participant
		moved := 0
		if listed {
			moved = is.Addresses[0].QuorumPort - 20000
		}
		switch k := c.world.rnd.Intn(8); {
		case fresh && voter || k == 0:
		case k == 1:
			m.Servers = append(m.Servers, c.entry(s.sid, true, moved))
		default:
			m.Servers = append(m.Servers, c.entry(s.sid, false, moved))
		}
	}
	if len(m.Voters()) >= 3 && c.world.rnd.Intn(2) == 0 {
		c.group(&m)
	}
	return strings.ReplaceAll(strings.TrimSpace(m.Lines()), "\n", ",")
}

// reorganised takes the answer to a change of members: what it tells is the list
// that the transaction of its zxid made.
func (c *client) reorganised(h proto.ReplyHeader, d *jute.Decoder) {
	if h.Err != proto.OK {
		c.sawRefusal(h.Err)
		return
	}
	text := string(d.Buffer())
	m := c.history.members[zab.Zxid(h.Zxid)]
	if m == nil || d.Err() != nil || text != fmt.Sprintf("%sversion=%x", m.Text, h.Zxid) {
		c.fault("the operator is told that %#x made the members %q; they are %v", h.Zxid, text, m)
	}
}

// abandoned notes which changes were proposed and never committed, at the end of a run.
func (w *world) abandoned() {
	for z, m := range w.history.members {
		if !slices.ContainsFunc(w.history.order, func(p zab.Proposal) bool { return p.Zxid == z && w.history.members[z] == m }) {
			w.saw("reconfig: never committed")
		}
	}
}
