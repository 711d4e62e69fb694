package zab

import (
	"fmt"
	"strings"
)

// show prints a packet as a line of a conversation.
func show(p Packet) string {
	head := fmt.Sprintf("%d->%d %s", p.From, p.To, p.Kind)
	switch p.Kind {
	case Notification:
		return fmt.Sprintf("%s %s %s", head, p.Role, showVote(p.Vote))
	case FollowerInfo, ObserverInfo:
		return fmt.Sprintf("%s accepted %d", head, p.Epoch)
	case LeaderInfo:
		return fmt.Sprintf("%s epoch %d", head, p.Epoch)
	case AckEpoch:
		return fmt.Sprintf("%s %s current %d", head, dotted(p.Zxid), p.Epoch)
	case UpToDate:
		return head
	case Propose, Inform:
		return fmt.Sprintf("%s %s %s", head, dotted(p.Zxid), p.Data)
	default:
		return fmt.Sprintf("%s %s", head, dotted(p.Zxid))
	}
}

func showVote(v Vote) string {
	if v.Leader == None {
		return fmt.Sprintf("vote none round %d", v.Round)
	}
	return fmt.Sprintf("vote %d (epoch %d zxid %s) round %d", v.Leader, v.PeerEpoch, dotted(v.Zxid), v.Round)
}

// describe traces what a Ready asks for.
func (n *node) describe(r Ready) {
	var what []string
	add := func(format string, args ...any) { what = append(what, fmt.Sprintf(format, args...)) }
	if r.Role != nil {
		add("%s", showPlace(*r.Role))
	}
	if r.Truncate != nil {
		add("truncate to %s", dotted(*r.Truncate))
	}
	if r.Install != nil {
		add("install snapshot %s", dotted(*r.Install))
	}
	if len(r.Append) > 0 {
		add("append%s", showProposals(r.Append))
	}
	if r.Epochs != nil {
		add("epochs accepted %d current %d", r.Epochs.Accepted, r.Epochs.Current)
	}
	if len(r.Commit) > 0 {
		add("commit%s", showProposals(r.Commit))
	}
	for _, sid := range r.Hangup {
		add("hang up on %d", sid)
	}
	if r.Dial != nil {
		add("dial %d", *r.Dial)
	}
	if len(what) > 0 {
		n.trace("  %d: %s", n.sid, strings.Join(what, "; "))
	}
}

func showPlace(c RoleChange) string {
	s := fmt.Sprintf("%s, %s", c.Role, c.Phase)
	if c.Leader != None {
		s += fmt.Sprintf(" of %d", c.Leader)
	}
	if c.Epoch > 0 {
		s += fmt.Sprintf(" in epoch %d", c.Epoch)
	}
	if c.Serving {
		s += ", serving"
	}
	return s
}

func showProposals(list []Proposal) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, " %s", dotted(p.Zxid))
	}
	return b.String()
}
