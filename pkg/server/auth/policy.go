package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Config is what the operator says about authentication. The zero value gives
// Apache's default: the schemes world, auth, digest and ip, and nobody is super.
type Config struct {
	// SkipACL lets everybody do everything (skipACL=yes).
	SkipACL bool
	// Providers are the classes of authProvider.N. Those of Apache's stand for
	// the same schemes here; others are done without, see [Policy.Missing].
	Providers []Provider

	// SuperDigest is the digest identity "super:BASE64" that passes every check
	// (DigestAuthenticationProvider.superDigest); "" for none.
	SuperDigest string
	// DigestAlg is the hash of the digest scheme by its Java name; "" is SHA1
	// (DigestAuthenticationProvider.digestAlg).
	DigestAlg string
	// NoDigest takes the digest scheme away
	// (DigestAuthenticationProvider.enabled=false), unless Providers names it.
	NoDigest bool

	// TLS says that clients can come with certificates: they are judged by the
	// scheme x509.
	TLS bool
	// TLSProvider is the scheme that judges certificates (ssl.authProvider);
	// "" is x509, and nothing else is offered.
	TLSProvider string
	// X509SuperUser is the subject that is the super user
	// (X509AuthenticationProvider.superUser); "" for none.
	X509SuperUser string

	// Users are the users and passwords of SASL; nil when SASL is not set up.
	Users map[string]string
	// SuperPassword is the password of the SASL user super, if Users has one
	// (SASLAuthenticationProvider.superPassword); "" leaves it as it is.
	SuperPassword string
	// SASLSuperUsers are the SASL users that pass every check (superUser,
	// superUser.*).
	SASLSuperUsers []string
	// AnySASLUser is the id of ACLs of scheme sasl that every SASL user matches
	// (letAnySaslUserDoX); "" for none.
	AnySASLUser string
	// RemoveHost and RemoveRealm take these parts off names of SASL users
	// (kerberos.removeHostFromPrincipal, kerberos.removeRealmFromPrincipal).
	RemoveHost, RemoveRealm bool
	// AllowFailedSASL lets a client go on whose SASL failed
	// (allowSaslFailedClients), unless it is required.
	AllowFailedSASL bool

	// EnsembleNames are what a client of scheme ensemble must say
	// (ensembleAuthName); nil for anything.
	EnsembleNames []string

	// Enforced says that a client has to authenticate with one of
	// EnforcedSchemes before it may ask anything (enforce.auth.enabled,
	// enforce.auth.schemes).
	Enforced        bool
	EnforcedSchemes []string
	// RequireSASL is Enforced with the scheme sasl, and wins over it
	// (sessionRequireClientSASLAuth).
	RequireSASL bool
}

// A Provider is one authProvider.N.
type Provider struct{ Key, Class string }

// A Policy is a Config made ready to use.
type Policy struct {
	cfg     Config
	schemes map[string]scheme
	enforce []string // schemes of which a client needs one; nil for none
	missing []Provider
}

// Missing are the providers whose class there is not. As in a server of Apache's
// that cannot load a class, its scheme is unknown: nobody gets an identity of it,
// ACLs that name it are refused, and those that do already let nobody in
// (ProviderRegistry.java).
func (p *Policy) Missing() []Provider { return slices.Clone(p.missing) }

// A scheme is a provider of authentication, but for how it authenticates.
type scheme struct {
	// creator says that an identity of the scheme stands for somebody: "auth" in
	// an ACL becomes it.
	creator bool
	// valid tells whether an ACL may hold this id.
	valid func(id string) bool
	// matches tells whether the identity id is one that an ACL's expr means.
	matches func(id, expr string) bool
}

// Default is the policy of the zero Config.
func Default() *Policy {
	p, _ := New(Config{}) // does not fail
	return p
}

// New checks a configuration. Its errors tell which keys to change.
func New(cfg Config) (*Policy, error) {
	p := &Policy{cfg: cfg, schemes: map[string]scheme{"ip": {valid: validIP, matches: matchIP}}}
	if !KnownHash(cfg.DigestAlg) {
		return nil, fmt.Errorf("DigestAuthenticationProvider.digestAlg=%s is not known here: use SHA1, SHA-256, SHA-384, SHA-512 or a SHA3", cfg.DigestAlg)
	}
	if !cfg.NoDigest {
		p.schemes["digest"] = digestScheme()
	}
	var errs []error
	for _, provider := range cfg.Providers {
		p.provide(provider)
	}
	if cfg.TLS {
		p.schemes["x509"] = p.x509Scheme()
		if cfg.TLSProvider != "" && cfg.TLSProvider != "x509" {
			errs = append(errs, fmt.Errorf("ssl.authProvider=%s: certificates are judged by x509 only: remove the line", cfg.TLSProvider))
		}
	}
	errs = append(errs, p.setEnforce())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// provide adds the scheme of a class of Apache's.
func (p *Policy) provide(provider Provider) {
	name, _ := strings.CutPrefix(provider.Class, "org.apache.zookeeper.server.auth.")
	switch name {
	case "IPAuthenticationProvider":
	case "DigestAuthenticationProvider":
		p.schemes["digest"] = digestScheme()
	case "SASLAuthenticationProvider":
		p.schemes["sasl"] = p.saslScheme()
	case "X509AuthenticationProvider":
		p.schemes["x509"] = p.x509Scheme()
	case "EnsembleAuthenticationProvider":
		p.schemes["ensemble"] = scheme{
			valid:   func(string) bool { return false },
			matches: func(string, string) bool { return false },
		}
	default:
		p.missing = append(p.missing, provider)
	}
}

// Offers tells whether there is such a scheme, besides world and auth.
func (p *Policy) Offers(name string) bool {
	_, ok := p.schemes[name]
	return ok
}

func digestScheme() scheme {
	return scheme{creator: true, valid: validDigest, matches: func(id, expr string) bool { return id == expr }}
}

func (p *Policy) x509Scheme() scheme {
	super := p.cfg.X509SuperUser
	return scheme{creator: true, valid: validDN, matches: func(id, expr string) bool {
		return id == expr || super != "" && id == super
	}}
}

func (p *Policy) saslScheme() scheme {
	anyUser := p.cfg.AnySASLUser
	return scheme{creator: true, valid: validPrincipal, matches: func(id, expr string) bool {
		return id == expr || id == "super" || anyUser != "" && expr == anyUser
	}}
}

// names lists the schemes, for messages.
func (p *Policy) names() string {
	names := []string{"world", "auth"}
	for name := range p.schemes {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
