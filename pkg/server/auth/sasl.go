package auth

import (
	"slices"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/auth/digestmd5"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// What clients call a server of ZooKeeper's in DIGEST-MD5 (ZooKeeperSaslServer.java).
const (
	saslService = "zookeeper"
	saslHost    = "zk-sasl-md5"
)

// An Exchange is the SASL conversation of one connection; there is no second
// one on it. It is not safe for concurrent use.
type Exchange struct {
	p      *Policy
	server *digestmd5.Server
}

// SASL begins a conversation; nil when SASL is not set up.
func (p *Policy) SASL() *Exchange {
	if p.cfg.Users == nil {
		return nil
	}
	return &Exchange{p: p, server: digestmd5.NewServer(saslService, saslHost, p.password)}
}

// password finds a user (SaslServerCallbackHandler.java).
func (p *Policy) password(user string) (string, bool) {
	password, ok := p.cfg.Users[user]
	if ok && user == "super" && p.cfg.SuperPassword != "" {
		return p.cfg.SuperPassword, true
	}
	return password, ok
}

// Step takes the client's token and returns the answer, and at the end of the
// conversation the identities of the client. An error wraps
// [digestmd5.ErrFailed].
func (e *Exchange) Step(token []byte) (answer []byte, ids []proto.ID, err error) {
	answer, err = e.server.Step(token)
	if err != nil || !e.server.Done() {
		return answer, nil, err
	}
	name := e.p.principal(e.server.Username())
	ids = []proto.ID{{Scheme: "sasl", ID: name}}
	if name != "" && slices.Contains(e.p.cfg.SASLSuperUsers, name) {
		ids = append(ids, proto.ID{Scheme: "super"})
	}
	return answer, ids, nil
}

// KeepsFailedSASL tells whether a client stays whose SASL failed.
func (p *Policy) KeepsFailedSASL() bool { return p.cfg.AllowFailedSASL && !p.requiresSASL() }

// FailedSASL is what a client is told whose SASL failed.
func (p *Policy) FailedSASL() proto.Code {
	if p.requiresSASL() {
		return proto.ErrRequireSASL
	}
	return proto.ErrAuthFailed
}

// principal is the identity of a user: the name without what the operator wants
// removed. Whatever other name the client asks for has no effect.
func (p *Policy) principal(user string) string {
	name, realm, ok := strings.Cut(user, "@")
	if !ok || strings.Contains(realm, "@") || !validPrincipal(user) {
		return user
	}
	if p.cfg.RemoveHost {
		name, _, _ = strings.Cut(name, "/")
	}
	if !p.cfg.RemoveRealm {
		name += "@" + realm
	}
	return name
}

// validPrincipal accepts user[/host]@REALM, and whatever has no @
// (KerberosName.java).
func validPrincipal(id string) bool {
	name, realm, ok := strings.Cut(id, "@")
	return !ok || strings.Count(name, "/") <= 1 && !strings.ContainsAny(realm, "/@")
}
