package pipeline

import (
	"reflect"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

const userHash = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=" // of u:p, as an Apache server made it

func TestDigest(t *testing.T) {
	if got := new(Auth).digest("u:p"); got != userHash {
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

func TestFixACL(t *testing.T) {
	user, other := proto.ID{Scheme: "digest", ID: "u:h"}, proto.ID{Scheme: "digest", ID: "v:h"}
	ids := []proto.ID{{Scheme: "ip", ID: "10.1.2.3"}, user, other}
	world := acl(31, "world", "anyone")
	for _, x := range []struct {
		name     string
		in, want []proto.ACL // nil is a refusal
	}{
		{"null", nil, nil},
		{"empty", []proto.ACL{}, nil},
		{"world", []proto.ACL{world, world, acl(1, "world", "anyone")}, []proto.ACL{world, acl(1, "world", "anyone")}},
		{"world with a name", []proto.ACL{acl(31, "world", "me")}, nil},
		{"super", []proto.ACL{acl(31, "super", "x")}, nil},
		{"auth", []proto.ACL{acl(3, "auth", "whatever")}, []proto.ACL{{Perms: 3, ID: user}, {Perms: 3, ID: other}}},
		{"auth twice", []proto.ACL{acl(3, "auth", ""), acl(3, "auth", "x"), {Perms: 3, ID: user}}, []proto.ACL{{Perms: 3, ID: user}, {Perms: 3, ID: other}}},
		{"digest", []proto.ACL{acl(1, "digest", "a:b")}, []proto.ACL{acl(1, "digest", "a:b")}},
		{"digest, empty user", []proto.ACL{acl(1, "digest", ":b")}, []proto.ACL{acl(1, "digest", ":b")}},
		{"digest, no hash", []proto.ACL{acl(1, "digest", "a:")}, nil},
		{"digest, three parts", []proto.ACL{acl(1, "digest", "a:b:c")}, nil},
		{"ip", []proto.ACL{acl(1, "ip", "10.0.0.0/8"), acl(1, "ip", "1.2.3.4")}, []proto.ACL{acl(1, "ip", "10.0.0.0/8"), acl(1, "ip", "1.2.3.4")}},
		{"ip, bits", []proto.ACL{acl(1, "ip", "10.0.0.0/33")}, nil},
		{"ip, name", []proto.ACL{acl(1, "ip", "localhost")}, nil},
		{"one bad among good", []proto.ACL{world, acl(1, "x", "y")}, nil},
	} {
		got, err := new(Auth).fix(x.in, ids)
		if (err != nil) != (x.want == nil) || !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s: %v, %v; want %v", x.name, got, err, x.want)
		}
	}
	if _, err := new(Auth).fix([]proto.ACL{acl(1, "auth", "")}, ids[:1]); err != proto.ErrInvalidACL {
		t.Errorf("auth of somebody with an address only: %v", err)
	}
	if _, err := (&Auth{NoDigest: true}).fix([]proto.ACL{acl(1, "digest", "a:b")}, ids); err != proto.ErrInvalidACL {
		t.Errorf("digest where there is none: %v", err)
	}
}

func TestAllowed(t *testing.T) {
	ip := proto.ID{Scheme: "ip", ID: "10.1.2.3"}
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
		{"network", []proto.ACL{acl(31, "ip", "10.1.0.0/16")}, 1, []proto.ID{ip}, true},
		{"another network", []proto.ACL{acl(31, "ip", "10.2.0.0/16")}, 1, []proto.ID{ip}, false},
		{"all networks", []proto.ACL{acl(31, "ip", "0.0.0.0/0")}, 1, []proto.ID{ip}, true},
		{"host", []proto.ACL{acl(31, "ip", "10.1.2.3")}, 1, []proto.ID{ip}, true},
		{"mapped", []proto.ACL{acl(31, "ip", "10.1.2.3")}, 1, []proto.ID{{Scheme: "ip", ID: "::ffff:10.1.2.3"}}, true},
		{"the id of another scheme", []proto.ACL{acl(31, "digest", "10.1.2.3")}, 1, []proto.ID{ip}, false},
		{"digest", []proto.ACL{acl(31, "digest", "u:h")}, 1, []proto.ID{ip, {Scheme: "digest", ID: "u:h"}}, true},
		{"super", []proto.ACL{acl(0, "digest", "u:h")}, 1, []proto.ID{{Scheme: "super"}}, true},
		{"perms and id of two entries", []proto.ACL{acl(2, "ip", "10.1.2.3"), acl(1, "digest", "u:h")}, 1, []proto.ID{ip}, false},
	} {
		if got := new(Auth).allowed(x.acl, x.perm, x.ids); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
	if !(&Auth{SkipACL: true}).allowed([]proto.ACL{acl(0, "digest", "u:h")}, 1, nil) {
		t.Error("skipACL does not skip")
	}
}

func TestPermissions(t *testing.T) {
	f := leader(t, func(c *Config) { c.Auth.SuperDigest = new(Auth).digest("super:secret") })
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
