package auth

import (
	"fmt"
	"slices"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// setEnforce works out which schemes clients need (AuthenticationHelper.java).
func (p *Policy) setEnforce() error {
	key := "enforce.auth.schemes"
	switch {
	case p.cfg.RequireSASL:
		key, p.enforce = "sessionRequireClientSASLAuth", []string{"sasl"}
	case p.cfg.Enforced:
		p.enforce = p.cfg.EnforcedSchemes
	default:
		return nil
	}
	if len(p.enforce) == 0 {
		return fmt.Errorf("enforce.auth.enabled is true, and enforce.auth.schemes names no scheme: add for instance enforce.auth.schemes=digest")
	}
	for _, name := range p.enforce {
		switch {
		case p.Offers(name):
		case name == "sasl":
			return fmt.Errorf("%s needs the scheme sasl: add authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider", key)
		default:
			return fmt.Errorf("%s needs the scheme %s, which is not offered; there are %s", key, name, p.names())
		}
	}
	return nil
}

// Enforces tells whether clients have to authenticate at all.
func (p *Policy) Enforces() bool { return p.enforce != nil }

// Suffices tells whether a client with these identities may ask for something;
// otherwise it is told [proto.ErrRequireSASL], whatever the schemes are.
func (p *Policy) Suffices(ids []proto.ID) bool {
	return p.enforce == nil || slices.ContainsFunc(ids, func(id proto.ID) bool { return slices.Contains(p.enforce, id.Scheme) })
}

// Required lists the schemes of which a client needs one, for the log.
func (p *Policy) Required() []string { return slices.Clone(p.enforce) }

func (p *Policy) requiresSASL() bool { return slices.Contains(p.enforce, "sasl") }
