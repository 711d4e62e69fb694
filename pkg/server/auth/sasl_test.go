package auth

import (
	"errors"
	"reflect"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/auth/digestmd5"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// login plays a conversation and gives the identities it ends with.
func login(t *testing.T, p *Policy, user, password string) ([]proto.ID, error) {
	t.Helper()
	e := p.SASL()
	challenge, ids, err := e.Step([]byte{})
	if err != nil || ids != nil {
		t.Fatalf("%v, %v", ids, err)
	}
	c := digestmd5.NewClient("zookeeper", "zk-sasl-md5", user, password)
	response, err := c.Step(challenge)
	if err != nil {
		t.Fatal(err)
	}
	answer, ids, err := e.Step(response)
	if err != nil {
		return nil, err
	}
	if _, err := c.Step(answer); err != nil {
		t.Error(err)
	}
	return ids, nil
}

func TestSASL(t *testing.T) {
	p := policy(t, Config{
		Users: map[string]string{"bob": "b", "super": "s", "zk/host@REALM": "z", "a@b@c": "x", "root": "r"}, SuperPassword: "other",
		SASLSuperUsers: []string{"root", "zk@REALM"}, RemoveHost: true,
	})
	for _, x := range []struct {
		user, password string
		want           []proto.ID // nil is a failure
	}{
		{"bob", "b", []proto.ID{{Scheme: "sasl", ID: "bob"}}},
		{"bob", "x", nil},
		{"eve", "", nil},
		{"super", "s", nil},
		{"super", "other", []proto.ID{{Scheme: "sasl", ID: "super"}}},
		{"root", "r", []proto.ID{{Scheme: "sasl", ID: "root"}, {Scheme: "super"}}},
		{"zk/host@REALM", "z", []proto.ID{{Scheme: "sasl", ID: "zk@REALM"}, {Scheme: "super"}}},
		{"a@b@c", "x", []proto.ID{{Scheme: "sasl", ID: "a@b@c"}}},
	} {
		got, err := login(t, p, x.user, x.password)
		if !reflect.DeepEqual(got, x.want) || (x.want == nil) != errors.Is(err, digestmd5.ErrFailed) {
			t.Errorf("%s: %v, %v; want %v", x.user, got, err, x.want)
		}
	}
	if Default().SASL() != nil {
		t.Error("SASL without users")
	}
}

func TestPrincipals(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, "bob": true, "bob@R": true, "bob/h@R": true, "a/b/c": true, "a/b/c@R": false, "@": true, "a@b@c": false, "a@b/c": false,
	} {
		if got := validPrincipal(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	for _, x := range []struct {
		name        string
		host, realm bool
		want        string
	}{
		{"bob", true, true, "bob"},
		{"bob/h", true, true, "bob/h"},
		{"bob/h@R", false, false, "bob/h@R"},
		{"bob/h@R", true, false, "bob@R"},
		{"bob/h@R", false, true, "bob/h"},
		{"bob/h@R", true, true, "bob"},
	} {
		if got := policy(t, Config{RemoveHost: x.host, RemoveRealm: x.realm}).principal(x.name); got != x.want {
			t.Errorf("%s without host %v, without realm %v: %s", x.name, x.host, x.realm, got)
		}
	}
}
