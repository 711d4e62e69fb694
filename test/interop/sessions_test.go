package interop

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/session"
	"github.com/zkctl/zkctl/test/ensemble"
)

// Local sessions and read-only mode, byte by byte: what raw clients are told by
// three servers of ours and of Apache's is the same.
func TestSessionKinds(t *testing.T) {
	for _, kind := range []struct {
		name                     string
		local, upgrade, readOnly bool
	}{
		{name: "local", local: true},
		{name: "local and read-only", local: true, upgrade: true, readOnly: true},
		{name: "read-only", readOnly: true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			o := options(3)
			o.Config["maxSessionTimeout"] = "60000" // a session must outlast servers that take their time to come back
			o.Config["localSessionsEnabled"] = fmt.Sprint(kind.local)
			o.Config["localSessionsUpgradingEnabled"] = fmt.Sprint(kind.upgrade)
			readOnly := fmt.Sprintf("readonlymode.enabled=%t", kind.readOnly)
			play := func(t *testing.T, o ensemble.Options) string {
				s := &sessionScript{t: t, e: ensemble.Start(t, o)}
				if kind.local {
					s.local("a follower", s.e.Follower())
					s.local("the leader", s.e.WaitLeader())
				}
				if !kind.local {
					s.moved("from the leader to a follower", s.e.WaitLeader(), s.e.Follower())
					s.moved("from a follower to the leader", s.e.Follower(), s.e.WaitLeader())
				}
				if kind.readOnly {
					s.readOnly(kind.local)
				}
				return strings.Join(s.lines, "\n")
			}
			var ours, theirs string
			t.Run("zkctl", func(t *testing.T) {
				o := o
				o.Launch = flagged(ensemble.Zkctl(t), "-D", readOnly)
				ours = play(t, o)
			})
			t.Logf("transcript with ours:\n%s", ours)
			t.Run("apache", func(t *testing.T) {
				o := o
				o.Launch = javaFlagged(ensemble.Java(t), "-D"+readOnly)
				theirs = play(t, o)
			})
			if theirs != "" && ours != theirs {
				t.Errorf("ours differs from Apache's:\n%s", difference(theirs, ours))
			}
			for _, line := range sessionLines() {
				for _, our := range []int{3, 1} { // as a rule the last one leads
					t.Run(fmt.Sprintf("with %s, server %d is ours", line, our), func(t *testing.T) {
						o := o
						zk, java := flagged(ensemble.Zkctl(t), "-D", readOnly)(0), javaFlagged(line.launcher(t), "-D"+readOnly)(0)
						o.Launch = func(sid int) ensemble.Launcher {
							if sid == our {
								return zk
							}
							return java
						}
						if mixed := play(t, o); mixed != ours {
							t.Errorf("servers together differ from ours:\n%s", difference(ours, mixed))
						}
					})
				}
			}
		})
	}
}

// sessionLines are the lines of Apache's that know these kinds of sessions: the
// machine's, and in the matrix the other.
func sessionLines() []kind {
	if *matrix {
		return []kind{apache, apache39}
	}
	return []kind{apache}
}

// flagged adds arguments to the end of a server's command line.
func flagged(l ensemble.Launcher, args ...string) func(int) ensemble.Launcher {
	return func(int) ensemble.Launcher {
		return func(config string) *exec.Cmd {
			cmd := l(config)
			cmd.Args = append(cmd.Args, args...)
			return cmd
		}
	}
}

// javaFlagged adds arguments to the JVM's.
func javaFlagged(l ensemble.Launcher, args ...string) func(int) ensemble.Launcher {
	return func(int) ensemble.Launcher {
		return func(config string) *exec.Cmd {
			cmd := l(config)
			cmd.Args = slices.Insert(cmd.Args, 1, args...)
			return cmd
		}
	}
}

// A sessionScript plays against an ensemble and notes what it is told.
type sessionScript struct {
	t     *testing.T
	e     *ensemble.Ensemble
	lines []string
	xid   int32
	base  int64 // zxid to which others are relative
	paths int
}

func (s *sessionScript) note(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// newHandshake is the connect request since 3.4.
func newHandshake(session int64, password []byte, readOnly bool) []byte {
	return jute.AppendBool(oldHandshake(0, int32(rawTimeout.Milliseconds()), session, password), readOnly)
}

// shake sends a handshake and notes the answer; nil when there is no session.
func (s *sessionScript) shake(what string, sid int, frame []byte) *raw {
	s.t.Helper()
	r := dialRaw(s.t, s.e.Addr(sid))
	r.write(frame)
	got, err := r.read()
	if err != nil {
		s.note("%s: closed", what)
		return nil
	}
	d := jute.NewDecoder(got)
	if len(got) == proto.ReplyHeaderSize {
		s.note("%s: header %d %s %d", what, d.Int(), s.relative(d.Long()), d.Int())
		_ = r.conn.Close()
		return nil
	}
	_ = d.Int()
	r.timeout, r.session, r.password = d.Int(), d.Long(), d.Buffer()
	s.note("%s: timeout %d, a session %v, password %v, then % x", what, r.timeout, r.session != 0, len(r.password), d.Rest())
	if r.session == 0 {
		r.wantClosed("after a refusal")
		return nil
	}
	return r
}

func (s *sessionScript) relative(zxid int64) string {
	if s.base == 0 {
		return "some zxid"
	}
	return fmt.Sprintf("zxid+%d", zxid-s.base)
}

// ask sends a request and notes the answer.
func (s *sessionScript) ask(r *raw, op proto.Op, body []byte) answer {
	s.t.Helper()
	s.xid++
	r.send(s.xid, op, body)
	a := r.receive()
	s.noteAnswer(op, a)
	if a.Xid != s.xid {
		s.t.Errorf("%v: answer to %d, want %d", op, a.Xid, s.xid)
	}
	return a
}

func (s *sessionScript) noteAnswer(op proto.Op, a answer) {
	text := ""
	if op == proto.OpMulti {
		text = fmt.Sprintf(" % x", a.body)
	}
	s.note("%v: %d, %s, %d bytes%s", op, a.Err, s.relative(a.Zxid), len(a.body), text)
}

// perhaps is ask for what may close the connection.
func (s *sessionScript) perhaps(r *raw, op proto.Op, body []byte) {
	s.t.Helper()
	s.xid++
	r.send(s.xid, op, body)
	frame, err := r.read()
	if err != nil {
		s.note("%v: closed", op)
		return
	}
	d := jute.NewDecoder(frame)
	a := answer{ReplyHeader: proto.ReplyHeader{Xid: d.Int(), Zxid: d.Long(), Err: proto.Code(d.Int())}}
	a.body = d.Rest()
	s.noteAnswer(op, a)
}

// moved asks through one server for sessions that have moved to another.
func (s *sessionScript) moved(what string, from, to int) {
	s.note("-- moved %s", what)
	first := s.shake("new", from, newHandshake(0, make([]byte, 16), false))
	s.base = s.ask(first, proto.OpCreate, createBody(s.next(), nil, 0)).Zxid
	for _, request := range []struct {
		op   proto.Op
		body []byte
	}{
		{proto.OpExists, pathWatch("/", false)},
		{proto.OpPing, nil},
		{proto.OpSync, jute.AppendString(nil, "/")},
		{proto.OpCreate, createBody("/moved", nil, 0)},
		{proto.OpCreate, createBody("/moved", nil, ephemeralFlag)},
		{proto.OpCreate, createBody("moved", nil, 0)},
		{proto.OpCreate, createBody("moved", nil, 77)},
		{proto.OpCreateTTL, jute.AppendLong(createBody("/moved", nil, 5), 1000)},
		{proto.OpCreateTTL, jute.AppendLong(createBody("/moved", nil, 0), 1000)},
		{proto.OpDelete, jute.AppendInt(jute.AppendString(nil, "moved"), -1)},
		{proto.OpSetData, setBody("moved", nil)},
		{proto.OpMulti, multiOf(nil, 0)},
		{proto.OpMulti, multiOf([]string{"/moved"}, 0)},
		{proto.OpMulti, []byte{1}},
	} {
		r := s.shake("new", from, newHandshake(0, make([]byte, 16), false))
		again := s.shake("moves", to, newHandshake(r.session, r.password, false))
		s.perhaps(r, request.op, request.body)
		again.write(jute.AppendInt(jute.AppendInt(nil, 1<<20), int32(proto.OpCloseSession)))
		if a := again.receive(); a.Err != proto.OK {
			s.t.Errorf("closeSession: %v", a.Err)
		}
		again.wantClosed("after closeSession")
	}
}

// next is a path that was not used before, as long as others.
func (s *sessionScript) next() string {
	s.paths++
	return fmt.Sprintf("/p%03d", s.paths)
}

func multiOf(paths []string, flags int32) []byte {
	var b []byte
	for _, path := range paths {
		b = append(multiHeader(b, int32(proto.OpCreate), false), createBody(path, nil, flags)...)
	}
	return multiHeader(b, -1, true)
}

// local uses sessions that one server makes.
func (s *sessionScript) local(what string, sid int) {
	s.note("-- %s", what)
	other := sid%3 + 1
	r := s.shake("new", sid, newHandshake(0, make([]byte, 16), false))
	s.base = s.ask(r, proto.OpCreate, createBody(s.next(), nil, 0)).Zxid
	s.shake("again, here", sid, newHandshake(r.session, r.password, false))
	r.wantClosed("taken over")
	s.shake("again, elsewhere", other, newHandshake(r.session, r.password, false))
	s.shake("wrong password", sid, newHandshake(r.session, make([]byte, 16), false))
	again := s.shake("again, here", sid, newHandshake(r.session, r.password, false))
	s.ask(again, proto.OpSync, jute.AppendString(nil, "/"))
	s.ask(again, proto.OpMulti, multiOf([]string{s.next()}, 0))
	s.ask(again, proto.OpCreateContainer, createBody(s.next(), nil, ephemeralFlag))
	s.ask(again, proto.OpCreateTTL, jute.AppendLong(createBody(s.next(), nil, ephemeralFlag), -1))
	s.ask(again, proto.OpCreate, createBody(s.next(), nil, 77))
	s.ask(again, proto.OpCloseSession, nil)
	again.wantClosed("after closeSession")
	s.shake("after its end", sid, newHandshake(r.session, r.password, false))

	s.ephemeral(sid, other, func(r *raw) { s.ask(r, proto.OpCreate, createBody(s.next(), nil, ephemeralFlag)) })
	s.ephemeral(sid, other, func(r *raw) { s.ask(r, proto.OpCreate2, createBody(s.next(), nil, 3)) })
	s.ephemeral(sid, other, func(r *raw) { s.ask(r, proto.OpMulti, multiOf([]string{s.next()}, ephemeralFlag)) })
}

// ephemeral lets a local session make an ephemeral znode.
func (s *sessionScript) ephemeral(sid, other int, request func(*raw)) {
	r := s.shake("new", sid, newHandshake(0, make([]byte, 16), false))
	s.base = s.ask(r, proto.OpCreate, createBody(s.next(), nil, 0)).Zxid
	request(r)
	request(r)
	s.ask(r, proto.OpExists, pathWatch("/zookeeper", false))
	if r = s.shake("then elsewhere", other, newHandshake(r.session, r.password, false)); r != nil {
		s.ask(r, proto.OpSetData, setBody("/zookeeper", nil))
		s.ask(r, proto.OpCloseSession, nil)
	}
}

func (s *sessionScript) word(sid int, word string) string {
	s.t.Helper()
	answer, err := fourletter.Client{}.Ask(context.Background(), s.e.Addr(sid), word)
	if err != nil {
		return ""
	}
	return string(answer)
}

// wordLines notes the lines of a word that begin with one of some words.
func (s *sessionScript) wordLines(sid int, word string, begin ...string) {
	for line := range strings.Lines(s.word(sid, word)) {
		if slices.ContainsFunc(begin, func(b string) bool { return strings.HasPrefix(line, b) }) {
			s.note("%s: %s", word, strings.TrimSpace(line))
		}
	}
}

// readOnly takes two of three servers away, and brings them back.
func (s *sessionScript) readOnly(local bool) {
	s.note("-- without a quorum")
	sid := s.e.Follower()
	writer := s.shake("new", sid, newHandshake(0, make([]byte, 16), true))
	s.ask(writer, proto.OpCreate, createBody("/ro", []byte("x"), 0))
	s.base = s.ask(writer, proto.OpCreate, createBody("/e", nil, ephemeralFlag)).Zxid
	for other := 1; other <= 3; other++ {
		if other != sid {
			s.e.Kill(other)
		}
	}
	writer.wantClosed("without a quorum")
	ensemble.Eventually(s.t, "read-only mode", func() bool { return s.word(sid, fourletter.Isro) == fourletter.ReadOnly })
	s.wordLines(sid, fourletter.Srvr, "READ-ONLY", "Mode", "Node count")
	s.wordLines(sid, fourletter.Stat, "READ-ONLY", "Mode")
	s.wordLines(sid, fourletter.Mntr, "zk_server_state")

	s.shake("an old client", sid, oldHandshake(0, 10000, 0, make([]byte, 16)))
	s.shake("a client that writes", sid, newHandshake(0, make([]byte, 16), false))
	s.shake("a global session", sid, newHandshake(writer.session, writer.password, true))
	s.shake("a global session, wrong password", sid, newHandshake(writer.session, make([]byte, 16), true))
	s.shake("ahead", sid, jute.AppendBool(oldHandshake(s.base+1, 10000, 0, make([]byte, 16)), true))
	s.shake("an unknown session, wrong password", sid, newHandshake(77, make([]byte, 16), true))
	s.shake("an unknown session", sid, newHandshake(77, password(77), true))
	r := s.shake("new", sid, newHandshake(0, make([]byte, 16), true))
	if (r != nil) != local {
		s.t.Errorf("a new session %v, local sessions %v", r != nil, local)
	}
	if r != nil {
		s.readOnlyRequests(r)
		r = s.shake("again", sid, newHandshake(r.session, r.password, true))
		s.ask(r, proto.OpCloseSession, nil)
		r.wantClosed("after closeSession")
		s.shake("after its end", sid, newHandshake(r.session, r.password, true))
		r = s.shake("new", sid, newHandshake(0, make([]byte, 16), true))
	}
	s.e.RestartAll()
	if r != nil {
		r.wantClosed("with a quorum")
	}
	s.note("isro: %s", s.word(sid, fourletter.Isro))
	s.wordLines(sid, fourletter.Srvr, "READ-ONLY")
	again := s.shake("the writer's session", sid, newHandshake(writer.session, writer.password, true))
	s.xid++
	again.call(s.xid, proto.OpGetData, pathWatch("/e", false))
	s.xid++
	again.call(s.xid, proto.OpSetData, setBody("/e", []byte("y")))
}

func password(id int64) []byte {
	p := session.Password(id)
	return p[:]
}

// readOnlyRequests sends one of each kind.
func (s *sessionScript) readOnlyRequests(r *raw) {
	for _, op := range []proto.Op{proto.OpExists, proto.OpGetData, proto.OpGetChildren, proto.OpGetChildren2} {
		s.ask(r, op, pathWatch("/ro", true))
	}
	s.ask(r, proto.OpExists, pathWatch("/none", true))
	s.ask(r, proto.OpGetACL, jute.AppendString(nil, "/ro"))
	s.ask(r, proto.OpGetEphemerals, jute.AppendString(nil, "/"))
	s.ask(r, proto.OpGetAllChildrenNumber, jute.AppendString(nil, "/ro"))
	s.ask(r, proto.OpWhoAmI, nil)
	for _, op := range []proto.Op{
		proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL, proto.OpDelete, proto.OpDeleteContainer,
		proto.OpSetData, proto.OpSetACL, proto.OpMulti, proto.OpReconfig, proto.OpSync,
	} {
		s.ask(r, op, createBody("/new", nil, 0))
	}
	r.send(proto.XidPing, proto.OpPing, nil)
	if a := r.receive(); a.Xid != proto.XidPing || a.Err != proto.OK {
		s.t.Errorf("ping: %+v", a)
	}
}
