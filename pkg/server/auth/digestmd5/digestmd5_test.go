package digestmd5

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// users is a password table.
func users(pairs ...string) func(string) (string, bool) {
	return func(user string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == user {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// The example of RFC 2831, section 4.
func TestExampleOfTheRFC(t *testing.T) {
	p := proof{
		username: "chris", realm: "elwood.innosoft.com", password: "secret",
		nonce: "OA6MG9tEQGm2hh", cnonce: "OA6MHXh6VqTrRk", uri: "imap/elwood.innosoft.com",
	}
	if got := string(p.response("AUTHENTICATE")); got != "d388dad90d4bbd760a152321f2143af7" {
		t.Errorf("response %s", got)
	}
	if got := string(p.response("")); got != "ea40f60335c427b5527b84dbabcdfffd" {
		t.Errorf("rspauth %s", got)
	}
}

func newPair(password string) (*Server, *Client) {
	s := NewServer("zookeeper", "zk-sasl-md5", users("bob", "secret", "jos\u00e9", "se\u00f1or", "\u4eba", "\u5bc6"))
	return s, NewClient("zookeeper", "zk-sasl-md5", "bob", password)
}

// talk plays a conversation and returns the first error.
func talk(s *Server, c *Client) error {
	var msg []byte
	for range 2 {
		answer, err := s.Step(msg)
		if err != nil {
			return err
		}
		if msg, err = c.Step(answer); err != nil {
			return err
		}
	}
	return nil
}

func TestConversation(t *testing.T) {
	for user, password := range map[string]string{"bob": "secret", "jos\u00e9": "se\u00f1or", "\u4eba": "\u5bc6"} {
		s, _ := newPair("")
		c := NewClient("zookeeper", "zk-sasl-md5", user, password)
		if err := talk(s, c); err != nil || !s.Done() || !c.Done() || s.Username() != user {
			t.Errorf("%s: %v, %v, %v, %q", user, err, s.Done(), c.Done(), s.Username())
		}
		if _, err := s.Step(nil); !errors.Is(err, ErrFailed) {
			t.Errorf("a message after the end: %v", err)
		}
	}
	s, c := newPair("wrong")
	if err := talk(s, c); !errors.Is(err, ErrFailed) || s.Done() || c.Done() || s.Username() != "" {
		t.Errorf("wrong password: %v", err)
	}
	s, _ = newPair("")
	if err := talk(s, NewClient("zookeeper", "zk-sasl-md5", "eve", "")); !errors.Is(err, ErrFailed) || s.Done() {
		t.Errorf("unknown user: %v", err)
	}
}

// A client must not believe a server that does not know the password.
func TestServerMustProve(t *testing.T) {
	_, c := newPair("secret")
	challenge, _ := NewServer("zookeeper", "zk-sasl-md5", users()).Step(nil)
	if _, err := c.Step(challenge); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Step([]byte("rspauth=0123456789abcdef0123456789abcdef")); !errors.Is(err, ErrFailed) || c.Done() {
		t.Error("a wrong rspauth is believed")
	}
}

// Every conversation has its own nonce, so an old response is of no use.
func TestReplay(t *testing.T) {
	s, c := newPair("secret")
	challenge, _ := s.Step(nil)
	response, _ := c.Step(challenge)
	again, _ := newPair("")
	if _, err := again.Step(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Step(response); !errors.Is(err, ErrFailed) {
		t.Errorf("replayed: %v", err)
	}
}

func TestResponsesRefused(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"empty":            func(string) string { return "" },
		"no username":      func(m string) string { return strings.Replace(m, "username=", "user=", 1) },
		"no realm":         func(m string) string { return strings.Replace(m, "realm=", "r=", 1) },
		"other realm":      func(m string) string { return strings.Replace(m, `realm="zk`, `realm="zz`, 1) },
		"other nonce":      func(m string) string { return strings.Replace(m, `,nonce="`, `,nonce="x`, 1) },
		"second use":       func(m string) string { return strings.Replace(m, "nc=00000001", "nc=00000002", 1) },
		"bad count":        func(m string) string { return strings.Replace(m, "nc=00000001", "nc=one", 1) },
		"other service":    func(m string) string { return strings.Replace(m, "zookeeper/", "ldap/", 1) },
		"security layer":   func(m string) string { return strings.Replace(m, "qop=auth", "qop=auth-int", 1) },
		"other charset":    func(m string) string { return strings.Replace(m, "utf-8", "latin1", 1) },
		"twice":            func(m string) string { return m + ",qop=auth" },
		"open quote":       func(m string) string { return m + `,x="` },
		"no value":         func(m string) string { return m + `,x` },
		"behind a quote":   func(m string) string { return m + `,x="y"z` },
		"an authzid added": func(m string) string { return m + `,authzid="super"` },
		"too long":         func(m string) string { return m + "," + strings.Repeat("x", maxResponse) + "=y" },
		"not UTF-8":        func(m string) string { return strings.Replace(m, "bob", "b\xff", 1) },
	} {
		s, c := newPair("secret")
		challenge, _ := s.Step(nil)
		response, err := c.Step(challenge)
		if err != nil {
			t.Fatal(err)
		}
		changed := change(string(response))
		if changed == string(response) {
			t.Errorf("%s: nothing is changed in %s", name, response)
		}
		if _, err := s.Step([]byte(changed)); !errors.Is(err, ErrFailed) || s.Done() {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Step(response); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: a second try in the same conversation: %v", name, err)
		}
	}
}

// What RFC 2831 lets a client leave out or write otherwise.
func TestResponsesAccepted(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"as it is":   func(m string) string { return m },
		"no qop":     func(m string) string { return strings.TrimSuffix(m, ",qop=auth") },
		"no count":   func(m string) string { return strings.Replace(m, "nc=00000001,", "", 1) },
		"no charset": func(m string) string { return strings.Replace(m, "charset=utf-8,", "", 1) },
		"spaces":     func(m string) string { return " ,\r\n " + strings.ReplaceAll(m, ",", " , ") },
		"upper case": func(m string) string { return strings.Replace(m, "username=", "USERNAME = ", 1) },
		"escapes":    func(m string) string { return strings.Replace(m, `"bob"`, `"\b\o\b"`, 1) },
		"unknown":    func(m string) string { return m + `,future="a,\"b",future=c` },
	} {
		s, c := newPair("secret")
		challenge, _ := s.Step([]byte("a client may speak first"))
		response, _ := c.Step(challenge)
		answer, err := s.Step([]byte(change(string(response))))
		if err != nil || !s.Done() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := c.Step(answer); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChallengesRefused(t *testing.T) {
	for _, challenge := range []string{
		``, `algorithm=md5-sess`, `nonce="x"`, `nonce="x",algorithm=md5`, `nonce="x",algorithm=md5-sess,qop="auth-conf"`,
		`nonce="x",algorithm=md5-sess,charset=latin1`, `nonce="x",nonce="y",algorithm=md5-sess`, `nonce="x`,
		`nonce="` + strings.Repeat("x", maxChallenge) + `",algorithm=md5-sess`,
	} {
		_, c := newPair("secret")
		if _, err := c.Step([]byte(challenge)); !errors.Is(err, ErrFailed) {
			t.Errorf("%.40s: %v", challenge, err)
		}
	}
	_, c := newPair("secret")
	answer, err := c.Step([]byte(`realm="one",realm="two",nonce="x",qop="auth-int, auth",algorithm=md5-sess`))
	if err != nil || !bytes.Contains(answer, []byte(`realm="one",`)) {
		t.Errorf("two realms: %s, %v", answer, err)
	}
}

func FuzzServer(f *testing.F) {
	s, c := newPair("secret")
	challenge, _ := s.Step(nil)
	response, _ := c.Step(challenge)
	f.Add(response)
	f.Add([]byte(`username="a\"b",realm="zk-sasl-md5",nonce=x,nc=1,cnonce="",digest-uri="ZOOKEEPER/zk-sasl-md5",response=`))
	f.Fuzz(func(t *testing.T, msg []byte) {
		s, _ := newPair("")
		if _, err := s.Step(nil); err != nil {
			t.Fatal(err)
		}
		if answer, err := s.Step(msg); err == nil || answer != nil || s.Done() { // nobody guesses a nonce
			t.Errorf("%q is believed", msg)
		}
		d, err := parse(msg, false)
		if err != nil {
			return
		}
		var again []byte
		for name, value := range d { // what was read is read again from what we write
			again = appendQuoted(append(append(again, name...), '='), string(value))
			again = append(again, ',')
		}
		back, err := parse(again, false)
		if err != nil || len(back) != len(d) {
			t.Fatalf("%q is not read again: %v", again, err)
		}
		for name, value := range d {
			if !bytes.Equal(value, back[name]) {
				t.Errorf("%s: %q became %q", name, value, back[name])
			}
		}
	})
}

func FuzzClient(f *testing.F) {
	f.Add([]byte(`realm="zk-sasl-md5",nonce="x",charset=utf-8,algorithm=md5-sess`), []byte("rspauth=x"))
	f.Fuzz(func(t *testing.T, challenge, proof []byte) {
		_, c := newPair("secret")
		response, err := c.Step(challenge)
		if err != nil {
			return
		}
		if _, err := parse(response, false); err != nil {
			t.Errorf("%q: %v", response, err)
		}
		if _, err := c.Step(proof); err == nil {
			t.Errorf("%q is believed", proof)
		}
	})
}
