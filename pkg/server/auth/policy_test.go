package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

const (
	userHash = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=" // of u:p, as an Apache server made it
	home     = "org.apache.zookeeper.server.auth."
)

func acl(perms int32, scheme, id string) proto.ACL {
	return proto.ACL{Perms: perms, ID: proto.ID{Scheme: scheme, ID: id}}
}

// policy is one that must be right.
func policy(t *testing.T, cfg Config) *Policy {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// all is a policy with every scheme.
func all(t *testing.T, change func(*Config)) *Policy {
	t.Helper()
	cfg := Config{TLS: true, Providers: []Provider{
		{"authProvider.1", home + "SASLAuthenticationProvider"}, {"authProvider.2", home + "EnsembleAuthenticationProvider"},
	}}
	if change != nil {
		change(&cfg)
	}
	return policy(t, cfg)
}

func TestDigest(t *testing.T) {
	if got := Digest("", "u:p"); got != userHash {
		t.Errorf("digest %s, want %s", got, userHash)
	}
	for _, name := range []string{"", "SHA1", "SHA-256", "SHA-512", "SHA3-256", "sha3-512"} {
		if !KnownHash(name) {
			t.Errorf("%q is not known", name)
		}
	}
	if KnownHash("MD5") {
		t.Error("MD5 is known")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"digestAlg=MD5":                         {DigestAlg: "MD5"},
		"needs the scheme mine":                 {Providers: []Provider{{"authProvider.7", "com.example.Mine"}}, Enforced: true, EnforcedSchemes: []string{"mine"}},
		"ssl.authProvider=mine":                 {TLS: true, TLSProvider: "mine"},
		"enforce.auth.schemes names no scheme":  {Enforced: true},
		"needs the scheme kerberos":             {Enforced: true, EnforcedSchemes: []string{"digest", "kerberos"}},
		"sessionRequireClientSASLAuth needs":    {RequireSASL: true, Enforced: true, EnforcedSchemes: []string{"digest"}},
		"enforce.auth.schemes needs the scheme": {Enforced: true, EnforcedSchemes: []string{"digest"}, NoDigest: true},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMissingClass: what a class protects that there is not stays shut.
func TestMissingClass(t *testing.T) {
	mine := Provider{"authProvider.7", "com.example.Mine"}
	p := policy(t, Config{Providers: []Provider{mine, {"authProvider.8", home + "SASLAuthenticationProvider"}}})
	if got := p.Missing(); len(got) != 1 || got[0] != mine {
		t.Errorf("missing: %v", got)
	}
	acl := []proto.ACL{{Perms: proto.PermAll, ID: proto.ID{Scheme: "mine", ID: "me"}}}
	for _, ids := range [][]proto.ID{nil, {{Scheme: "ip", ID: "127.0.0.1"}, {Scheme: "digest", ID: "me:h"}}} {
		if p.Allowed(acl, proto.PermRead, ids) {
			t.Errorf("%v may read what only the missing class can judge", ids)
		}
	}
	if _, err := p.Fix(acl, nil); err == nil {
		t.Error("an ACL of the missing scheme is taken")
	}
}

func TestSchemes(t *testing.T) {
	offered := func(cfg Config) (out []string) {
		p := policy(t, cfg)
		for _, name := range []string{"ip", "digest", "sasl", "x509", "ensemble", "super", "world", "auth", "key"} {
			if p.Offers(name) {
				out = append(out, name)
			}
		}
		return out
	}
	provider := func(name string) []Provider { return []Provider{{"authProvider.1", home + name}} }
	for _, x := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "ip digest"},
		{Config{NoDigest: true}, "ip"},
		{Config{NoDigest: true, Providers: provider("DigestAuthenticationProvider")}, "ip digest"},
		{Config{Providers: provider("IPAuthenticationProvider")}, "ip digest"},
		{Config{Providers: provider("SASLAuthenticationProvider")}, "ip digest sasl"},
		{Config{Providers: provider("X509AuthenticationProvider")}, "ip digest x509"},
		{Config{TLS: true, TLSProvider: "x509"}, "ip digest x509"},
		{Config{Users: map[string]string{}}, "ip digest"},
		{Config{Providers: provider("EnsembleAuthenticationProvider")}, "ip digest ensemble"},
	} {
		if got := strings.Join(offered(x.cfg), " "); got != x.want {
			t.Errorf("%+v: %s; want %s", x.cfg, got, x.want)
		}
	}
}

func TestFix(t *testing.T) {
	user, other := proto.ID{Scheme: "digest", ID: "u:h"}, proto.ID{Scheme: "digest", ID: "v:h"}
	bob := proto.ID{Scheme: "sasl", ID: "bob"}
	ids := []proto.ID{{Scheme: "ip", ID: "10.1.2.3"}, user, other, {Scheme: "super"}, bob, {Scheme: "x509", ID: "CN=a"}}
	world := acl(31, "world", "anyone")
	mine := []proto.ACL{{Perms: 3, ID: user}, {Perms: 3, ID: other}, {Perms: 3, ID: bob}, acl(3, "x509", "CN=a")}
	for _, x := range []struct {
		name     string
		in, want []proto.ACL // nil is a refusal
	}{
		{"null", nil, nil},
		{"empty", []proto.ACL{}, nil},
		{"world", []proto.ACL{world, world, acl(1, "world", "anyone")}, []proto.ACL{world, acl(1, "world", "anyone")}},
		{"world with a name", []proto.ACL{acl(31, "world", "me")}, nil},
		{"super", []proto.ACL{acl(31, "super", "x")}, nil},
		{"ensemble", []proto.ACL{acl(31, "ensemble", "x")}, nil},
		{"auth", []proto.ACL{acl(3, "auth", "whatever")}, mine},
		{"auth twice", []proto.ACL{acl(3, "auth", ""), acl(3, "auth", "")}, mine},
		{"auth in two spellings", []proto.ACL{acl(3, "auth", ""), acl(3, "auth", "x")}, append(mine[:4:4], mine...)},
		{"auth and one of them", []proto.ACL{acl(3, "auth", ""), {Perms: 3, ID: user}}, append(mine[:4:4], mine[0])},
		{"digest", []proto.ACL{acl(1, "digest", "a:b")}, []proto.ACL{acl(1, "digest", "a:b")}},
		{"digest, empty user", []proto.ACL{acl(1, "digest", ":b")}, []proto.ACL{acl(1, "digest", ":b")}},
		{"digest, no hash", []proto.ACL{acl(1, "digest", "a:")}, nil},
		{"digest, three parts", []proto.ACL{acl(1, "digest", "a:b:c")}, nil},
		{"ip", []proto.ACL{acl(1, "ip", "10.0.0.0/8"), acl(1, "ip", "fe80::/10")}, []proto.ACL{acl(1, "ip", "10.0.0.0/8"), acl(1, "ip", "fe80::/10")}},
		{"ip, name", []proto.ACL{acl(1, "ip", "localhost")}, nil},
		{"sasl", []proto.ACL{acl(1, "sasl", "a/h@R")}, []proto.ACL{acl(1, "sasl", "a/h@R")}},
		{"sasl, two realms", []proto.ACL{acl(1, "sasl", "a@b@c")}, nil},
		{"x509", []proto.ACL{acl(1, "x509", "CN=b,O=c")}, []proto.ACL{acl(1, "x509", "CN=b,O=c")}},
		{"x509, no name", []proto.ACL{acl(1, "x509", "bob")}, nil},
		{"one bad among good", []proto.ACL{world, acl(1, "x", "y")}, nil},
	} {
		got, err := all(t, nil).Fix(x.in, ids)
		if (err != nil) != (x.want == nil) || !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s: %v, %v; want %v", x.name, got, err, x.want)
		}
	}
	for name, refused := range map[string][]proto.ACL{
		"auth of an address only": {acl(1, "auth", "")}, "sasl where there is none": {acl(1, "sasl", "bob")},
		"x509 where there is none": {acl(1, "x509", "CN=a")},
	} {
		if _, err := Default().Fix(refused, []proto.ID{ids[0], bob}); err != proto.ErrInvalidACL {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := policy(t, Config{NoDigest: true}).Fix([]proto.ACL{acl(1, "digest", "a:b")}, ids); err != proto.ErrInvalidACL {
		t.Errorf("digest where there is none: %v", err)
	}
}

func TestAllowed(t *testing.T) {
	ip := proto.ID{Scheme: "ip", ID: "10.1.2.3"}
	id := func(scheme, id string) []proto.ID { return []proto.ID{ip, {Scheme: scheme, ID: id}} }
	for _, x := range []struct {
		name string
		acl  []proto.ACL
		perm int32
		ids  []proto.ID
		want bool
	}{
		{"none is everything", nil, proto.PermAdmin, nil, true},
		{"world", proto.WorldAnyone(), proto.PermWrite, nil, true},
		{"world may read", []proto.ACL{acl(1, "world", "anyone")}, proto.PermWrite, nil, false},
		{"either bit", []proto.ACL{acl(1, "world", "anyone")}, proto.PermRead | proto.PermAdmin, nil, true},
		{"network", []proto.ACL{acl(31, "ip", "10.1.0.0/16")}, 1, []proto.ID{ip}, true},
		{"another network", []proto.ACL{acl(31, "ip", "10.2.0.0/16")}, 1, []proto.ID{ip}, false},
		{"all networks", []proto.ACL{acl(31, "ip", "0.0.0.0/0")}, 1, []proto.ID{ip}, true},
		{"host", []proto.ACL{acl(31, "ip", "10.1.2.3")}, 1, []proto.ID{ip}, true},
		{"v6", []proto.ACL{acl(31, "ip", "::/120")}, 1, id("ip", "0:0:0:0:0:0:0:1"), true},
		{"the id of another scheme", []proto.ACL{acl(31, "digest", "10.1.2.3")}, 1, []proto.ID{ip}, false},
		{"digest", []proto.ACL{acl(31, "digest", "u:h")}, 1, id("digest", "u:h"), true},
		{"super", []proto.ACL{acl(0, "digest", "u:h")}, 1, []proto.ID{{Scheme: "super"}}, true},
		{"perms and id of two entries", []proto.ACL{acl(2, "ip", "10.1.2.3"), acl(1, "digest", "u:h")}, 1, []proto.ID{ip}, false},
		{"sasl", []proto.ACL{acl(31, "sasl", "bob")}, 1, id("sasl", "bob"), true},
		{"another SASL user", []proto.ACL{acl(31, "sasl", "bob")}, 1, id("sasl", "eve"), false},
		{"the SASL user super", []proto.ACL{acl(31, "sasl", "bob")}, 1, id("sasl", "super"), true},
		{"the SASL user super elsewhere", []proto.ACL{acl(31, "digest", "u:h")}, 1, id("sasl", "super"), false},
		{"any SASL user", []proto.ACL{acl(31, "sasl", "everybody")}, 1, id("sasl", "eve"), true},
		{"x509", []proto.ACL{acl(31, "x509", "CN=a")}, 1, id("x509", "CN=a"), true},
		{"another subject", []proto.ACL{acl(31, "x509", "CN=a")}, 1, id("x509", "CN=b"), false},
		{"the super subject", []proto.ACL{acl(31, "x509", "CN=a")}, 1, id("x509", "CN=root"), true},
		{"ensemble", []proto.ACL{acl(31, "ensemble", "a")}, 1, id("ensemble", "a"), false},
	} {
		p := all(t, func(c *Config) { c.AnySASLUser, c.X509SuperUser = "everybody", "CN=root" })
		if got := p.Allowed(x.acl, x.perm, x.ids); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
		if err := p.Check(x.acl, x.perm, x.ids); (err == nil) != x.want {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if !policy(t, Config{SkipACL: true}).Allowed([]proto.ACL{acl(0, "digest", "u:h")}, 1, nil) {
		t.Error("skipACL does not skip")
	}
	for _, scheme := range []string{"sasl", "x509"} { // ACLs from times when the scheme was offered
		if Default().Allowed([]proto.ACL{acl(31, scheme, "a")}, 1, id(scheme, "a")) {
			t.Errorf("%s is not offered and means somebody", scheme)
		}
	}
}

func TestMask(t *testing.T) {
	in := []proto.ACL{acl(31, "digest", "u:h"), acl(1, "digest", "odd"), acl(2, "sasl", "a:b"), acl(4, "world", "anyone")}
	want := []proto.ACL{acl(31, "digest", "u:x"), acl(1, "digest", "odd"), acl(2, "sasl", "a:b"), acl(4, "world", "anyone")}
	if got := Mask(in); !reflect.DeepEqual(got, want) || in[0].ID.ID != "u:h" {
		t.Errorf("%v, from %v", got, in)
	}
}

func TestIP(t *testing.T) {
	for expr, want := range map[string]bool{
		"1.2.3.4": true, "1.2.3.4/0": true, "1.2.3.4/32": true, "1.2.3.4/33": false, "1.2.3.4/": false, "1.2.3.4/-1": false,
		"1.2.3": false, "1.2.3.256": false, "1.2.3.4.5": false, "01.02.03.004": true, "1.2.3.x": false, "": false, "a": false,
		"::": true, "::1": true, "1::": true, "1:2:3:4:5:6:7:8": true, "1:2:3:4:5:6:7": false, "1:2:3:4:5:6:7:8:9": false,
		"1::2::3": false, "1:2:3:4::5:6:7:8": false, "1:2:3::5:6:7:8": true, "::12345": false, "::g": false, ":1": false,
		"::/128": true, "::/129": false, "::ffff:1.2.3.4": false, "1:::2": false, "fe80::1%eth0": false,
	} {
		if got := validIP(expr); got != want {
			t.Errorf("%q: %v", expr, got)
		}
	}
	for _, x := range []struct {
		id, expr string
		want     bool
	}{
		{"10.1.2.3", "10.1.2.0/23", true},
		{"10.1.4.3", "10.1.2.0/23", false},
		{"10.1.2.3", "::/0", false},
		{"0:0:0:0:0:0:0:1", "::1", true},
		{"::1", "0.0.0.0/0", false},
		{"fe80:0:0:0:1:2:3:4", "fe80::/64", true},
		{"fe81:0:0:0:1:2:3:4", "fe80::/64", false},
		{"nonsense", "0.0.0.0/0", false},
		{"10.1.2.3", "nonsense", false},
	} {
		if got := matchIP(x.id, x.expr); got != x.want {
			t.Errorf("%s in %s: %v", x.id, x.expr, got)
		}
	}
	for in, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "::1": "0:0:0:0:0:0:0:1", "fe80::1%eth0": "fe80:0:0:0:0:0:0:1%eth0", "?": "?",
	} {
		if got := address(in); got != want {
			t.Errorf("%s is written %s, want %s", in, got, want)
		}
	}
}

func subject(t *testing.T, name pkix.Name) []*x509.Certificate {
	t.Helper()
	der, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	return []*x509.Certificate{{RawSubject: der}}
}

func TestIdentify(t *testing.T) {
	p := all(t, func(c *Config) { c.X509SuperUser = "CN=root" })
	for _, x := range []struct {
		peer Peer
		want []proto.ID
	}{
		{Peer{IP: "10.1.2.3"}, []proto.ID{{Scheme: "ip", ID: "10.1.2.3"}}},
		{Peer{IP: "::1", Certificates: subject(t, pkix.Name{CommonName: "a", Organization: []string{"b"}})},
			[]proto.ID{{Scheme: "ip", ID: "0:0:0:0:0:0:0:1"}, {Scheme: "x509", ID: "CN=a,O=b"}}},
		{Peer{IP: "10.1.2.3", Certificates: subject(t, pkix.Name{CommonName: "root"})},
			[]proto.ID{{Scheme: "ip", ID: "10.1.2.3"}, {Scheme: "super", ID: "CN=root"}, {Scheme: "x509", ID: "CN=root"}}},
	} {
		got, err := p.Identify(x.peer)
		if err != nil || !reflect.DeepEqual(got, Add(nil, x.want...)) {
			t.Errorf("%v, %v; want %v", got, err, x.want)
		}
	}
	if _, err := p.Identify(Peer{Certificates: []*x509.Certificate{{RawSubject: []byte("?")}}}); !errors.Is(err, proto.ErrAuthFailed) {
		t.Errorf("a subject that cannot be read: %v", err)
	}
}

func TestAuthenticate(t *testing.T) {
	p := all(t, func(c *Config) {
		c.SuperDigest, c.EnsembleNames = Digest("", "super:secret"), []string{"blue", "green"}
	})
	bare, certified := Peer{IP: "10.1.2.3"}, Peer{IP: "10.1.2.3", Certificates: subject(t, pkix.Name{CommonName: "a"})}
	for _, x := range []struct {
		scheme string
		data   []byte
		peer   Peer
		want   []proto.ID
		err    error
	}{
		{"digest", []byte("u:p"), bare, []proto.ID{{Scheme: "digest", ID: userHash}}, nil},
		{"digest", []byte("super:secret"), bare, []proto.ID{{Scheme: "super"}, {Scheme: "digest", ID: Digest("", "super:secret")}}, nil},
		{"digest", []byte{}, bare, []proto.ID{{Scheme: "digest", ID: ":2jmj7l5rSw0yVb/vlWAYkK/YBwk="}}, nil},
		{"digest", nil, bare, nil, proto.ErrAuthFailed},
		{"ip", nil, bare, []proto.ID{{Scheme: "ip", ID: "10.1.2.3"}}, nil},
		{"x509", nil, certified, []proto.ID{{Scheme: "x509", ID: "CN=a"}}, nil},
		{"x509", nil, bare, nil, proto.ErrAuthFailed},
		{"sasl", []byte("x"), bare, nil, proto.ErrAuthFailed},
		{"world", []byte("anyone"), bare, nil, proto.ErrAuthFailed},
		{"super", nil, bare, nil, proto.ErrAuthFailed},
		{"kerberos", nil, bare, nil, proto.ErrAuthFailed},
		{"ensemble", []byte("green"), bare, nil, nil},
		{"ensemble", nil, bare, nil, nil},
		{"ensemble", []byte("red"), bare, nil, ErrOtherEnsemble},
	} {
		got, err := p.Authenticate(x.scheme, x.data, x.peer)
		if !errors.Is(err, x.err) || !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s %q: %v, %v; want %v, %v", x.scheme, x.data, got, err, x.want, x.err)
		}
	}
	if _, err := Default().Authenticate("x509", nil, certified); !errors.Is(err, proto.ErrAuthFailed) {
		t.Errorf("x509 where there is none: %v", err)
	}
}

func TestUser(t *testing.T) {
	p := all(t, nil)
	for id, want := range map[proto.ID]string{
		{Scheme: "ip", ID: "10.1.2.3"}: "10.1.2.3", {Scheme: "digest", ID: "u:h"}: "u", {Scheme: "sasl", ID: "bob"}: "bob",
		{Scheme: "x509", ID: "CN=a"}: "CN=a", {Scheme: "super", ID: "CN=a"}: "", {Scheme: "super"}: "",
	} {
		if got := p.User(id); got != want {
			t.Errorf("%v: %q, want %q", id, got, want)
		}
	}
}

// The orders are those in which Apache's server expanded "auth" for a client of
// 127.0.0.1 with these users.
func TestOrderOfIdentities(t *testing.T) {
	ids := []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}
	for _, x := range []struct{ users, want string }{{"abcd", "bdac"}, {"efghij", "bjifdehagc"}} {
		for _, user := range strings.Split(x.users, "") {
			ids = Add(ids, proto.ID{Scheme: "digest", ID: Digest("", user+":p")})
		}
		var got strings.Builder
		for _, id := range ids {
			if id.Scheme == "digest" {
				got.WriteString(id.ID[:1])
			}
		}
		if got.String() != x.want {
			t.Errorf("order %s, want %s", got.String(), x.want)
		}
	}
	if again := Add(ids, ids[1], ids[0]); len(again) != len(ids) || &again[0] == &ids[0] {
		t.Errorf("%v", again)
	}
}

func TestEnforce(t *testing.T) {
	ip, user, bob := proto.ID{Scheme: "ip"}, proto.ID{Scheme: "digest"}, proto.ID{Scheme: "sasl"}
	for _, x := range []struct {
		name   string
		change func(*Config)
		ids    []proto.ID
		want   bool
		failed proto.Code
	}{
		{"off", nil, []proto.ID{ip}, true, proto.ErrAuthFailed},
		{"schemes alone", func(c *Config) { c.EnforcedSchemes = []string{"sasl"} }, []proto.ID{ip}, true, proto.ErrAuthFailed},
		{"one of two", func(c *Config) { c.Enforced, c.EnforcedSchemes = true, []string{"digest", "sasl"} }, []proto.ID{ip, user}, true, proto.ErrRequireSASL},
		{"none of two", func(c *Config) { c.Enforced, c.EnforcedSchemes = true, []string{"digest", "x509"} }, []proto.ID{ip, bob}, false, proto.ErrAuthFailed},
		{"an address", func(c *Config) { c.Enforced, c.EnforcedSchemes = true, []string{"ip"} }, []proto.ID{ip}, true, proto.ErrAuthFailed},
		{"SASL alone", func(c *Config) { c.RequireSASL, c.Enforced, c.EnforcedSchemes = true, true, []string{"digest"} }, []proto.ID{ip, user}, false, proto.ErrRequireSASL},
		{"SASL", func(c *Config) { c.RequireSASL = true }, []proto.ID{ip, bob}, true, proto.ErrRequireSASL},
	} {
		p := all(t, x.change)
		if got := p.Suffices(x.ids); got != x.want || p.FailedSASL() != x.failed {
			t.Errorf("%s: %v, a failure of SASL is %v", x.name, got, p.FailedSASL())
		}
	}
	if all(t, func(c *Config) { c.RequireSASL, c.AllowFailedSASL = true, true }).KeepsFailedSASL() {
		t.Error("a client stays without the SASL that is required")
	}
	if !all(t, func(c *Config) { c.AllowFailedSASL = true }).KeepsFailedSASL() {
		t.Error("allowSaslFailedClients has no effect")
	}
}
