package digestmd5

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Server is the server's side of one conversation. It is not safe for
// concurrent use.
type Server struct {
	realm, uri string
	password   func(user string) (string, bool)
	nonce      string
	state      state
	user       string
}

type state uint8

const (
	idle state = iota
	challenged
	done
	failed
)

// NewServer begins a conversation about service at host, which is the realm
// too: "zookeeper" and "zk-sasl-md5" for clients. password looks up a user.
func NewServer(service, host string, password func(user string) (string, bool)) *Server {
	return &Server{realm: host, uri: service + "/" + host, password: password}
}

// Step takes the client's message, an empty one at first, and returns the
// answer. The conversation is over when it returns an error, which wraps
// [ErrFailed], or when Done tells so.
func (s *Server) Step(msg []byte) ([]byte, error) {
	switch s.state {
	case idle: // what a client says before it is asked does not count
		s.state, s.nonce = challenged, newNonce()
		b := appendQuoted([]byte("realm="), s.realm)
		b = appendQuoted(append(b, ",nonce="...), s.nonce)
		return append(b, ",charset=utf-8,algorithm=md5-sess"...), nil
	case challenged:
		s.state = failed
		answer, err := s.judge(msg)
		if err == nil {
			s.state = done
		}
		return answer, err
	}
	return nil, fmt.Errorf("%w: another message after the end", ErrFailed)
}

// Done tells whether the client has proved who it is.
func (s *Server) Done() bool { return s.state == done }

// Username is the client, once Done. What the client would like to be called
// instead (authzid) is part of its proof and of no other effect.
func (s *Server) Username() string { return s.user }

// judge checks the client's response and returns rspauth.
func (s *Server) judge(msg []byte) ([]byte, error) {
	if len(msg) > maxResponse {
		return nil, fmt.Errorf("%w: a response of %d bytes", ErrFailed, len(msg))
	}
	d, err := parse(msg, false)
	if err != nil {
		return nil, err
	}
	if err := s.checkForm(d); err != nil {
		return nil, err
	}
	user := string(d["username"])
	password, known := s.password(user)
	p := proof{
		username: user, realm: s.realm, password: password, nonce: s.nonce,
		cnonce: string(d["cnonce"]), uri: string(d["digest-uri"]), authzid: d["authzid"],
	}
	// An unknown user costs the time of a known one.
	if subtle.ConstantTimeCompare(p.response("AUTHENTICATE"), d["response"]) != 1 || !known {
		return nil, fmt.Errorf("%w: user %q is unknown or has another password", ErrFailed, user)
	}
	s.user = user
	return append([]byte("rspauth="), p.response("")...), nil
}

// checkForm checks everything but the proof.
func (s *Server) checkForm(d directives) error {
	for _, name := range []string{"username", "realm", "nonce", "cnonce", "digest-uri", "response"} {
		if _, ok := d[name]; !ok {
			return fmt.Errorf("%w: no directive %q", ErrFailed, name)
		}
	}
	nc, err := strconv.ParseUint(cmpOr(d["nc"], firstUse), 16, 32)
	switch {
	case !utf8.Valid(d["username"]):
		return fmt.Errorf("%w: the user's name is not UTF-8", ErrFailed)
	case cmpOr(d["charset"], "utf-8") != "utf-8":
		return fmt.Errorf("%w: charset %q", ErrFailed, d["charset"])
	case string(d["realm"]) != s.realm:
		return fmt.Errorf("%w: realm %q, not %q", ErrFailed, d["realm"], s.realm)
	case !bytes.Equal(d["nonce"], []byte(s.nonce)):
		return fmt.Errorf("%w: the nonce of another conversation", ErrFailed)
	case err != nil || nc != 1:
		return fmt.Errorf("%w: nonce count %q", ErrFailed, d["nc"])
	case cmpOr(d["qop"], qopAuth) != qopAuth:
		return fmt.Errorf("%w: qop %q, only auth is offered", ErrFailed, d["qop"])
	case !strings.EqualFold(string(d["digest-uri"]), s.uri):
		return fmt.Errorf("%w: digest-uri %q, not %q", ErrFailed, d["digest-uri"], s.uri)
	}
	return nil
}

// cmpOr is value, or otherwise when the directive is not there.
func cmpOr(value []byte, otherwise string) string {
	if value == nil {
		return otherwise
	}
	return string(value)
}
