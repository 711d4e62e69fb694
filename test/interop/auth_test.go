package interop

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/auth/digestmd5"
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/test/ensemble"
)

// loginFile is a JAAS file with users of servers and the login of a client.
const loginFile = `
Server {
  org.apache.zookeeper.server.auth.DigestLoginModule required
  user_bob="bob's secret" // the client below
  user_root="roots" user_super="supers";
};
Client {
  org.apache.zookeeper.server.auth.DigestLoginModule required username="bob" password="bob's secret";
};
`

// saslOptions is what servers need for SASL; a Java server gets the file's name
// on its command line, ours in zoo.cfg.
func saslOptions(t *testing.T, servers int, more map[string]string) (o ensemble.Options, java func() ensemble.Launcher, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "jaas.conf")
	if err := os.WriteFile(file, []byte(loginFile), 0o600); err != nil {
		t.Fatal(err)
	}
	o = options(servers)
	o.Config["java.security.auth.login.config"] = file
	o.Config["authProvider.1"] = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
	o.Config["superUser"] = "root"
	maps.Copy(o.Config, more)
	return o, func() ensemble.Launcher {
		launch := ensemble.Java(t)
		return func(config string) *exec.Cmd {
			cmd := launch(config)
			cmd.Args = slices.Insert(cmd.Args, 1, "-Djava.security.auth.login.config="+file)
			return cmd
		}
	}, file
}

// A dialogue is one connection, and what is said on it.
type dialogue struct {
	*raw

	lines []string
	xid   int32
}

func (d *dialogue) say(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// ask sends a request and notes the answer: its header, whose zxid is told only
// when no transaction made it, and its body.
func (d *dialogue) ask(what string, op proto.Op, body []byte) []byte {
	d.t.Helper()
	d.xid++
	h := proto.ReplyHeader{Xid: d.xid}
	if op == proto.OpAuth {
		h.Xid = proto.XidAuth
	}
	frame, err := d.exchange(proto.RequestHeader{Xid: h.Xid, Op: op}, body)
	if err != nil {
		d.say("%s: closed", what)
		return nil
	}
	dec := jute.NewDecoder(frame)
	h.Decode(dec)
	zxid := "some"
	if h.Zxid <= 0 {
		zxid = fmt.Sprint(h.Zxid)
	}
	rest := dec.Rest()
	d.say("%s: xid %d, zxid %s, err %d, %d bytes", what, h.Xid, zxid, int32(h.Err), len(rest))
	if h.Err != proto.OK && !d.alive() {
		d.say("  and closed")
	}
	return rest
}

// alive tells whether the server still answers.
func (d *dialogue) alive() bool {
	d.t.Helper()
	_, err := d.exchange(proto.RequestHeader{Xid: proto.XidPing, Op: proto.OpPing}, nil)
	return err == nil
}

// exchange sends a request, perhaps to nobody, and reads an answer.
func (d *dialogue) exchange(h proto.RequestHeader, body []byte) ([]byte, error) {
	payload := append(h.Append(nil), body...)
	_, _ = d.conn.Write(append(jute.AppendInt(nil, int32(len(payload))), payload...)) // who has closed does not answer
	return d.read()
}

// tell is ask with the body of the answer.
func (d *dialogue) tell(what string, op proto.Op, body []byte) {
	d.t.Helper()
	d.say("  % x", d.ask(what, op, body))
}

func (d *dialogue) auth(scheme string, data []byte) {
	d.t.Helper()
	d.ask("auth "+scheme, proto.OpAuth, proto.AuthPacket{Scheme: scheme, Auth: data}.Append(nil))
}

// login does SASL; change spoils the response.
func (d *dialogue) login(user, password string, change func(string) string) {
	d.t.Helper()
	challenge := jute.NewDecoder(d.ask("challenge", proto.OpSasl, jute.AppendBuffer(nil, []byte{}))).Buffer()
	c := digestmd5.NewClient("zookeeper", "zk-sasl-md5", user, password)
	response, err := c.Step(challenge)
	if err != nil {
		d.say("no challenge")
		return
	}
	if change != nil {
		response = []byte(change(string(response)))
	}
	rspauth := jute.NewDecoder(d.ask("response of "+user, proto.OpSasl, jute.AppendBuffer(nil, response))).Buffer()
	if _, err := c.Step(rspauth); err == nil {
		d.say("  and the server knows the password")
	}
}

func aclBody(path string, acl ...proto.ACL) []byte {
	return proto.CreateRequest{Path: path, Data: []byte("x"), ACL: acl}.Append(nil, proto.OpCreate)
}

func entry(scheme, id string) proto.ACL {
	return proto.ACL{Perms: 31, ID: proto.ID{Scheme: scheme, ID: id}}
}

// pathText is the body of getACL.
func pathText(path string) []byte { return jute.AppendString(nil, path) }

// A scene is a set of servers' keys, and dialogues with a server that has them.
type scene struct {
	name      string
	config    map[string]string
	noSASL    bool
	dialogues []func(*dialogue)
}

func scenes() []scene {
	data := func(what string) func(d *dialogue) {
		return func(d *dialogue) { d.ask(what, proto.OpGetData, pathWatch("/", false)) }
	}
	wrong := func(d *dialogue) { d.login("bob", "wrong", nil); data("get")(d) }
	return []scene{
		{name: "default", noSASL: true, dialogues: []func(*dialogue){
			func(d *dialogue) { d.ask("sasl", proto.OpSasl, jute.AppendBuffer(nil, []byte("x"))) },
			func(d *dialogue) { d.ask("sasl without a token", proto.OpSasl, jute.AppendBuffer(nil, nil)) },
			func(d *dialogue) { d.auth("kerberos", []byte("x")) },
			func(d *dialogue) { d.auth("x509", nil) },
			func(d *dialogue) { d.auth("sasl", []byte("bob")) },
			func(d *dialogue) { d.auth("world", []byte("anyone")) },
			func(d *dialogue) { d.auth("digest", nil) },
			func(d *dialogue) { d.ask("half a packet", proto.OpAuth, []byte{0, 0, 0, 0, 0, 0}) },
			manyDigests,
			refusedACLs,
			shownACLs,
		}},
		{name: "SASL", dialogues: []func(*dialogue){
			saslOwner, wrong,
			func(d *dialogue) { d.login("eve", "", nil) },
			func(d *dialogue) {
				d.login("bob", "bob's secret", nil)
				d.ask("again", proto.OpSasl, jute.AppendBuffer(nil, []byte{}))
			},
			func(d *dialogue) {
				d.login("bob", "bob's secret", func(r string) string { return strings.Replace(r, "zookeeper/", "ldap/", 1) })
			},
			func(d *dialogue) {
				d.login("bob", "bob's secret", func(r string) string { return strings.Replace(r, ",qop=auth", "", 1) })
			},
			func(d *dialogue) { d.login("bob", "bob's secret", func(r string) string { return r + ",qop=auth" }) },
			func(d *dialogue) { d.login("bob", "bob's secret", func(string) string { return "" }) },
			func(d *dialogue) {
				d.login("root", "roots", nil)
				d.ask("the super user reads", proto.OpGetData, pathWatch("/bob", false))
			},
			func(d *dialogue) {
				d.login("super", "supers", nil)
				d.ask("the SASL user super reads", proto.OpGetData, pathWatch("/bob", false))
			},
			func(d *dialogue) { d.ask("a stranger reads", proto.OpGetData, pathWatch("/bob", false)) },
		}},
		{name: "SASL required", config: map[string]string{"sessionRequireClientSASLAuth": "true", "allowSaslFailedClients": "true"}, dialogues: []func(*dialogue){
			wrong, data("get"),
			func(d *dialogue) { d.ask("ping", proto.OpPing, nil) },
			func(d *dialogue) { d.ask("close", proto.OpCloseSession, nil) },
			func(d *dialogue) { d.ask("no such operation", proto.Op(77), nil) },
			func(d *dialogue) { d.auth("digest", []byte("u:p")); data("get")(d) },
			func(d *dialogue) { d.login("bob", "bob's secret", nil); data("get")(d) },
		}},
		{name: "failures allowed", config: map[string]string{"allowSaslFailedClients": "true"}, dialogues: []func(*dialogue){wrong}},
		{name: "digest enforced", noSASL: true, config: map[string]string{"enforce.auth.enabled": "true", "enforce.auth.schemes": "digest , digest"},
			dialogues: []func(*dialogue){data("get"), func(d *dialogue) { d.auth("digest", []byte("u:p")); data("get")(d) }}},
	}
}

// manyDigests shows in which order a server holds identities.
func manyDigests(d *dialogue) {
	for _, user := range []string{"a:p", "b:p", "c:p", "d:p", "a:p", ":", "", "x"} {
		d.auth("digest", []byte(user))
	}
	d.auth("ip", nil)
	d.tell("whoAmI", proto.OpWhoAmI, nil)
	d.ask("create", proto.OpCreate, aclBody("/many", entry("auth", ""), entry("auth", "x"), entry("auth", ""), entry("world", "anyone")))
	d.say("  %v", proto.DecodeACLs(jute.NewDecoder(d.ask("getACL", proto.OpGetACL, pathText("/many")))))
}

// refusedACLs shows which ids a server takes.
func refusedACLs(d *dialogue) {
	for i, id := range []proto.ACL{
		entry("auth", ""), entry("sasl", "bob"), entry("x509", "CN=a"), entry("super", ""), entry("world", "x"), entry("digest", "a"), entry("digest", "a:b:"),
		entry("digest", ":b"), entry("ip", "1.2.3.4/33"), entry("ip", "1.2.3.4/"), entry("ip", "01.2.3.4/08"), entry("ip", "1.2.3"), entry("ip", "+1.2.3.4"),
	} {
		d.xid++
		d.send(d.xid, proto.OpCreate, aclBody(fmt.Sprintf("/acl-%d", i), id))
		d.say("%v: %d", id, int32(d.receive().Err))
	}
}

// shownACLs shows what getACL tells whom, and of the reserved znodes.
func shownACLs(d *dialogue) {
	const hash = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=" // of u:p
	readers := proto.ACL{Perms: proto.PermRead, ID: proto.ID{Scheme: "world", ID: "anyone"}}
	creators := proto.ACL{Perms: proto.PermCreate, ID: proto.ID{Scheme: "world", ID: "anyone"}}
	d.ask("create", proto.OpCreate, aclBody("/shown", entry("digest", hash), entry("digest", ":x"), readers))
	d.ask("create", proto.OpCreate, aclBody("/hidden", entry("digest", hash), creators))
	show := func() {
		for _, path := range []string{"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/shown", "/hidden", "/none", "bad"} {
			d.say("  %v", proto.DecodeACLs(jute.NewDecoder(d.ask("getACL "+path, proto.OpGetACL, pathText(path)))))
		}
	}
	show()
	d.ask("write what is reserved", proto.OpSetData, setBody("/zookeeper/config", nil))
	d.auth("digest", []byte("u:p"))
	show()
}

// saslOwner makes a znode that belongs to bob.
func saslOwner(d *dialogue) {
	d.login("bob", "bob's secret", func(r string) string { return "  ," + strings.ReplaceAll(r, ",", " ,\t") })
	d.tell("whoAmI", proto.OpWhoAmI, nil)
	d.ask("create", proto.OpCreate, aclBody("/bob", entry("auth", "")))
	d.ask("half a request", proto.OpGetData, nil)
}

// play plays a scene against one server.
func (s scene) play(t *testing.T, address string) string {
	t.Helper()
	var b strings.Builder
	for i, play := range s.dialogues {
		d := &dialogue{raw: openRaw(t, address, 20*time.Second)}
		play(d)
		_ = d.conn.Close()
		fmt.Fprintf(&b, "-- %s %d\n%s\n", s.name, i, strings.Join(d.lines, "\n"))
	}
	return b.String()
}

// TestAuthentication has the same dialogues with a server of ours and with
// Apache's.
func TestAuthentication(t *testing.T) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			o, java, _ := saslOptions(t, 1, s.config)
			if s.noSASL {
				delete(o.Config, "java.security.auth.login.config")
				delete(o.Config, "authProvider.1")
				java = func() ensemble.Launcher { return ensemble.Java(t) }
			}
			ours := s.play(t, ensemble.Start(t, o).Addr(1))
			t.Logf("with ours:\n%s", ours)
			launch := java()
			o.Launch = func(int) ensemble.Launcher { return launch }
			if diff := difference(s.play(t, ensemble.Start(t, o).Addr(1)), ours); diff != "" {
				t.Errorf("ours differs from Apache's server:\n%s", diff)
			}
		})
	}
}
