package quorum

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zkctl/zkctl/pkg/server/auth/digestmd5"
	"github.com/zkctl/zkctl/pkg/server/jute"
)

// SASL is how servers prove to each other that they know a password, by DIGEST-MD5
// (QuorumAuth.java and the classes beside it). It protects the moment of
// connecting and nothing after it.
type SASL struct {
	// Login makes this server authenticate wherever it connects, as User with
	// Password (quorum.auth.learnerRequireSasl).
	Login          bool
	User, Password string

	// Users are the passwords of who may connect. Require refuses all others; without
	// it whoever does not authenticate, or fails to, is let in
	// (quorum.auth.serverRequireSasl).
	Users   map[string]string
	Require bool
}

// What a conversation is about (QuorumAuth.java).
const (
	saslService = "zookeeper-quorum"
	saslHost    = "zk-quorum-sasl-md5"

	authMagic     = 0x5f2435013501edcc // no greeting and no type of packet
	authHead      = 16                 // bytes of a QuorumAuthPacket before its token
	maxAuthToken  = 16 << 10           // far more than a message of DIGEST-MD5 has
	maxAuthRounds = 5
)

// Of a QuorumAuthPacket.
const (
	authInProgress int32 = 0
	authSuccess    int32 = 1
	authError      int32 = -1
)

// errAuth is what every failure to authenticate wraps.
var errAuth = errors.New("SASL authentication failed")

// errNoAuth means that who connects does not try to authenticate.
var errNoAuth = fmt.Errorf("%w: it does not authenticate (does it have quorum.auth.learnerRequireSasl=true?)", errAuth)

// authPacket is QuorumAuthPacket: long magic | int status | buffer token.
type authPacket struct {
	status int32
	token  []byte
}

func (p authPacket) append(b []byte) []byte {
	return jute.AppendBuffer(jute.AppendInt(jute.AppendLong(b, authMagic), p.status), p.token)
}

// readAuthPacket takes one packet and not a byte more.
func readAuthPacket(r io.Reader) (authPacket, error) {
	var head [authHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return authPacket{}, err
	}
	if !beginsAuth(head[:]) {
		return authPacket{}, fmt.Errorf("%w: no packet of an authentication", errWire)
	}
	token, err := readBytes(r, int32(binary.BigEndian.Uint32(head[12:])), maxAuthToken)
	if err != nil {
		return authPacket{}, fmt.Errorf("packet of an authentication: %w", err)
	}
	return authPacket{int32(binary.BigEndian.Uint32(head[8:])), token}, nil
}

// beginsAuth tells whether the first 8 bytes are those of an authPacket. No
// greeting, notification or packet begins so.
func beginsAuth(b []byte) bool { return int64(binary.BigEndian.Uint64(b)) == authMagic }

// login authenticates us to a server we have connected to, if we are to. The
// caller bounds the time (SaslQuorumAuthLearner.java).
func (s *SASL) login(conn io.ReadWriter) error {
	if s == nil || !s.Login {
		return nil
	}
	client := digestmd5.NewClient(saslService, saslHost, s.User, s.Password)
	answer := []byte{}
	for range maxAuthRounds {
		if _, err := conn.Write(authPacket{authInProgress, answer}.append(nil)); err != nil {
			return fmt.Errorf("%w: %w", errAuth, err)
		}
		in, err := readAuthPacket(conn)
		if err != nil {
			return fmt.Errorf("%w: no answer that makes sense (is quorum.auth.enableSasl=true there?): %w", errAuth, err)
		}
		if in.status != authInProgress && in.status != authSuccess {
			return fmt.Errorf("%w: refused as user %q; the server's own log says why", errAuth, s.User)
		}
		if answer, err = client.Step(in.token); err != nil {
			return fmt.Errorf("%w: %w", errAuth, err)
		}
		switch {
		case in.status == authSuccess && client.Done():
			return nil
		case in.status == authSuccess || client.Done():
			return fmt.Errorf("%w: the server ends the conversation too early or too late", errAuth)
		}
	}
	return fmt.Errorf("%w: no end after %d rounds", errAuth, maxAuthRounds)
}

// authenticate lets who has connected authenticate; in is where its bytes come from.
// The user is "" without an error when SASL is off. The caller bounds the time, and
// decides by Require what an error means (SaslQuorumAuthServer.java).
func (s *SASL) authenticate(out io.Writer, in *bufio.Reader) (user string, err error) {
	if s == nil {
		return "", nil
	}
	switch head, err := in.Peek(8); {
	case err != nil:
		return "", fmt.Errorf("%w: nothing came: %w", errNoAuth, noEOF(err))
	case !beginsAuth(head):
		return "", errNoAuth
	}
	server := digestmd5.NewServer(saslService, saslHost, func(user string) (string, bool) {
		password, ok := s.Users[user]
		return password, ok
	})
	if err := converse(server, out, in); err != nil {
		_, _ = out.Write(authPacket{status: authError, token: []byte{}}.append(nil))
		return "", fmt.Errorf("%w: %w", errAuth, err)
	}
	return server.Username(), nil
}

// converse is the server's part of a conversation.
func converse(server *digestmd5.Server, out io.Writer, in *bufio.Reader) error {
	for range maxAuthRounds {
		p, err := readAuthPacket(in)
		if err != nil {
			return err
		}
		answer := authPacket{status: authInProgress}
		if answer.token, err = server.Step(p.token); err != nil {
			return err
		}
		if server.Done() {
			answer.status = authSuccess
		}
		if _, err := out.Write(answer.append(nil)); err != nil || server.Done() {
			return err
		}
	}
	return fmt.Errorf("no end after %d rounds", maxAuthRounds)
}
