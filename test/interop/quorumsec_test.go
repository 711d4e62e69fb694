package interop

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/test/ensemble"
	"github.com/zkctl/zkctl/test/pki"
)

// peerLogins is a login configuration for servers; the second user is of a server
// whose password is wrong.
const peerLogins = `QuorumServer {
	org.apache.zookeeper.server.auth.DigestLoginModule required user_peer="%s";
};
QuorumLearner {
	org.apache.zookeeper.server.auth.DigestLoginModule required username="peer" password="%s";
};
`

// saslKeys is SASL between servers, required.
func saslKeys() map[string]string {
	return map[string]string{
		"quorum.auth.enableSasl": "true", "quorum.auth.learnerRequireSasl": "true", "quorum.auth.serverRequireSasl": "true",
		"quorum.cnxn.threads.size": "20",
	}
}

// secured starts servers of the given kinds whose zoo.cfg has more keys. A Java
// server gets the login configuration on its command line, too.
func secured(t *testing.T, keys map[string]string, of ...kind) (*kinds, *ensemble.Ensemble) {
	t.Helper()
	k, e := prepared(t, keys, of...)
	e.RestartAll()
	return k, e
}

// prepared is secured with servers that do not run yet.
func prepared(t *testing.T, keys map[string]string, of ...kind) (*kinds, *ensemble.Ensemble) {
	t.Helper()
	k := newKinds(t, of, ours, apache)
	logins := keys["java.security.auth.login.config"]
	java := k.launch[apache]
	k.launch[apache] = func(config string) *exec.Cmd {
		cmd := java(config)
		if logins != "" {
			cmd.Args = slices.Insert(cmd.Args, 1, "-Djava.security.auth.login.config="+logins)
		}
		return cmd
	}
	o := options(len(of))
	o.Config["initLimit"] = "15"
	maps.Copy(o.Config, keys)
	o.Launch = func(sid int) ensemble.Launcher {
		return func(config string) *exec.Cmd { return k.launch[k.of(sid)](config) }
	}
	o.Idle = true
	e := ensemble.Start(t, o)
	straight(t, e)
	return k, e
}

func writeLogins(t *testing.T, taken, own string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jaas.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, peerLogins, taken, own), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// leadBy makes a server lead, in the place of another, while writers write: of the
// others only one has what was written last, and it is down meanwhile.
func leadBy(t *testing.T, k *kinds, e *ensemble.Ensemble, ws *writers, sid int) {
	t.Helper()
	leader := e.WaitLeader()
	if leader == sid {
		return
	}
	third := 1 + 2 + 3 - sid - leader
	e.Kill(third)
	ws.wait(t, 10)
	e.Kill(leader)
	e.Restart(third)
	ensemble.Eventually(t, fmt.Sprintf("server %d to lead", sid), func() bool { return e.Leader() == sid })
	ws.wait(t, 10)
	e.Restart(leader)
	e.WaitAll()
	t.Logf("after server %d, %s, leads %d, %s", leader, k.of(leader), sid, k.of(sid))
}

// leadByEach lets servers of both kinds lead under writing clients.
func leadByEach(t *testing.T, k *kinds, e *ensemble.Ensemble) {
	t.Helper()
	ws := startWriters(t, e)
	for _, sid := range []int{2, 1} {
		leadBy(t, k, e, ws, sid)
	}
	ws.wait(t, 20)
	ws.end(t)
	e.WaitLevel()
}

// Servers of both kinds authenticate to each other, whichever leads.
func TestQuorumSASL(t *testing.T) {
	keys := saslKeys()
	keys["java.security.auth.login.config"] = writeLogins(t, "secret", "secret")
	k, e := secured(t, keys, apache, ours, apache)
	leadByEach(t, k, e)
}

// A server with a wrong password, and one without any, get nowhere, and the
// others' logs say so.
func TestQuorumSASLRefused(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, cfg string) string{
		"wrong password": func(t *testing.T, cfg string) string {
			return regexp.MustCompile(`(?m)^java.security.auth.login.config=.*$`).ReplaceAllString(cfg, "java.security.auth.login.config="+writeLogins(t, "secret", "wrong"))
		},
		"no SASL": func(_ *testing.T, cfg string) string {
			return regexp.MustCompile(`(?m)^quorum\.auth\..*\n`).ReplaceAllString(cfg, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			keys := saslKeys()
			keys["java.security.auth.login.config"] = writeLogins(t, "secret", "secret")
			_, e := secured(t, keys, ours, ours, ours)
			e.Stop(3)
			rewrite(t, e, 3, func(cfg string) string { return change(t, cfg) })
			e.Restart(3)
			ensemble.Eventually(t, "the refusal in a log", func() bool {
				return strings.Contains(e.Log(1)+e.Log(2), "it says that it is server 3: SASL authentication failed")
			})
			e.WaitLeader(3)
			if st := e.Status(3); st.State == fourletter.Serving {
				t.Errorf("server 3 serves: %+v", st)
			}
		})
	}
}

// rewrite changes a server's zoo.cfg.
func rewrite(t *testing.T, e *ensemble.Ensemble, sid int, change func(string) string) {
	t.Helper()
	path := filepath.Join(e.Dir(sid), "zoo.cfg")
	cfg, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(change(string(cfg))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// peerKeys is TLS between servers, with the files of a keyring whose identity "peer"
// is certified for all of an ensemble once certify is called.
func peerKeys(k *keyring, kind string) map[string]string {
	return map[string]string{
		"sslQuorum": "true", "ssl.quorum.keyStore.location": k.path("peer" + kind), "ssl.quorum.trustStore.location": k.path("ca" + kind),
		"ssl.quorum.keyStore.password": storePassword, "ssl.quorum.trustStore.password": storePassword,
	}
}

// certify makes certificates that are good for every server of an ensemble. Who
// connects comes from 127.0.0.1.
func certify(t *testing.T, k *keyring, e *ensemble.Ensemble) {
	t.Helper()
	hosts := []string{"localhost", "127.0.0.1"}
	for _, address := range e.Addrs() {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, host)
	}
	k.identity("peer", k.ca.Issue(t, pki.Request{Name: "peer", Hosts: hosts, RSA: true}))
}

// Servers join, leave and change roles with TLS on.
func TestReconfigTLS(t *testing.T) {
	ring := newKeyring(t)
	o := reformable(nil)
	o.Idle = true
	maps.Copy(o.Config, peerKeys(ring, ".p12"))
	e := ensemble.Start(t, o)
	certify(t, ring, e)
	for sid := 1; sid <= 3; sid++ {
		e.Restart(sid)
	}
	reform(t, e)
}

// A server shows its new certificate to others once the files have changed, and
// an ensemble of old and new ones goes on.
func TestQuorumTLSReload(t *testing.T) {
	ring := newKeyring(t)
	keys := peerKeys(ring, ".p12")
	keys["sslQuorumReloadCertFiles"] = "true"
	_, e := prepared(t, keys, ours, ours, ours)
	certify(t, ring, e)
	e.RestartAll()
	host, _, err := net.SplitHostPort(e.Addr(1))
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(host, "3888")
	before := serial(t, ring, address)
	certify(t, ring, e)
	ensemble.Eventually(t, "another certificate at "+address, func() bool { return serial(t, ring, address) != before })
	follower := e.Follower()
	e.Kill(follower)
	e.Restart(follower)
	e.WaitAll()
}

// serial is the number of the certificate that a port for servers shows.
func serial(t *testing.T, ring *keyring, address string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ring.ca.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// Servers of both kinds talk over TLS to each other, with SASL inside, whichever leads.
func TestQuorumTLS(t *testing.T) {
	ring := newKeyring(t)
	keys := peerKeys(ring, ".p12")
	maps.Copy(keys, saslKeys())
	keys["java.security.auth.login.config"] = writeLogins(t, "secret", "secret")
	k, e := prepared(t, keys, ours, apache, ours)
	certify(t, ring, e)
	e.RestartAll()
	leadByEach(t, k, e)
}

// From plain to TLS without losing a write or a session: one server after the other
// takes both, then dials with TLS, then takes nothing else.
func TestQuorumTLSRollingSwitch(t *testing.T) {
	for name, of := range map[string][]kind{"ours": {ours, ours, ours}, "mixed": {ours, apache, ours}} {
		t.Run(name, func(t *testing.T) { rollingSwitch(t, of) })
	}
}

func rollingSwitch(t *testing.T, of []kind) {
	ring := newKeyring(t)
	keys := peerKeys(ring, ".p12")
	keys["sslQuorum"] = "false"
	_, e := prepared(t, keys, of...)
	certify(t, ring, e)
	e.RestartAll()
	ws := startWriters(t, e)
	set := func(key, value string) func(string) string {
		return func(cfg string) string {
			return regexp.MustCompile(`(?m)^`+key+`=.*\n`).ReplaceAllString(cfg, "") + key + "=" + value + "\n"
		}
	}
	for _, step := range []func(string) string{set("portUnification", "true"), set("sslQuorum", "true"), set("portUnification", "false")} {
		for sid := 1; sid <= e.Len(); sid++ {
			e.Stop(sid)
			rewrite(t, e, sid, step)
			e.Restart(sid)
			e.WaitServing(sid)
			ws.wait(t, 5)
		}
	}
	ws.end(t)
	e.WaitAll()
	e.WaitLevel()
}

// A server without TLS, and one whose certificate is another host's, get nowhere.
func TestQuorumTLSRefused(t *testing.T) {
	ring := newKeyring(t)
	_, e := prepared(t, peerKeys(ring, ".pem"), ours, ours, ours)
	for sid := 1; sid <= 3; sid++ { // a plain key has no password
		rewrite(t, e, sid, func(cfg string) string {
			return regexp.MustCompile(`(?m)^ssl\..*[pP]assword=.*\n`).ReplaceAllString(cfg, "")
		})
	}
	certify(t, ring, e)
	e.RestartAll()
	for want, change := range map[string]func(string) string{
		"it speaks plainly": func(cfg string) string { return strings.Replace(cfg, "sslQuorum=true", "sslQuorum=false", 1) },
		"is not of 127.0.0.1 or of its names": func(cfg string) string {
			return strings.Replace(strings.Replace(cfg, "sslQuorum=false", "sslQuorum=true", 1), ring.path("peer.pem"), ring.path("elsewhere.pem"), 1)
		},
	} {
		e.Stop(3)
		rewrite(t, e, 3, change)
		e.Restart(3)
		ensemble.Eventually(t, want+" in a log", func() bool { return strings.Contains(e.Log(1)+e.Log(2), want) })
		e.WaitLeader(3)
		if st := e.Status(3); st.State == fourletter.Serving {
			t.Errorf("server 3 serves: %+v", st)
		}
		rewrite(t, e, 3, func(cfg string) string {
			return strings.Replace(strings.Replace(cfg, "sslQuorum=false", "sslQuorum=true", 1), ring.path("elsewhere.pem"), ring.path("peer.pem"), 1)
		})
	}
}
