package conformance

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// defaultTimeout is the session timeout of clients that do not ask for another,
// in ms.
const defaultTimeout = 30000

// A player plays scripts to one server, one after the other: its zxids move
// only by what they do.
type player struct {
	address string
	control *client
}

// newPlayer connects to a server.
func newPlayer(address string) (*player, error) {
	p := &player{address: address, control: &client{name: "control"}}
	g := &game{p: p, r: &renderer{sessions: make(map[int64]string), started: time.Now()}}
	if err := g.open(p.control, []string{"timeout=60000"}); err != nil {
		return nil, err
	}
	if p.control.session == 0 {
		return nil, fmt.Errorf("no session at %s: %s", address, g.out.String())
	}
	return p, nil
}

// A game is one script as it is played.
type game struct {
	p       *player
	r       *renderer
	w       *writer
	clients map[string]*client
	out     strings.Builder
}

// play says what came back. The znode of the case is at root.
func (p *player) play(s *script, root string) (string, error) {
	g := &game{p: p, clients: make(map[string]*client)}
	base, err := g.makeRoot(root)
	if err != nil {
		return "", err
	}
	g.r = &renderer{root: root, base: base, started: time.Now(), sessions: make(map[int64]string)}
	g.w = &writer{root: root, base: base}
	defer g.end()
	for _, st := range s.steps {
		fmt.Fprintf(&g.out, "%s\n", st.text)
		if err := g.step(st); err != nil {
			return g.out.String(), fmt.Errorf("%s.txt:%d: %s: %w", s.file, st.line, st.text, err)
		}
	}
	return g.out.String(), nil
}

// makeRoot creates the case's znode and gives the zxid of that.
func (g *game) makeRoot(root string) (int64, error) {
	frame, err := g.p.call("create", root)
	if err != nil {
		return 0, err
	}
	var h proto.ReplyHeader
	h.Decode(jute.NewDecoder(frame))
	if h.Err != proto.OK {
		return 0, fmt.Errorf("create %s: %w", root, h.Err)
	}
	return h.Zxid, nil
}

// call sends a request on the player's own connection, which watches nothing.
func (p *player) call(verb string, args ...string) ([]byte, error) {
	r, err := (&writer{}).request(verb, args)
	if err != nil {
		return nil, err
	}
	p.control.queue(verb, r)
	p.control.flush()
	frame := p.control.next(replyPatience)
	if _, ok := p.control.answered(frame); !ok || len(frame) < proto.ReplyHeaderSize {
		return nil, fmt.Errorf("%s %q: the server does not answer the test's own connection: % x", verb, args, frame)
	}
	return frame, nil
}

// show adds a line of what came back.
func (g *game) show(c *client, format string, args ...any) {
	fmt.Fprintf(&g.out, "\t%s %s\n", c.name, fmt.Sprintf(format, args...))
}

// client finds a client, and connects it when it is new and connect is set.
func (g *game) client(name string, connect bool) (*client, error) {
	c := g.clients[name]
	if c == nil {
		c = &client{name: name, closed: true}
		g.clients[name] = c
		if connect {
			return c, g.open(c, nil)
		}
	}
	return c, nil
}

func (g *game) step(st step) error {
	if slices.Contains(connVerbs, st.verb) {
		return g.connStep(st)
	}
	c, err := g.client(st.client, true)
	if err != nil {
		return err
	}
	if c.conn == nil || c.told {
		return fmt.Errorf("%s is not connected", c.name)
	}
	if st.verb == "truncated" {
		return g.truncated(c, st)
	}
	r, err := g.w.request(st.verb, st.args)
	if err != nil {
		return err
	}
	c.queue(st.verb, r)
	if st.more {
		return nil
	}
	c.flush()
	g.settle(c, st.verb == "close" && r.sorted)
	if st.verb == "close" && c.ended {
		c.closed = true
	}
	return nil
}

// settle shows what the clients are told until nothing more can come of what c
// has sent. When events come in no defined order they are sorted.
func (g *game) settle(c *client, sorted bool) {
	g.answers(c)
	others := g.others(c)
	if c.canPing() {
		c.ping()
	}
	for _, o := range others {
		o.ping()
	}
	g.collect(c, false)
	for _, o := range others {
		g.collect(o, sorted)
	}
	if c.ended && !c.told {
		c.told = true
		g.show(c, "closed")
	}
}

// others lists the clients but c that can be asked, by name.
func (g *game) others(c *client) []*client {
	var list []*client
	for _, name := range slices.Sorted(maps.Keys(g.clients)) {
		if o := g.clients[name]; o != c && o.canPing() {
			list = append(list, o)
		}
	}
	return list
}

// answers shows frames until c's requests have been answered. Those that the
// server does not answer are found with a ping behind them.
func (g *game) answers(c *client) {
	asked := false
	for len(c.waiting) > 0 && c.connected() {
		within := quiet
		if asked {
			within = replyPatience
		}
		frame := c.next(within)
		switch {
		case frame != nil:
			g.frame(c, frame)
		case c.ended:
		case asked:
			g.show(c, "silent")
			return
		default:
			asked = true
			c.ping()
		}
		if asked && !slices.ContainsFunc(c.waiting, func(p pending) bool { return p.barrier }) {
			break
		}
	}
	for _, p := range c.waiting {
		g.show(c, "%s: no answer", p.verb)
	}
	c.waiting = nil
}

// collect shows what a client is told up to the answer to its ping.
func (g *game) collect(c *client, sorted bool) {
	at := g.out.Len()
	for len(c.waiting) > 0 && c.connected() {
		frame := c.next(replyPatience)
		if frame != nil {
			g.frame(c, frame)
		} else if !c.ended {
			g.show(c, "silent")
			break
		}
	}
	c.waiting = nil
	if !sorted {
		return
	}
	text := g.out.String()
	lines := strings.SplitAfter(text[at:], "\n")
	slices.Sort(lines)
	g.out.Reset()
	g.out.WriteString(text[:at] + strings.Join(lines, ""))
}

// frame shows one frame.
func (g *game) frame(c *client, frame []byte) {
	if !c.shaken {
		c.shaken = true
		g.show(c, "%s", g.r.handshake(c, frame))
		return
	}
	if p, ok := c.answered(frame); ok {
		if !p.barrier {
			g.show(c, "%s", g.r.reply(p, frame))
		}
		return
	}
	if len(frame) >= 4 && int32(jute.NewDecoder(frame).Int()) == proto.XidEvent {
		g.show(c, "%s", g.r.event(frame))
		return
	}
	if len(c.waiting) > 0 && c.waiting[0].op == proto.OpCreateSession {
		c.waiting = c.waiting[1:]
		g.show(c, "%s", g.r.handshake(c, frame))
		return
	}
	g.show(c, "frame %s", hex.EncodeToString(frame))
}

// truncated sends every beginning of a request's body, and shows runs of the
// same answer as one. Zxids are shown as how many the request took.
func (g *game) truncated(c *client, st step) error {
	if len(st.args) == 0 {
		return fmt.Errorf("which request?")
	}
	r, err := g.w.request(st.args[0], st.args[1:])
	if err != nil {
		return err
	}
	var answers []string
	last := g.lastZxid(c)
	for n := range len(r.body) {
		c.queue(st.args[0], request{op: r.op, body: r.body[:n]})
		c.flush()
		frame := c.next(replyPatience)
		p, ok := c.answered(frame)
		if !ok {
			answers = append(answers, "no answer")
			break
		}
		var h proto.ReplyHeader
		d := jute.NewDecoder(frame)
		h.Decode(d)
		took := fmt.Sprintf("takes %d", h.Zxid-last)
		if h.Zxid <= 0 {
			took = fmt.Sprintf("z%d", h.Zxid)
		} else {
			last = h.Zxid
		}
		body := ""
		if d.Len() > 0 {
			body = g.r.body(p.op, d)
		}
		answers = append(answers, fmt.Sprintf("%s error %d%s%s", took, h.Err, body, rest(d)))
	}
	for from := 0; from < len(answers); {
		to := from
		for to+1 < len(answers) && answers[to+1] == answers[from] {
			to++
		}
		g.show(c, "%s, %d to %d bytes: %s", st.args[0], from, to, answers[from])
		from = to + 1
	}
	g.settle(c, false)
	return nil
}

// lastZxid asks how far the server is.
func (g *game) lastZxid(c *client) int64 {
	c.queue("ping", request{op: proto.OpPing, xid: proto.XidPing})
	c.flush()
	frame := c.next(replyPatience)
	c.answered(frame)
	var h proto.ReplyHeader
	h.Decode(jute.NewDecoder(frame))
	return h.Zxid
}

// connStep does what a step says with a connection.
func (g *game) connStep(st step) error {
	c, err := g.client(st.client, false)
	if err != nil {
		return err
	}
	switch st.verb {
	case "open":
		c.drop()
		return g.open(c, st.args)
	case "connect":
		c.drop()
		return c.dial(g.p.address)
	case "drop":
		c.drop()
		return nil
	case "read":
		g.read(c)
		return nil
	case "closed":
		return g.waitClosed(c)
	}
	if len(st.args) != 1 {
		return fmt.Errorf("%s takes one word", st.verb)
	}
	switch st.verb {
	case "gone":
		return g.waitGone(g.w.fields(nil).text(st.args[0]))
	case "word":
		return g.word(c, st.args[0])
	}
	raw, err := hex.DecodeString(st.args[0])
	if err != nil {
		return err
	}
	if st.verb == "frame" {
		raw = appendFrame(nil, raw)
	}
	c.mute = st.verb == "bytes"
	c.out = append(c.out, raw...)
	if !st.more {
		c.flush()
		g.read(c)
	}
	return nil
}

// read shows what comes until nothing does.
func (g *game) read(c *client) {
	for c.connected() {
		frame := c.next(quiet)
		if frame == nil {
			break
		}
		g.frame(c, frame)
	}
	if c.ended && !c.told {
		c.told = true
		g.show(c, "closed")
	}
}

func (g *game) waitClosed(c *client) error {
	for c.connected() {
		frame := c.next(replyPatience)
		if frame == nil {
			break
		}
		g.frame(c, frame)
	}
	if !c.ended {
		return fmt.Errorf("%s is still connected", c.name)
	}
	c.told = true
	g.show(c, "closed")
	return nil
}

// waitGone waits until there is no znode at path.
func (g *game) waitGone(path string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(replyPatience); time.Now().Before(deadline); <-tick.C {
		frame, err := g.p.call("exists", path)
		if err != nil {
			return err
		}
		var h proto.ReplyHeader
		if h.Decode(jute.NewDecoder(frame)); h.Err == proto.ErrNoNode {
			g.settle(&client{}, true)
			return nil
		}
	}
	return fmt.Errorf("%s is still there", path)
}

// word shows what a four-letter word is answered.
func (g *game) word(c *client, word string) error {
	conn, err := net.DialTimeout("tcp", g.p.address, dialPatience)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(replyPatience))
	if _, err := io.WriteString(conn, word); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err != nil && len(answer) == 0 {
		answer = []byte("nothing")
	}
	g.show(c, "%s: %q", word, answer)
	return nil
}

// open connects and asks for a session.
func (g *game) open(c *client, args []string) error {
	if err := c.dial(g.p.address); err != nil {
		return err
	}
	q, err := g.connectRequest(c, args)
	if err != nil {
		return err
	}
	c.old = !q.HasReadOnly
	if _, err := c.conn.Write(appendFrame(nil, q.Append(nil))); err != nil {
		return err
	}
	frame := c.next(replyPatience)
	switch {
	case frame != nil:
		g.frame(c, frame)
	case c.ended:
		c.told = true
		g.show(c, "closed")
	default:
		g.show(c, "silent")
	}
	if g.w != nil {
		g.settle(&client{}, false)
	}
	return nil
}

func (g *game) connectRequest(c *client, args []string) (proto.ConnectRequest, error) {
	w := cmp.Or(g.w, &writer{})
	f := w.fields(args)
	q := proto.ConnectRequest{
		ProtocolVersion: f.int("version", 0), Timeout: f.int("timeout", defaultTimeout), LastZxidSeen: f.zxid(f.value("zxid", "0")),
		HasReadOnly: !f.has("old"), ReadOnly: f.has("readonly"), Password: make([]byte, proto.PasswordSize),
	}
	switch of := f.value("session", ""); {
	case of == "":
	case g.clients[of] != nil:
		q.SessionID, q.Password = g.clients[of].session, g.clients[of].password
	default:
		q.SessionID = f.number(of, 64)
	}
	switch pw := f.value("password", "right"); pw {
	case "right":
	case "wrong":
		q.Password = slices.Repeat([]byte{7}, proto.PasswordSize)
	case "zero":
		q.Password = make([]byte, proto.PasswordSize)
	case "null":
		q.Password = nil
	case "short":
		q.Password = q.Password[:8]
	default:
		return q, fmt.Errorf("password %q", pw)
	}
	return q, f.end()
}

// end closes the sessions that the script has left open, so that none of them
// expires in the next one.
func (g *game) end() {
	done := make(map[int64]bool)
	for _, name := range slices.Sorted(maps.Keys(g.clients)) {
		c := g.clients[name]
		if c.session == 0 || c.closed || done[c.session] {
			c.drop()
			continue
		}
		done[c.session] = true
		if !c.canPing() {
			g.reattach(c)
		}
		if c.connected() {
			c.queue("close", request{op: proto.OpCloseSession})
			c.flush()
			for c.connected() && c.next(replyPatience) != nil {
			}
		}
		c.drop()
	}
}

func (g *game) reattach(c *client) {
	c.drop()
	if c.dial(g.p.address) != nil {
		return
	}
	q := proto.ConnectRequest{Timeout: c.timeout, SessionID: c.session, Password: c.password}
	_, _ = c.conn.Write(appendFrame(nil, q.Append(nil)))
	c.shaken = c.next(replyPatience) != nil
}
