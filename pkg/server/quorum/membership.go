package quorum

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// A Membership is one version of the ensemble, see [zab.Membership].
type Membership struct {
	Members []Member
	Groups  map[zab.Sid]int64 // voter -> group; see zab.Ensemble
	Weights map[zab.Sid]int64 // voter -> weight
	Version zab.Zxid
	// Text is how servers tell each other about it: "server.N=..." lines, then those of
	// groups and weights, without that of the version (QuorumMaj.java).
	Text string
}

// Reconfig lets the membership change (reconfigEnabled).
type Reconfig struct {
	// Version is that of the members the peer starts with; 0 for those of a
	// configuration that never changed.
	Version zab.Zxid
	// Next was proposed after them and may be committed; nil for none.
	Next *Membership
	// Parse reads the text of a membership, with or without the line of its version. It
	// is safe for concurrent use.
	Parse func(text string) (Membership, error)
	// Seen is told of a proposed membership and Activate of the one in force from now on.
	// They are called from the disk goroutine and may block; what they cannot write down
	// the log still holds.
	Seen, Activate func(Membership)
}

// Zab is the membership as the state machine knows it.
func (m Membership) Zab() *zab.Membership {
	out := &zab.Membership{Version: m.Version, Text: m.Text, Addresses: map[zab.Sid]string{}}
	out.Groups, out.Weights = m.Groups, m.Weights
	for _, s := range m.Members {
		if s.Observer {
			out.Observers = append(out.Observers, s.Sid)
		} else {
			out.Voters = append(out.Voters, s.Sid)
		}
		out.Addresses[s.Sid] = strings.Join(s.Quorum, "|")
	}
	return out
}

// A directory knows where servers can be reached. It is safe for concurrent use.
type directory struct {
	self zab.Sid

	mu      sync.RWMutex
	own     Member // as this server was last listed
	members map[zab.Sid]Member
}

func newDirectory(self zab.Sid, members ...[]Member) *directory {
	d := &directory{self: self}
	d.set(members...)
	return d
}

// set replaces what is known; of two entries of a server the later counts.
func (d *directory) set(members ...[]Member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.members = map[zab.Sid]Member{}
	for _, m := range slices.Concat(members...) {
		d.members[m.Sid] = m
	}
	if m, ok := d.members[d.self]; ok {
		d.own = m
	}
}

// member returns a server's entry, or nil. A server that left the ensemble still
// knows itself.
func (d *directory) member(sid zab.Sid) *Member {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if sid == d.self {
		own := d.own
		return &own
	}
	m, ok := d.members[sid]
	if !ok {
		return nil
	}
	return &m
}

// versionKey begins the last line of a membership's text.
const versionKey = "version="

// withVersion is a membership's text as it is sent; "" for none.
func withVersion(m *zab.Membership) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("%s%s%x", m.Text, versionKey, uint64(m.Version))
}

// cutVersion takes the line of the version out of a membership's text.
func cutVersion(text string) (rest string, version zab.Zxid, err error) {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), versionKey)
		if !ok {
			continue
		}
		v, err := strconv.ParseUint(value, 16, 64)
		if err != nil {
			return "", 0, fmt.Errorf("%w: version %q of a configuration", errWire, value)
		}
		return strings.Join(slices.Delete(lines, i, i+1), ""), zab.Zxid(v), nil
	}
	return text, 0, nil
}

// Read reads a membership that another server sent: nil for no text, or when r is
// nil. One that is not newer than what is in force has nothing but its version: no
// more is asked of it.
func (r *Reconfig) Read(text string, inForce zab.Zxid) (*zab.Membership, error) {
	if r == nil || text == "" {
		return nil, nil
	}
	_, version, err := cutVersion(text)
	if err != nil || version <= inForce {
		return &zab.Membership{Version: version}, err
	}
	m, err := r.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: configuration of version %s: %w", errWire, version, err)
	}
	return m.Zab(), nil
}

// reconfigOffset is where the type of a transaction is in its header.
const reconfigOffset = txn.HeaderSize - 4

// MembersOf reads the membership that a transaction makes; nil when it makes none, or
// r is nil.
func (r *Reconfig) MembersOf(data []byte) (*zab.Membership, error) {
	if r == nil || len(data) < txn.HeaderSize || data[reconfigOffset+3] != byte(proto.OpReconfig) {
		return nil, nil
	}
	t, err := txn.Decode(data)
	if err != nil {
		return nil, err
	}
	set, ok := t.Body.(*txn.SetData)
	if !ok || t.Type != proto.OpReconfig {
		return nil, nil
	}
	m, err := r.Read(string(set.Data), -1)
	if err == nil && m.Version != zab.Zxid(t.Zxid) {
		err = fmt.Errorf("%w: transaction %#x makes the configuration %s", errWire, t.Zxid, m.Version)
	}
	return m, err
}

// addMembers fills in what a packet of the quorum port says about the membership.
func (p *Peer) addMembers(out *zab.Packet, in packet, staged Staged) (err error) {
	if p.cfg.Reconfig == nil {
		return nil
	}
	switch out.Kind {
	case zab.Propose, zab.Inform, zab.InformAndActivate:
		out.Members, err = p.cfg.Reconfig.MembersOf(out.Data)
	case zab.NewLeader:
		out.Members, err = p.cfg.Reconfig.Read(string(in.data), p.inForce())
	case zab.Snap:
		out.Members, err = p.cfg.Reconfig.Read(p.machine.MembersIn(staged), p.inForce())
	}
	return err
}

// inForce is the version of the membership in force.
func (p *Peer) inForce() zab.Zxid { return zab.Zxid(p.version.Load()) }

// takeMembers acts on memberships that are proposed or now in force.
func (p *Peer) takeMembers(seen, active *zab.Membership) {
	if m, ok := p.parsed(seen); ok {
		p.next = m.Members
	}
	if m, ok := p.parsed(active); ok {
		p.members = m
		p.version.Store(int64(active.Version))
		p.log.Info("membership", "version", active.Version.String(), "voters", fmt.Sprint(active.Voters), "observers", fmt.Sprint(active.Observers))
		if seen == nil || seen.Version <= active.Version {
			p.next = nil
		}
	}
	before := p.directory.member(p.cfg.Self).Election
	p.directory.set(p.next, p.members.Members)
	if after := p.directory.member(p.cfg.Self).Election; !slices.Equal(before, after) && p.election != nil {
		p.running.Go(func() { p.election.rebind(after) })
	}
}

// parsed reads a membership that zab had been given; false for none.
func (p *Peer) parsed(m *zab.Membership) (Membership, bool) {
	if m == nil {
		return Membership{}, false
	}
	parsed, err := p.cfg.Reconfig.Parse(withVersion(m))
	if err != nil { // it was read before
		p.log.Error("configuration cannot be read", "version", m.Version.String(), "err", err)
		return Membership{}, false
	}
	return parsed, true
}

// keep is what is to be written down of the memberships that a Ready tells of.
func (p *Peer) keep(r zab.Ready) func() {
	if r.Seen == nil && r.Activate == nil {
		return nil
	}
	return func() {
		if m, ok := p.parsed(r.Seen); ok {
			p.cfg.Reconfig.Seen(m)
		}
		if m, ok := p.parsed(r.Activate); ok {
			p.cfg.Reconfig.Activate(m)
		}
	}
}

// rebind moves the election port to other addresses.
func (e *election) rebind(addresses []string) {
	e.log.Info("the election port moves", "to", addresses)
	for wait := true; wait; wait = pause(e.ctx, bindPause) {
		fresh, err := listenOnAll(e.ctx, addresses, e.cfg.ListenOnAllIPs)
		if err == nil {
			e.exchange(fresh)
			return
		}
		if e.ctx.Err() == nil {
			e.log.Warn("cannot open the election port, trying again", "err", err)
		}
	}
}

// exchange puts other listeners in place of those there are.
func (e *election) exchange(fresh []net.Listener) {
	e.mu.Lock()
	old := e.listeners
	e.listeners = fresh
	over := e.ctx.Err() != nil
	e.mu.Unlock()
	closeAll(old)
	if over {
		closeAll(fresh)
		return
	}
	for _, l := range fresh {
		e.running.Go(func() { accept(e.ctx, l, e.accepted) })
	}
}

// CheckReconfig says why the membership of that text cannot be proposed now, see
// [Order].
func (p *Peer) CheckReconfig(epoch int64, text string) error {
	if p.cfg.Reconfig == nil {
		return zab.ErrReconfig
	}
	m, err := p.cfg.Reconfig.Parse(text)
	if err != nil {
		return err
	}
	answer := make(chan error, 1)
	p.inbox.put(func() {
		if !p.leads(epoch) {
			answer <- zab.ErrNotLeader
			return
		}
		answer <- p.zab.CheckReconfig(m.Zab().Ensemble)
	})
	select {
	case err := <-answer:
		return err
	case <-p.ctx.Done():
		return zab.ErrNotLeader
	}
}
