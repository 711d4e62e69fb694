package jaas

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const example = `
// The server's users.
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_super="admin\"secret"  /* in
    two lines */ user_bob=bobsecret
    "user_kazoo"="a;b{c}=d // no comment";
};
/**/ Client { com.sun.security.auth.module.Krb5LoginModule OPTIONAL useKeyTab=true keyTab="${user.home}/x"; };
Empty {};
QuorumLearner { a.B required username="learner" password="t\101b\ttab"; };
Two { a.B required user_a="1"; a.C sufficient user_a="2" user_b="3"; };
`

func TestParse(t *testing.T) {
	f, err := Parse("jaas.conf", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Names(), []string{"Client", "Empty", "QuorumLearner", "Server", "Two"}; !slices.Equal(got, want) {
		t.Errorf("sections %v, want %v", got, want)
	}
	for name, want := range map[string]map[string]string{
		"Server": {"super": `admin"secret`, "bob": "bobsecret", "kazoo": "a;b{c}=d // no comment"},
		"Client": {}, "Empty": {}, "Two": {"a": "2", "b": "3"},
	} {
		s, ok := f.Section(name)
		users, err := s.Users()
		if !ok || err != nil || !reflect.DeepEqual(users, want) {
			t.Errorf("%s: %v, %v, %v; want %v", name, ok, users, err, want)
		}
		if s.Kerberos() != (name == "Client") {
			t.Errorf("%s: Kerberos is %v", name, s.Kerberos())
		}
	}
	s, _ := f.Section("QuorumLearner")
	if user, password, err := s.Login(); user != "learner" || password != "tAb\ttab" || err != nil {
		t.Errorf("%q, %q, %v", user, password, err)
	}
	s, _ = f.Section("Server")
	if o := s.Modules[0].Options[1]; o != (Option{"user_bob", "bobsecret", 6, 18}) {
		t.Errorf("%+v", o)
	}
	if _, _, err := s.Login(); !errors.Is(err, ErrNoLogin) {
		t.Error(err)
	}
	if _, ok := f.Section("server"); ok {
		t.Error("names of sections have one spelling")
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"Server":                            "j:1:7: '{' expected behind the section's name Server, found the end of the file",
		"Server {\n a.B required x=1; };":   "j:2:17: '1' here has to be part of a text in double quotes",
		"Server {\n a.B required x=/a; };":  "j:2:17: '/' here has to be part of a text in double quotes",
		"Server {\n a.B required x=\"1 };":  "j:2:17: this quote is not closed on its line",
		"Server {\n a.B required x=\"1\n\"": "j:2:17: this quote is not closed on its line",
		"Server { a.B x=1; };":              `j:1:14: required, requisite, sufficient or optional expected, found "x"`,
		"Server { a.B required x; };":       "j:1:24: '=' expected behind the option x, found ';'",
		"Server { a.B required };":          "j:1:23: an option, or ';' behind the last one, expected, found '}'",
		"Server { a.B required; }":          "j:1:25: ';' expected behind the section Server, found the end of the file",
		"A {};\nA {};":                      "j:2:1: section A stands twice",
		"/* x":                              "j:1:1: this comment has no end",
		"/*/":                               "j:1:1: this comment has no end",
		"# x":                               "j:1:1: '#' here has to be part of a text in double quotes",
	} {
		if _, err := Parse("j", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

func TestJavaProperties(t *testing.T) {
	f, err := Parse("j", []byte("A { a.B required\nuser_a=\"${x}\" username=u password=\"${y}\"; };"))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := f.Section("A")
	if _, err := s.Users(); err == nil || !strings.HasPrefix(err.Error(), "j:2:1: option user_a holds ${") {
		t.Error(err)
	}
	if _, _, err := s.Login(); err == nil || !strings.HasPrefix(err.Error(), "j:2:26: ") {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "my jaas.conf")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, location := range []string{path, "=" + path, "file:" + path, "file://" + strings.ReplaceAll(path, " ", "%20")} {
		if f, err := Load(location); err != nil || f.Name != path {
			t.Errorf("%s: %v", location, err)
		}
	}
	for _, location := range []string{path + "x", "file:", ""} {
		if _, err := Load(location); err == nil || !strings.Contains(err.Error(), "java.security.auth.login.config") {
			t.Errorf("%s: %v", location, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("A{b required c=\"\\377\\8\";};"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("j", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "j:") {
				t.Errorf("%v tells no place", err)
			}
			return
		}
		for _, name := range file.Names() {
			s, _ := file.Section(name)
			_, _ = s.Users()
			_, _, _ = s.Login()
		}
	})
}
