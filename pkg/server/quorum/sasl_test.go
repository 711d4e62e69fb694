package quorum

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// required is SASL that every server has and asks for.
func required() *SASL {
	return &SASL{Login: true, User: "peer", Password: "secret", Users: map[string]string{"peer": "secret"}, Require: true}
}

// A sample of SaslQuorumAuthLearner.java: the first packet of a learner.
func TestAuthPacketSample(t *testing.T) {
	want := fromHex(t, "5f2435013501edcc 00000000 00000000")
	if got := (authPacket{token: []byte{}}).append(nil); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	p, err := readAuthPacket(bytes.NewReader(append(want, 7)))
	if err != nil || p.status != authInProgress || p.token == nil || len(p.token) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestSASLBetweenTwo(t *testing.T) {
	with := func(change func(*SASL)) *SASL {
		s := required()
		change(s)
		return s
	}
	for name, test := range map[string]struct {
		dialer, acceptor *SASL
		says, judges     error // of both sides
	}{
		"the same password": {required(), required(), nil, nil},
		"wrong password":    {with(func(s *SASL) { s.Password = "other" }), required(), errAuth, errAuth},
		"unknown user":      {with(func(s *SASL) { s.User = "other" }), required(), errAuth, errAuth},
		"no login":          {with(func(s *SASL) { s.Login = false }), required(), nil, errNoAuth},
		"no SASL":           {nil, required(), nil, errNoAuth},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := net.Pipe()
			said := make(chan error, 1)
			go func() {
				err := test.dialer.login(a)
				if err == nil {
					_, _ = a.Write(make([]byte, 8)) // what a server would go on with
				}
				a.Close()
				said <- err
			}()
			in := bufio.NewReader(b)
			user, err := test.acceptor.authenticate(b, in)
			if !errors.Is(err, test.judges) {
				t.Errorf("the acceptor finds %v, want %v", err, test.judges)
			}
			if err == nil && user != "peer" {
				t.Errorf("user %q", user)
			}
			if err == nil || errors.Is(err, errNoAuth) { // not a byte of the rest is taken
				if rest, _ := io.ReadAll(in); len(rest) != 8 {
					t.Errorf("%d bytes are left, want 8", len(rest))
				}
			}
			b.Close()
			if err := <-said; !errors.Is(err, test.says) {
				t.Errorf("the dialer finds %v, want %v", err, test.says)
			}
		})
	}
}

// What a server that is not to be believed might answer.
func TestLoginRefused(t *testing.T) {
	for name, answers := range map[string][]byte{
		"nothing":         nil,
		"garbage":         bytes.Repeat([]byte("x"), 64),
		"error":           authPacket{status: authError}.append(nil),
		"unknown status":  authPacket{status: 7}.append(nil),
		"success at once": authPacket{status: authSuccess}.append(nil),
		"a long token":    jute.AppendInt(jute.AppendInt(jute.AppendLong(nil, authMagic), 0), maxAuthToken+1),
		"no proof":        append(authPacket{token: []byte(`nonce="x",algorithm=md5-sess`)}.append(nil), authPacket{status: authSuccess, token: []byte("rspauth=x")}.append(nil)...),
	} {
		conn := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(answers), io.Discard}
		if err := required().login(conn); !errors.Is(err, errAuth) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	f.Add(authPacket{token: []byte{}}.append(nil))
	f.Add(append(authPacket{token: []byte{}}.append(nil), authPacket{token: []byte(`username="peer"`)}.append(nil)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := required().authenticate(io.Discard, bufio.NewReader(bytes.NewReader(b))); err == nil {
			t.Errorf("%q is believed", b)
		}
	})
}

// Who does not authenticate on the election port is not heard, whatever he says.
func TestElectionRequiresSASL(t *testing.T) {
	u := openElectionTest(t, 1, func(c *Config) { c.SASL, c.SyncLimit = required(), 1 })
	hello := greeting{sid: 2}
	conn := u.dial(hello)
	_, _ = conn.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(1, 7), "")))
	_, _ = io.Copy(io.Discard, conn) // until it is closed
	conn = u.dial(hello)
	wrong := required()
	wrong.Password = "other"
	if err := wrong.login(conn); !errors.Is(err, errAuth) {
		t.Errorf("a wrong password: %v", err)
	}
	silent := u.dial(hello)
	conn = u.dial(hello)
	if err := required().login(conn); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(1, 8), "")))
	u.expectDelivered(2, 8) // and nothing before it
	_, _ = io.Copy(io.Discard, silent)
}

// Without serverRequireSasl both are heard (SaslQuorumAuthServer.java).
func TestElectionTakesBoth(t *testing.T) {
	u := openElectionTest(t, 1, func(c *Config) { c.SASL = required(); c.SASL.Require = false })
	plain := u.dial(greeting{sid: 2})
	_, _ = plain.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(1, 7), "")))
	u.expectDelivered(2, 7)
	conn := u.dial(greeting{sid: 3})
	if err := required().login(conn); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(1, 8), "")))
	u.expectDelivered(3, 8)
}

// Whoever connects and says nothing loses to who does speak.
func TestSilentConnectionsBlockNobody(t *testing.T) {
	u := openElectionTest(t, 1, func(c *Config) { c.SASL = required() })
	for range maxGreetings + 20 {
		u.dial(greeting{sid: 3})
	}
	conn := u.dial(greeting{sid: 2})
	if err := required().login(conn); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(jute.AppendBuffer(nil, appendNotification(nil, vote(1, 8), "")))
	u.expectDelivered(2, 8)
	u.election.lobby.mu.Lock()
	defer u.election.lobby.mu.Unlock()
	if n := len(u.election.lobby.waiting); n > maxGreetings {
		t.Errorf("%d wait, at most %d may", n, maxGreetings)
	}
}

func TestLobby(t *testing.T) {
	var l lobby
	conns := make([]*fakeConn, maxGreetings+2)
	for i := range conns {
		conns[i] = &fakeConn{host: "10.0.0.9"}
	}
	conns[0].host = "10.0.0.1" // the oldest, of a host with one
	for _, c := range conns {
		l.enter(c)
	}
	if conns[0].closed || !conns[1].closed || !conns[2].closed || conns[3].closed {
		t.Error("the oldest of the crowd should go, and no other")
	}
	for _, c := range conns {
		l.leave(c)
	}
	if len(l.waiting) != 0 {
		t.Errorf("%d are left", len(l.waiting))
	}
}

// fakeConn has an address and can be closed.
type fakeConn struct {
	net.Conn
	host   string
	closed bool
}

func (c *fakeConn) Close() error { c.closed = true; return nil }
func (c *fakeConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(c.host), Port: 1}
}

// An ensemble with SASL works, and its leader takes no learner without.
func TestEnsembleWithSASL(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	for _, s := range e.servers {
		s.cfg.SASL = required()
	}
	e.start(e.all()...)
	leader := e.leader()
	e.write(leader, 20, "a")
	register := fromZab(zab.Packet{Kind: zab.FollowerInfo, From: 78}).append(nil)
	for name, b := range map[string][]byte{
		"no SASL": register, "garbage": bytes.Repeat([]byte("x"), 100), "half": authPacket{token: []byte("x")}.append(nil)[:12],
		"unproven": append(authPacket{token: []byte{}}.append(nil), register...),
	} {
		conn, err := net.Dial("tcp", e.members[leader.self-1].Quorum[0])
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = conn.Write(b)
		_ = conn.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(conn)
		if err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: %v", name, err)
		}
		if r := bufio.NewReader(bytes.NewReader(answer)); len(answer) > 0 {
			for p, err := readAuthPacket(r); err == nil; p, err = readAuthPacket(r) {
				if p.status == authSuccess {
					t.Errorf("%s: it succeeds", name)
				}
			}
			if r.Buffered() > 0 {
				t.Errorf("%s: %d more bytes follow: the leader goes on", name, r.Buffered())
			}
		}
		conn.Close()
	}
	e.halt(leader)
	e.write(e.leader(), 20, "b")
	e.start(leader.self)
	e.leader()
	e.equal()
}
