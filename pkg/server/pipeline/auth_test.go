package pipeline

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/auth"
	"github.com/zkctl/zkctl/pkg/server/auth/digestmd5"
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

const userHash = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=" // of u:p, as an Apache server made it

// policy is one that must be right.
func policy(t *testing.T, cfg auth.Config) *auth.Policy {
	t.Helper()
	p, err := auth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPermissions(t *testing.T) {
	f := leader(t, func(c *Config) { c.Auth = policy(t, auth.Config{SuperDigest: auth.Digest("", "super:secret")}) })
	owner, guest, admin := f.connect(), f.connect(), f.connect()
	if code := owner.auth("digest", "u:p"); code != proto.OK {
		t.Fatal(code)
	}
	if code := admin.auth("digest", "super:secret"); code != proto.OK {
		t.Fatal(code)
	}
	owner.must(proto.OpCreate, createACL("/mine", 0, []proto.ACL{acl(31, "auth", ""), acl(proto.PermRead, "world", "anyone")}))
	owner.must(proto.OpCreate, createACL("/mine/secret", 0, []proto.ACL{acl(31, "auth", "")}))
	for _, x := range []struct {
		op   proto.Op
		body []byte
	}{
		{proto.OpCreate, create("/mine/x", 0)},
		{proto.OpDelete, versioned("/mine/secret", -1)},
		{proto.OpSetData, setData("/mine", "", -1)},
		{proto.OpSetACL, setACL("/mine", -1, proto.WorldAnyone()...)},
		{proto.OpGetData, watched("/mine/secret", true)},
		{proto.OpExists, watched("/mine/secret", true)},
		{proto.OpGetChildren, watched("/mine/secret", true)},
		{proto.OpGetChildren2, watched("/mine/secret", true)},
		{proto.OpGetACL, text("/mine/secret")},
		{proto.OpGetAllChildrenNumber, text("/mine/secret")},
	} {
		if r := guest.do(x.op, x.body); r.Err != proto.ErrNoAuth {
			t.Errorf("a guest's %v: %v", x.op, r.Err)
		}
	}
	if r := guest.must(proto.OpMulti, multi(part(proto.OpCheck, &proto.PathVersion{Path: "/mine/secret", Version: -1}))); !equal(r.results(t), []int32{int32(proto.ErrNoAuth)}) {
		t.Error("a guest's check")
	}
	for c, want := range map[*client]string{owner: userHash, guest: "u:x", admin: userHash} {
		r := c.must(proto.OpGetACL, text("/mine"))
		if got := proto.DecodeACLs(r.d); len(got) != 2 || got[0] != acl(31, "digest", want) {
			t.Errorf("ACL %v, want %s", got, want)
		}
	}
	admin.must(proto.OpGetData, watched("/mine/secret", true))
	guest.must(proto.OpAddWatch, proto.PathMode{Path: "/mine/secret"}.Append(nil))
	owner.must(proto.OpSetData, setData("/mine/secret", "", -1))
	if e := admin.next(); e.event() != "3 /mine/secret" {
		t.Error("the event of who may read")
	}
	guest.none() // CVE-2024-23944
	admin.must(proto.OpSetData, setData("/zookeeper/config", "", -1))
	r := owner.must(proto.OpWhoAmI, nil)
	if n := r.d.Int(); n != 2 || r.String() != "ip" || r.String() != "10.1.2.3" || r.String() != "digest" || r.String() != "u" {
		t.Error("whoAmI")
	}
	if code := guest.auth("kerberos", "x"); code != proto.ErrAuthFailed {
		t.Errorf("an unknown scheme: %v", code)
	}
}

// saslProvider makes the scheme sasl known.
func saslProvider() []auth.Provider {
	return []auth.Provider{{Key: "authProvider.1", Class: "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"}}
}

// saslConfig has the users bob and root, who is super.
func saslConfig(change func(*auth.Config)) auth.Config {
	cfg := auth.Config{Users: map[string]string{"bob": "b", "root": "r"}, SASLSuperUsers: []string{"root"}, Providers: saslProvider()}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// login does SASL and gives the code of the last answer.
func (c *client) login(user, password string) proto.Code {
	c.t.Helper()
	r := c.must(proto.OpSasl, jute.AppendBuffer(nil, []byte{}))
	challenge := r.Buffer()
	peer := digestmd5.NewClient("zookeeper", "zk-sasl-md5", user, password)
	response, err := peer.Step(challenge)
	if err != nil {
		c.t.Fatal(err)
	}
	c.xid++
	ended := c.sendAs(c.xid, proto.OpSasl, jute.AppendBuffer(nil, response)) != nil
	r = c.next()
	token := r.Buffer()
	if ended != (r.Err != proto.OK) || r.Zxid != 0 || r.d.Err() != nil {
		c.t.Errorf("answer %+v, token %q; the connection ends: %v", r.ReplyHeader, token, ended)
	}
	if r.Err == proto.OK && token != nil {
		if _, err := peer.Step(token); err != nil {
			c.t.Error(err)
		}
	}
	return r.Err
}

func TestSASL(t *testing.T) {
	f := leader(t, func(c *Config) { c.Auth = policy(t, saslConfig(nil)) })
	bob, root, eve := f.connect(), f.connect(), f.connect()
	if code := bob.login("bob", "b"); code != proto.OK {
		t.Fatal(code)
	}
	if code := root.login("root", "r"); code != proto.OK {
		t.Fatal(code)
	}
	bob.must(proto.OpCreate, createACL("/mine", 0, []proto.ACL{acl(31, "auth", "")}))
	r := bob.must(proto.OpGetACL, text("/mine"))
	if got := proto.DecodeACLs(r.d); len(got) != 1 || got[0] != acl(31, "sasl", "bob") {
		t.Errorf("auth became %v", got)
	}
	if r := eve.do(proto.OpGetData, watched("/mine", false)); r.Err != proto.ErrNoAuth {
		t.Errorf("a stranger: %v", r.Err)
	}
	root.must(proto.OpGetData, watched("/mine", false))
	if code := eve.login("bob", "wrong"); code != proto.ErrAuthFailed {
		t.Errorf("a wrong password: %v", code)
	}
	if n := f.p.Stats().AuthFailed.Load(); n != 1 {
		t.Errorf("%d failures are counted", n)
	}
	if err := bob.sendAs(9, proto.OpSasl, jute.AppendBuffer(nil, nil)); !errors.Is(err, jute.ErrMalformed) {
		t.Errorf("a request without a token: %v", err)
	}
	bob.none()
}

func TestSASLFailures(t *testing.T) {
	for _, x := range []struct {
		name   string
		change func(*auth.Config)
		want   proto.Code
	}{
		{"plain", nil, proto.ErrAuthFailed},
		{"allowed", func(c *auth.Config) { c.AllowFailedSASL = true }, proto.OK},
		{"required", func(c *auth.Config) { c.AllowFailedSASL, c.RequireSASL = true, true }, proto.ErrRequireSASL},
		{"enforced", func(c *auth.Config) { c.Enforced, c.EnforcedSchemes = true, []string{"digest", "sasl"} }, proto.ErrRequireSASL},
	} {
		f := leader(t, func(c *Config) { c.Auth = policy(t, saslConfig(x.change)) })
		c := f.connect()
		if code := c.login("eve", "b"); code != x.want {
			t.Errorf("%s: %v, want %v", x.name, code, x.want)
		}
	}
}

func TestEnforcedAuthentication(t *testing.T) {
	f := leader(t, func(c *Config) {
		c.Auth = policy(t, auth.Config{Enforced: true, EnforcedSchemes: []string{"digest"}})
	})
	for _, op := range []proto.Op{proto.OpPing, proto.OpGetData, proto.OpSetData, proto.OpSync, proto.OpCloseSession, proto.Op(77)} {
		c := f.connect()
		if err := c.sendAs(5, op, watched("/", false)); !errors.Is(err, errUnauthenticated) {
			t.Errorf("%v: %v", op, err)
		}
		if r := c.next(); r.Err != proto.ErrRequireSASL || r.Zxid != 0 || r.Xid != 5 || r.Len() != 0 {
			t.Errorf("%v: %+v", op, r.ReplyHeader)
		}
	}
	c := f.connect()
	if code := c.auth("ip", ""); code != proto.OK {
		t.Error(code)
	}
	if code := c.auth("digest", "u:p"); code != proto.OK {
		t.Error(code)
	}
	c.must(proto.OpGetData, watched("/", false))
	c.must(proto.OpSetData, setData("/", "", -1))
}

func TestManyIdentities(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	for _, user := range []string{"a:p", "b:p", "c:p", "d:p", "a:p"} {
		if code := c.auth("digest", user); code != proto.OK {
			t.Fatal(code)
		}
	}
	c.must(proto.OpCreate, createACL("/all", 0, []proto.ACL{acl(31, "auth", "")}))
	for _, user := range []string{"a", "b", "c", "d"} {
		one := f.connect()
		if r := one.do(proto.OpGetData, watched("/all", false)); r.Err != proto.ErrNoAuth {
			t.Errorf("before: %v", r.Err)
		}
		one.auth("digest", user+":p")
		one.must(proto.OpGetData, watched("/all", false))
	}
	r := c.must(proto.OpWhoAmI, nil)
	if n := r.d.Int(); n != 5 {
		t.Errorf("%d identities", n)
	}
}

func TestCertificates(t *testing.T) {
	f := leader(t, func(c *Config) { c.Auth = policy(t, auth.Config{TLS: true, X509SuperUser: "CN=root"}) })
	dial := func(name string) *client {
		der, err := asn1.Marshal(pkix.Name{CommonName: name}.ToRDNSequence())
		if err != nil {
			t.Fatal(err)
		}
		return f.dialAs(Client{Remote: "10.1.2.3:4444", IP: "10.1.2.3", Certificates: []*x509.Certificate{{RawSubject: der}}})
	}
	owner, other, root := dial("a"), dial("b"), dial("root")
	for _, c := range []*client{owner, other, root} {
		if err := c.shake(0, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	owner.must(proto.OpCreate, createACL("/mine", 0, []proto.ACL{acl(31, "auth", "")}))
	owner.must(proto.OpGetData, watched("/mine", false))
	root.must(proto.OpGetData, watched("/mine", false))
	if r := other.do(proto.OpGetData, watched("/mine", false)); r.Err != proto.ErrNoAuth {
		t.Errorf("another certificate: %v", r.Err)
	}
	broken := f.dialAs(Client{IP: "10.1.2.3", Certificates: []*x509.Certificate{{RawSubject: []byte("?")}}})
	if err := broken.shake(0, nil, 0); !errors.Is(err, proto.ErrAuthFailed) {
		t.Errorf("a certificate without a name: %v", err)
	}
}

func TestEagerACL(t *testing.T) {
	f := leader(t, func(c *Config) { c.EagerACL = true })
	owner, guest := f.connect(), f.connect()
	owner.auth("digest", "u:p")
	owner.must(proto.OpCreate, createACL("/mine", 0, []proto.ACL{acl(31, "auth", "")}))
	refused := []struct {
		op   proto.Op
		body []byte
		want proto.Code
	}{
		{proto.OpCreate, create("/mine/x", 0), proto.ErrNoAuth},
		{proto.OpCreate2, create("/mine/x", 0), proto.ErrNoAuth},
		{proto.OpDelete, versioned("/mine/x", -1), proto.ErrNoAuth},
		{proto.OpSetData, setData("/mine", "", -1), proto.ErrNoAuth},
		{proto.OpSetACL, setACL("/mine", -1, proto.WorldAnyone()...), proto.ErrNoAuth},
		{proto.OpSetACL, setACL("/mine", -1, acl(31, "x", "y")), proto.ErrInvalidACL},
		{proto.OpCreate, createACL("/y", 0, []proto.ACL{acl(31, "auth", "")}), proto.ErrInvalidACL},
	}
	for _, x := range refused {
		if r := guest.do(x.op, x.body); r.Err != x.want || r.Zxid != 0 {
			t.Errorf("%v: %v, zxid 0x%x", x.op, r.Err, r.Zxid)
		}
	}
	for _, x := range []struct {
		op   proto.Op
		body []byte
		want proto.Code
	}{
		{proto.OpSetData, setData("/none", "", -1), proto.ErrNoNode},
		{proto.OpCreate, create("none", 0), proto.ErrBadArguments},
		{proto.OpDelete, versioned("/zookeeper", -1), proto.ErrBadArguments},
		{proto.OpCreateContainer, create("/mine/x", 4), proto.ErrNoAuth},
	} {
		if r := guest.do(x.op, x.body); r.Err != x.want || r.Zxid == 0 {
			t.Errorf("left to the leader, %v: %v, zxid 0x%x", x.op, r.Err, r.Zxid)
		}
	}
	// The answer waits for its turn.
	f.order.holding(true)
	first := guest.send(proto.OpCreate, create("/mine2", 0))
	second := guest.send(refused[0].op, refused[0].body)
	guest.none()
	f.order.holding(false)
	if r := guest.next(); r.Xid != first || r.Err != proto.OK {
		t.Errorf("%+v", r.ReplyHeader)
	}
	if r := guest.next(); r.Xid != second || r.Err != proto.ErrNoAuth {
		t.Errorf("%+v", r.ReplyHeader)
	}
}

func TestOtherEnsemble(t *testing.T) {
	f := leader(t, func(c *Config) {
		c.Auth = policy(t, auth.Config{EnsembleNames: []string{"blue"}, Providers: []auth.Provider{
			{Key: "authProvider.1", Class: "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider"},
		}})
	})
	c := f.connect()
	if code := c.auth("ensemble", "blue"); code != proto.OK {
		t.Error(code)
	}
	if err := c.sendAs(proto.XidAuth, proto.OpAuth, proto.AuthPacket{Scheme: "ensemble", Auth: []byte("red")}.Append(nil)); !errors.Is(err, auth.ErrOtherEnsemble) {
		t.Error(err)
	}
	c.none()
}
