package digestmd5

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
)

// A Client is the client's side of one conversation: a learner's, when servers
// authenticate to each other. It is not safe for concurrent use.
type Client struct {
	proof proof
	state state
}

// NewClient begins a conversation as user about service at host.
func NewClient(service, host, user, password string) *Client {
	return &Client{proof: proof{username: user, password: password, uri: service + "/" + host}}
}

// Step takes the server's message and returns the response, nil after the last
// one. The conversation is over when it returns an error, which wraps
// [ErrFailed], or when Done tells so.
func (c *Client) Step(msg []byte) ([]byte, error) {
	if len(msg) > maxChallenge {
		c.state = failed
		return nil, fmt.Errorf("%w: a challenge of %d bytes", ErrFailed, len(msg))
	}
	was := c.state
	c.state = failed
	switch was {
	case idle:
		answer, err := c.respond(msg)
		if err == nil {
			c.state = challenged
		}
		return answer, err
	case challenged:
		d, err := parse(msg, true)
		switch {
		case err != nil:
			return nil, err
		case subtle.ConstantTimeCompare(d["rspauth"], c.proof.response("")) != 1:
			return nil, fmt.Errorf("%w: the server does not know the password", ErrFailed)
		}
		c.state = done
		return nil, nil
	}
	return nil, fmt.Errorf("%w: another message after the end", ErrFailed)
}

// Done tells whether both sides have proved that they know the password.
func (c *Client) Done() bool { return c.state == done }

// respond answers the challenge.
func (c *Client) respond(msg []byte) ([]byte, error) {
	d, err := parse(msg, true)
	if err != nil {
		return nil, err
	}
	qops := strings.FieldsFunc(cmpOr(d["qop"], qopAuth), func(r rune) bool { return strings.ContainsRune(","+space, r) })
	switch {
	case len(d["nonce"]) == 0:
		return nil, fmt.Errorf("%w: the challenge has no nonce", ErrFailed)
	case string(d["algorithm"]) != "md5-sess":
		return nil, fmt.Errorf("%w: algorithm %q", ErrFailed, d["algorithm"])
	case cmpOr(d["charset"], "utf-8") != "utf-8":
		return nil, fmt.Errorf("%w: charset %q", ErrFailed, d["charset"])
	case !slices.Contains(qops, qopAuth):
		return nil, fmt.Errorf("%w: the server wants qop %q, only auth is offered", ErrFailed, d["qop"])
	}
	p := &c.proof
	p.nonce, p.realm, p.cnonce = string(d["nonce"]), string(d["realm"]), newNonce()
	var b []byte
	name := string(latin1(p.username))
	if d["charset"] != nil {
		b, name = append(b, "charset=utf-8,"...), p.username
	}
	b = appendQuoted(append(b, "username="...), name)
	if p.realm != "" {
		b = appendQuoted(append(b, ",realm="...), p.realm)
	}
	b = appendQuoted(append(b, ",nonce="...), p.nonce)
	b = appendQuoted(append(b, ",nc="+firstUse+",cnonce="...), p.cnonce)
	b = appendQuoted(append(b, ",digest-uri="...), p.uri)
	b = append(append(b, ",maxbuf=65536,response="...), p.response("AUTHENTICATE")...)
	return append(b, ",qop="+qopAuth...), nil
}
