package pipeline

import (
	"errors"
	"fmt"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/tree"
)

// errUnauthenticated ends a connection that asks for something before it has
// authenticated.
var errUnauthenticated = errors.New("the client has not authenticated as this server demands")

// identify gives the connection its first identities. A client that cannot be
// identified is turned away by Connect.
func (c *Conn) identify() {
	c.auth, c.denied = c.p.cfg.Auth.Identify(c.peer)
	c.sasl = c.p.cfg.Auth.SASL()
}

// identity is what of its client the policy needs.
func (c Client) identity() auth.Peer { return auth.Peer{IP: c.IP, Certificates: c.Certificates} }

// ids are the connection's identities, which are replaced and never changed in
// place.
func (c *Conn) ids() []proto.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.auth
}

// addIDs gives the connection more identities.
func (c *Conn) addIDs(ids []proto.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auth = auth.Add(c.auth, ids...)
}

// mayAsk tells whether the client may ask for anything; that it has
// authenticated is noticed once.
func (c *Conn) mayAsk() bool {
	if !c.passed {
		c.passed = c.p.cfg.Auth.Suffices(c.ids())
	}
	return c.passed
}

// unauthenticated answers a request of a client that may not ask, and ends the
// connection (AuthenticationHelper.java).
func (c *Conn) unauthenticated(w *waiting) error {
	c.reply(w, proto.ErrRequireSASL, 0, nil)
	return fmt.Errorf("%w: one of %q is needed", errUnauthenticated, c.p.cfg.Auth.Required())
}

// authenticate adds identities to the connection; a failure is told and ends
// it (ZooKeeperServer.java, processPacket).
func (c *Conn) authenticate(w *waiting) error {
	var a proto.AuthPacket
	d := jute.NewDecoder(w.body)
	a.Decode(d)
	if d.Err() != nil {
		return fmt.Errorf("auth packet: %w", d.Err())
	}
	ids, err := c.p.cfg.Auth.Authenticate(a.Scheme, a.Auth, c.peer)
	switch {
	case errors.Is(err, auth.ErrOtherEnsemble):
		return err
	case err != nil:
		c.p.stats.AuthFailed.Add(1)
		c.reply(w, proto.ErrAuthFailed, 0, nil)
		return fmt.Errorf("auth with scheme %q: %w", a.Scheme, err)
	}
	c.addIDs(ids)
	c.reply(w, proto.OK, 0, nil)
	return nil
}

// saslStep takes the client's next token (ZooKeeperServer.java, processSasl).
// Where SASL is not set up, every client is content with an empty answer.
func (c *Conn) saslStep(w *waiting) error {
	d := jute.NewDecoder(w.body)
	token := d.Buffer()
	switch {
	case d.Err() != nil:
		return fmt.Errorf("SASL request: %w", d.Err())
	case token == nil:
		return fmt.Errorf("SASL request: %w: no token", jute.ErrMalformed)
	case c.sasl == nil:
		c.replySASL(w, proto.OK, nil)
		return nil
	}
	answer, ids, err := c.sasl.Step(token)
	policy := c.p.cfg.Auth
	switch {
	case err == nil:
		c.addIDs(ids)
	case policy.KeepsFailedSASL():
		c.p.log.Warn("a client's SASL failed; it may go on (allowSaslFailedClients)", "client", c.remote, "why", err)
	default:
		c.p.stats.AuthFailed.Add(1)
		c.replySASL(w, policy.FailedSASL(), nil)
		return fmt.Errorf("SASL: %w", err)
	}
	c.replySASL(w, proto.OK, answer)
	return nil
}

// replySASL answers with a token, nil for none. It is there with an error, too.
func (c *Conn) replySASL(w *waiting, code proto.Code, token []byte) {
	c.send(w, code, 0, func(b []byte) []byte { return jute.AppendBuffer(b, token) })
}

// tooEarly tells whether a write would fail the leader's check of ACLs as far as
// this server can see, when it is to look (enableEagerACLCheck). Source:
// ZooKeeperServer.java, authWriteRequest.
func (p *Pipeline) tooEarly(w *waiting, ids []proto.ID) proto.Code {
	path, perm, acl, create := eagerTarget(w)
	if path == "" {
		return proto.OK
	}
	if create {
		if _, err := p.cfg.Auth.Fix(acl, ids); err != nil {
			return codeOf(err)
		}
	}
	var code proto.Code
	p.View(func(t *tree.Tree) {
		if n, ok := t.Get(path); ok {
			code = codeOf(p.cfg.Auth.Check(n.ACL(), perm, ids))
		}
	})
	return code
}

// eagerTarget is the znode whose ACL a write needs perm of, and the ACL that the
// write itself brings; no path for what is left to the leader.
func eagerTarget(w *waiting) (path string, perm int32, acl []proto.ACL, brings bool) {
	switch w.Op {
	case proto.OpCreate, proto.OpCreate2, proto.OpDelete, proto.OpSetData, proto.OpSetACL:
	default:
		return "", 0, nil, false
	}
	op, err := decodeWrite(w.Op, jute.NewDecoder(w.body))
	if err != nil {
		return "", 0, nil, false
	}
	switch r := op.Body.(type) {
	case *proto.CreateRequest:
		if up, ok := parentOf(r.Path); ok && !hasNUL(r.Path) && !isSpecial(r.Path) {
			return rooted(up), proto.PermCreate, r.ACL, true
		}
	case *proto.PathVersion:
		if up, ok := parentOf(r.Path); ok && !hasNUL(r.Path) && !isSpecial(r.Path) {
			return rooted(up), proto.PermDelete, nil, false
		}
	case *proto.SetDataRequest:
		return r.Path, proto.PermWrite, nil, false
	case *proto.SetACLRequest:
		return r.Path, proto.PermAdmin, r.ACL, true
	}
	return "", 0, nil, false
}

// rooted is the path of what [treePath] names.
func rooted(path string) string {
	if path == "" {
		return "/"
	}
	return path
}
